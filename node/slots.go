package node

import (
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/slot"
)

// The pools of a service's slots are package slot's. What stands in their lines are
// partitions, by their numbers, and a host is what follows.

// host is a service on a worker.
type host struct {
	slot    slot.Host[*host]
	svc     *service
	w       *Worker
	version string
	def     *edda.Service // nil: its handlers run elsewhere
}

type (
	queue = slot.Queue[*host]
	grant = slot.Grant[*host]
)

// acquire takes a slot for a request, if one is free and nobody is in line before.
func (s *service) acquire(hash uint64, version string) *host {
	if h := s.slots.Acquire(hash, version); h != nil {
		return h.Of
	}
	return nil
}

// acquireOrJoin is acquire, and puts the partition in the line that it returns when
// there is no slot.
func (s *service) acquireOrJoin(hash uint64, version string, p *partition) (*host, queue) {
	h, q := s.slots.AcquireOrJoin(hash, version, slot.Waiter(p.id))
	if h == nil {
		return nil, q
	}
	return h.Of, q
}

// give hands a slot to the partition that was at the head of a line, if one was.
func give(g grant) {
	if g.Host != nil {
		g.Host.Of.w.n.parts[g.To].in.grant(g)
	}
}

// keep reports whether a slot of the host that is free again may go to the next
// request of the same key without an injustice to others.
func (h *host) keep(hash uint64) bool { return h.slot.Keep(hash) }

// release gives a slot back, to the head of the line if there is one.
func (h *host) release() { give(h.slot.Release()) }

// abandon gives back the slot of a handler that was fenced and has not returned. It is
// false when too many linger like that, and the slot stays taken.
func (h *host) abandon() bool {
	g, ok := h.slot.Abandon()
	give(g)
	return ok
}

// returned notes that an abandoned handler has returned after all.
func (h *host) returned() { h.slot.Returned() }

// resize changes how many slots the host has.
func (h *host) resize(slots int) {
	h.slot.Resize(slots)
	h.svc.pump()
}

// pump gives free slots to the partitions in line.
func (s *service) pump() {
	for g := s.slots.Next(); g.Host != nil; g = s.slots.Next() {
		give(g)
	}
}

// regroup makes the pools anew after hosts came, went, or changed whether they are
// given requests. It returns the partitions that were in line, which have to choose
// again. The caller holds mu.
func (s *service) regroup() (again []slot.Waiter) {
	hosts := make([]*slot.Host[*host], len(s.hosts))
	for i, h := range s.hosts {
		hosts[i] = &h.slot
	}
	enough := s.enough()
	again = s.slots.Regroup(s.set.Kind == edda.Ordered, hosts, func(h *host) bool { return enough && h.w.takes.Load() })
	s.show()
	return again
}

// members returns the workers that share the keys of the service, and their ids.
func (s *service) members() (ids []string, hosts []*host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.telling = false
	for _, h := range s.slots.Newest() {
		ids = append(ids, h.w.spec.ID)
	}
	slices.Sort(ids)
	return ids, slices.Clone(s.hosts)
}
