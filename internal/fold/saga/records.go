package saga

import (
	"encoding/json"
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

func noSaga(id string) *refusal {
	return &refusal{edda.NoSaga, fmt.Sprintf("there is no saga %q", id)}
}

// find loads the saga that a record names. Without one the record is refused.
func (m *Machine) find(namespace, id string) (*Saga, error) {
	s, err := m.load(Ref{namespace, id})
	if err == nil && s == nil {
		m.refuse(nil, noSaga(id))
	}
	return s, err
}

// findStep is find for a record that names a step.
func (m *Machine) findStep(namespace, id, name string) (*Saga, int, error) {
	s, err := m.find(namespace, id)
	if err != nil || s == nil {
		return nil, 0, err
	}
	i, ok := s.StepIndex(name)
	if !ok {
		m.refuse(s, &refusal{edda.NoStep, fmt.Sprintf("saga %q has no step %q", id, name)})
		return nil, 0, nil
	}
	return s, i, nil
}

// applyChanged starts, advances or removes a saga.
func (m *Machine) applyChanged(r record.Record) error {
	var c record.SagaChanged
	if err := c.Decode(r.Body); err != nil {
		return err
	}
	m.reserve(Ref{c.Namespace, c.ID}, c.Starts)
	s, err := m.find(c.Namespace, c.ID)
	if err != nil || s == nil {
		return err
	}
	switch {
	case r.Type == record.TypeSagaStarted && s.State == edda.SagaCreated:
		m.start(s)
	case r.Type == record.TypeSagaAdvanced && s.unadvanced:
		m.advancing = s
		m.goOn(s)
	case r.Type == record.TypeSagaRemoved && s.State.Ended() && !s.Nested():
		m.remove(s)
	default:
		m.effect(Unchanged, s)
		return nil
	}
	m.effect(Applied, s)
	return nil
}

func (m *Machine) applyStepsAdded(body []byte) error {
	var a record.SagaStepsAdded
	if err := a.Decode(body); err != nil {
		return err
	}
	s, err := m.find(a.Namespace, a.ID)
	if err != nil || s == nil {
		return err
	}
	if s.State != edda.SagaCreated && s.State != edda.SagaRunning {
		m.refuse(s, &refusal{edda.SagaEnded, fmt.Sprintf("saga %q is %s: steps can be added while it is created or running", a.ID, s.State)})
		return nil
	}
	r, err := m.addSteps(s, a.Steps)
	if err != nil {
		return err
	}
	if r != nil {
		m.refuse(s, r)
		return nil
	}
	m.goOn(s)
	m.effect(Applied, s)
	return nil
}

// applyStepFinished completes or fails a running step. Its request, if it has one,
// is cancelled; what still comes of that is too late.
func (m *Machine) applyStepFinished(body []byte) error {
	var f record.StepFinished
	if err := f.Decode(body); err != nil {
		return err
	}
	m.reserve(Ref{f.Namespace, f.ID}, f.Starts)
	s, i, err := m.findStep(f.Namespace, f.ID, f.Step)
	if err != nil || s == nil {
		return err
	}
	st := &s.steps[i]
	if st.state != stepRunning || st.is(isSaga) {
		m.answer(Unchanged, s, i)
		return nil
	}
	if f.Error == nil && f.Result != nil && !json.Valid(f.Result) {
		m.refuse(s, &refusal{edda.BadSchema, "the result is not a JSON value"})
		return nil
	}
	if r := s.noRoomFor(len(f.Result), "the result"); r != nil {
		m.refuse(s, r)
		return nil
	}
	if _, err := m.cancelRequest(s, i); err != nil {
		return err
	}
	m.answer(Applied, s, i)
	if f.Error != nil {
		e := *f.Error
		if e.Reason == "" {
			e.Reason = edda.Failed
		}
		return m.failStep(s, i, stepFailed, &e)
	}
	return m.succeed(s, i, own(f.Result))
}

// applyCancelled undoes a saga. A deadline also ends the wait for steps that run in a
// saga which has failed.
func (m *Machine) applyCancelled(body []byte) error {
	var c record.SagaCancelled
	if err := c.Decode(body); err != nil {
		return err
	}
	s, err := m.find(c.Namespace, c.ID)
	if err != nil || s == nil {
		return err
	}
	late := c.Failure.Reason == edda.DeadlineExceeded
	if late && s.armed {
		m.disarm(s)
		m.touch(s)
	}
	switch {
	case s.State == edda.SagaCreated || s.State == edda.SagaRunning:
	case late && s.State == edda.SagaCompensating && !s.cancelling && s.running > 0:
	default:
		m.effect(Unchanged, s)
		return nil
	}
	m.effect(Applied, s)
	return m.cancel(s, c.Failure)
}

// applyCompensationChanged is what a person does about a compensation that failed.
func (m *Machine) applyCompensationChanged(body []byte) error {
	var c record.CompensationChanged
	if err := c.Decode(body); err != nil {
		return err
	}
	s, i, err := m.findStep(c.Namespace, c.ID, c.Step)
	if err != nil || s == nil {
		return err
	}
	u := s.steps[i].undo
	if u == nil || u.state != undoFailed {
		m.answer(Unchanged, s, i)
		return nil
	}
	st := m.touchStep(s, i)
	s.undoFailed--
	switch c.Action {
	case edda.RetryCompensation:
		*u = undoing{run: u.run + 1, unknown: u.unknown}
		s.ready = append(s.ready, uint32(i))
	case edda.SkipCompensation:
		st.state, u.state, u.endedAt = stepNotCompensated, undoSkipped, m.env.Time
		m.settle(s, i)
	default:
		st.state, u.state, u.endedAt = stepCompensated, undoResolved, m.env.Time
		m.settle(s, i)
	}
	if s.State == edda.SagaCompensationFailed && (len(s.ready) > 0 || s.undoFailed == 0) {
		s.State, s.EndedAt = edda.SagaCompensating, 0
	}
	m.goOn(s)
	m.answer(Applied, s, i)
	return nil
}

// applyStepEnded is StepEnded for a request that lived in another partition. It may have
// come from a saga that was removed since, when its step was finished by call: that is
// nobody's then, also if there is another saga with its id.
func (m *Machine) applyStepEnded(body []byte) error {
	var e record.StepEnded
	if err := e.Decode(body); err != nil {
		return err
	}
	if e.Origin.Number != 0 && !m.outbox.Receive(e.Origin) {
		m.reserve(Ref{e.Namespace, e.Step.Saga}, e.Starts)
		return m.finish(nil)
	}
	s, err := m.load(Ref{e.Namespace, e.Step.Saga})
	if err == nil && s != nil && !s.asked(&e) {
		m.reserve(s.Ref(), e.Starts)
		return m.finish(nil)
	}
	return m.StepEnded(&e, e.Starts)
}

// StepEnded applies the end of a step's request. Starts are the steps that slots are
// reserved for.
func (m *Machine) StepEnded(e *record.StepEnded, starts []uint32) error {
	ref := Ref{e.Namespace, e.Step.Saga}
	m.reserve(ref, starts)
	s, err := m.load(ref)
	if err == nil && s != nil && int(e.Step.Index) < len(s.steps) {
		if e.Step.Undo {
			err = m.undoEnded(s, int(e.Step.Index), e)
		} else {
			err = m.requestEnded(s, int(e.Step.Index), e)
		}
	}
	return m.finish(err)
}
