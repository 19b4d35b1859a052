package node

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda"
)

// Options say how a node runs. Only Dir is required.
type Options struct {
	// Dir is the data directory; it is made when missing. One node at a time has it
	// open. It is required unless Durability is edda.Memory, and unused then.
	Dir string
	// Durability is what an acknowledgement promises; edda.Fsync when empty.
	Durability edda.Durability
	// Partitions is the number of units of order, a power of two up to 1,024; 64
	// when zero. It cannot change once the directory exists.
	Partitions int
	// FS is the file system; the real one when nil.
	FS vfs.FS
	// SegmentBytes is the size of a log segment at most; the engine's default (64
	// MiB) when zero. Small ones are for tests.
	SegmentBytes int
	// CheckpointBytes is how much log is written between two checkpoints of the
	// store; 64 MiB when zero. More costs memory and time at a restart, less costs
	// writing.
	CheckpointBytes int
	// Services are hosted in this process. They are registered before Open returns,
	// and stay known to the node when a later process does not host them.
	Services []*edda.Service
	// Endpoints makes what runs a service behind a plain HTTP endpoint; httppush.New of
	// package worker/httppush does. Nil means that SetEndpoint is refused, and that
	// the requests of endpoints which the log knows wait.
	Endpoints func(spec edda.EndpointSpec) (Endpoint, error)
	// OnAccept sees each message from outside before it is accepted, in the caller's
	// goroutine. It may change the message; an error refuses it with NOT_ALLOWED, or
	// with the reason of an *edda.Error. Steps of sagas are requests that the node makes:
	// they are not shown to it, and neither are
	// messages for streams.
	OnAccept func(ctx context.Context, m *edda.Message) error
	// OnReply sees each outcome once it is durable and before a waiting caller gets
	// it; reply is nil unless the request succeeded. It runs in a goroutine of its
	// own. An error is logged and changes nothing. It must return when ctx ends. At
	// most 1,024 calls run at a time: while so many do not return, outcomes wait for
	// one that does until InterceptorTimeout is over, and then are not shown to it.
	OnReply func(ctx context.Context, r *edda.Request, reply *edda.Reply) error
	// OnSubscribe sees each subscription before it begins, in the caller's goroutine. It may
	// change it: narrow its patterns, for example. An error refuses it with NOT_ALLOWED, or
	// with the reason of an *edda.Error. It must return when ctx ends.
	OnSubscribe func(ctx context.Context, s *edda.Subscribe) error
	// OnPublish sees each message of a channel, wherever it comes from, once it is durable
	// and before subscribers get it: m is a copy for all of them, which it may change, but for
	// stream, shard and offset. When it returns false nobody gets the message, and neither
	// when it panics; stored it is all the same. It must say the same of a message each time,
	// because what subscribers read later than others passes it again, and be quick: it runs
	// in the goroutine that all subscribers of the channel wait for. Calls for several
	// channels, and for some who read later, come at the same time. Messages of a stream that
	// is subscribed to as such do not pass it. Stop waits for calls that run.
	OnPublish func(namespace, channel string, m *edda.StreamMessage) bool
	// OnJoin and OnLeave are told when a principal has subscribed to a channel on this node,
	// and when the last of its subscriptions is over, one after the other for each channel.
	// They run in the goroutine of whoever subscribes or closes, and hold up those who do the
	// same on that channel.
	OnJoin, OnLeave func(namespace, channel string, p edda.Presence)
	// InterceptorTimeout bounds OnAccept, OnReply and OnSubscribe, each; 1 s when zero.
	InterceptorTimeout time.Duration
	// KeepSagas is how long a saga is kept once it has ended; 7 days when zero. One
	// with a compensation that has failed is kept until a person has dealt with it.
	// It holds for sagas created from now on.
	KeepSagas time.Duration
	// Limits bound what the node takes in.
	Limits Limits
	// SlowAttempt is how long a handler may run before a warning is logged, of each
	// service one in 5 s that says how many others there were since the last; 1 s
	// when zero, never when negative.
	SlowAttempt time.Duration
	// Logger gets what an operator should know; discarded when nil.
	Logger *slog.Logger
	// Metrics is where the node's metrics are registered until it has stopped;
	// nowhere when nil.
	Metrics prometheus.Registerer
	// TracerProvider gets a span for each message that is accepted or refused, and one
	// for each attempt. They are part of the trace that the message's TraceParent names,
	// and a handler's context and what it sends carry on from its attempt. When nil there
	// are no spans, and messages carry their trace context as they came.
	TracerProvider trace.TracerProvider
	// Version is shown by Info; "dev" when empty.
	Version string

	// gather is the log's; a test whose clock stands still sets it below zero.
	gather time.Duration
}

