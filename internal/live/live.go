// Package live tells subscribers what happens on streams, as it happens and in order,
// however many they are and however slow. It knows nothing of nodes: Streams is where
// the messages are.
//
// A topic is a stream or a channel that somebody subscribes to. Its goroutine walks the
// streams that feed it and keeps the latest messages in a ring; subscriptions read from
// there, or walk the streams themselves until they are back in the ring. Whatever way a
// message takes, each subscription takes it exactly once, in order of offsets in each
// shard, and with a resume point after which exactly the rest comes. Only what Streams
// returns is ever delivered, so a subscriber hears nothing that is not durable.
//
// Everything is safe for concurrent use, but Subscription.Take and Walker, which are for
// one goroutine at a time.
package live

import (
	"context"
	"log/slog"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/pattern"
)

// Streams is where the messages are: the node.
type Streams interface {
	// Walk returns a walker over all shards of a stream. It touches nothing until Next. The
	// caller keeps from.At as it is until it is done with the walker.
	Walk(namespace, stream string, from Place) Walker
	// End returns the place after all that is stored now, also of what was acknowledged just
	// before. A stream that is not there ends where its first message would come.
	End(ctx context.Context, namespace, stream string) (Place, error)
	// Watch has ring called after each append to the stream and when the node stops, also
	// when the stream comes to be only later. It is called from goroutines that it must not
	// hold up. Once stop has returned it is not called any more.
	Watch(namespace, stream string, ring func()) (stop func())
}

// Walker reads the messages of a stream in the order in which they were stored, those of
// the same time shard by shard. It is for one goroutine at a time, and costs nothing once
// it is let go of.
type Walker interface {
	// Next returns the next messages, at least one where there is one, and about so many
	// bytes. It returns none at the end, and more later, once there is more. A stream that is
	// not there, or not any more, has no messages. The entries are the caller's. It returns
	// an *edda.Error: Unavailable when the node stops.
	Next(ctx context.Context, bytes int) ([]Entry, error)
	// Place is the place after what Next has returned. When Next has returned none it is
	// what Streams.End would have said then, or a later one.
	Place() Place
	// Gap says that messages after the place where it began may have been removed before
	// Next came to them. It is known once Next has returned.
	Gap() bool
}

// Entry is a stored message.
type Entry struct {
	// Message has Shard and Offset. Strings and headers are its own; the payload nobody
	// changes.
	Message edda.StreamMessage
	// Stored is the time of its record in Unix nanoseconds. Within a stream it never goes
	// back, and a stream that is made again has later ones than it had before.
	Stored int64
	// Bytes is how much it takes, encoded.
	Bytes int
}

// Topic is what somebody subscribes to: a stream, or a channel.
type Topic struct {
	Namespace string
	// Name is that of the channel or the stream.
	Name    string
	Channel bool
	// Version rises each time the channel is set. What is known of a topic already is not
	// replaced by an older version.
	Version uint64
	// Sources are the streams that feed it, each once.
	Sources []Source
}

// Source is a stream that feeds a topic.
type Source struct {
	Namespace string
	Stream    string
	// Own says that it is what was published to the channel itself.
	Own bool
	// Patterns says which types of messages, those that match any; all when empty.
	Patterns []*pattern.Pattern
}

// Defaults of Options.
const (
	DefaultRingMessages = 1_024
	DefaultRingBytes    = 1 << 20
)

// Options are what a hub is like. The zero value works.
type Options struct {
	// Publish may refuse a message of a channel, which then nobody gets, or change what
	// subscribers get of it: m is its own copy. Shard, offset and stream stay. It is called
	// for each message once, and again for each subscription that reads it later than the
	// ring has it. When it panics the message is withheld. Nil lets all pass.
	Publish func(namespace, channel string, m *edda.StreamMessage) bool
	// Joined and Left are told when a principal has subscribed to a channel, and when its
	// last subscription is over; one after the other for each channel. They run in the
	// goroutine of a caller of Subscribe or Close, or of the topic. A panic is logged. Nil
	// where nobody wants to know.
	Joined, Left func(namespace, channel string, p edda.Presence)
	// RingMessages and RingBytes bound what a topic keeps for those who are at its end:
	// DefaultRingMessages and DefaultRingBytes when zero.
	RingMessages int
	RingBytes    int
	// Logger gets what goes wrong; nil discards it.
	Logger *slog.Logger
}
