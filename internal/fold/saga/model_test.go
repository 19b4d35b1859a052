package saga

import (
	"slices"
	"strings"

	"github.com/edda-io/edda"
)

// model is a saga as its rules say, found out anew from all of its steps after each
// change, without counters or queues.
type model struct {
	id         string
	state      edda.SagaState
	cancelling bool
	wait       bool // for steps that run, after a failure
	steps      []*modelStep
}

type modelStep struct {
	id      string
	after   []string
	remote  bool
	queue   bool // it is a message
	undo    bool // it has a compensation
	child   *model
	state   edda.StepState
	pending bool
	asked   bool // to be cancelled, elsewhere
	comp    edda.CompensationState
}

func newModel(id string, spec *edda.SagaSpec, remote func(key string) bool) *model {
	m := &model{id: id, state: edda.SagaCreated, wait: spec.OnFailure != edda.CancelSteps}
	m.add(spec.Steps, remote)
	return m
}

func (m *model) add(steps []edda.StepSpec, remote func(key string) bool) {
	for i := range steps {
		s := &steps[i]
		st := &modelStep{id: s.ID, after: s.After, undo: s.Compensate != nil, state: edda.StepWaiting, remote: s.Key != "" && remote(s.Key), queue: s.Queue != nil}
		if s.Saga != nil {
			st.child = newModel(m.id+"~"+s.ID, s.Saga, remote)
		}
		m.steps = append(m.steps, st)
	}
}

func (m *model) step(id string) *modelStep {
	for _, s := range m.steps {
		if s.id == id {
			return s
		}
	}
	return nil
}

func (m *model) all(ok func(s *modelStep) bool) bool {
	return !slices.ContainsFunc(m.steps, func(s *modelStep) bool { return !ok(s) })
}

func in[T comparable](v T, of ...T) bool { return slices.Contains(of, v) }

// fails begins to undo the saga.
func (m *model) fails(cancel bool) {
	m.state = edda.SagaCompensating
	for _, s := range m.steps {
		if s.state == edda.StepWaiting {
			s.state = edda.StepSkipped
		}
	}
	if cancel {
		m.cancelRunning()
	}
}

func (m *model) cancelRunning() {
	if m.cancelling {
		return
	}
	m.cancelling = true
	for _, s := range m.steps {
		switch {
		case s.state != edda.StepRunning:
		case s.child != nil:
			s.child.cancel()
		case s.remote && !s.pending:
			s.asked = true
		default:
			s.state, s.pending = edda.StepCancelled, false
		}
	}
}

func (m *model) cancel() {
	switch m.state {
	case edda.SagaCreated:
		m.fails(false)
		m.state = edda.SagaCancelled
	case edda.SagaRunning:
		m.fails(true)
	case edda.SagaCompensating:
		m.cancelRunning()
	}
}

func (m *model) stepFails(s *modelStep, to edda.StepState) {
	s.state, s.pending = to, false
	if m.state == edda.SagaRunning {
		m.fails(!m.wait)
	}
}

// settle does whatever is possible, until nothing is.
func (m *model) settle() (changed bool) {
	for m.once() {
		changed = true
	}
	return changed
}

func (m *model) once() bool {
	for _, s := range m.steps {
		if s.child != nil && s.state != edda.StepWaiting && (s.child.settle() || m.hear(s)) {
			return true
		}
	}
	switch m.state {
	case edda.SagaRunning:
		return m.forward()
	case edda.SagaCompensating:
		return m.backward()
	}
	return false
}

// hear looks at what became of the saga that a step is.
func (m *model) hear(s *modelStep) bool {
	switch {
	case s.state == edda.StepRunning && s.child.state == edda.SagaSucceeded:
		s.state = edda.StepSucceeded
	case s.state == edda.StepRunning && in(s.child.state, edda.SagaCompensated, edda.SagaCancelled):
		to := edda.StepFailed
		if m.cancelling {
			to = edda.StepCancelled
		}
		m.stepFails(s, to)
	case s.state == edda.StepCompensating && s.child.state == edda.SagaCompensated:
		s.state = edda.StepCompensated
	default:
		return false
	}
	return true
}

func (m *model) forward() bool {
	for _, s := range m.steps {
		ready := s.state == edda.StepWaiting
		for _, id := range s.after {
			ready = ready && m.step(id).state == edda.StepSucceeded
		}
		if ready {
			s.state, s.pending = edda.StepRunning, s.queue
			if s.child != nil {
				s.child.state = edda.SagaRunning
			}
			return true
		}
	}
	if m.all(func(s *modelStep) bool { return s.state == edda.StepSucceeded }) {
		m.state = edda.SagaSucceeded
		return true
	}
	return false
}

func (m *model) backward() bool {
	if slices.ContainsFunc(m.steps, func(s *modelStep) bool { return s.state == edda.StepRunning }) {
		return false
	}
	for _, s := range m.steps {
		free := s.state == edda.StepSucceeded && m.all(func(other *modelStep) bool {
			return !slices.Contains(other.after, s.id) || !in(other.state, edda.StepSucceeded, edda.StepCompensating)
		})
		switch {
		case !free:
			continue
		case s.child != nil:
			s.state = edda.StepCompensating
			s.child.fails(false)
		case s.undo:
			s.state, s.comp = edda.StepCompensating, edda.CompensationRunning
		default:
			s.state = edda.StepNotCompensated
		}
		return true
	}
	if !m.all(func(s *modelStep) bool {
		return s.state != edda.StepCompensating || s.child == nil && s.comp == edda.CompensationFailed
	}) {
		return false
	}
	m.state = edda.SagaCompensated
	if !m.all(func(s *modelStep) bool { return s.state != edda.StepCompensating }) {
		m.state = edda.SagaCompensationFailed
	}
	return true
}

// text describes the saga as world.states does, and running what world.running does.
func (m *model) text() string {
	out := string(m.state)
	for _, s := range m.steps {
		out += " " + s.id + ":" + string(s.state)
		if s.pending {
			out += "(pending)"
		}
		if s.comp != "" {
			out += "/" + string(s.comp)
		}
	}
	for _, s := range m.steps {
		if s.child != nil && s.child.state != edda.SagaCreated {
			out += "\n" + s.child.id + " " + s.child.text()
		}
	}
	return out
}

func (m *model) running() string {
	names := m.requests(nil)
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (m *model) requests(names []string) []string {
	for _, s := range m.steps {
		switch {
		case s.child != nil:
			names = s.child.requests(names)
		case s.state == edda.StepRunning && !s.pending:
			names = append(names, m.id+"."+s.id)
		case s.comp == edda.CompensationRunning:
			names = append(names, "-"+m.id+"."+s.id)
		}
	}
	return names
}
