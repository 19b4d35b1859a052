package filelog

import (
	"sync"
	"sync/atomic"

	"github.com/edda-io/edda/engine"
)

// item is what the writer works on: a batch or a change of owner.
type item struct {
	batch *engine.Batch
	own   *ownership
}

// records is how many callers have come with the item, as far as the writer can tell:
// what rests on another batch came with that.
func (it *item) records() int64 {
	switch {
	case it.own != nil:
		return 1
	case len(it.batch.After) > 0:
		return 0
	default:
		return int64(len(it.batch.Records))
	}
}

// callers is how many come back once it is durable.
func (it *item) callers() int64 {
	if it.own != nil {
		return 1
	}
	return int64(len(it.batch.Records) - it.batch.Quiet)
}

// ownership is one call of Own on its way through the writer.
type ownership struct {
	partitions []engine.Partition
	granted    []engine.Ownership
	err        error
	done       chan struct{}
}

// inbox holds what waits for the writer, in the order in which it came.
type inbox struct {
	wake    chan struct{} // capacity 1
	waiting atomic.Int64  // records in items, to be polled without the lock

	mu      sync.Mutex // guards what follows
	items   []item
	asleep  bool // the writer waits on wake
	closing bool // nothing more is written after what is there now
	ended   bool // the writer is gone
}

// put adds it and wakes the writer. It is false when the writer is gone.
func (in *inbox) put(it item) bool {
	in.mu.Lock()
	if in.ended {
		in.mu.Unlock()
		return false
	}
	in.items = append(in.items, it)
	in.waiting.Add(it.records())
	wake := in.asleep
	in.asleep = false
	in.mu.Unlock()
	if wake {
		in.wake <- struct{}{}
	}
	return true
}

// await blocks until something waits or the inbox is closed.
func (in *inbox) await() {
	for {
		in.mu.Lock()
		in.asleep = len(in.items) == 0 && !in.closing
		asleep := in.asleep
		in.mu.Unlock()
		if !asleep {
			return
		}
		<-in.wake
	}
}

// take returns all that waits and leaves empty in its place.
func (in *inbox) take(empty []item) (items []item, closing bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	items = in.items
	in.items = empty[:0]
	in.waiting.Store(0)
	return items, in.closing
}

// end says that the writer is gone, unless something waits still, which it
// returns.
func (in *inbox) end() []item {
	in.mu.Lock()
	defer in.mu.Unlock()
	items := in.items
	in.items = nil
	in.ended = len(items) == 0
	return items
}

func (in *inbox) close() {
	in.mu.Lock()
	in.closing = true
	wake := in.asleep
	in.asleep = false
	in.mu.Unlock()
	if wake {
		in.wake <- struct{}{}
	}
}
