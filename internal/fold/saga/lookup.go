package saga

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
)

// Get returns what is known of a saga at a time, or nil. One that is not in memory is
// read from the table, and is then a copy.
func (m *Machine) Get(namespace, id string, now int64) (*Saga, error) {
	ref := Ref{namespace, id}
	s := m.sagas[ref]
	if s == nil {
		var err error
		if s, err = m.read(ref); err != nil || s == nil {
			return nil, err
		}
	}
	if hidden, err := m.hidden(s, now); err != nil || hidden {
		return nil, err
	}
	return s, nil
}

// hidden reports whether the saga, or the one that it belongs to, is kept no longer.
func (m *Machine) hidden(s *Saga, now int64) (bool, error) {
	if !s.Nested() {
		return s.expired(now), nil
	}
	ref := s.Ref().root()
	if r := m.sagas[ref]; r != nil {
		return r.expired(now), nil
	}
	r, err := m.readWithoutSteps(ref)
	return r == nil || r.expired(now), err
}

// load returns a saga for a record that is applied, or nil. It is in memory then.
func (m *Machine) load(ref Ref) (*Saga, error) {
	s := m.sagas[ref]
	if s == nil {
		var err error
		if s, err = m.read(ref); err != nil || s == nil {
			return nil, err
		}
		m.sagas[ref] = s
		m.grown += s.held
	}
	s.touched = true
	return s, nil
}

// readWithoutSteps reads the row of a saga.
func (m *Machine) readWithoutSteps(ref Ref) (*Saga, error) {
	if m.gone[ref.root()] {
		return nil, nil
	}
	row, found, err := m.env.Table.Get(sagaRow(ref))
	if err != nil || !found {
		return nil, err
	}
	return m.readRow(ref, row)
}

// read reads a saga from the table.
func (m *Machine) read(ref Ref) (*Saga, error) {
	s, err := m.readWithoutSteps(ref)
	if err != nil || s == nil {
		return nil, err
	}
	prefix := append(fold.Row(rowStep, ref.key()), 0)
	end := append(fold.Row(rowStep, ref.key()), 1)
	s.steps = make([]step, 0, s.count)
	for p, err := range m.env.Table.Scan(prefix, end) {
		if err != nil {
			return nil, err
		}
		if at := p.Key[len(prefix):]; len(at) != 8 || binary.BigEndian.Uint64(at) != uint64(len(s.steps)) {
			return nil, fmt.Errorf("step %d of saga %q has the row %x", len(s.steps), ref.ID, p.Key)
		}
		s.steps = append(s.steps, step{})
		if err := m.readStep(&s.steps[len(s.steps)-1], slices.Clone(p.Value)); err != nil {
			return nil, fmt.Errorf("step %d of saga %q: %w", len(s.steps)-1, ref.ID, err)
		}
	}
	if len(s.steps) != s.count {
		return nil, fmt.Errorf("saga %q has %d steps, its row says %d", ref.ID, len(s.steps), s.count)
	}
	return s, s.restore()
}

// restore finds out what rows do not say: who waits for whom, and what is ready.
func (s *Saga) restore() error {
	for i := range s.steps {
		for _, d := range s.steps[i].deps {
			if int(d) >= len(s.steps) {
				return fmt.Errorf("step %q of saga %q depends on step %d, which there is not", s.steps[i].id, s.ID, d)
			}
		}
	}
	s.link(0)
	for i := range s.steps {
		st := &s.steps[i]
		s.held += len(st.spec) + len(st.result)
		switch {
		case st.state == stepRunning:
			s.running++
			if err := s.findSent(i); err != nil {
				return err
			}
		case st.state == stepCompensating && (st.is(isSaga) || st.undo.state == undoRunning):
			s.undoing++
		case st.state == stepCompensating && st.undo.state == undoFailed:
			s.undoFailed++
		}
	}
	switch s.State {
	case edda.SagaCompensating, edda.SagaCompensationFailed, edda.SagaCompensated:
		s.begun = s.running == 0
	}
	for i := range s.steps {
		st := &s.steps[i]
		if s.begun {
			st.waits = 0
			for _, n := range st.next {
				if !s.steps[n].settled() {
					st.waits++
				}
			}
		}
		undo := s.begun && (st.state == stepSucceeded && st.waits == 0 ||
			st.state == stepCompensating && !st.is(isSaga) && st.undo.state == undoWaiting)
		if undo || s.State == edda.SagaRunning && st.state == stepReady {
			s.ready = append(s.ready, uint32(i))
		}
	}
	return nil
}

// remove lets go of a saga that has ended, and of those that its steps are.
func (m *Machine) remove(s *Saga) {
	m.gone[s.Ref().root()] = true
	s.dropped = true
	m.disarm(s)
	delete(m.sagas, s.Ref())
	for i := range s.steps {
		if s.steps[i].is(isSaga) {
			m.removeNested(s, i)
		}
	}
}

func (m *Machine) removeNested(s *Saga, i int) {
	if child := m.sagas[Ref{s.Namespace, s.childID(i)}]; child != nil {
		m.remove(child)
	}
}

// NextDeadline returns the earliest deadline that matters, zero when there is none.
func (m *Machine) NextDeadline() int64 {
	d, _ := m.deadlines.Min()
	return d.at
}

// Due returns at most n sagas whose deadlines have passed, the earliest first.
func (m *Machine) Due(now int64, n int) []Ref {
	var due []Ref
	m.deadlines.Ascend(func(d deadline) bool {
		if d.at > now || len(due) == n {
			return false
		}
		due = append(due, d.saga)
		return true
	})
	return due
}

// Unadvanced returns the sagas with steps that are ready and were not started, for
// want of room in a record.
func (m *Machine) Unadvanced() []Ref {
	refs := make([]Ref, 0, len(m.unadvanced))
	for ref := range m.unadvanced {
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, Ref.compare)
	return refs
}

// Loaded returns the number of sagas in memory.
func (m *Machine) Loaded() int { return len(m.sagas) }
