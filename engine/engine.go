// Package engine is the contract between a node and what keeps its log.
//
// An engine keeps one ordered, durable sequence of records for each partition.
// It knows nothing of what the records mean. The right to append is ownership:
// Own gives an epoch, and an append under an older epoch is refused by the
// engine itself, so that two nodes can never both write a partition.
//
// The package enginetest holds one conformance suite; every engine passes all
// of it. Engines are safe for concurrent use.
package engine

import (
	"context"
	"errors"
	"io"
	"iter"

	"github.com/edda-io/edda"
)

// Partition numbers a partition of a node, from 0.
type Partition uint16

// Position numbers the records of one partition: the first is 1, the next 2,
// without gaps. Zero means "before the first record".
type Position uint64

// Epoch numbers the owners of one partition. Each Own returns a higher one.
type Epoch uint64

// Outcome says what became of an append. The four are distinct because a
// caller must act differently on each.
type Outcome uint8

// The outcomes of an append.
const (
	// Durable: the records are in the log, as durably as Info.Durability says.
	Durable Outcome = iota + 1
	// Fenced: nothing was written and never will be. The epoch is stale, or First
	// is not the next position of the partition.
	Fenced
	// Unknown: the records may or may not be in the log. Only reading the log
	// after the partition was owned again tells which.
	Unknown
	// Unavailable: nothing was written and never will be. The engine cannot take
	// appends now, or has stopped for good.
	Unavailable
)

// String returns the outcome's name in lower case.
func (o Outcome) String() string {
	switch o {
	case Durable:
		return "durable"
	case Fenced:
		return "fenced"
	case Unknown:
		return "unknown"
	case Unavailable:
		return "unavailable"
	default:
		return "invalid"
	}
}

// Result is how an append ended.
type Result struct {
	Outcome Outcome
	// Err says why, for people; nil exactly when Outcome is Durable.
	Err error
}

// Errors that methods other than Append return. Test with errors.Is.
var (
	// ErrTrimmed: a position asked for lies before what the engine still keeps.
	ErrTrimmed = errors.New("position was trimmed")
	// ErrClosed: the engine was closed.
	ErrClosed = errors.New("engine is closed")
	// ErrStopped: a failed flush has stopped the engine for good; only opening it
	// anew tells what the log holds.
	ErrStopped = errors.New("engine stopped after a failed write")
	// ErrNoSnapshot: no snapshot was stored for the partition.
	ErrNoSnapshot = errors.New("no snapshot")
)

// Batch is a run of records to append to one partition: all or none.
type Batch struct {
	Partition Partition
	// Epoch is the one Own returned.
	Epoch Epoch
	// First is the position the first record must get. An append whose First is
	// not the partition's next position is Fenced.
	First Position
	// Records are the records in order, at least one, none of them empty. The
	// engine may keep the slices until Done was called, and the bytes must not
	// change before that; it never writes to them.
	Records [][]byte
	// After names records of other partitions that this batch rests on, each handed to
	// Append before under the epoch that is named. It is durable no earlier than they are,
	// its Done comes after theirs, and when one of them is not in the log it is Fenced,
	// whatever another owner has appended in its place. It may be Fenced, too, because the
	// record's partition was owned anew since. An engine whose partitions share no order
	// holds the batch back until it knows.
	After []Place
	// Quiet is how many of the records bring about no other soon, once they are
	// durable: an engine need not wait for what follows from them before it flushes
	// again. It is a hint, and zero is always right.
	Quiet int
	// Done is called exactly once, in log order for the batches of a partition,
	// from a goroutine of the engine. It must not block and must not call the
	// engine. Append may call it before it returns only with Fenced or Unavailable.
	Done func(*Batch, Result)
}

// Entry is a batch as Read returns it. The caller owns all of it.
type Entry struct {
	Partition Partition
	Epoch     Epoch
	First     Position
	Records   [][]byte
}

// Start names a position of a partition.
type Start struct {
	Partition Partition
	Position  Position
}

// Place names the record that an owner of a partition appends at a position. What
// another owner appends there is another record.
type Place struct {
	Partition Partition
	Epoch     Epoch
	Position  Position
}

// Ownership is the right to append to a partition.
type Ownership struct {
	Epoch Epoch
	// Next is the position that the next appended record must get. Every record
	// before it is durable and can be read (as far as it was not trimmed).
	Next Position
}

// Info describes an engine. It does not change while the engine is open.
type Info struct {
	// Durability is what Durable promises.
	Durability edda.Durability
	// Partitions is the number of partitions, fixed when the log was created.
	Partitions int
}

// Engine keeps the logs of a set of partitions.
type Engine interface {
	// Info describes the engine. It never blocks.
	Info() Info

	// Own takes each of the partitions and returns their ownerships in the same
	// order. On return every append under an earlier epoch that is not yet
	// durable has failed or will be Fenced, and the epochs are durable. On error
	// none, some or all may have changed hands; Own again.
	Own(ctx context.Context, ps ...Partition) ([]Ownership, error)

	// Append appends b and returns without waiting for the disk. It may be called
	// again at once for the batch that follows: batches of one partition become
	// durable in the order of the calls, and when one is not Durable none of the
	// later ones under its epoch is. Everything waiting, of all partitions, shares
	// one flush. Append neither blocks nor refuses for load: the caller bounds
	// what it has in flight.
	Append(b *Batch)

	// Read yields, in log order, what is durable at the time of the call from each
	// start on. A batch that spans a start is cut to it. The records are the
	// caller's to keep. An error is the last pair. It is ErrTrimmed when a start
	// lies before what is kept. Breaking off releases everything.
	Read(ctx context.Context, from ...Start) iter.Seq2[Entry, error]

	// Sync makes everything that was reported Durable before the call survive the
	// loss of power, whatever Info.Durability says (except memory). It blocks.
	Sync(ctx context.Context) error

	// Trim says that the records before each start are not needed any more. The
	// engine may keep them longer; after Trim, reading from the starts still
	// works, and reading from below yields everything or ErrTrimmed, never a gap.
	Trim(ctx context.Context, before ...Start) error

	// Snapshot durably stores what src writes as the state of the partition after
	// the record at position at, in place of the snapshot before. On error the one
	// before is still there.
	Snapshot(ctx context.Context, p Partition, at Position, src io.WriterTo) error

	// Restore opens the newest snapshot of the partition; the caller closes it. It
	// is ErrNoSnapshot when there is none.
	Restore(ctx context.Context, p Partition) (Position, io.ReadCloser, error)

	// Close lets go of everything. Batches still in flight end Durable, Unknown or
	// Unavailable before it returns. A second Close does nothing.
	Close() error
}
