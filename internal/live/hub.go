package live

import (
	"context"

	"github.com/edda-io/edda"
)

// Hub has the topics that somebody subscribes to.
type Hub struct {
	streams Streams
	o       Options
}

// New returns a hub. The caller closes it.
func New(s Streams, o Options) *Hub { return &Hub{streams: s, o: o} }

// Close ends all subscriptions with Unavailable, and returns once nothing runs any more.
// It may be called twice.
func (h *Hub) Close() {}

// Subscribe begins to listen. s was validated, and t was looked up for it: whoever does so
// looks again afterwards, and calls Set or Remove when it has changed meanwhile. It returns
// an *edda.Error: BadValue for a resume point or a pattern that makes no sense, what
// Streams returns, and what Remove was given. The caller closes the subscription.
func (h *Hub) Subscribe(ctx context.Context, t Topic, s *edda.Subscribe) (edda.Subscription, error) {
	return nil, h.unavailable()
}

// Set says that a channel has been changed: sources that stay go on, new ones begin at
// their end, the others stop. When it returns, whatever is appended to a new source is
// heard. It asks Streams for the ends, so it must not be called from where Streams answers.
// Nothing happens where nobody subscribes, or when an older version is set.
func (h *Hub) Set(ctx context.Context, t Topic) error { return nil }

// Remove ends all subscriptions of a topic with an error. It does not wait for anything.
func (h *Hub) Remove(namespace, name string, channel bool, err error) {}

// History returns the messages of a topic from a place on, FromStart when it is empty, in
// the order of the times at which they were stored; at most limit, and where to go on.
func (h *Hub) History(ctx context.Context, t Topic, from edda.From, limit int) ([]*edda.LiveMessage, edda.From, error) {
	return nil, "", h.unavailable()
}

// Presence returns who subscribes to a channel, in order of names.
func (h *Hub) Presence(namespace, channel string) []edda.Presence { return nil }

// Subscribers returns how many subscriptions a channel has.
func (h *Hub) Subscribers(namespace, channel string) int { return 0 }

func (h *Hub) unavailable() error { return &edda.Error{Op: "subscribe", Reason: edda.Unavailable} }
