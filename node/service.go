package node

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// service is a service as the node runs it: what is registered, who handles it,
// and the slots its handlers run in.
//
// A slot is the right to run one handler. It is taken before a request is
// started and given back when the handler has returned. When none is free the
// request waits in its partition, and the partition in the line of the service;
// the next slot goes to the head of the line.
type service struct {
	addr    edda.Address
	metrics atomic.Pointer[serviceMetrics]
	seen    atomic.Pointer[view]

	mu         sync.Mutex // guards what follows; nothing is locked under it
	local      *edda.Service
	registered bool
	set        record.ServiceSet
	schemas    *schemas
	paused     bool
	draining   bool
	slots      int
	free       int
	abandoned  int
	line       []*partition
}

// attach makes s the one that handles the service in this process.
func (s *service) attach(local *edda.Service, sc *schemas) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.local, s.schemas = local, sc
	s.slots = cmp.Or(local.Concurrency, edda.DefaultConcurrency)
	s.free = s.slots
	s.show()
}

// view is what callers need to know before they send. It never changes.
type view struct {
	registered bool
	paused     bool
	hosted     bool
	kind       edda.Kind
	methods    []string
	schemas    *schemas
}

// view returns what is known now.
func (s *service) view() *view {
	if v := s.seen.Load(); v != nil {
		return v
	}
	return &view{}
}

// show makes what is known visible. The caller holds mu.
func (s *service) show() {
	s.seen.Store(&view{
		registered: s.registered, paused: s.paused, hosted: s.local != nil,
		kind: s.set.Kind, methods: s.set.Methods, schemas: s.schemas,
	})
}

// knows reports whether the method exists as far as the service lists its methods.
func (v *view) knows(method string) bool {
	return len(v.methods) == 0 || slices.Contains(v.methods, method)
}

// acquire takes a slot, if one is free and nobody is in line before.
func (s *service) acquire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free <= 0 || s.paused || s.draining || len(s.line) > 0 {
		return false
	}
	s.free--
	return true
}

// keep reports whether a slot that is free again may go to the next request of
// the same key without an injustice to others.
func (s *service) keep() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.line) == 0 && !s.paused && !s.draining && s.free >= 0
}

// join puts a partition in line for one slot.
func (s *service) join(p *partition) {
	s.mu.Lock()
	s.line = append(s.line, p)
	s.mu.Unlock()
	s.pump()
}

// release gives a slot back, to the head of the line if there is one.
func (s *service) release() {
	s.mu.Lock()
	s.free++
	p := s.next()
	s.mu.Unlock()
	if p != nil {
		p.in.grant(s)
	}
}

// abandon gives back the slot of a handler that was fenced and has not returned.
// At most as many as the service has slots may linger like that; it is false for
// one more, whose slot stays taken until it returns.
func (s *service) abandon() bool {
	s.mu.Lock()
	if s.abandoned >= s.slots {
		s.mu.Unlock()
		return false
	}
	s.abandoned++
	s.mu.Unlock()
	s.release()
	return true
}

// returned notes that an abandoned handler has returned after all.
func (s *service) returned() {
	s.mu.Lock()
	s.abandoned--
	s.mu.Unlock()
}

// pump gives free slots to the partitions in line.
func (s *service) pump() {
	for {
		s.mu.Lock()
		p := s.next()
		s.mu.Unlock()
		if p == nil {
			return
		}
		p.in.grant(s)
	}
}

// next takes a free slot for the head of the line, and returns it; nil when there
// is no slot or no line. The caller holds mu.
func (s *service) next() *partition {
	if s.free <= 0 || s.paused || s.draining || len(s.line) == 0 {
		return nil
	}
	p := s.line[0]
	s.line[0] = nil
	s.line = s.line[1:]
	s.free--
	return p
}

// update shows what the log says of the service. It reports whether the service
// has just been paused.
func (s *service) update(registered bool, set record.ServiceSet, paused bool) (pausedNow bool) {
	s.mu.Lock()
	pausedNow = paused && !s.paused
	s.registered, s.set, s.paused = registered, set, paused
	s.show()
	s.mu.Unlock()
	s.pump()
	return pausedNow
}

func (s *service) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
}

// onDead is what the service wants after a dead letter.
func (s *service) onDead() record.Then {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.local == nil {
		return record.ThenContinue
	}
	switch s.local.OnDead {
	case edda.StopKey:
		return record.ThenStopKey
	case edda.Pause:
		return record.ThenPause
	default:
		return record.ThenContinue
	}
}

// retry is the service's policy.
func (s *service) retry() edda.RetryPolicy {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.local == nil {
		return edda.RetryPolicy{}
	}
	return s.local.Retry
}
