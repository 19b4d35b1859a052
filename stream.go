package edda

import (
	"context"
	"strconv"
	"time"
)

// DefaultShard is the shard of a stream where none is named.
const DefaultShard = "default"

// Defaults and limits of streams.
const (
	// DefaultDedupe is how long the id that a producer gave a message is remembered.
	DefaultDedupe = 24 * time.Hour
	// MaxDedupe is the longest time that ids are remembered: 30 days.
	MaxDedupe = 30 * 24 * time.Hour
	// MaxAppendMessages is how many messages one append has at most.
	MaxAppendMessages = 65_536
	// MaxAppendBytes bounds one append, encoded: 6 MiB.
	MaxAppendBytes = 6 << 20
	// MaxMessageIDBytes is the longest id that a producer gives a message.
	MaxMessageIDBytes = 255
	// MaxProducerBytes is the longest name of a producer, and MaxProducers how many the
	// shards of a stream have at most, each counted in each shard.
	MaxProducerBytes = 255
	MaxProducers     = 65_536
	// MaxMessageTypeBytes is the longest type of a message on a stream.
	MaxMessageTypeBytes = 255
	// MaxMessageContextBytes bounds what a message on a stream has beside id, type, key
	// and payload: headers, source, principal, content type, correlation id and trace
	// context together, 64 KiB.
	MaxMessageContextBytes = 64 << 10
	// MaxShards is how many shards a stream has at most.
	MaxShards = 65_536
	// MaxShardNamesBytes bounds the names in StreamSpec.Shards together: 1 MiB.
	MaxShardNamesBytes = 1 << 20
	// DefaultReadLimit and MaxReadLimit are how many messages one read returns at most.
	DefaultReadLimit = 100
	MaxReadLimit     = 10_000
	// MaxReadBytes bounds what the messages of one read have together, one aside: 4 MiB.
	MaxReadBytes = 4 << 20
	// MaxGroups is how many consumer groups a stream has at most.
	MaxGroups = 1_000
	// MaxMembers is the most that GroupSpec.MinMembers and MaxMembers may be.
	MaxMembers = 1_000_000
	// MaxGroupRead is how many messages a member gets at most in one read.
	MaxGroupRead = 1_000
	// MaxLeases is how many leases are settled at most at a time, and MaxLeaseBytes how
	// long one is at most.
	MaxLeases     = 10_000
	MaxLeaseBytes = 255
	// DefaultProcessingTimeout is how long a member of a group may keep a message.
	DefaultProcessingTimeout = 30 * time.Second
	// DefaultIdleTimeout is how long a member that reads may be silent until it is gone.
	DefaultIdleTimeout = 60 * time.Second
	// DefaultMessageType is the type of a message that names none.
	DefaultMessageType = "message"
)

// StreamSpec is a stream to create, or what an existing one is to be like.
type StreamSpec struct {
	// Namespace is DefaultNamespace when empty.
	Namespace string
	// Name names the stream within its namespace, like a service.
	Name string
	// Shards are the only shards there may be, names like a service's. When empty a
	// shard comes to be with the first message for it.
	Shards []string
	// Retention says what of each shard is kept; the zero value keeps everything.
	Retention Retention
	// Dedupe is how long the id that a producer gave a message is remembered, so that
	// a repeated one is answered and not appended again. Zero means DefaultDedupe; at
	// most MaxDedupe.
	Dedupe time.Duration
}

// Retention says which messages of a shard are kept: the latest, as long as every
// limit that is not zero is met.
type Retention struct {
	// Age is how old a message may become. It goes within a minute after that.
	Age time.Duration
	// Count is how many messages are kept.
	Count uint64
	// Bytes is how much the messages may take, encoded. The last one is kept in any case.
	Bytes uint64
}

// Stream is what is known of a stream.
type Stream struct {
	StreamSpec
	CreatedAt time.Time
	// Offsets says of each shard that has had messages what there is.
	Offsets map[string]Offsets
	// Groups are the names of its consumer groups, in order.
	Groups []string
}

// Offsets are the messages of a shard: First up to, and without, End.
type Offsets struct {
	// First is the offset of the first message that is kept, End when none is.
	First uint64
	// End is the offset that the next message will have.
	End uint64
	// Bytes is what the kept messages take, encoded.
	Bytes uint64
}

