package filelog

import "sync/atomic"

// reportHere is up to how many callers the writer wakes by itself.
const reportHere = 4

// herald tells callers what became of their batches, in order. With many of
// them that takes as long as a flush; it is done while the next one runs.
type herald struct {
	news chan []verdict // capacity 1
	free chan []verdict // slices to be used again
	done chan struct{}  // closed when run has ended
	busy *atomic.Int64  // how many of the slices in news are not finished
}

func newHerald() herald {
	h := herald{make(chan []verdict, 1), make(chan []verdict, 3), make(chan struct{}), new(atomic.Int64)}
	// One for news, one being told and one being filled.
	for range cap(h.free) - 1 {
		h.free <- nil
	}
	return h
}

// report tells, or has it told, and returns a slice for the next verdicts.
func (h *herald) report(vs []verdict) []verdict {
	if len(vs) <= reportHere && h.busy.Load() == 0 {
		tell(vs)
		return vs[:0]
	}
	h.busy.Add(1)
	h.news <- vs
	return <-h.free
}

func tell(vs []verdict) {
	for i := range vs {
		vs[i].report()
	}
	clear(vs)
}

// run ends after close.
func (h *herald) run() {
	defer close(h.done)
	for vs := range h.news {
		tell(vs)
		h.busy.Add(-1)
		h.free <- vs[:0]
	}
}

// close waits until all was told.
func (h *herald) close() {
	close(h.news)
	<-h.done
}
