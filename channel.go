package edda

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/edda-io/edda/pattern"
)

// Defaults and limits of channels and subscriptions.
const (
	// DefaultHistoryCount and DefaultHistoryAge are what a channel keeps of what was
	// published to it.
	DefaultHistoryCount = 1_000
	DefaultHistoryAge   = 24 * time.Hour
	// MaxChannelSources is how many streams feed a channel at most.
	MaxChannelSources = 64
	// MaxPatterns is how many patterns a source or a subscription has at most, and
	// MaxPatternBytes how long one is.
	MaxPatterns     = 1_000
	MaxPatternBytes = pattern.MaxBytes
	// MaxChannelBytes bounds the names of a channel's sources and their patterns together:
	// 1 MiB.
	MaxChannelBytes = 1 << 20
)

// ChannelSpec is a channel to create, or what an existing one is to be like: a live
// topic, fed by what is published to it and by streams.
type ChannelSpec struct {
	// Namespace is DefaultNamespace when empty.
	Namespace string
	// Name names the channel within its namespace, like a stream.
	Name string
	// From are the streams that feed it, each once. One that is not there yet counts
	// from when it is.
	From []ChannelSource
	// History says what is kept of what was published to the channel itself, so that
	// subscribers who were away miss nothing. Streams have their own retention.
	History History
}

// ChannelSource is a stream of the channel's namespace that feeds it.
type ChannelSource struct {
	Stream string
	// Patterns says which types of messages, those that match any; all when empty.
	Patterns []string
}

// History says which messages of a channel are kept: the latest, as long as both
// limits are met.
type History struct {
	// Count is how many, DefaultHistoryCount when zero.
	Count uint64
	// Age is how old one may become, DefaultHistoryAge when zero.
	Age time.Duration
}

// channelPrefix is what the names of channels' own streams begin with. Callers cannot
// name such a stream: "edda." is reserved.
const channelPrefix = "edda.channel."

// ChannelStream names the stream that keeps what is published to a channel. It is the
// node's own: no caller can read, change or remove it but through the channel.
func ChannelStream(channel string) string { return channelPrefix + channel }

// ChannelOf is the reverse of ChannelStream; ok is false for a stream that is no
// channel's own.
func ChannelOf(stream string) (channel string, ok bool) {
	return strings.CutPrefix(stream, channelPrefix)
}

// Target is the stream that the messages are appended to: Stream, or that of Channel.
func (a *Append) Target() string {
	if a.Channel != "" {
		return ChannelStream(a.Channel)
	}
	return a.Stream
}

// Publish publishes messages to a channel when, and only if, the handler returns a
// reply: Append with the channel, of the handler's namespace. A channel that is not
// there when they reach it drops them, which the node logs.
func (c *Context) Publish(channel string, messages ...StreamMessage) error {
	if channel == "" {
		return badName("channel", errors.New("channel is empty"))
	}
	return c.Append(&Append{Channel: channel, Messages: messages})
}

// Channel is what is known of a channel.
type Channel struct {
	ChannelSpec
	CreatedAt time.Time
	// Subscribers is how many subscriptions there are on this node now.
	Subscribers int
}

// Presence is a principal who has subscribed to a channel.
type Presence struct {
	Principal Principal
	// Since is when its first subscription of those that there are now began.
	Since time.Time
}

// Subscribe says what somebody wants to hear: all shards of a stream, or a channel.
type Subscribe struct {
	// Namespace is DefaultNamespace when empty.
	Namespace string
	// Stream or Channel, one of the two.
	Stream  string
	Channel string
	// Patterns says which types of messages, those that match any; all when empty.
	Patterns []string
	// Ephemeral has each of these patterns count for one message.
	Ephemeral bool
	// From is where to begin: FromEnd when empty, FromStart, a time, or a resume point, which
	// is the From of a LiveMessage or a Subscription.
	From From
	// Principal is who subscribes; Anonymous when empty.
	Principal Principal
	// Notify is called when Take may have more, from goroutines that it must not hold
	// up, also while Take runs. It is not called before the first Take, unless there is an
	// error to be got, and not again before the next one. Nil where Take is not waited for.
	Notify func()
	// Presence is called when a principal joins the channel or leaves it, like Notify.
	// Nil where nobody wants to know.
	Presence func(p Presence, joined bool)
}

