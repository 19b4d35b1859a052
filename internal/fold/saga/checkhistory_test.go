package saga_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/edda-io/edda"
)

// ruleTrigger: a saga is undone for a reason, and what ran then is waited for or
// cancelled, as it was wanted.
func (h history) ruleTrigger() error {
	m := h.last()
	for id, s := range m.sagas {
		was := h.before(id)
		if h.begins(s) {
			if err := h.why(s); err != nil {
				return err
			}
		}
		if was == nil {
			continue
		}
		if (was.State == edda.SagaCreated && undone(s)) || (was.State != edda.SagaCreated && s.State == edda.SagaCancelled) {
			if was.State != s.State {
				return fmt.Errorf("saga %s was %s and is %s", id, was.State, s.State)
			}
		}
		for i := range was.Steps {
			if err := h.ranOn(s, &was.Steps[i], &s.Steps[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// begins reports whether the last record has begun to undo a saga.
func (h history) begins(s *edda.Saga) bool {
	was := h.before(s.ID)
	return (was == nil || was.State == edda.SagaCreated || was.State == edda.SagaRunning) && (undone(s) || s.State == edda.SagaCancelled)
}

// cancels reports whether the last record cancels what runs of a saga: the saga is
// cancelled, or wants that after a failure, or its deadline passes while it waits, or
// so it is with the one that it is a step of.
func (h history) cancels(s *edda.Saga) bool {
	if s == nil {
		return false
	}
	w := &h.last().wish
	late := undone(s) && w.saga == s.ID && w.kind == wishCancel && w.reason == edda.DeadlineExceeded
	return h.begins(s) && (s.OnFailure == edda.CancelSteps || s.Reason != edda.SagaStepFailed) || late || h.cancels(h.parent(s))
}

// parent returns the saga that a saga is a step of, or nil.
func (h history) parent(s *edda.Saga) *edda.Saga {
	return h.last().sagas[s.ID[:max(strings.LastIndexByte(s.ID, '~'), 0)]]
}

// why: the reason is that of what has just happened. A nested saga is undone with the
// one that it is a step of, for its reason or because it was cancelled with it; and one whose step is a saga may fail with it.
func (h history) why(s *edda.Saga) error {
	w := &h.last().wish
	want := edda.SagaStepFailed
	parent := h.parent(s)
	switch {
	case w.saga == s.ID && w.kind == wishCancel:
		want = w.reason
	case w.saga == s.ID && (w.kind == wishEnd || w.kind == wishFinish) && !w.end.ok() && !w.end.pending:
	case parent != nil && undone(parent):
		if s.Reason == parent.Reason {
			return nil
		}
		want = edda.Cancelled
	case strings.HasPrefix(w.saga, s.ID+"~"):
	default:
		return fmt.Errorf("saga %s is undone by %s of %s/%s", s.ID, w.kind, w.saga, w.step)
	}
	if s.Reason != want {
		return fmt.Errorf("saga %s is undone, reason %q, want %q", s.ID, s.Reason, want)
	}
	return nil
}

// ranOn judges a step that ran before the record and that the record was not about.
func (h history) ranOn(s *edda.Saga, was, is *edda.Step) error {
	m := h.last()
	w := &m.wish
	if was.State != edda.StepRunning || w.saga == s.ID && w.step == is.ID && (w.kind == wishEnd || w.kind == wishFinish) || is.SagaID != "" {
		return nil
	}
	cancels := h.cancels(s)
	n := name{saga: s.ID, step: is.ID}
	elsewhere := slices.Contains(m.away, n)
	switch {
	case !cancels && is.State != edda.StepRunning:
		return fmt.Errorf("step %s/%s ran and is %s", s.ID, is.ID, is.State)
	case cancels && is.State != edda.StepRunning && elsewhere && !was.Pending:
		return fmt.Errorf("step %s/%s is %s, and nobody knows yet what has become of its request", s.ID, is.ID, is.State)
	case cancels && is.State == edda.StepRunning && !elsewhere:
		return fmt.Errorf("step %s/%s is not cancelled with its saga", s.ID, is.ID)
	case cancels && is.State == edda.StepRunning && !h.cancelAsked(n):
		return fmt.Errorf("nobody tells the request of step %s/%s to end", s.ID, is.ID)
	}
	return nil
}

// ruleMade: a request, or a message, is made for each step that has begun to run, and a
// request for each compensation, once each, and it is sent what it should be.
func (h history) ruleMade() error {
	m := h.last()
	var want []name
	for id, s := range m.sagas {
		was := h.before(id)
		for i := range s.Steps {
			st, old := &s.Steps[i], find(was, s.Steps[i].ID)
			if st.SagaID == "" && st.State == edda.StepRunning && (old == nil || old.State != edda.StepRunning) {
				want = append(want, name{saga: id, step: st.ID})
			}
			c := st.Compensation
			if c != nil && c.State == edda.CompensationRunning && (old == nil || old.Compensation.State != edda.CompensationRunning) {
				want = append(want, name{saga: id, step: st.ID, undo: true, run: h.retries(id, st.ID)})
			}
		}
	}
	for i := range m.made {
		n := m.made[i].name
		at := slices.Index(want, n)
		if at < 0 {
			return fmt.Errorf("a request was made for %s", n)
		}
		want = slices.Delete(want, at, at+1)
		if err := h.madeOnce(&m.made[i]); err != nil {
			return err
		}
		if err := h.madeRight(&m.made[i]); err != nil {
			return fmt.Errorf("request of %s: %w", n, err)
		}
	}
	if len(want) > 0 {
		return fmt.Errorf("no request was made for %v", want)
	}
	return nil
}

func (h history) madeOnce(r *made) error {
	for i := range h[:len(h)-1] {
		for j := range h[i].made {
			if old := &h[i].made[j]; old.name == r.name || old.id == r.id {
				return fmt.Errorf("%s has the id %s, %s had %s before", r.name, r.id, old.name, old.id)
			}
		}
	}
	return nil
}

func (h history) madeRight(r *made) error {
	s := h.last().sagas[r.saga]
	st := find(s, r.step)
	to, method, args, results := edda.Address{Name: st.Service, Key: st.Key}, st.Method, st.Args, []string{}
	if st.Queue != nil {
		root, _, _ := strings.Cut(s.ID, "~")
		to = edda.Address{Name: st.Queue.Stream, Key: cmp.Or(st.Key, root)}
	}
	if r.undo {
		c := st.Compensation
		to, method, args = edda.Address{Name: c.Service, Key: c.Key}, c.Method, c.Args
		results = append(results, string(st.Result))
	} else {
		for _, id := range st.After {
			d := find(s, id)
			if d.State != edda.StepSucceeded {
				return fmt.Errorf("it depends on %s, which is %s", id, d.State)
			}
			results = append(results, h.resultOf(s, d))
		}
		if s.State != edda.SagaRunning {
			return fmt.Errorf("its saga is %s", s.State)
		}
	}
	got := make([]string, len(r.input.Dependencies))
	for i, d := range r.input.Dependencies {
		got[i] = string(d)
	}
	switch {
	case r.to.Name != to.Name || r.to.Key != to.Key || r.method != method:
		return fmt.Errorf("it goes to %s %s, not to %s %s", r.to, r.method, to, method)
	case !slices.Equal(got, results):
		return fmt.Errorf("its dependencies are %q, want %q", got, results)
	case !sameJSON(r.input.Args, args):
		return fmt.Errorf("its args are %s, want %s", r.input.Args, args)
	case r.input.SagaID != r.saga || r.input.StepID != r.step || (r.input.CompletionKey == "") != r.undo:
		return fmt.Errorf("it is told to be %q of %q, completion key %q", r.input.StepID, r.input.SagaID, r.input.CompletionKey)
	}
	return nil
}

// resultOf returns what a step has succeeded with, as the history has it.
func (h history) resultOf(s *edda.Saga, st *edda.Step) string {
	if st.SagaID != "" {
		return leaves(h.last().sagas[st.SagaID])
	}
	for i := range h {
		w := &h[i].wish
		if w.saga != s.ID || w.step != st.ID || w.undo || !w.end.ok() || w.kind != wishEnd && w.kind != wishFinish {
			continue
		}
		if yes, _ := h[:i+1].applies(); yes {
			return w.end.result
		}
	}
	return "nothing"
}

// leaves returns the result of a saga that is a step: an object with the results of the
// steps that no other depends on.
func leaves(s *edda.Saga) string {
	var out []string
	for i := range s.Steps {
		id := s.Steps[i].ID
		if !slices.ContainsFunc(s.Steps, func(d edda.Step) bool { return slices.Contains(d.After, id) }) {
			out = append(out, fmt.Sprintf("%q:%s", id, s.Steps[i].Result))
		}
	}
	return "{" + strings.Join(out, ",") + "}"
}

// ruleUndoOrder: a step is undone once everything that depends on it, directly or
// not, stands no more.
func (h history) ruleUndoOrder() error {
	m := h.last()
	for i := range m.made {
		r := &m.made[i]
		if !r.undo {
			continue
		}
		s := m.sagas[r.saga]
		if was := find(h.before(r.saga), r.step); was != nil && (was.State == edda.StepCompensated || was.State == edda.StepNotCompensated) {
			return fmt.Errorf("%s starts, the step was %s", r.name, was.State)
		}
		for _, d := range dependants(s, r.step) {
			if st := find(s, d); !settled(st) {
				return fmt.Errorf("%s starts, but %s depends on it and is %s", r.name, d, describe(st))
			}
		}
		for j := range s.Steps {
			if s.Steps[j].State == edda.StepRunning {
				return fmt.Errorf("%s starts, but step %s still runs", r.name, s.Steps[j].ID)
			}
		}
	}
	return nil
}

// dependants returns the steps that depend on one, directly or not.
func dependants(s *edda.Saga, step string) []string {
	found := []string{step}
	for at := 0; at < len(found); at++ {
		for i := range s.Steps {
			if d := &s.Steps[i]; slices.Contains(d.After, found[at]) && !slices.Contains(found, d.ID) {
				found = append(found, d.ID)
			}
		}
	}
	return found[1:]
}

// ruleOpen: the requests that are open are those that a step waits for. In the other
// partition others may be left over, if they are being told to end.
func (h history) ruleOpen() error {
	m := h.last()
	wanted := map[name]bool{}
	for id, s := range m.sagas {
		for i := range s.Steps {
			st := &s.Steps[i]
			if st.State == edda.StepRunning && !st.Pending && st.SagaID == "" {
				wanted[name{saga: id, step: st.ID}] = true
			}
			if st.Compensation != nil && st.Compensation.State == edda.CompensationRunning {
				wanted[name{saga: id, step: st.ID, undo: true, run: h.retries(id, st.ID)}] = true
			}
		}
	}
	for _, n := range m.open {
		if !wanted[n] {
			return fmt.Errorf("the request of %s is open, nobody waits for it", n)
		}
		delete(wanted, n)
	}
	for _, n := range m.away {
		if !wanted[n] && !slices.Contains(m.doomed, n) {
			return fmt.Errorf("the request of %s is left open in the other partition", n)
		}
		delete(wanted, n)
	}
	for n := range wanted {
		return fmt.Errorf("%s waits for a request that is nowhere", n)
	}
	return nil
}

// ruleEnds: an end is said when it comes, and has a reason unless all is well.
func (h history) ruleEnds() error {
	m := h.last()
	for id, s := range m.sagas {
		was := h.before(id)
		enters := s.State.Ended() && (was == nil || !was.State.Ended() || was.State != s.State)
		said := 0
		for _, e := range m.ends {
			if e == id {
				said++
			}
		}
		if enters && said != 1 || !s.State.Ended() && said > 0 || said > 1 {
			return fmt.Errorf("saga %s is %s, its end was said %d times", id, s.State, said)
		}
		good := s.State == edda.SagaCreated || s.State == edda.SagaRunning || s.State == edda.SagaSucceeded
		if good != (s.Reason == "") {
			return fmt.Errorf("saga %s is %s, its reason is %q", id, s.State, s.Reason)
		}
	}
	return nil
}

// nestedStates are the states that the saga of a step may have in each of the step's.
var nestedStates = map[edda.StepState][]edda.SagaState{
	edda.StepWaiting:        {""},
	edda.StepReady:          {""},
	edda.StepSkipped:        {""},
	edda.StepRunning:        {edda.SagaRunning, edda.SagaCompensating, edda.SagaCompensationFailed},
	edda.StepSucceeded:      {edda.SagaSucceeded},
	edda.StepFailed:         {edda.SagaCompensated},
	edda.StepCancelled:      {edda.SagaCompensated},
	edda.StepCompensating:   {edda.SagaCompensating, edda.SagaCompensationFailed},
	edda.StepCompensated:    {edda.SagaCompensated},
	edda.StepNotCompensated: {edda.SagaCompensated, edda.SagaCompensationFailed},
}

// ruleNested: a step that is a saga is where its saga is.
func (h history) ruleNested() error {
	m := h.last()
	for id, s := range m.sagas {
		for i, spec := range h.spec(id) {
			st := &s.Steps[i]
			if spec.Saga == nil {
				continue
			}
			if st.SagaID != id+"~"+st.ID {
				return fmt.Errorf("step %s/%s is the saga %q", id, st.ID, st.SagaID)
			}
			var state edda.SagaState
			child := m.sagas[st.SagaID]
			if child != nil {
				state = child.State
			}
			if !slices.Contains(nestedStates[st.State], state) {
				return fmt.Errorf("step %s/%s is %s, its saga %q", id, st.ID, st.State, state)
			}
			if st.Result != nil && string(st.Result) != leaves(child) {
				return fmt.Errorf("result of step %s/%s is %s, want %s", id, st.ID, st.Result, leaves(child))
			}
		}
	}
	return nil
}
