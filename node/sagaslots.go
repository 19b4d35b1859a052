package node

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/record"
)

// sagaPart is what there is to be done about a record that may change sagas.
type sagaPart struct {
	// change, when not nil, is told.
	change *sagaChange
	// slots are for the steps that the record may make ready.
	slots *reserved
	// ends is what the record ends, if ending says so.
	ends   stepRef
	ending bool
	// awaits says that nothing follows from that before others of the saga have ended.
	awaits bool
	// starts says that somebody starts a saga by the record.
	starts bool
	// away says that steps which start with the record go to other partitions.
	away bool
	// due says that the record is there because of a deadline.
	due bool
}

// stepRef names a step, or its compensation.
type stepRef struct {
	saga  sagafold.Ref
	index uint32
	undo  bool
}

// reserved are slots for steps of one saga. Those that the record does not start are
// given back when it is applied.
type reserved struct {
	saga  sagafold.Ref
	steps []uint32
	hosts []*host // one for each of the steps; nil once it is used
}

// reserve takes slots for steps as far as there are free ones. A step whose request
// goes to another partition, or has to wait for its key's turn, gets none.
func (p *partition) reserve(saga sagafold.Ref, starts []sagafold.Start) *reserved {
	var r *reserved
	var none *service // the last one that had no slot
	for i := range starts {
		s := &starts[i]
		svc := p.n.known(s.Address.Namespace, s.Address.Name)
		if svc == nil || svc == none || p.n.homeOf(s.Hash) != p || s.Address.Key != "" && p.requests.Key(s.Address) != nil {
			continue
		}
		h := svc.acquire(s.Hash, "")
		if h == nil {
			if s.Address.Key == "" {
				none = svc
			}
			continue
		}
		if r == nil {
			r = &reserved{saga: saga}
		}
		r.steps = append(r.steps, s.Index)
		r.hosts = append(r.hosts, h)
	}
	return r
}

// indexes are the steps that there are slots for, as they stand in the record.
func (r *reserved) indexes() []uint32 {
	if r == nil {
		return nil
	}
	return r.steps
}

// take returns the slot of a step's request; nil when there is none.
func (r *reserved) take(namespace string, s *record.Step) *host {
	if r == nil || s == nil || s.Saga != r.saga.ID || namespace != r.saga.Namespace {
		return nil
	}
	for i, index := range r.steps {
		if h := r.hosts[i]; h != nil && index == s.Index {
			r.hosts[i] = nil
			return h
		}
	}
	return nil
}

// release gives back what was not used.
func (r *reserved) release() {
	if r == nil {
		return
	}
	for i, h := range r.hosts {
		if h != nil {
			r.hosts[i] = nil
			h.release()
		}
	}
}

// slotFor returns the slot that was reserved for a request which the record starts.
func (pr *proposal) slotFor(r *request.Request) *host {
	if pr.saga != nil {
		if h := pr.saga.slots.take(r.To.Namespace, r.Step); h != nil {
			return h
		}
	}
	if h := pr.deliveries.take(r); h != nil {
		return h
	}
	h := pr.slot
	pr.slot = nil
	return h
}

// spare gives back the slot that was reserved for what the record makes ready beside
// the steps of sagas.
func (pr *proposal) spare() {
	if h := pr.slot; h != nil {
		pr.slot = nil
		h.release()
	}
}

// ending reserves slots for the steps that may start, or be undone, once the request
// of a step or of a compensation has ended, well or not, which a record is about to
// say. Others whose end is on its way count as ended.
func (p *partition) ending(s *sagaPart, ends stepRef, well bool) {
	s.ends, s.ending = ends, true
	s.awaits = well && p.awaitsOthers(ends)
	ended := func(other uint32) bool { return p.stepEnds[stepRef{ends.saga, other, ends.undo}] > 0 }
	switch {
	case !ends.undo:
		var starts []sagafold.Start
		if well {
			starts = p.sagas.Starts(ends.saga, ends.index, ended)
		}
		if starts == nil {
			starts = p.sagas.Undoes(ends.saga, ends.index, well, ended)
		}
		s.slots = p.reserve(ends.saga, starts)
	case well:
		s.slots = p.reserve(ends.saga, p.sagas.UndoesAfter(ends.saga, ends.index, ended))
	}
	p.stepEnds[ends]++
}

// endApplied forgets that the end is on its way.
func (p *partition) endApplied(s *sagaPart) {
	if !s.ending {
		return
	}
	if p.stepEnds[s.ends]--; p.stepEnds[s.ends] == 0 {
		delete(p.stepEnds, s.ends)
	}
}

// endedHere is ending for an attempt at a step of a saga in this partition, if it is
// one.
func (p *partition) endedHere(a *Attempt) *sagaPart {
	if a.step == nil || p.n.homeOf(a.step.Hash) != p {
		return nil
	}
	s := &sagaPart{}
	well := a.failure.Reason == "" && a.status < 400
	p.ending(s, stepRef{sagafold.Ref{Namespace: a.req.To.Namespace, ID: a.step.Saga}, a.step.Index, a.step.Undo}, well)
	return s
}

// endedElsewhere is ending for a step whose request has ended in another partition,
// as that says.
func (p *partition) endedElsewhere(body []byte) *sagaPart {
	var e record.StepEnded
	if e.Decode(body) != nil {
		return nil // the fold will say what is wrong with it
	}
	if e.Pending {
		return nil
	}
	s := &sagaPart{}
	p.ending(s, stepRef{sagafold.Ref{Namespace: e.Namespace, ID: e.Step.Saga}, e.Step.Index, e.Step.Undo}, e.State == edda.StateSucceeded)
	return s
}
