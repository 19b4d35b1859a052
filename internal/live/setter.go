package live

import (
	"context"
	"sync"
)

// Setter has a hub told of topics that were changed, in the order of the changes, for those
// who may not wait for it: the hub asks the streams, and whoever keeps those would wait for
// itself. It is safe for concurrent use.
type Setter struct {
	h *Hub

	mu   sync.Mutex // guards what follows
	sets []setting
	over bool

	wake chan struct{} // one signal that there are some
}

type setting struct {
	t    Topic
	done chan struct{}
}

// NewSetter returns a setter, which does nothing before it runs.
func NewSetter(h *Hub) *Setter { return &Setter{h: h, wake: make(chan struct{}, 1)} }

// Set has the hub told, and returns a channel that is closed once it was, or will not be
// because Run has returned. It never blocks.
func (s *Setter) Set(t Topic) <-chan struct{} {
	done := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		close(done) // nobody listens any more
		return done
	}
	s.sets = append(s.sets, setting{t, done})
	select {
	case s.wake <- struct{}{}:
	default: // it has a signal
	}
	return done
}

// Run is the setter's goroutine. It calls failed with what the hub does not hear of, and
// returns once halt is closed and the hub knows what came before that.
func (s *Setter) Run(halt <-chan struct{}, failed func(Topic, error)) {
	for over := false; !over; {
		select {
		case <-s.wake:
		case <-halt:
			over = true
		}
		s.mu.Lock()
		sets := s.sets
		s.sets, s.over = nil, over
		s.mu.Unlock()
		for _, set := range sets {
			if err := s.h.Set(context.Background(), set.t); err != nil {
				failed(set.t, err)
			}
			close(set.done)
		}
	}
}
