package rpcgw

import (
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

var _ node.Runner = (*session)(nil)

// Start has an attempt be sent to the worker.
func (s *session) Start(a *node.Attempt) {
	h := &held{Attempt: a}
	s.mu.Lock()
	s.attempts[a.ID()] = h
	s.mu.Unlock()
	s.out.put(item{dispatch: h})
}

// Fenced tells the worker that an attempt was given up, unless it never heard of
// the attempt; then the writer ends it.
func (s *session) Fenced(a *node.Attempt, why error) {
	s.mu.Lock()
	h := s.attempts[a.ID()]
	if h != nil {
		h.fenced = true
		s.fenced++
	}
	unsent := h != nil && !h.sent
	flood := s.fenced > maxFenced
	s.mu.Unlock()
	if flood {
		s.end(badFrame("%d attempts were fenced, and the worker has not ended them", maxFenced))
	}
	if unsent {
		return
	}
	// Without h the worker has just ended the attempt, too late, or will never be
	// given it, and passes over the id.
	s.out.put(item{frame: fencedFrame(a.ID(), &edda.Error{Reason: edda.Fenced, Err: why})})
}

// maxFenced is how many fenced attempts a worker may leave without an end.
const maxFenced = 16 << 10

func fencedFrame(id uint64, why error) *eddav1.NodeFrame {
	return &eddav1.NodeFrame{Frame: &eddav1.NodeFrame_Fenced{Fenced: &eddav1.Fenced{AttemptId: id, Error: errorOf(why)}}}
}

// Members tells the worker who shares the keys of a service.
func (s *session) Members(service edda.Address, ids []string) {
	frame, err := s.g.members.frame(service, ids)
	if err != nil {
		s.end(fmt.Errorf("encode the members of %s: %w", service, err))
		return
	}
	s.out.setMembers(service, frame)
}

// Drain tells the worker that it is given nothing more.
func (s *session) Drain(reason string, stopping bool) {
	s.out.put(item{frame: &eddav1.NodeFrame{Frame: &eddav1.NodeFrame_Drain{Drain: &eddav1.Drain{Reason: reason, Stopping: stopping}}}})
}
