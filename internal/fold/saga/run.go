package saga

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// start starts a saga that was created.
func (m *Machine) start(s *Saga) {
	s.State, s.StartedAt = edda.SagaRunning, m.env.Time
	for i := range s.steps {
		if s.steps[i].waits == 0 {
			m.touchStep(s, i)
			s.makeReady(i)
		}
	}
	m.touch(s)
	m.goOn(s)
}

// makeReady says that a step may start.
func (s *Saga) makeReady(i int) {
	s.steps[i].state = stepReady
	s.ready = append(s.ready, uint32(i))
}

// advance does what has become possible in a saga.
func (m *Machine) advance(s *Saga) error {
	if err := m.startReady(s); err != nil {
		return err
	}
	switch {
	case s.State == edda.SagaRunning && s.succeeded == len(s.steps):
		return m.complete(s)
	case s.State == edda.SagaCompensating && s.running == 0:
		return m.undoReady(s)
	default:
		return nil
	}
}

// startReady starts the steps that are ready, as far as the record has room.
func (m *Machine) startReady(s *Saga) error {
	for at := 0; s.State == edda.SagaRunning && at < len(s.ready); at++ {
		began, err := m.startStep(s, int(s.ready[at]))
		switch {
		case err != nil:
			return err
		case began == noRoom:
			m.leaveOver(s, at)
			return nil
		case began == notYet:
			m.wait(s, at)
			return nil
		}
	}
	if s.State == edda.SagaRunning {
		m.nothingLeft(s)
	}
	return nil
}

// leaveOver keeps the ready steps from at on for another record. They are put in the
// order in which they would be found in the table.
func (m *Machine) leaveOver(s *Saga, at int) {
	s.ready = slices.Delete(s.ready, 0, at)
	slices.Sort(s.ready)
	if !s.unadvanced || m.advancing == s {
		m.effect(Advance, s)
	}
	m.advancing = nil
	s.unadvanced = true
	m.unadvanced[s.Ref()] = true
	m.touch(s)
}

// wait keeps the ready steps from at on until one that runs has ended.
func (m *Machine) wait(s *Saga, at int) {
	left := slices.Clone(s.ready[at:])
	slices.Sort(left) // as in leaveOver
	m.nothingLeft(s)
	s.ready = left
}

// nothingLeft says that all ready steps were started.
func (m *Machine) nothingLeft(s *Saga) {
	s.ready = nil
	if s.unadvanced {
		s.unadvanced = false
		delete(m.unadvanced, s.Ref())
		m.touch(s)
	}
}

// beginning says what became of a step that was to start.
type beginning uint8

const (
	begun  beginning = iota
	noRoom           // in the record: it starts in another one
	notYet           // steps that run have to end before
)

// maxUnderWay bounds what the steps of a saga that run at a time are sent together, in
// bytes: a large result that many steps depend on is copied for each.
const maxUnderWay = 64 << 20

// startStep makes the request of a step, or the saga or the message that it is.
func (m *Machine) startStep(s *Saga, i int) (beginning, error) {
	if s.steps[i].is(isSaga) {
		return begun, m.startNested(s, i)
	}
	var t record.StepTask
	if err := t.Decode(s.steps[i].spec, false); err != nil {
		return begun, err
	}
	size := s.inputSize(i, &t.Task, false)
	if t.Queue == nil && size <= edda.MaxStepInputBytes && s.underWay+size > maxUnderWay {
		return notYet, nil
	}
	payload, tooLarge := s.input(i, &t.Task, size, false)
	if tooLarge != nil {
		return begun, m.failStep(s, i, stepFailed, tooLarge)
	}
	if t.Queue != nil {
		return m.startQueue(s, i, &t, payload)
	}
	room, err := m.request(s, i, &t, payload, nil)
	if err != nil || !room {
		return noRoom, err
	}
	m.run(s, i)
	s.steps[i].sent = uint32(size)
	s.underWay += size
	return begun, nil
}

// findSent finds out what a step that runs was sent.
func (s *Saga) findSent(i int) error {
	st := &s.steps[i]
	if st.is(isSaga | pending) {
		return nil
	}
	var t record.StepTask
	if err := t.Decode(st.spec, false); err != nil {
		return err
	}
	st.sent = uint32(s.inputSize(i, &t.Task, false))
	s.underWay += int(st.sent)
	return nil
}

// requestOver says that the request of a step is not under way any more.
func (s *Saga) requestOver(i int) {
	s.underWay -= int(s.steps[i].sent)
	s.steps[i].sent = 0
}

// run says that a step runs.
func (m *Machine) run(s *Saga, i int) {
	st := m.touchStep(s, i)
	st.state, st.startedAt = stepRunning, m.env.Time
	s.running++
}

