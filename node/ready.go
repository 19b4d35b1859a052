package node

import (
	"slices"

	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/slot"
)

// ready are the requests that wait for a slot of one pool, in order. Their
// partition has a place in the pool's line for each.
type ready struct {
	requests []*request.Request
	left     int // of them, about, that wait no more
}

// maxLeft is how many requests that wait no more are let be, unless they are most of
// those there.
const maxLeft = 64

// wantSlot starts a ready request, now or when a slot is free.
func (p *partition) wantSlot(r *request.Request) {
	l := p.liveFor(r)
	if l.closing || !r.Ready(p.now()) || r.Step != nil && p.refuseStep(r, l) || l.waiting {
		return
	}
	h, q := l.svc.acquireOrJoin(r.Hash, l.version, p)
	if h != nil {
		p.proposeDispatch(r, h)
		return
	}
	l.waiting, l.queue = true, q
	w := p.ready[q]
	if w == nil {
		w = &ready{}
		p.ready[q] = w
	}
	w.requests = append(w.requests, r)
}

// waitsNoMore notes that a request needs no slot any more. When most in a queue are
// such they are let go of, with their places in the line: a service may have no
// worker for long, and requests whose deadline passes meanwhile must not pile up.
func (p *partition) waitsNoMore(l *live) {
	if !l.waiting {
		return
	}
	l.waiting = false
	w := p.ready[l.queue]
	if w == nil {
		return
	}
	if w.left++; w.left <= maxLeft || w.left <= len(w.requests)/2 {
		return
	}
	before := len(w.requests)
	w.requests = slices.DeleteFunc(w.requests, func(r *request.Request) bool {
		l := liveOf(r)
		return l == nil || !l.waiting
	})
	w.left = 0
	l.svc.slots.LeaveLine(l.queue, slot.Waiter(p.id), before-len(w.requests))
	p.keepReady(l.queue, w)
}

// granted uses a slot for the first request that still wants it.
func (p *partition) granted(g grant) {
	w := p.ready[g.Queue]
	for w != nil && len(w.requests) > 0 {
		r := w.requests[0]
		w.requests[0] = nil
		w.requests = w.requests[1:]
		l := liveOf(r)
		if l == nil || !l.waiting {
			w.left = max(w.left-1, 0)
			continue
		}
		l.waiting = false
		if l.closing || !r.Ready(p.now()) {
			continue
		}
		p.keepReady(g.Queue, w)
		p.proposeDispatch(r, g.Host.Of)
		return
	}
	delete(p.ready, g.Queue)
	g.Host.Of.release()
}

func (p *partition) keepReady(q queue, w *ready) {
	if len(w.requests) == 0 {
		delete(p.ready, q)
	}
}

// chooseAgain sends what waits for a slot of the service to where it belongs now.
func (p *partition) chooseAgain(s *service) {
	for q, w := range p.ready {
		if !s.slots.Over(q) {
			continue
		}
		delete(p.ready, q)
		for _, r := range w.requests {
			if l := liveOf(r); l != nil && l.waiting {
				l.waiting = false
				p.wantSlot(r)
			}
		}
	}
}

func (p *partition) proposeDispatch(r *request.Request, h *host) {
	l := p.liveFor(r)
	l.closing = true
	d := record.Dispatched{Seq: r.Seq}
	p.propose(d.AppendTo(nil), proposal{slot: h})
}