// StreamMessage is a message of a stream. One that is appended belongs to whoever
// keeps the stream from then on; one that was read belongs to the reader, but not its
// Payload, which nobody changes.
type StreamMessage struct {
	// ID is what the producer calls the message: 1 to 255 bytes of UTF-8 without
	// control characters, unique within the stream. A repeated one is answered as the
	// first was, for as long as StreamSpec.Dedupe says. When empty the node makes one.
	ID string
	// Stream, Shard and Offset say where the message is. They are set when it is read,
	// Stream where several are read together, as package stream does; for an append stream
	// and shard stand in Append.
	Stream string
	Shard  string
	Offset uint64
	// Number is what Append.Producer numbers the message with, above zero and above that
	// of the message before. It is set exactly when the append has a producer; it is not
	// stored with the message, and zero when that is read.
	Number uint64
	// Type says what the message is about, 1 to 255 bytes of UTF-8 without control
	// characters; DefaultMessageType when empty.
	Type string
	// Key is what groups keep the order for; empty when the order does not matter to them.
	Key string
	// Source names the process or device that the message comes from.
	Source string
	// Principal is who appended it.
	Principal Principal
	// ReplyTo is the stream that whoever handles the message appends its reply to, with
	// the message's id. Its Key is the shard.
	ReplyTo     Address
	Headers     Headers
	ContentType string
	// Payload is opaque. Nil and empty are the same.
	Payload []byte
	// CorrelationID names the whole story that the message is part of, CausationID the
	// message whose handling brought it about.
	CorrelationID string
	CausationID   ID
	// TraceParent and TraceState are the W3C trace context.
	TraceParent string
	TraceState  string
	// Time is when the message was made, if its producer said so, else when it was
	// appended.
	Time time.Time
}

// Append is messages to append to one shard of a stream: all, or none.
type Append struct {
	// Namespace is DefaultNamespace when empty.
	Namespace string
	// Stream or Channel, one of the two. Appending to a channel, which must be there, is
	// publishing: its subscribers get the messages, and it keeps them as its History says.
	// A channel has no shards: Shard, IfLast and IfEmpty are refused. Ids count as on a
	// stream, for DefaultDedupe.
	Stream  string
	Channel string
	// Shard is DefaultShard when empty.
	Shard string
	// Producer names who numbers the messages, 1 to 255 bytes of UTF-8 without control
	// characters, such as a UUID that it keeps. The shard remembers the last number of each
	// producer as long as the stream lives: a message whose number is not greater is passed
	// over and answered as Replayed, and the others are appended. So a producer that says
	// the same number of the same message every time may send again whatever it has no
	// answer to, at any time. Its numbers may have gaps. Empty: messages have no numbers.
	// Whoever may append may use any name.
	Producer string
	// Messages are appended in this order; at least one, at most MaxAppendMessages.
	Messages []StreamMessage
	// IfLast, when not nil, appends only if this is the offset of the shard's last
	// message; IfEmpty only if the shard has none. Both do not count for messages
	// that were all appended before, by their ids or their numbers.
	IfLast  *uint64
	IfEmpty bool
	// Principal is who appends; Anonymous when empty.
	Principal Principal
}

// Appended says where one message is.
type Appended struct {
	ID     string
	Shard  string
	Offset uint64
	// Replayed says that a message with this id was appended before, and this is where it
	// is; or that its producer has come to this number before.
	Replayed bool
	// Unknown says that the message was passed over because of its number, and that it is
	// not known where it is: it was not the producer's last, and has no id, or one that is
	// forgotten. Offset is zero then, and Shard the append's.
	Unknown bool
}

// Numbered is the last message that a shard has of a producer.
type Numbered struct {
	Number uint64
	// Offset is where it is, or was, in the shard, and ID what it is called.
	Offset uint64
	ID     string
}

// AppendAck acknowledges an append: it is stored as durably as Durability says.
type AppendAck struct {
	// Items has one for each message, in order.
	Items []Appended
	// Position is where the append is in the log: that of the first message when all were
	// appended before, or of its producer's last one when that of the first is not known.
	Position string
	// Last is the last message of Append.Producer in the shard, after the append; zero when
	// there is none. A number that is greater than all of the append says that the producer
	// has been further than it knows, or that another one uses its name.
	Last       Numbered
	Durability Durability
}