// LiveMessage is a message that subscribers get. All of them share it: nobody
// changes it.
type LiveMessage struct {
	// Message has Stream, Shard and Offset of where it is stored; Stream is empty where it
	// was published to the channel itself.
	Message StreamMessage
	// Namespace is where it was stored.
	Namespace string
	// From is the resume point after this message: who subscribes with it gets what
	// comes next.
	From From

	once    sync.Once
	encoded []byte
}

// Encoded returns what encode makes of the message, which is called once for all who
// share it, and must return the same for each. Nobody changes what it returns.
func (m *LiveMessage) Encoded(encode func(*LiveMessage) []byte) []byte {
	m.once.Do(func() { m.encoded = encode(m) })
	return m.encoded
}

// LiveBatch is what Take returns.
type LiveBatch struct {
	// Messages are the next ones, in order of their offsets in each shard.
	Messages []*LiveMessage
	// Spent are ephemeral patterns that have had their message, the last of Messages; "" is
	// the one for all messages.
	Spent []string
	// Over says that no pattern is left, and nothing will come any more.
	Over bool
	// Gap says that messages before these, since Take returned last, may have been removed
	// before it came to them. It may be known a little later than they come.
	Gap bool
}

// Subscription is what somebody hears of a stream or channel. It keeps no messages for
// its owner: who is slow reads them later, from where they are stored.
//
// Take is for one goroutine at a time; the others are safe for concurrent use.
type Subscription interface {
	// Take returns messages that are stored now, at most n (at least 1) and about 1 MiB, and none
	// when there are none. Who gets n takes again; who gets fewer is notified once there may be more, which
	// may be at once. It may read from disk, and wait for that as long as ctx lasts. It
	// returns *Error: NoStream or NoChannel when that was deleted, Unavailable when the node
	// stops. An error is final, unless it is that ctx is over.
	Take(ctx context.Context, n int) (LiveBatch, error)
	// Add adds patterns, and Remove removes some, all when it gets none; with none left it is over.
	// Add with none stands for all messages, and so does "" in Remove. A pattern that is added
	// twice is held once, for ever if either was. What is added counts for messages that Take
	// has not passed. Add returns *Error: BadValue for a pattern that makes no sense or is one
	// too many, and when the subscription is over.
	Add(patterns []string, ephemeral bool) error
	Remove(patterns ...string)
	// Patterns are those held now, in the order in which they were added; empty means all,
	// unless it is over.
	Patterns() []string
	// From is the resume point after what Take has returned.
	From() From
	// Gap says that messages after the place where it began may have been removed before Take
	// came to them. After a resume point that is known when Subscribe returns; it may become
	// so later, for who reads slower than messages are removed; LiveBatch.Gap says when, each
	// time.
	Gap() bool
	// Behind is how many bytes of messages, about, have come that Take has not passed,
	// since it was at the end last; 0 for one that has not been yet.
	Behind() int64
	// Close ends it. It may be called twice.
	Close()
}

// ChannelBackend keeps channels and subscriptions. The node is one. All methods are
// safe for concurrent use and return *Error: NoChannel for a channel that there is not.
// To publish is to Append with a Channel.
type ChannelBackend interface {
	// SetChannel creates a channel, or changes one; created says which.
	SetChannel(ctx context.Context, c ChannelSpec) (ch *Channel, created bool, err error)
	// Channel returns what is known of a channel.
	Channel(ctx context.Context, namespace, name string) (*Channel, error)
	// Channels returns a page of channels in order of their names, and the cursor of the
	// next page, "" at the end. Limit is 1 to 1,000; zero means 100.
	Channels(ctx context.Context, namespace string, limit int, after string) ([]Channel, string, error)
	// DeleteChannel removes a channel with what was published to it, and ends its
	// subscriptions. The streams that feed it stay.
	DeleteChannel(ctx context.Context, namespace, name string) error
	// Subscribe begins to listen. NoStream where there is no such stream, BadValue for a
	// place or a pattern that makes no sense; what Options.OnSubscribe refuses with. The
	// caller closes it.
	Subscribe(ctx context.Context, s *Subscribe) (Subscription, error)
	// History returns messages of a channel that are kept, in the order in which
	// subscribers get them, at most limit (1 to 1,000; zero means 100) and about 4 MiB, and
	// where to go on; none when there are no more. From is FromStart when empty.
	History(ctx context.Context, namespace, channel string, from From, limit int) (items []*LiveMessage, next From, err error)
	// Presence returns who has subscribed to a channel on this node, in order of names.
	Presence(ctx context.Context, namespace, channel string) ([]Presence, error)
}