// Limits bound what a node takes in. What is over a limit is refused with
// OVERLOADED or KEY_OVERLOADED; nothing that was accepted is ever dropped.
type Limits struct {
	// PartitionRequests and PartitionBytes bound what waits in one partition to
	// become durable: 1,024 requests and appends, and 32 MiB, when zero.
	PartitionRequests int
	PartitionBytes    int
	// NodeBytes bounds the memory of all unfinished requests, and by itself that of the
	// messages of streams which the store has not got yet: 256 MiB when zero. Payloads
	// count until they lie in the store.
	NodeBytes int
	// KeyQueue bounds the requests of one key: 10,000 when zero.
	KeyQueue int
	// PayloadBytes bounds one payload with its frames and headers: 4 MiB when zero,
	// at most 7 MiB.
	PayloadBytes int
	// OutboxBytes bounds what one partition has on its way to others before it
	// takes nothing new: 64 MiB when zero.
	OutboxBytes int
	// RequestParts and RequestPartBytes bound the parts that one attempt at a request
	// yields: 10,000 parts and 64 MiB when zero.
	RequestParts     int
	RequestPartBytes int
	// ReplyBytes bounds the replies, and their parts, kept for callers who ask later, about: 1 GiB when
	// zero. Over it the bodies of those that expire first go, and asking for one is
	// REPLY_EXPIRED; what became of the request is still known.
	ReplyBytes int
	// NoServiceWait is how long a call waits for a service that is not registered,
	// NoWorkerWait how long it waits for a worker: 2 s each when zero.
	NoServiceWait time.Duration
	NoWorkerWait  time.Duration
}

const (
	maxPartitions   = 1024
	maxPayloadBytes = 7 << 20
	// keepReply is how long an outcome is kept for a caller who asks later.
	keepReply = 24 * time.Hour
	// keepUndelivered is how long an outcome is kept whose caller went away.
	keepUndelivered = time.Minute
	// keepSagas is how long a saga that has ended is kept.
	keepSagas = 7 * 24 * time.Hour
)

