// Package memlog keeps the logs of partitions in memory.
//
// It is the engine of a node whose durability is edda.Memory, and the oracle of
// the tests: one mutex, no file, nothing clever, so that what another engine
// does can be compared with what this one does. Everything is gone when the
// process ends; within it, [Log.Reopen] stands for a restart.
//
// A Log is safe for concurrent use. One goroutine of its own calls Done, for all
// batches in the order of their appends; only an append to a closed log ends
// within the call.
package memlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
)

// DefaultPartitions is the number of partitions when Options names none.
const DefaultPartitions = 64

// Options say how a log is made. The zero value works.
type Options struct {
	// Partitions is the number of partitions, up to 65,536. Zero means
	// DefaultPartitions.
	Partitions int
}

// Log is an engine that keeps its records in memory.
type Log struct {
	// stopped is done once the goroutine that calls Done has returned.
	stopped sync.WaitGroup

	// mu guards everything below. It is not held while Done, yield or a snapshot's
	// source runs. wake belongs to it and is signalled when ended grows or closed
	// is set.
	mu     sync.Mutex
	wake   *sync.Cond
	parts  []partition
	order  uint64 // number of entries ever written, over all partitions
	ended  []completion
	closed bool
	// reopened says that another log has the records now.
	reopened bool
}

var _ engine.Engine = (*Log)(nil)

// partition is the log of one partition.
type partition struct {
	epoch engine.Epoch
	// live says that epoch may append: it was given by Own since the log was
	// opened, and each of its appends was durable.
	live    bool
	next    engine.Position
	entries []*entry // ascending and without gaps; the last one ends before next
	faults  []Fault
	snap    *snapshot
}

// entry is a batch in the log. It never changes.
type entry struct {
	order uint64 // its place in the log of all partitions
	engine.Entry
}

// completion is a batch whose Done is due.
type completion struct {
	batch  *engine.Batch
	result engine.Result
}

// Open makes an empty log.
func Open(o Options) (*Log, error) {
	n := cmp.Or(o.Partitions, DefaultPartitions)
	if n < 1 || n > 1<<16 {
		return nil, fmt.Errorf("open memlog: Partitions is %d, must be 1 to %d", n, 1<<16)
	}
	parts := make([]partition, n)
	for i := range parts {
		parts[i].next = 1
	}
	return start(parts, 0), nil
}

func start(parts []partition, order uint64) *Log {
	l := &Log{parts: parts, order: order}
	l.wake = sync.NewCond(&l.mu)
	l.stopped.Go(l.complete)
	return l
}

