package node

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/edda-io/edda"
)

// Beat says that the worker lives. It renews its hold on all it has.
func (w *Worker) Beat() {
	w.heard()
	w.mu.Lock()
	silent := w.silent
	w.mu.Unlock()
	if silent {
		w.set(func() {
			if !w.gone {
				w.silent = false
				w.life.Reset(w.spec.Lifetime)
			}
		})
	}
}

// heard notes that the worker was heard of.
func (w *Worker) heard() { w.beaten.Store(time.Now().UnixNano()) }

// left is how long the worker may go unheard of from now on.
func (w *Worker) left() time.Duration {
	return time.Until(time.Unix(0, w.beaten.Load()).Add(time.Duration(w.lasts.Load())))
}

// checkLife gives the worker up when nothing was heard of it.
func (w *Worker) checkLife() {
	left := w.left()
	if m, ok := w.runner.(*member); ok {
		left = m.expired()
	}
	w.mu.Lock()
	gone := w.gone
	if left > 0 && !gone {
		w.life.Reset(left)
	}
	w.mu.Unlock()
	if left > 0 || gone {
		return
	}
	w.n.log.Warn("worker is silent; what it has is given to others", "worker", w.spec.ID, "lifetime", w.spec.Lifetime)
	var lost []*Attempt // a worker that is heard of again meanwhile keeps what it is given then
	w.set(func() {
		w.silent = true
		lost = w.has()
	})
	giveUp(lost)
}

// SetReady says whether the worker is to be given requests, as far as that depends
// on its health. It keeps what it has.
func (w *Worker) SetReady(ready bool) { w.set(func() { w.unready = !ready }) }

// SetConcurrency changes how many handlers of a service the worker runs at a time;
// at zero it is given nothing for now. The error is an *edda.Error, UnknownService,
// when the worker does not host the service.
func (w *Worker) SetConcurrency(service edda.Address, slots int) error {
	for _, h := range w.hosts {
		if h.svc.addr == service {
			h.resize(max(slots, 0))
			return nil
		}
	}
	return &edda.Error{Op: "set concurrency", Reason: edda.UnknownService, Err: fmt.Errorf("worker %s does not host service %s", w.spec.ID, service)}
}

// Drain has the worker be given nothing more. What it has it finishes, or hands
// back.
func (w *Worker) Drain() { w.set(func() { w.draining = true }) }

// Detach ends the worker. What it has taken has failed with WorkerLost and is
// tried again at once; what it has not begun costs no attempt, the first two times
// that this happens to a request. A second Detach does nothing.
func (w *Worker) Detach() {
	w.set(func() {
		w.gone = true
		if w.life != nil {
			w.life.Stop()
		}
	})
	n := w.n
	n.workers.mu.Lock()
	if n.workers.all[w.spec.ID] == w {
		delete(n.workers.all, w.spec.ID)
		for _, h := range w.hosts {
			h.svc.mu.Lock()
			h.svc.hosts = slices.DeleteFunc(h.svc.hosts, func(o *host) bool { return o == h })
			h.svc.mu.Unlock()
		}
	}
	n.workers.mu.Unlock()
	w.giveUp()
}

// giveUp ends what the worker has.
func (w *Worker) giveUp() {
	w.mu.Lock()
	all := w.has()
	w.mu.Unlock()
	giveUp(all)
}

// has returns what the worker has, in the order in which it came. The caller holds
// mu.
func (w *Worker) has() []*Attempt {
	all := slices.Collect(maps.Keys(w.attempts))
	slices.SortFunc(all, func(a, b *Attempt) int { return cmp.Compare(a.id, b.id) })
	return all
}

func giveUp(all []*Attempt) {
	for _, a := range all {
		a.lose()
	}
}

// seen is when the worker was heard of last.
func (w *Worker) seen() time.Time {
	if w.here() {
		return time.Now().UTC()
	}
	return timeOf(w.beaten.Load())
}
