package saga

import (
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// fewWaits is how many other dependencies of a step are looked at one by one.
const fewWaits = 16

// Starts returns the steps that may start once a step of a saga has succeeded. Ended
// says of another step that its end is on its way too; nil says it of none.
func (m *Machine) Starts(ref Ref, index uint32, ended func(other uint32) bool) []Start {
	s, err := m.load(ref)
	if err != nil || s == nil || s.State != edda.SagaRunning || int(index) >= len(s.steps) || s.steps[index].state != stepRunning {
		return nil
	}
	var starts []Start
	for _, n := range s.steps[index].next {
		st := &s.steps[n]
		if st.waits > fewWaits || len(starts) > 0 && starts[len(starts)-1].Index == n {
			continue
		}
		left := st.waits
		for _, d := range st.deps {
			if !s.steps[d].hasSucceeded() && (d == index || ended != nil && ended(d)) {
				left--
			}
		}
		if left == 0 {
			starts = s.appendStart(starts, n, false)
		}
	}
	return starts
}

// Awaits reports whether a saga of this partition waits, once the step has succeeded,
// for others that run now.
func (m *Machine) Awaits(ref Ref, index uint32) bool {
	s := m.sagas[ref]
	if s == nil || s.running < 2 || int(index) >= len(s.steps) {
		return false
	}
	for _, n := range s.steps[index].next {
		if s.steps[n].waits < 2 {
			return false
		}
	}
	return true
}

// appendStart appends a step, or its compensation, if it is a request.
func (s *Saga) appendStart(starts []Start, i uint32, undo bool) []Start {
	var t record.StepTask
	if !s.steps[i].asks(undo) || t.Decode(s.steps[i].spec, undo) != nil {
		return starts
	}
	return append(starts, Start{
		Index: i, Address: edda.Address{Namespace: s.Namespace, Name: t.Service, Key: t.Key}, Method: t.Method, Hash: s.hashOf(&t.Task),
	})
}

// Roots returns the steps that start with the saga: those that depend on none.
func (s *Saga) Roots() []Start {
	var starts []Start
	for i := range s.steps {
		if len(s.steps[i].deps) == 0 {
			starts = s.appendStart(starts, uint32(i), false)
		}
	}
	return starts
}

// Roots returns the steps that start with a saga which is to be created.
func Roots(c *record.SagaCreated) []Start {
	s := &Saga{Namespace: c.Namespace, ID: c.ID, hash: Hash(c.Namespace, c.ID)}
	var h record.StepHead
	var starts []Start
	for i, spec := range c.Steps {
		if h.Decode(spec) != nil || len(h.Places)+len(h.After) > 0 {
			s.steps = append(s.steps, step{})
			continue
		}
		s.steps = append(s.steps, step{spec: spec, flags: flagsOf(&h)})
		starts = s.appendStart(starts, uint32(i), false)
	}
	return starts
}

// Undoes returns the steps that may be undone at once when a step that runs ends
// badly, or well in a saga that has failed before. Of other steps the end may be on
// its way too: they may succeed, and then are undone with the rest. It takes as long
// as a look at all steps, but for a saga in which others run, where nothing is undone
// yet.
func (m *Machine) Undoes(ref Ref, index uint32, well bool, ended func(other uint32) bool) []Start {
	s, err := m.load(ref)
	if err != nil || s == nil || s.begun || s.State != edda.SagaCompensating && (well || s.State != edda.SagaRunning) ||
		int(index) >= len(s.steps) || s.steps[index].state != stepRunning || s.running > fewWaits {
		return nil
	}
	ends := make(map[uint32]bool, s.running) // of steps that run
	if well {
		ends[index] = true
	}
	for i := range s.steps {
		if s.steps[i].state == stepRunning && uint32(i) != index {
			if !ended(uint32(i)) {
				return nil
			}
			ends[uint32(i)] = true
		}
	}
	var starts []Start
	for i := range s.steps {
		st := &s.steps[i]
		if !st.is(compensated) || st.state != stepSucceeded && !ends[uint32(i)] {
			continue
		}
		if !slices.ContainsFunc(st.next, func(n uint32) bool { return !s.steps[n].settled() || ends[n] }) {
			starts = s.appendStart(starts, uint32(i), true)
		}
	}
	return starts
}

// UndoesAfter returns the steps that may be undone once a step is, given that of other
// compensations the end is on its way too.
func (m *Machine) UndoesAfter(ref Ref, index uint32, ended func(other uint32) bool) []Start {
	s, err := m.load(ref)
	if err != nil || s == nil || s.State != edda.SagaCompensating || int(index) >= len(s.steps) || s.steps[index].state != stepCompensating {
		return nil
	}
	var starts []Start
	for _, d := range s.steps[index].deps {
		dep := &s.steps[d]
		if !dep.is(compensated) || dep.state != stepSucceeded || dep.waits > fewWaits {
			continue
		}
		if !slices.ContainsFunc(dep.next, func(n uint32) bool { return n != index && !s.steps[n].settled() && !ended(n) }) {
			starts = s.appendStart(starts, d, true)
		}
	}
	return starts
}
