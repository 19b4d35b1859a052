package worker

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rendezvous"
)

// hosted is a service of this worker: what runs, and who else hosts it.
//
// The node gives a worker no more attempts than it has slots. It counts a slot as
// free once an attempt is fenced, though its handler may not have returned: as many
// may linger as there are slots. The same rule holds here, so that a handler that
// never returns keeps nobody waiting, and that what is left from a connection that
// was lost does not come on top.
type hosted struct {
	r       *runner
	svc     *edda.Service
	addr    edda.Address
	slots   int
	timeout time.Duration            // of an attempt
	members atomic.Pointer[[]string] // who shares the keys; nil: not known

	mu        sync.Mutex // guards what follows; nothing is locked under it
	busy      int        // handlers that run
	lingering int        // of these, the fenced ones
	queue     []*attempt // the first come begins first
}

// owned reports whether each key of the service belongs to one of its workers. Messages
// of a group go to any of its members.
func (h *hosted) owned() bool { return h.svc.Kind == edda.Ordered && h.svc.Group == nil }

// attemptTimeout is what the service says of it.
func attemptTimeout(s *edda.Service) time.Duration {
	if s.Group != nil {
		return cmp.Or(s.Group.ProcessingTimeout, edda.DefaultProcessingTimeout)
	}
	return cmp.Or(s.AttemptTimeout, edda.DefaultAttemptTimeout)
}

// start runs the attempt's handler, now or when there is room.
func (h *hosted) start(a *attempt) {
	h.mu.Lock()
	if h.busy >= h.limit() {
		h.queue = append(h.queue, a)
		h.mu.Unlock()
		return
	}
	h.busy++
	h.mu.Unlock()
	h.run(a)
}

// limit is how many handlers may run. The caller holds mu.
func (h *hosted) limit() int { return h.slots + min(h.lingering, h.slots) }

// run runs the attempt and those that waited for it in a goroutine.
func (h *hosted) run(a *attempt) {
	if a = h.first(a); a == nil {
		return
	}
	h.r.handlers.add(1)
	go h.work(a)
}

// first returns the attempt, or the next that waits, once it has begun; nil, and
// the slot is free, when there is none.
func (h *hosted) first(a *attempt) *attempt {
	for a != nil && !a.s.began(a) {
		a = h.next()
	}
	return a
}

// next takes the attempt that waits longest for a slot that is free; when none
// does, nothing runs in it.
func (h *hosted) next() *attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) == 0 || h.busy > h.limit() {
		h.busy--
		return nil
	}
	a := h.queue[0]
	h.queue[0] = nil
	h.queue = h.queue[1:]
	return a
}

// work is the goroutine of handlers.
func (h *hosted) work(a *attempt) {
	ended := false
	defer func() {
		if !ended {
			// The handler ended its goroutine: what waits goes on in another.
			if a := h.next(); a != nil {
				h.run(a)
			}
		}
		h.r.handlers.add(-1)
	}()
	for a != nil {
		a.run()
		a = h.first(h.next())
	}
	ended = true
}

// lingers counts a handler whose attempt was fenced, or that has returned since.
func (h *hosted) lingers(n int) {
	h.mu.Lock()
	h.lingering += n
	var a *attempt
	if n > 0 && len(h.queue) > 0 && h.busy < h.limit() {
		a = h.queue[0]
		h.queue[0] = nil
		h.queue = h.queue[1:]
		h.busy++
	}
	h.mu.Unlock()
	if a != nil {
		h.run(a)
	}
}

// owns reports whether an address hash belongs to this worker, as far as it knows.
func (h *hosted) owns(hash uint64) bool {
	if until := h.r.ownsUntil.Load(); until != 0 && time.Now().UnixNano() >= until {
		return false
	}
	ids := h.members.Load()
	return ids == nil || rendezvous.Owner(*ids, hash) == h.r.id
}
