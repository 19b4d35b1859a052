package filelog

import (
	"runtime"
	"time"
)

// returnTime is about how long a released caller keeps a processor until it is
// back with its next record.
const returnTime = 500 * time.Nanosecond

// gatherer decides how long the writer waits between two flushes. After a flush
// the callers it released soon come back. Who waits for them has all share the
// next flush, where else two halves take turns and each waits for two flushes.
type gatherer struct {
	most   time.Duration // never wait longer; not positive: never wait
	misses int           // how often in a row nobody came
	skip   int           // do not even try this often
}

// wait waits for the released callers, while it pays. It yields instead of
// sleeping, because a timer takes longer than what is waited for, and it spins
// for no longer than a fraction of the flush before.
func (g *gatherer) wait(in *inbox, released int64, flush time.Duration) {
	there := in.waiting.Load()
	target := released + there
	switch {
	case g.most <= 0 || target <= 1:
		return // a single caller; whoever else comes is not held up
	case g.skip > 0:
		g.skip--
		return
	}
	if time.Duration(released)*returnTime > flush/2 {
		// They need as long as a flush does: flush one half meanwhile.
		target /= 2
	}
	begin := time.Now()
	all := g.poll(in, there, target)
	if all == 0 {
		// They are slow to begin with; the first may bring the others along.
		in.await()
		if time.Since(begin) < flush {
			all = g.poll(in, in.waiting.Load(), target)
		}
	}
	if all > there || there >= target {
		g.misses = 0
		return
	}
	g.misses = min(g.misses+1, 4)
	g.skip = 1<<g.misses - 1
}

// poll returns how many are there in the end. It gives up when nobody came for a
// while, in which everybody who could run had a turn.
func (g *gatherer) poll(in *inbox, there, target int64) int64 {
	begin := time.Now()
	last, turns := begin, 0
	for there < target {
		runtime.Gosched()
		turns++
		now := time.Now()
		if n := in.waiting.Load(); n != there {
			there, last, turns = n, now, 0
		}
		if now.Sub(begin) > g.most || turns >= 2 && now.Sub(last) > g.most/6 {
			break
		}
	}
	return there
}

// fewWaiting is how many items are company enough.
const fewWaiting = 8

// company waits for items that are about to come, as whoever appends them says, for a
// fraction of a flush.
func (g *gatherer) company(in *inbox, coming func() bool, flush time.Duration) {
	if g.most <= 0 || coming == nil || in.waiting.Load() >= fewWaiting || !coming() {
		return
	}
	for begin := time.Now(); time.Since(begin) < min(flush/2, g.most) && coming(); {
		runtime.Gosched()
	}
}
