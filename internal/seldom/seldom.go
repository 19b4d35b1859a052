// Package seldom keeps a log readable when the same thing happens again and again.
package seldom

import (
	"sync/atomic"
	"time"
)

// Every is how long after a line the next one of its kind is logged, at the soonest.
const Every = 5 * time.Second

// Gate lets one line of a kind through in every Every. The zero value lets the first
// one through. It is safe for concurrent use.
type Gate struct {
	last atomic.Int64 // when a line was let through, in Unix nanoseconds
	kept atomic.Int64 // how many were not, since
}

// Pass reports whether a line may be logged now, and if so how many were not since the
// one before, to be logged with it.
func (g *Gate) Pass() (kept int64, ok bool) {
	now, last := time.Now().UnixNano(), g.last.Load()
	if last != 0 && now-last < int64(Every) || !g.last.CompareAndSwap(last, now) {
		g.kept.Add(1)
		return 0, false
	}
	return g.kept.Swap(0), true
}
