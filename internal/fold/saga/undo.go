package saga

import (
	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// undoReady undoes the steps whose turn it is, and ends the saga when none is left.
func (m *Machine) undoReady(s *Saga) error {
	if !s.begun {
		m.beginUndo(s)
	}
	for at := 0; at < len(s.ready); { // which grows
		room, err := m.undoStep(s, int(s.ready[at]))
		if err != nil {
			return err
		}
		if !room {
			m.leaveOver(s, at)
			return nil
		}
		at++
	}
	m.nothingLeft(s)
	switch {
	case s.undoing > 0:
		return nil
	case s.undoFailed > 0:
		return m.end(s, edda.SagaCompensationFailed)
	default:
		return m.end(s, edda.SagaCompensated)
	}
}

// beginUndo counts, now that no step runs any more, what has to be undone before each
// step.
func (m *Machine) beginUndo(s *Saga) {
	s.begun = true
	m.disarm(s)
	m.touch(s)
	for i := range s.steps {
		st := &s.steps[i]
		if st.state != stepSucceeded {
			continue
		}
		st.waits = 0
		for _, n := range st.next {
			if !s.steps[n].settled() {
				st.waits++
			}
		}
		if st.waits == 0 {
			s.ready = append(s.ready, uint32(i))
		}
	}
}

// settle says that nothing is left to be done about a step, so that those it depends
// on may be undone.
func (m *Machine) settle(s *Saga, i int) {
	for _, d := range s.steps[i].deps {
		dep := &s.steps[d]
		if dep.waits--; dep.waits == 0 {
			s.ready = append(s.ready, d)
		}
	}
}

// undoStep makes the request that undoes a step. A step that nothing undoes stands as
// it is. It is false when the record has no room.
func (m *Machine) undoStep(s *Saga, i int) (room bool, err error) {
	st := &s.steps[i]
	if st.is(isSaga) {
		return true, m.undoNested(s, i)
	}
	if !st.is(compensated) {
		m.touchStep(s, i).state = stepNotCompensated
		m.settle(s, i)
		return true, nil
	}
	var t record.StepTask
	if err := t.Decode(st.spec, true); err != nil {
		return false, err
	}
	u := st.undo
	if u == nil {
		u = &undoing{}
	}
	payload, tooLarge := s.input(i, &t.Task, s.inputSize(i, &t.Task, true), true)
	if tooLarge == nil {
		if room, err := m.request(s, i, &t, payload, u); err != nil || !room {
			return false, err
		}
	}
	st = m.touchStep(s, i)
	st.state, st.undo = stepCompensating, u
	u.state, u.startedAt = undoRunning, m.env.Time
	s.undoing++
	if tooLarge != nil {
		m.undoFails(s, i, tooLarge)
	}
	return true, nil
}

// undoEnded applies the end of the request that undoes a step. Only its status
// counts: a compensation has no result.
func (m *Machine) undoEnded(s *Saga, i int, e *record.StepEnded) error {
	u := s.steps[i].undo
	if u == nil || u.state != undoRunning || u.run != e.Step.Run {
		return nil
	}
	m.touchStep(s, i)
	u.attempts = uint32(e.Attempts)
	m.goOn(s)
	if e.State != edda.StateSucceeded {
		m.undoFails(s, i, errorOf(e))
		return nil
	}
	if e.Pending {
		m.undoFails(s, i, &edda.StepError{Reason: edda.Failed, Message: "a compensation cannot be completed later"})
		return nil
	}
	h, err := record.ReadReply(e.Reply)
	if err != nil || h.Status >= 400 {
		m.undoFails(s, i, &edda.StepError{Reason: edda.Failed, Message: clip(h.Payload), Status: h.Status})
		return nil
	}
	u.state, u.endedAt = undoSucceeded, m.env.Time
	m.undone(s, i)
	return nil
}

// undone says that a step is undone.
func (m *Machine) undone(s *Saga, i int) {
	m.touchStep(s, i).state = stepCompensated
	s.undoing--
	m.settle(s, i)
	m.undoEffect(s, i, edda.CompensationSucceeded)
	m.goOn(s)
}

// undoFails says that a compensation has failed for good. What the step depends on
// waits until a person has dealt with it.
func (m *Machine) undoFails(s *Saga, i int, e *edda.StepError) {
	u := s.steps[i].undo
	u.state, u.err, u.endedAt = undoFailed, e, m.env.Time
	s.undoing--
	s.undoFailed++
	m.undoEffect(s, i, edda.CompensationFailed)
}

func (m *Machine) undoEffect(s *Saga, i int, c edda.CompensationState) {
	m.effects = append(m.effects, Effect{Kind: StepEnded, Saga: s, Step: i, Undone: c})
}
