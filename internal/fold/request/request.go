// Package request is the machine of requests: accepted, dispatched, retried,
// ended, kept for whoever asks again; in order for each key.
//
// The requests of one key of an ordered service form a queue. Its head is the
// only one that is started; it stays the head while it is retried, so that no
// later one overtakes it. Requests of balanced services have no queue. A delayed
// request joins its queue when its time has come.
package request

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// seqBits of a Seq tell the requests apart that one record made: 0 is its own, those
// that the invocation sent follow, then steps of sagas and messages of streams.
const seqBits = 10

const _ = uint(1<<seqBits - 1 - edda.MaxSends) // does not compile when they are too few

// Request is one request. It belongs to the machine; the node reads it in the
// partition's goroutine, and sets Aux.
type Request struct {
	// Seq names the request within its partition: the position of the record that
	// made it, and which of that record's requests it is.
	Seq uint64
	ID  edda.ID
	// Hash is the address hash the request lives at.
	Hash   uint64
	Kind   edda.Kind
	To     edda.Address
	Method string
	// Addr is To in its flat form: namespace, service and key with zero bytes
	// between. In a shard of a stream other than the default one the shard follows the
	// service, a byte 1 between.
	Addr        string
	Principal   edda.Principal
	Correlation string
	Causation   edda.ID

	State    edda.State
	Attempts int
	// Fence is the number of the attempt that is running, zero when none is.
	Fence uint64
	// Times are in Unix nanoseconds, zero when they do not apply. Due is when a
	// delayed request, or the next attempt, may start.
	Due        int64
	Deadline   int64
	AcceptedAt int64
	StartedAt  int64
	EndedAt    int64
	// Keep says that the outcome is kept for a caller who asks later.
	Keep bool
	// Letter says that the request is a dead letter.
	Letter    bool
	rowStored bool // the table has its row
	msgStored bool // the table has its message
	// ReplyStatus, ReplyType and ReplySize describe the reply, also when its body is
	// gone; ReplyStatus is zero without one.
	ReplyStatus int32
	// KeepUntil is until when an ended request is kept; zero is not at all.
	KeepUntil int64
	// Failure is why the last attempt failed, or how the request ended.
	Failure   record.Failure
	ReplyType string
	ReplySize int
	// Reply is the encoded reply of a request that has succeeded; nil when there is
	// none or its body is gone.
	Reply []byte
	// Step is nil unless the request is a step of a saga, or the compensation of one. Then
	// nothing is kept of it when it has ended, no dead letter either.
	Step *record.Step
	// Delivery is nil unless the request is a message of a stream that a consumer group
	// handles. Then nothing is kept of it when it has ended, but a dead letter, and it
	// never fails: it dies, because nobody is there to be told.
	Delivery *record.Delivery
	// Message is nil while nobody needs it decoded, or when it lies in the table alone;
	// see Decoded and Load.
	Message *edda.Message

	// Aux is the node's: what it hangs on to while the request is unfinished. It is
	// no part of the state.
	Aux any

	scope       string // of the idempotency key, the key included; "" without one
	fingerprint string
	order       uint64 // position at which it joined its queue, zero before
	encoded     []byte // the message, until it lies in the table
	size        uint32 // of the message
	dirty       uint32 // its place among the machine's dirty ones, from 1
	unknown     []byte // fields of a later release, from the row
	key         *Key
	prev, next  *Request
	parts       *Parts
}

// Position is the position of the record that made the request.
func (r *Request) Position() uint64 { return r.Seq >> seqBits }

// Queued reports whether the request is in its key's queue, or, if balanced,
// would be: its time has come and it has not ended.
func (r *Request) Queued() bool { return r.order != 0 }

// Head reports whether the request is the one its key may start.
func (r *Request) Head() bool { return r.order != 0 && (r.key == nil || r.key.head == r) }

// HasNext reports whether another request of the key waits behind this one.
func (r *Request) HasNext() bool { return r.next != nil }

// Fingerprint tells requests with one idempotency key apart; "" without a key.
func (r *Request) Fingerprint() string { return r.fingerprint }

// Stopped reports whether the request's key is stopped.
func (r *Request) Stopped() bool { return r.key != nil && r.key.Stopped }

// Ready reports whether the request could start now, given a worker.
func (r *Request) Ready(now int64) bool {
	return r.Head() && !r.Stopped() && r.Fence == 0 && !r.State.Ended() && r.Due <= now && (r.Deadline == 0 || now < r.Deadline)
}

// Key is the queue of one key of an ordered service.
type Key struct {
	// Address is the key's address.
	Address edda.Address
	// Shard is the stream's shard that the key is in, when that is not the default one.
	Shard string
	// Stopped says that nothing starts until somebody resumes the key.
	Stopped bool
	// Len is the number of requests in the queue.
	Len int

	addr       string
	head, tail *Request
}

// Head returns the first request, or nil.
func (k *Key) Head() *Request { return k.head }

// Next returns the request after r in its key's queue, or nil.
func (k *Key) Next(r *Request) *Request { return r.next }

func (k *Key) push(r *Request) {
	r.key, r.prev = k, k.tail
	if k.tail == nil {
		k.head = r
	} else {
		k.tail.next = r
	}
	k.tail = r
	k.Len++
}

func (k *Key) remove(r *Request) {
	if r.prev == nil {
		k.head = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		k.tail = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.prev, r.next, r.key = nil, nil, nil
	k.Len--
}

// EffectKind says what has to happen.
type EffectKind uint8

// The kinds of effects.
const (
	// Accepted: Request is new.
	Accepted EffectKind = iota + 1
	// Joined: the record asked for Request, which was here before.
	Joined
	// Mismatch: the idempotency key, or the id, was used for another request.
	Mismatch
	// Dispatch: start Request; attempt and fence are set. When its fence is not the effect's
	// the same record has fenced the attempt again, and nothing starts.
	Dispatch
	// Ready: Request may start once a worker has room.
	Ready
	// Arm: Request has a time in Due.
	Arm
	// Spare: the slot that was reserved was not needed.
	Spare
	// Ended: Request has its outcome.
	Ended
	// Fenced: the attempt of Request that had the effect's Fence is over.
	Fenced
	// Stale: the record was an outcome with an old fence, and changed nothing.
	Stale
	// KeyStopped: the key of Request is stopped; Request is its dead letter.
	KeyStopped
	// KeyGone: the key that was to be resumed is not stopped.
	KeyGone
	// NoLetter: there is no such dead letter.
	NoLetter
	// LetterDropped: Request is no dead letter any more.
	LetterDropped
	// Yielded: the running attempt at Request has one more part.
	Yielded
)

// Effect is something that has to happen outside, now that the record that
// brought it about is durable.
type Effect struct {
	Kind    EffectKind
	Request *Request
	Fence   uint64
}