// From says where to begin: FromStart, FromEnd, an offset (FromOffset), or a time
// (FromTime). The zero value is what the use of it says.
type From string

// Where to begin.
const (
	// FromStart is the first message that is kept.
	FromStart From = "start"
	// FromEnd is the next message to come.
	FromEnd From = "end"
)

// FromOffset begins with the message at the offset, or with the first one kept if
// that comes later.
func FromOffset(offset uint64) From { return From(strconv.FormatUint(offset, 10)) }

// FromTime begins with the first message that was appended at the time or later.
func FromTime(t time.Time) From { return From(t.UTC().Format(time.RFC3339Nano)) }

// Read says what to read of a stream.
type Read struct {
	// Namespace is DefaultNamespace when empty.
	Namespace string
	Stream    string
	// Shard is DefaultShard when empty.
	Shard string
	// From is FromStart when empty.
	From From
	// Limit is how many messages are returned at most: 1 to 10,000; zero means 100.
	Limit int
	// Bytes bounds what the messages have together, encoded, one message aside; zero
	// means 4 MiB, which is the most.
	Bytes int
	// Wait is how long to wait for the first message when there is none yet.
	Wait time.Duration
}

// StreamPage is what was read.
type StreamPage struct {
	// Messages are in order of their offsets, without a gap between them.
	Messages []StreamMessage
	// First is the offset of the first message kept, Next where to read on, and End one
	// past the last message: whoever is at the end has read everything.
	First, Next, End uint64
}

// StreamBackend keeps streams. The node is one, in process; so is a connection to a
// node elsewhere. All methods are safe for concurrent use and return *Error: NoStream
// for a stream that there is not, NoShard for a shard that may not be.
type StreamBackend interface {
	// SetStream creates a stream, or changes one that there is; created says which.
	// Conflict when the shards that it is left with lack one that has had messages.
	SetStream(ctx context.Context, s StreamSpec) (st *Stream, created bool, err error)
	// Stream returns what is known of a stream.
	Stream(ctx context.Context, namespace, name string) (*Stream, error)
	// Streams returns a page of streams in order of their names, and the cursor of the
	// next page, "" at the end. Limit is 1 to 1,000; zero means 100.
	Streams(ctx context.Context, namespace string, limit int, after string) ([]Stream, string, error)
	// DeleteStream removes a stream with its messages and groups. Readers get NoStream;
	// handlers that run end as if they had been fenced.
	DeleteStream(ctx context.Context, namespace, name string) error
	// Append makes messages durable, in a stream that it creates when there is none.
	// ExpectedOffset, with an *OffsetError as its Err, when IfLast or IfEmpty does not hold,
	// TooLarge naming the message that is ("messages[7]: …"); then nothing was appended.
	Append(ctx context.Context, a *Append) (*AppendAck, error)
	// ReadStream returns messages that are there, or the first to come within Wait. A shard
	// that has had no message is empty.
	ReadStream(ctx context.Context, r Read) (*StreamPage, error)
	// AwaitMessage returns the message to which its producer gave the id, as soon as there
	// is one, and NoMessage when the wait is over or the message is not kept any more. Ids
	// are known for as long as StreamSpec.Dedupe says.
	AwaitMessage(ctx context.Context, namespace, stream, id string, wait time.Duration) (*StreamMessage, error)
	// TrimStream removes the messages before an offset or a time. Without a shard a time
	// counts for all of them, an offset for DefaultShard.
	TrimStream(ctx context.Context, namespace, stream, shard string, before From) (*Stream, error)
}

// GroupSpec is a consumer group to create, or what an existing one is to be like: its
// members share a cursor in each shard of a stream, and each message goes to one of
// them.
type GroupSpec struct {
	// Namespace is DefaultNamespace when empty.
	Namespace string
	// Stream is created when there is none.
	Stream string
	// Name names the group within its stream, like a service.
	Name string
	// From is where a new group begins, FromEnd when empty. It changes nothing of one
	// that there is. An offset counts for every shard, also for those to come.
	From From
	// MinMembers is how many members there must be before any gets a message; zero
	// means 1.
	MinMembers int
	// MaxMembers is how many members there may be; zero is no limit.
	MaxMembers int
	// ProcessingTimeout is how long a member may keep a message without saying that it
	// gets on; then it is handled anew. Zero means DefaultProcessingTimeout.
	ProcessingTimeout time.Duration
	// IdleTimeout is how long a member that reads may go without a word until it is
	// gone and its messages are given to others. Zero means DefaultIdleTimeout.
	IdleTimeout time.Duration
	// Retry says when failed messages are handled again. The last failure makes a dead
	// letter of the service STREAM/GROUP.
	Retry RetryPolicy
}

