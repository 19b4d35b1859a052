package saga

import (
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// startNested creates and starts the saga that a step is.
func (m *Machine) startNested(s *Saga, i int) error {
	var h record.StepHead
	if err := h.Decode(s.steps[i].spec); err != nil {
		return err
	}
	var n record.NestedSaga
	if err := n.Decode(h.Saga); err != nil {
		return err
	}
	child := m.newSaga(Ref{s.Namespace, s.childID(i)}, n.Name)
	if Depth(child.ID) > edda.MaxSagaDepth { // it was added to a nested one
		return m.failStep(s, i, stepFailed, &edda.StepError{
			Reason: edda.TooLarge, Message: fmt.Sprintf("sagas would be nested deeper than %d", edda.MaxSagaDepth),
		})
	}
	child.OnFailure, child.Deadline = n.OnFailure, n.Deadline
	if n.DeadlineAfter != 0 {
		child.Deadline = m.env.Time + int64(n.DeadlineAfter)
	}
	child.Principal, child.Correlation = s.Principal, s.correlation()
	child.TraceParent, child.TraceState = s.TraceParent, s.TraceState
	child.secret = s.childSecret(i)
	r, err := m.addSteps(child, n.Steps)
	if err != nil {
		return err
	}
	if r != nil {
		return m.failStep(s, i, stepFailed, &edda.StepError{Reason: r.reason, Message: r.detail})
	}
	m.run(s, i)
	m.admit(child)
	m.start(child)
	return nil
}

// child loads the saga that a step is.
func (m *Machine) child(s *Saga, i int) (*Saga, error) {
	child, err := m.load(Ref{s.Namespace, s.childID(i)})
	if err == nil && child == nil {
		return nil, fmt.Errorf("saga %q has lost the saga that its step %q is", s.ID, s.steps[i].id)
	}
	return child, err
}

// cancelNested cancels the saga that a running step is. The step runs until that is
// undone.
func (m *Machine) cancelNested(s *Saga, i int) error {
	child, err := m.child(s, i)
	if err != nil {
		return err
	}
	return m.cancel(child, record.Failure{Reason: edda.Cancelled, Message: fmt.Sprintf("saga %q, which it is a step of, is undone", s.ID)})
}

// undoNested undoes the saga that a step is.
func (m *Machine) undoNested(s *Saga, i int) error {
	child, err := m.child(s, i)
	if err != nil {
		return err
	}
	m.touchStep(s, i).state = stepCompensating
	s.undoing++
	if child.EndedAt == m.env.Time { // it had ended for a moment only
		m.effects = slices.DeleteFunc(m.effects, func(e Effect) bool { return e.Kind == Ended && e.Saga == child })
	}
	child.EndedAt = 0
	return m.fail(child, record.Failure{Reason: s.Reason, Message: fmt.Sprintf("saga %q, which it is a step of, is undone", s.ID)}, false)
}

// report tells the saga that a nested one is a step of how it ended. One with a
// failed compensation has not: its step waits for the person who deals with it.
func (m *Machine) report(child *Saga) error {
	if child.State == edda.SagaCompensationFailed {
		return nil
	}
	ref, name := child.parent()
	s, err := m.load(ref)
	if err != nil {
		return err
	}
	if s == nil {
		return fmt.Errorf("nested saga %q belongs to none", child.ID)
	}
	i, ok := s.StepIndex(name)
	if !ok {
		return fmt.Errorf("nested saga %q is no step", child.ID)
	}
	switch state := s.steps[i].state; {
	case state == stepCompensating:
		m.undone(s, i)
		return nil
	case state != stepRunning:
		return nil
	case child.State == edda.SagaSucceeded:
		return m.succeed(s, i, child.leaves())
	}
	to := stepFailed
	if s.cancelling {
		to = stepCancelled
	}
	return m.failStep(s, i, to, &edda.StepError{Reason: child.Reason, Message: child.Detail})
}

// leavesSize is how large what leaves returns is at most.
func (s *Saga) leavesSize() int {
	size := 2
	for i := range s.steps {
		if st := &s.steps[i]; len(st.next) == 0 {
			size += len(st.id) + len(st.result) + 4
		}
	}
	return size
}

// leaves returns the results of the steps that no other depends on, as an object.
func (s *Saga) leaves() []byte {
	b := append(make([]byte, 0, s.leavesSize()), '{')
	for i := range s.steps {
		st := &s.steps[i]
		if len(st.next) > 0 {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), st.id...), '"', ':')
		b = append(b, st.result...)
	}
	return append(b, '}')
}