// Reopen closes the log and returns a new one over the same records, epochs and
// snapshots, as a restart of the process would find them on disk. Nobody owns a
// partition of the new log, and injected faults are forgotten. A log is reopened
// once; the new one can be, again.
func (l *Log) Reopen() (*Log, error) {
	if err := l.Close(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reopened {
		return nil, errors.New("reopen memlog: it was reopened before")
	}
	l.reopened = true
	parts := slices.Clone(l.parts)
	for i := range parts {
		parts[i].live = false
		parts[i].faults = nil
	}
	return start(parts, l.order), nil
}

// Info implements engine.Engine.
func (l *Log) Info() engine.Info {
	return engine.Info{Durability: edda.Memory, Partitions: len(l.parts)}
}

// Own implements engine.Engine.
func (l *Log) Own(ctx context.Context, ps ...engine.Partition) ([]engine.Ownership, error) {
	if err := l.lock(ctx, ps...); err != nil {
		return nil, fmt.Errorf("own: %w", err)
	}
	defer l.mu.Unlock()
	owned := make([]engine.Ownership, len(ps))
	for i, p := range ps {
		part := &l.parts[p]
		part.epoch++
		part.live = true
		owned[i] = engine.Ownership{Epoch: part.epoch, Next: part.next}
	}
	return owned, nil
}

// Append implements engine.Engine. The records are copied before it returns.
func (l *Log) Append(b *engine.Batch) {
	err := l.check(b)
	var e *entry
	if err == nil {
		e = &entry{Entry: copied(engine.Entry{
			Partition: b.Partition, Epoch: b.Epoch, First: b.First, Records: b.Records,
		})}
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		b.Done(b, engine.Result{Outcome: engine.Unavailable, Err: engine.ErrClosed})
		return
	}
	var r engine.Result
	if err == nil {
		r = l.write(e, b.After)
	} else {
		r = l.refuse(b, err)
	}
	l.ended = append(l.ended, completion{b, r})
	l.mu.Unlock()
	l.wake.Signal()
}

// check says what is wrong with a batch that no engine may take.
func (l *Log) check(b *engine.Batch) error {
	if err := l.inRange(b.Partition); err != nil {
		return err
	}
	if len(b.Records) == 0 {
		return fmt.Errorf("append to partition %d: no records", b.Partition)
	}
	for i, r := range b.Records {
		if len(r) == 0 {
			return fmt.Errorf("append to partition %d: record %d is empty", b.Partition, i)
		}
	}
	return nil
}

// refuse is the result of a batch that no engine may take; its epoch ends with
// it. The caller holds mu.
func (l *Log) refuse(b *engine.Batch, err error) engine.Result {
	if int(b.Partition) < len(l.parts) {
		if part := &l.parts[b.Partition]; part.epoch == b.Epoch {
			part.live = false
		}
	}
	return engine.Result{Outcome: engine.Unavailable, Err: err}
}

// write puts e in the log if the records that it rests on are there, or says why not.
// The caller holds mu.
func (l *Log) write(e *entry, after []engine.Place) engine.Result {
	part := &l.parts[e.Partition]
	if e.Epoch != part.epoch || !part.live {
		return engine.Result{Outcome: engine.Fenced, Err: fmt.Errorf(
			"append to partition %d: epoch %d is stale or has failed, the partition is at epoch %d", e.Partition, e.Epoch, part.epoch)}
	}
	if e.First != part.next {
		part.live = false
		return engine.Result{Outcome: engine.Fenced, Err: fmt.Errorf(
			"append to partition %d: first is %d, the next position is %d", e.Partition, e.First, part.next)}
	}
	for _, a := range after {
		if !l.has(a) {
			part.live = false
			return engine.Result{Outcome: engine.Fenced, Err: fmt.Errorf(
				"append to partition %d: record %d of partition %d, of epoch %d, which it rests on, is not in the log", e.Partition, a.Position, a.Partition, a.Epoch)}
		}
	}
	r := engine.Result{Outcome: engine.Durable}
	keep := true
	if len(part.faults) > 0 {
		r, keep = part.faults[0].result(e.Partition)
		part.faults = part.faults[1:]
		part.live = false
	}
	if keep {
		l.order++
		e.order = l.order
		part.entries = append(part.entries, e)
		part.next += engine.Position(len(e.Records))
	}
	return r
}

// has reports whether a record is in the log, as far as its epoch is not over: of one
// that is, another may have appended at its positions. The caller holds mu.
func (l *Log) has(r engine.Place) bool {
	return int(r.Partition) < len(l.parts) && r.Epoch == l.parts[r.Partition].epoch && r.Position < l.parts[r.Partition].next
}

// complete calls Done until the log is closed and nothing is left to end.
func (l *Log) complete() {
	var due []completion
	for {
		l.mu.Lock()
		for len(l.ended) == 0 && !l.closed {
			l.wake.Wait()
		}
		due, l.ended = l.ended, due[:0]
		l.mu.Unlock()
		if len(due) == 0 {
			return // closed, and an append to a closed log adds nothing
		}
		for _, c := range due {
			c.batch.Done(c.batch, c.result)
		}
		clear(due)
	}
}

// Close implements engine.Engine. Batches in flight end as they would have.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wake.Signal()
	l.stopped.Wait()
	return nil
}

// lock is how every method but Append, Info and Close begins. It checks what can
// be asked of the log; mu is held when it returns nil.
func (l *Log) lock(ctx context.Context, ps ...engine.Partition) error {
	for _, p := range ps {
		if err := l.inRange(p); err != nil {
			return err
		}
	}
	l.mu.Lock()
	err := context.Cause(ctx)
	if l.closed {
		err = engine.ErrClosed
	}
	if err != nil {
		l.mu.Unlock()
	}
	return err
}

func (l *Log) inRange(p engine.Partition) error {
	if int(p) >= len(l.parts) {
		return fmt.Errorf("partition %d is not one of 0 to %d", p, len(l.parts)-1)
	}
	return nil
}

// copied returns e with records of its own, in one allocation for their bytes.
func copied(e engine.Entry) engine.Entry {
	size := 0
	for _, r := range e.Records {
		size += len(r)
	}
	buf := make([]byte, 0, size)
	rs := make([][]byte, len(e.Records))
	for i, r := range e.Records {
		from := len(buf)
		buf = append(buf, r...)
		rs[i] = buf[from:len(buf):len(buf)]
	}
	e.Records = rs
	return e
}
