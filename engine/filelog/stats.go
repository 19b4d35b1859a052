package filelog

import (
	"slices"
	"sync/atomic"
	"time"
)

// Stats are counts since Open, except where they say otherwise.
type Stats struct {
	// LSN is where the log ends, in bytes of frames and of what fills them up since
	// it was created: the difference between two moments is what was written
	// between them.
	LSN uint64
	// Segments is how many there are now, Recycled how many trimmed ones were
	// kept for reuse.
	Segments int
	Recycled uint64
	// Direct says that frames are now written past the system's cache, which takes
	// fsync durability and a file system that can do it. It is quicker, no more.
	Direct bool
	// Flushes is how many frames were written, each with one flush in fsync
	// durability.
	Flushes uint64
	// FlushP50 is the median time for writing and flushing a frame, over the last
	// 1,024 of them.
	FlushP50 time.Duration
}

// Stats returns the counts. It is safe to call at any time.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	s := Stats{LSN: l.end, Segments: len(l.segments), Direct: l.segments[len(l.segments)-1].direct}
	l.mu.Unlock()
	s.Recycled = l.counters.recycled.Load()
	s.Flushes, s.FlushP50 = l.counters.flushes()
	return s
}

type counters struct {
	recycled atomic.Uint64
	flushed  atomic.Uint64
	last     [1024]atomic.Int64 // durations of the last flushes, in nanoseconds
}

func (c *counters) flush(d time.Duration) {
	n := c.flushed.Load() // only the writer adds
	c.last[n%uint64(len(c.last))].Store(int64(d))
	c.flushed.Store(n + 1)
}

func (c *counters) flushes() (uint64, time.Duration) {
	n := c.flushed.Load()
	if n == 0 {
		return 0, 0
	}
	ds := make([]int64, min(n, uint64(len(c.last))))
	for i := range ds {
		ds[i] = c.last[i].Load()
	}
	slices.Sort(ds)
	return n, time.Duration(ds[len(ds)/2])
}