// withDefaults validates the options and returns them with their defaults.
func (o Options) withDefaults() (Options, error) {
	bad := func(format string, args ...any) (Options, error) {
		return Options{}, &edda.Error{Op: "open node", Reason: edda.BadValue, Err: fmt.Errorf(format, args...)}
	}
	o.Durability = cmp.Or(o.Durability, edda.Fsync)
	if _, err := edda.ParseDurability(string(o.Durability)); err != nil {
		return Options{}, err
	}
	o.Partitions = cmp.Or(o.Partitions, 64)
	o.CheckpointBytes = cmp.Or(o.CheckpointBytes, 64<<20)
	o.InterceptorTimeout = cmp.Or(o.InterceptorTimeout, time.Second)
	o.KeepSagas = cmp.Or(o.KeepSagas, keepSagas)
	o.SlowAttempt = cmp.Or(o.SlowAttempt, time.Second)
	o.Version = cmp.Or(o.Version, "dev")
	o.Limits = o.Limits.withDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	switch {
	case o.Dir == "" && o.Durability != edda.Memory:
		return bad("Dir is empty; name a directory, or set Durability to memory to keep nothing")
	case o.Partitions < 1 || o.Partitions > maxPartitions || o.Partitions&(o.Partitions-1) != 0:
		return bad("Partitions is %d, must be a power of two from 1 to %d", o.Partitions, maxPartitions)
	case o.CheckpointBytes < 0:
		return bad("CheckpointBytes is %d, must be positive", o.CheckpointBytes)
	case o.SegmentBytes < 0:
		return bad("SegmentBytes is %d, must be positive", o.SegmentBytes)
	case o.InterceptorTimeout < 0:
		return bad("InterceptorTimeout is %v, must be positive", o.InterceptorTimeout)
	case o.KeepSagas < 0:
		return bad("KeepSagas is %v, must be positive", o.KeepSagas)
	}
	if field, v := o.Limits.negative(); field != "" {
		return bad("Limits.%s is %v, must be positive", field, v)
	}
	if o.Limits.PayloadBytes > maxPayloadBytes {
		return bad("Limits.PayloadBytes is %d, must be at most %d", o.Limits.PayloadBytes, maxPayloadBytes)
	}
	seen := map[edda.Address]bool{}
	for _, s := range o.Services {
		if err := s.Validate(); err != nil {
			return Options{}, err
		}
		a := serviceAddress(s.Namespace, s.Name)
		if seen[a] {
			return bad("service %s stands twice in Services", a)
		}
		seen[a] = true
	}
	return o, nil
}

func (l Limits) withDefaults() Limits {
	l.PartitionRequests = cmp.Or(l.PartitionRequests, 1024)
	l.PartitionBytes = cmp.Or(l.PartitionBytes, 32<<20)
	l.NodeBytes = cmp.Or(l.NodeBytes, 256<<20)
	l.KeyQueue = cmp.Or(l.KeyQueue, 10_000)
	l.PayloadBytes = cmp.Or(l.PayloadBytes, 4<<20)
	l.OutboxBytes = cmp.Or(l.OutboxBytes, 64<<20)
	l.RequestParts = cmp.Or(l.RequestParts, 10_000)
	l.RequestPartBytes = cmp.Or(l.RequestPartBytes, 64<<20)
	l.ReplyBytes = cmp.Or(l.ReplyBytes, 1<<30)
	l.NoServiceWait = cmp.Or(l.NoServiceWait, 2*time.Second)
	l.NoWorkerWait = cmp.Or(l.NoWorkerWait, 2*time.Second)
	return l
}

// negative returns the first field below zero, and its value.
func (l Limits) negative() (string, any) {
	switch {
	case l.PartitionRequests < 0:
		return "PartitionRequests", l.PartitionRequests
	case l.PartitionBytes < 0:
		return "PartitionBytes", l.PartitionBytes
	case l.NodeBytes < 0:
		return "NodeBytes", l.NodeBytes
	case l.KeyQueue < 0:
		return "KeyQueue", l.KeyQueue
	case l.PayloadBytes < 0:
		return "PayloadBytes", l.PayloadBytes
	case l.OutboxBytes < 0:
		return "OutboxBytes", l.OutboxBytes
	case l.RequestParts < 0:
		return "RequestParts", l.RequestParts
	case l.RequestPartBytes < 0:
		return "RequestPartBytes", l.RequestPartBytes
	case l.ReplyBytes < 0:
		return "ReplyBytes", l.ReplyBytes
	case l.NoServiceWait < 0:
		return "NoServiceWait", l.NoServiceWait
	case l.NoWorkerWait < 0:
		return "NoWorkerWait", l.NoWorkerWait
	}
	return "", nil
}

// serviceAddress is the address of a service as a whole.
func serviceAddress(namespace, name string) edda.Address {
	return edda.Address{Namespace: cmp.Or(namespace, edda.DefaultNamespace), Name: name}
}
