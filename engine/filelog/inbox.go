package filelog

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda/engine"
)

// item is what the writer works on: a batch or a change of owner.
type item struct {
	batch *engine.Batch
	own   *ownership
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
	waiting atomic.Int64  // len(items), to be polled without the lock

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
	in.waiting.Store(int64(len(in.items)))
	wake := in.asleep
	in.asleep = false
	in.mu.Unlock()
	if wake {
		in.wake <- struct{}{}
	}
	return true
}

// take returns all that waits, blocking until there is something, and leaves
// empty in its place. It returns nil when the inbox is closed and empty.
func (in *inbox) take(empty []item) (items []item, closing bool) {
	for {
		in.mu.Lock()
		if len(in.items) > 0 {
			items = in.items
			in.items = empty[:0]
			in.waiting.Store(0)
			closing = in.closing
			in.mu.Unlock()
			return items, closing
		}
		if in.closing {
			in.ended = true
			in.mu.Unlock()
			return nil, true
		}
		in.asleep = true
		in.mu.Unlock()
		<-in.wake
	}
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

// gather waits until the callers that were just released have come back, so
// that all share the next flush instead of alternating between two halves. It
// ends after most, or as soon as nobody has come for a while. It yields instead
// of sleeping, because a timer takes longer than what is waited for.
func (in *inbox) gather(released int, most time.Duration) {
	seen := in.waiting.Load()
	target := int64(released) + seen
	if target <= 1 || most <= 0 {
		return
	}
	begin := time.Now()
	last := begin
	for seen < target {
		runtime.Gosched()
		now := time.Now()
		if n := in.waiting.Load(); n != seen {
			seen, last = n, now
		} else if now.Sub(last) > most/4 {
			return
		}
		if now.Sub(begin) > most {
			return
		}
	}
}
