package filelog

import (
	"context"
	"fmt"

	"github.com/edda-io/edda/engine"
)

// Trim implements engine.Engine. It works by whole segments: one goes when every
// record in it, of all partitions, is not needed any more.
func (l *Log) Trim(ctx context.Context, before ...engine.Start) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	for _, s := range before {
		if int(s.Partition) >= l.info.Partitions {
			return fmt.Errorf("trim partition %d: %w", s.Partition, errUnknownPartition)
		}
	}
	if !l.enter() {
		return fmt.Errorf("trim: %w", engine.ErrClosed)
	}
	defer l.busy.Done()
	l.trimMu.Lock()
	defer l.trimMu.Unlock()
	k := l.trimmable(before)
	if k == 0 {
		return nil
	}
	// First the directory says that the segments are not part of the log, then
	// they go: a crash in between leaves files that the next Open removes.
	m := l.meta
	l.mu.Lock()
	m.first = l.segments[k].number
	l.mu.Unlock()
	if err := l.writeMeta(&m); err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	l.meta = m
	l.drop(k)
	return nil
}

// trimmable notes what is not needed and returns how many segments that frees.
func (l *Log) trimmable(before []engine.Start) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range before {
		n := &l.needed[s.Partition]
		*n = max(*n, min(s.Position, l.marks[s.Partition].next))
	}
	k := 0
	for k+1 < len(l.segments) && l.unneeded(l.segments[k+1].marks) {
		k++
	}
	return k
}

// unneeded reports whether no record before the marks is needed.
func (l *Log) unneeded(marks []mark) bool {
	for p, m := range marks {
		if m.next > l.needed[p] {
			return false
		}
	}
	return true
}

// drop takes the first k segments out of the log and recycles those that nobody
// reads.
func (l *Log) drop(k int) {
	var free []*segment
	l.mu.Lock()
	for _, seg := range l.segments[:k] {
		seg.dropped = true
		if seg.readers == 0 {
			free = append(free, seg)
		}
	}
	l.segments = append([]*segment(nil), l.segments[k:]...)
	first := l.segments[0].number
	l.mu.Unlock()
	l.syncMu.Lock()
	l.settle(first)
	l.syncMu.Unlock()
	l.recycle(free)
}

// recycle hands the files of dropped segments to those that become segments.
func (l *Log) recycle(segs []*segment) {
	for _, seg := range segs {
		if l.spares.recycle(seg) {
			l.counters.recycled.Add(1)
		}
	}
}