// Service is the service that a group's messages are handled as: STREAM/GROUP.
func (g *GroupSpec) Service() string { return g.Stream + "/" + g.Name }

// Group is what is known of a consumer group.
type Group struct {
	GroupSpec
	CreatedAt time.Time
	// Cursor says of each shard that every message before this offset is done with.
	Cursor map[string]uint64
	// Lag is how many messages are not done with, Pending how many of them members have.
	Lag     uint64
	Pending int
	Members []Member
}

// Member is a member of a group.
type Member struct {
	Name string
	// Leases is how many messages it has.
	Leases int
	// LastSeen is when it was heard of last.
	LastSeen time.Time
}

// GroupRef names a group.
type GroupRef struct {
	// Namespace is DefaultNamespace when empty.
	Namespace string
	Stream    string
	Group     string
}

// GroupRead asks for messages on behalf of a member.
type GroupRead struct {
	GroupRef
	// Member names who reads. Who reads under one name is one member.
	Member string
	// Max is how many messages are returned at most: 1 to 1,000; zero means 100.
	Max int
	// Wait is how long to wait for the first one when there is none yet.
	Wait time.Duration
}

// Delivery is a message that a member has, until it acknowledges or rejects it or
// the lease ends.
type Delivery struct {
	StreamMessage
	// Lease is the hold on the message. A message that is delivered again has another.
	Lease string
	// Attempt counts the deliveries from 1.
	Attempt int
}

// Settle is what a member has to say of messages that it has.
type Settle struct {
	GroupRef
	// Leases are those of a read; a text that is none is BadValue, and then nothing is
	// done.
	Leases []string
	// Error is why it rejects them, for people.
	Error string
	// For is in how long they are delivered again, when they are rejected, and how long
	// the member keeps them, when they are extended, at most an hour. Zero means what the
	// group says.
	For time.Duration
}

// Settled says what became of leases.
type Settled struct {
	// Done is how many leases it applied to.
	Done int
	// Stale are those that had ended, are not known, or are another group's. Nothing was
	// changed for them.
	Stale []string
}

// GroupBackend keeps consumer groups. The node is one, in process; so is a connection
// to a node elsewhere. All methods are safe for concurrent use and return *Error:
// NoStream, NoGroup for a group that there is not.
type GroupBackend interface {
	// SetGroup creates a group, and its stream, or changes one that there is; created
	// says which.
	SetGroup(ctx context.Context, g GroupSpec) (gr *Group, created bool, err error)
	// Group returns what is known of a group.
	Group(ctx context.Context, g GroupRef) (*Group, error)
	// Groups returns all groups of a stream in order of their names.
	Groups(ctx context.Context, namespace, stream string) ([]Group, error)
	// DeleteGroup removes a group, with the state of its keys. Its dead letters stay.
	DeleteGroup(ctx context.Context, g GroupRef) error
	// ResetGroup sets the cursor of a shard, of all when it is empty, and takes from the
	// members what they have.
	ResetGroup(ctx context.Context, g GroupRef, shard string, to From) (*Group, error)
	// ReadGroup gives a member messages, each under a lease. GroupFull when it is a new
	// member, and one too many.
	ReadGroup(ctx context.Context, r GroupRead) ([]Delivery, error)
	// Ack says that messages were handled. What is done when it returns is durable.
	Ack(ctx context.Context, s Settle) (*Settled, error)
	// Reject says that handling them failed: they are delivered again as the group's
	// retry policy says.
	Reject(ctx context.Context, s Settle) (*Settled, error)
	// Extend keeps the leases from ending.
	Extend(ctx context.Context, s Settle) (*Settled, error)
}

// DeliveryRef says which message of a stream a handler has.
type DeliveryRef struct {
	Stream string
	Group  string
	Shard  string
	Offset uint64
	// ID is the message's. That of the request is made of group and place, so that two
	// groups can have one message.
	ID string
}