// requestEnded applies the end of a step's request.
func (m *Machine) requestEnded(s *Saga, i int, e *record.StepEnded) error {
	st := &s.steps[i]
	if st.state != stepRunning || st.is(pending|isSaga) {
		return nil // it was finished by call, or cancelled
	}
	st = m.touchStep(s, i)
	st.attempts = uint32(e.Attempts)
	if e.State != edda.StateSucceeded {
		to := stepFailed
		if e.State == edda.StateCancelled && st.is(cancelAsked) {
			to = stepCancelled
		}
		return m.failStep(s, i, to, errorOf(e))
	}
	var result []byte
	if !e.Pending {
		var bad *edda.StepError
		if result, bad = resultOf(e.Reply); bad != nil {
			return m.failStep(s, i, stepFailed, bad)
		}
		if r := s.noRoomFor(len(result), "the result"); r != nil {
			return m.failStep(s, i, stepFailed, &edda.StepError{Reason: r.reason, Message: r.detail})
		}
	}
	if s.State == edda.SagaRunning && len(e.Added) > 0 {
		r, err := m.addSteps(s, ownAll(e.Added))
		if err != nil {
			return err
		}
		if r != nil {
			return m.failStep(s, i, stepFailed, &edda.StepError{Reason: r.reason, Message: "the steps that it adds: " + r.detail})
		}
		m.goOn(s)
	}
	switch {
	case !e.Pending:
		return m.succeed(s, i, result)
	case s.steps[i].is(cancelAsked):
		return m.failStep(s, i, stepCancelled, cancelled())
	default:
		s.steps[i].flags |= pending
		s.requestOver(i)
		m.goOn(s)
		return nil
	}
}

// errorOf says why a request did not succeed.
func errorOf(e *record.StepEnded) *edda.StepError {
	err := &edda.StepError{Reason: e.Failure.Reason, Message: e.Failure.Message}
	if err.Reason == "" {
		switch e.State {
		case edda.StateDead:
			err.Reason = edda.Dead
		case edda.StateCancelled:
			err.Reason = edda.Cancelled
		default:
			err.Reason = edda.Failed
		}
	}
	return err
}

func cancelled() *edda.StepError {
	return &edda.StepError{Reason: edda.Cancelled, Message: "the saga was undone while the step was running"}
}

// resultOf returns the result that a reply is, or why it is none.
func resultOf(reply []byte) ([]byte, *edda.StepError) {
	h, err := record.ReadReply(reply)
	switch {
	case err != nil:
		return nil, &edda.StepError{Reason: edda.Failed, Message: "the reply cannot be read"}
	case h.Status >= 400:
		return nil, &edda.StepError{Reason: edda.Failed, Message: clip(h.Payload), Status: h.Status}
	case len(h.Payload) > 0 && !json.Valid(h.Payload):
		return nil, &edda.StepError{Reason: edda.Failed, Message: "the result is not JSON: " + clip(h.Payload), Status: h.Status}
	}
	return own(h.Payload), nil
}

// clip returns the beginning of what somebody else wrote.
func clip(b []byte) string {
	const most = 1024
	if len(b) > most {
		b = b[:most]
		for len(b) > most-utf8.UTFMax && !utf8.Valid(b) {
			b = b[:len(b)-1]
		}
	}
	if !utf8.Valid(b) {
		return fmt.Sprintf("%d bytes that are not text", len(b))
	}
	return string(b)
}

// largeBytes are not copied: what they lie in is not much larger.
const largeBytes = 64 << 10

// own returns bytes that do not keep the whole record in memory.
func own(b []byte) []byte {
	if len(b) >= largeBytes {
		return b
	}
	return slices.Clone(b)
}

func ownAll(all [][]byte) [][]byte {
	out := make([][]byte, len(all))
	for i, b := range all {
		out[i] = own(b)
	}
	return out
}

// succeed gives a running step its result; nil is null.
func (m *Machine) succeed(s *Saga, i int, result []byte) error {
	if len(result) == 0 {
		result = null
	}
	st := m.touchStep(s, i)
	st.state, st.result, st.endedAt = stepSucceeded, result, m.env.Time
	st.flags &^= pending
	s.running--
	s.succeeded++
	s.held += len(result)
	s.requestOver(i)
	m.stepEnded(s, i)
	if s.State == edda.SagaRunning {
		for _, n := range st.next {
			next := &s.steps[n]
			if next.waits--; next.waits == 0 {
				m.touchStep(s, int(n))
				s.makeReady(int(n))
			}
		}
	}
	m.goOn(s)
	return nil
}

var null = []byte("null")

