package live

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/seldom"
)

// Hub has the topics that somebody subscribes to. It is safe for concurrent use.
type Hub struct {
	streams Streams
	o       Options
	wg      sync.WaitGroup // the topics' goroutines

	mu     sync.Mutex // guards what follows; topic.mu is not locked under it
	topics map[topicKey]*topic
	closed bool

	// What panicked is not logged each time.
	panics, hookPanics seldom.Gate

	messages atomic.Uint64
	walked   atomic.Uint64
	withheld atomic.Uint64
}

// Stats say what a hub has done and has to do.
type Stats struct {
	// Topics and Subscriptions are those that there are now.
	Topics, Subscriptions int
	// Messages is how many messages topics have put before their subscribers, each once.
	Messages uint64
	// Walked is how many messages subscriptions have read for themselves.
	Walked uint64
	// Withheld is how often Options.Publish refused a message, or panicked.
	Withheld uint64
}

// New returns a hub. The caller closes it.
func New(s Streams, o Options) *Hub {
	o.RingMessages = cmp.Or(o.RingMessages, DefaultRingMessages)
	o.RingBytes = cmp.Or(o.RingBytes, DefaultRingBytes)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Hub{streams: s, o: o, topics: map[topicKey]*topic{}}
}

// Close ends all subscriptions with Unavailable, and returns once nothing runs any more.
// It may be called twice.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	for _, t := range h.topics {
		t.cancel(unavailable())
	}
	h.mu.Unlock()
	h.wg.Wait()
}

// Set says that a channel has been changed: sources that stay go on, new ones begin at
// their end, the others stop. When it returns, whatever is appended to a new source is
// heard. It asks Streams for the ends, so it must not be called from where Streams answers.
// Nothing happens where nobody subscribes, or when an older version is set.
func (h *Hub) Set(ctx context.Context, t Topic) error {
	h.mu.Lock()
	found := h.topics[topicKey{t.Namespace, t.Name, t.Channel}]
	h.mu.Unlock()
	if found == nil {
		return nil
	}
	select {
	case <-found.ready:
	case <-ctx.Done():
		return ended(ctx)
	}
	return found.set(ctx, &t)
}

// Remove ends all subscriptions of a topic with an error. It does not wait for anything.
func (h *Hub) Remove(namespace, name string, channel bool, err error) {
	key := topicKey{namespace, name, channel}
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[key]; t != nil {
		delete(h.topics, key)
		t.cancel(err)
	}
}

// Presence returns who subscribes to a channel, in order of names.
func (h *Hub) Presence(namespace, channel string) []edda.Presence {
	if t := h.find(namespace, channel); t != nil {
		return t.presence.list()
	}
	return nil
}

// Subscribers returns how many subscriptions a channel has.
func (h *Hub) Subscribers(namespace, channel string) int {
	if t := h.find(namespace, channel); t != nil {
		return t.subscribers()
	}
	return 0
}

// Stats returns what the hub has done and has to do.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	all := make([]*topic, 0, len(h.topics))
	for _, t := range h.topics {
		all = append(all, t)
	}
	h.mu.Unlock()
	s := Stats{Topics: len(all), Messages: h.messages.Load(), Walked: h.walked.Load(), Withheld: h.withheld.Load()}
	for _, t := range all {
		s.Subscriptions += t.subscribers()
	}
	return s
}

func (h *Hub) find(namespace, channel string) *topic {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.topics[topicKey{namespace, channel, true}]
}

// enter returns the topic, which stays until it is released. Where there is none yet it
// begins at the places that at says, or at the end where that is nil; made says so.
func (h *Hub) enter(t *Topic, at func(*sources) []Place) (found *topic, made bool, err error) {
	key := topicKey{t.Namespace, t.Name, t.Channel}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, false, unavailable()
	}
	if found = h.topics[key]; found != nil {
		found.refs++
		return found, false, nil
	}
	found = newTopic(h, key)
	h.topics[key] = found
	h.wg.Add(1)
	go found.run(arrange(t), at)
	return found, true, nil
}

// release undoes enter.
func (h *Hub) release(t *topic) {
	h.mu.Lock()
	t.refs--
	last := t.refs == 0
	h.mu.Unlock()
	if last {
		t.rouse()
	}
}

// retire removes a topic that nobody subscribes to. It is false when somebody does.
func (h *Hub) retire(t *topic) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.refs > 0 {
		return false
	}
	h.drop(t)
	return true
}

// forget removes a topic that has ended, so that the next who subscribes gets a new one.
func (h *Hub) forget(t *topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(t)
}

func (h *Hub) drop(t *topic) {
	if h.topics[t.key] == t {
		delete(h.topics, t.key)
	}
}

func unavailable() error {
	return &edda.Error{Op: "subscribe", Reason: edda.Unavailable, Err: errors.New("the node is stopping")}
}

// ended is the error of an operation whose caller does not wait any more.
func ended(ctx context.Context) error {
	return &edda.Error{Op: "subscribe", Reason: edda.Timeout, Err: context.Cause(ctx)}
}
