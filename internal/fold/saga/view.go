package saga

import (
	"slices"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// View returns what is known of the saga, with its steps or without. It belongs to
// the caller, but for the JSON values in it, which nobody may change.
func (s *Saga) View(steps bool) *edda.Saga {
	v := &edda.Saga{
		ID: s.ID, Namespace: s.Namespace, Name: s.Name, State: s.State, Reason: s.Reason, Detail: s.Detail, OnFailure: s.OnFailure,
		Principal: s.Principal, CorrelationID: s.correlation(), CreatedAt: timeOf(s.CreatedAt), StartedAt: timeOf(s.StartedAt),
		EndedAt: timeOf(s.EndedAt), Deadline: timeOf(s.Deadline), StepCount: s.count, SucceededCount: s.succeeded,
	}
	if steps {
		v.Steps = make([]edda.Step, len(s.steps))
		for i := range s.steps {
			v.Steps[i] = s.StepView(i)
		}
	}
	return v
}

func timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// StepState returns where a step stands.
func (s *Saga) StepState(i int) edda.StepState { return stepStates[s.steps[i].state] }

// StepView returns what is known of a step, like View.
func (s *Saga) StepView(i int) edda.Step {
	st := &s.steps[i]
	var t record.StepTask
	_ = t.Decode(st.spec, false) // it was read before
	v := edda.Step{
		ID: st.id, Service: t.Service, Method: t.Method, Key: t.Key, State: stepStates[st.state], Args: t.Args, Queue: t.Queue,
		Pending: st.is(pending), Attempts: int(st.attempts), Result: slices.Clip(st.result), Error: clone(st.err),
		StartedAt: timeOf(st.startedAt), EndedAt: timeOf(st.endedAt),
	}
	for _, d := range st.deps {
		v.After = append(v.After, s.steps[d].id)
	}
	if st.is(isSaga) {
		v.SagaID = s.childID(i)
	}
	if st.is(compensated) {
		v.Compensation = st.compensation()
	}
	return v
}

// Queue returns where the message of a step goes; nil when it is none.
func (s *Saga) Queue(i int) *edda.QueueSpec {
	var t record.StepTask
	if !s.steps[i].is(isQueue) || t.Decode(s.steps[i].spec, false) != nil {
		return nil
	}
	return t.Queue
}

func (st *step) compensation() *edda.Compensation {
	var t record.StepTask
	_ = t.Decode(st.spec, true) // it was read before
	c := &edda.Compensation{Service: t.Service, Method: t.Method, Key: t.Key, Args: t.Args, State: edda.CompensationWaiting}
	if u := st.undo; u != nil {
		c.State, c.Attempts, c.Error = undoStates[u.state], int(u.attempts), clone(u.err)
		c.StartedAt, c.EndedAt = timeOf(u.startedAt), timeOf(u.endedAt)
	}
	return c
}

func clone(e *edda.StepError) *edda.StepError {
	if e == nil {
		return nil
	}
	return new(*e)
}

// Asks returns what a step, or its compensation, asks for; nothing of a step that is
// a saga itself, or a message on a stream.
func (s *Saga) Asks(i int, undo bool) (service, method string) {
	var t record.StepTask
	if !s.steps[i].asks(undo) || t.Decode(s.steps[i].spec, undo) != nil {
		return "", ""
	}
	return t.Service, t.Method
}