func (m *Machine) stepEnded(s *Saga, i int) {
	m.effects = append(m.effects, Effect{Kind: StepEnded, Saga: s, Step: i, StepState: stepStates[s.steps[i].state]})
}

// failStep ends a step that runs, or could not be started, as failed or cancelled.
func (m *Machine) failStep(s *Saga, i int, to stepState, e *edda.StepError) error {
	st := m.touchStep(s, i)
	if st.state == stepRunning {
		s.running--
		s.requestOver(i)
	}
	st.state, st.err, st.endedAt = to, e, m.env.Time
	st.flags &^= pending
	m.stepEnded(s, i)
	m.goOn(s)
	if s.State != edda.SagaRunning {
		return nil
	}
	detail := fmt.Sprintf("step %q failed: %s", st.id, e.Reason)
	if e.Message != "" {
		detail += ": " + e.Message
	}
	return m.fail(s, record.Failure{Reason: edda.SagaStepFailed, Message: detail}, s.OnFailure == edda.CancelSteps)
}

// fail begins to undo a saga: nothing new starts, and steps that run are waited for,
// or cancelled.
func (m *Machine) fail(s *Saga, f record.Failure, cancelRunning bool) error {
	s.State, s.Reason, s.Detail = edda.SagaCompensating, f.Reason, f.Message
	m.nothingLeft(s)
	m.touch(s)
	m.goOn(s)
	for i := range s.steps {
		if state := s.steps[i].state; state == stepWaiting || state == stepReady {
			m.touchStep(s, i).state = stepSkipped
		}
	}
	if cancelRunning {
		return m.cancelRunning(s)
	}
	return nil
}

// cancel undoes a saga, and does not wait for steps that run.
func (m *Machine) cancel(s *Saga, f record.Failure) error {
	switch s.State {
	case edda.SagaCreated:
		if err := m.fail(s, f, false); err != nil {
			return err
		}
		return m.end(s, edda.SagaCancelled)
	case edda.SagaRunning:
		return m.fail(s, f, true)
	case edda.SagaCompensating:
		return m.cancelRunning(s)
	default:
		return nil
	}
}

// cancelRunning cancels the steps that run.
func (m *Machine) cancelRunning(s *Saga) error {
	if s.cancelling {
		return nil
	}
	s.cancelling = true
	m.touch(s)
	m.goOn(s)
	for i := range s.steps {
		st := &s.steps[i]
		if st.state != stepRunning {
			continue
		}
		if st.is(isSaga) {
			if err := m.cancelNested(s, i); err != nil {
				return err
			}
			continue
		}
		elsewhere, err := m.cancelRequest(s, i)
		if err != nil {
			return err
		}
		if !elsewhere {
			if err := m.failStep(s, i, stepCancelled, cancelled()); err != nil {
				return err
			}
		}
	}
	return nil
}

// cancelRequest ends the request of a running step, if it has one. When that lives in
// another partition it goes on until that one has been told.
func (m *Machine) cancelRequest(s *Saga, i int) (elsewhere bool, err error) {
	st := m.touchStep(s, i)
	if st.is(pending) {
		return false, nil
	}
	if st.is(cancelAsked) {
		return true, nil
	}
	var t record.StepTask
	if err := t.Decode(st.spec, false); err != nil {
		return false, err
	}
	hash := s.hashOf(&t.Task)
	id := s.requestID(i, false, 0, hash)
	to := m.env.Home(hash)
	if to == m.env.Partition {
		return false, m.requests.CancelStep(id)
	}
	st.flags |= cancelAsked
	c := record.StepCancelled{ID: id}
	m.outbox.Push(to, record.TypeStepCancelled, c.AppendBody(nil))
	return true, nil
}

// complete ends a saga of which all steps have succeeded. One that is a step is undone
// when there is no room for its result.
func (m *Machine) complete(s *Saga) error {
	if s.Nested() {
		ref, name := s.parent()
		parent, err := m.load(ref)
		if err != nil {
			return err
		}
		if parent == nil {
			return fmt.Errorf("nested saga %q belongs to none", s.ID)
		}
		if r := parent.noRoomFor(s.leavesSize(), fmt.Sprintf("the result of step %q", name)); r != nil {
			return m.fail(s, record.Failure{Reason: r.reason, Message: r.detail}, false)
		}
	}
	return m.end(s, edda.SagaSucceeded)
}

// end ends a saga, and tells the one that it is a step of.
func (m *Machine) end(s *Saga, state edda.SagaState) error {
	s.State, s.EndedAt = state, m.env.Time
	m.disarm(s)
	m.touch(s)
	m.effect(Ended, s)
	if s.Nested() {
		return m.report(s)
	}
	return nil
}
