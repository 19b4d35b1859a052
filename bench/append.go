package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/filelog"
)

// trimEvery is after how many bytes of records the row append lets go of what
// was written, as a node does when it has flushed its store.
const trimEvery = 64 << 20

// appendLoad appends records to a log of 64 partitions. The callers of one
// partition share a batch when they come together, as a node's loop has it.
type appendLoad struct {
	log       *filelog.Log
	partition []*appendPartition
	record    []byte
	together  bool // more than one caller to a partition

	written  atomic.Int64
	trim     chan struct{} // capacity 1: a trim is due; closed at the end
	trimming sync.WaitGroup
	trimErr  error // of the goroutine that trims
}

// appendPartition is one partition's place in the log.
type appendPartition struct {
	number engine.Partition
	epoch  engine.Epoch
	done   atomic.Uint64 // the position behind what is durable

	mu   sync.Mutex // guards what follows
	next engine.Position
	open *appendGroup // what callers may still join
}

// appendGroup is one batch and those who wait for it.
type appendGroup struct {
	batch   engine.Batch
	written chan struct{}
	err     error // set before written is closed
}

// openAppend readies the row append.
func openAppend(ctx context.Context, e *env, inFlight int) (*driver, error) {
	dir, remove, err := e.subdir()
	if err != nil {
		return nil, err
	}
	log, err := filelog.Open(dir, filelog.Options{Durability: e.Durability})
	if err != nil {
		remove()
		return nil, err
	}
	a := &appendLoad{log: log, record: payload(), together: inFlight > filelog.DefaultPartitions,
		trim: make(chan struct{}, 1)}
	if err := a.own(ctx); err != nil {
		defer remove()
		return nil, errors.Join(err, log.Close())
	}
	a.trimming.Go(func() { a.trimErr = a.trimWhenDue(ctx) })
	return &driver{op: a.append, close: func() error { defer remove(); return a.close() }}, nil
}

func (a *appendLoad) own(ctx context.Context) error {
	numbers := make([]engine.Partition, a.log.Info().Partitions)
	for i := range numbers {
		numbers[i] = engine.Partition(i)
	}
	owned, err := a.log.Own(ctx, numbers...)
	for i, o := range owned {
		p := &appendPartition{number: numbers[i], epoch: o.Epoch, next: o.Next}
		p.done.Store(uint64(o.Next))
		a.partition = append(a.partition, p)
	}
	return err
}

// append returns once the caller's record is durable.
func (a *appendLoad) append(_ context.Context, caller int) error {
	p := a.partition[caller%len(a.partition)]
	p.mu.Lock()
	g := p.open
	leads := g == nil
	if leads {
		g = &appendGroup{written: make(chan struct{})}
		p.open = g
	}
	g.batch.Records = append(g.batch.Records, a.record)
	p.mu.Unlock()
	if leads {
		if a.together {
			runtime.Gosched()
		}
		a.submit(p, g)
	}
	<-g.written
	return g.err
}

// submit gives the group its place and appends it.
func (a *appendLoad) submit(p *appendPartition, g *appendGroup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = nil
	g.batch.Partition, g.batch.Epoch, g.batch.First = p.number, p.epoch, p.next
	p.next += engine.Position(len(g.batch.Records))
	g.batch.Done = func(b *engine.Batch, r engine.Result) {
		if r.Outcome != engine.Durable {
			g.err = fmt.Errorf("append ended %v: %w", r.Outcome, r.Err)
		}
		a.done(p, b)
		close(g.written)
	}
	a.log.Append(&g.batch)
}

// done notes what is durable, and that a trim is due.
func (a *appendLoad) done(p *appendPartition, b *engine.Batch) {
	p.done.Store(uint64(b.First) + uint64(len(b.Records)))
	n := int64(len(b.Records) * len(a.record))
	if sum := a.written.Add(n); sum/trimEvery != (sum-n)/trimEvery {
		select {
		case a.trim <- struct{}{}:
		default:
		}
	}
}

// trimWhenDue runs until close.
func (a *appendLoad) trimWhenDue(ctx context.Context) error {
	for range a.trim {
		starts := make([]engine.Start, len(a.partition))
		for i, p := range a.partition {
			starts[i] = engine.Start{Partition: p.number, Position: engine.Position(p.done.Load())}
		}
		if err := a.log.Trim(ctx, starts...); err != nil {
			return err
		}
	}
	return nil
}

// close ends the load. No append may be running.
func (a *appendLoad) close() error {
	close(a.trim)
	a.trimming.Wait()
	return errors.Join(a.trimErr, a.log.Close())
}
