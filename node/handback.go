package node

import (
	"time"

	"github.com/edda-io/edda/internal/record"
)

// A worker that hands everything back, and does not say that it ends, would get the
// same again at once, for ever, and each time costs records. So after the first time
// a request waits before it is given out again: firstBack, then twice as long each
// time up to lastBack, until it has an attempt that is not handed back. Its key waits
// with it, as during an attempt; the slot does not.
const (
	firstBack = 10 * time.Millisecond
	lastBack  = time.Second
)

// takeBack has a request given out again whose attempt was handed back.
func (p *partition) takeBack(l *live, a *Attempt) {
	p.slotBack(a)
	if a.lost || p.n.draining.Load() || !a.host.w.takes.Load() {
		p.releaseAttempt(l) // it was no whim: the worker is given nothing more
		return
	}
	if l.backs == 0 {
		l.backs = 1
		p.releaseAttempt(l)
		return
	}
	delay := min(firstBack<<(l.backs-1), lastBack)
	if delay < lastBack {
		l.backs++
	}
	l.back = a.ended.Add(delay).UnixNano()
	p.schedule(l.req)
}

// releaseAttempt ends the attempt of a request as if it had not been.
func (p *partition) releaseAttempt(l *live) {
	l.closing, l.back = true, 0
	rec := record.Released{Seq: l.req.Seq, Fence: l.req.Fence}
	p.propose(rec.AppendTo(nil), proposal{})
}
