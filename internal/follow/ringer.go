package follow

import "sync"

// Ringer wakes many readers, so that partitions go on meanwhile. NewRinger makes one.
type Ringer struct {
	mu   sync.Mutex // guards what follows
	rung []chan struct{}
	over bool

	wake chan struct{}
}

// NewRinger returns a ringer, which does nothing before it runs.
func NewRinger() *Ringer { return &Ringer{wake: make(chan struct{}, 1)} }

// add has a channel closed.
func (r *Ringer) add(rung chan struct{}) {
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		close(rung)
		return
	}
	r.rung = append(r.rung, rung)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default: // it has a signal
	}
}

// Run is the ringer's goroutine. It returns when halt is closed and all who were to be
// woken are; who comes later is woken by the partition.
func (r *Ringer) Run(halt <-chan struct{}) {
	for over := false; !over; {
		select {
		case <-r.wake:
		case <-halt:
			over = true
		}
		r.mu.Lock()
		all := r.rung
		r.rung, r.over = nil, over
		r.mu.Unlock()
		for _, rung := range all {
			close(rung)
		}
	}
}
