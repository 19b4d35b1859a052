// Package seldom keeps a log readable when the same thing happens again and again.
package seldom

import (
	"sync"
	"time"
)

// Every is how long after a line the next one of its kind is logged, at the soonest.
const Every = 5 * time.Second

// Gate lets one line of a kind through in every Every. The zero value lets the first
// one through. It is safe for concurrent use.
type Gate struct {
	mu   sync.Mutex
	last time.Time // when a line was let through
	kept int64     // how many were not, since
}

// Pass reports whether a line may be logged now, and if so how many were not since the
// one before, to be logged with it.
func (g *Gate) Pass() (kept int64, ok bool) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.last.IsZero() && now.Sub(g.last) < Every {
		g.kept++
		return 0, false
	}
	kept, g.last, g.kept = g.kept, now, 0
	return kept, true
}
