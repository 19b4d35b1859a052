package saga_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/edda-io/edda"
)

// sagaMoves are the moves that a record may make. A nested saga that has succeeded may
// be undone with the one that it is a step of.
var sagaMoves = map[edda.SagaState][]edda.SagaState{
	edda.SagaCreated:            {edda.SagaRunning, edda.SagaCancelled},
	edda.SagaRunning:            {edda.SagaSucceeded, edda.SagaCompensating, edda.SagaCompensated},
	edda.SagaCompensating:       {edda.SagaCompensated, edda.SagaCompensationFailed},
	edda.SagaCompensationFailed: {edda.SagaCompensating, edda.SagaCompensated},
	edda.SagaSucceeded:          nil,
	edda.SagaCompensated:        nil,
	edda.SagaCancelled:          nil,
}

// stepMoves are the moves that a step's state may make by itself. A record may make
// several at once.
var stepMoves = map[edda.StepState][]edda.StepState{
	edda.StepWaiting:        {edda.StepReady, edda.StepSkipped},
	edda.StepReady:          {edda.StepRunning, edda.StepSkipped},
	edda.StepRunning:        {edda.StepSucceeded, edda.StepFailed, edda.StepCancelled},
	edda.StepSucceeded:      {edda.StepCompensating, edda.StepNotCompensated},
	edda.StepCompensating:   {edda.StepCompensated, edda.StepNotCompensated},
	edda.StepFailed:         nil,
	edda.StepCompensated:    nil,
	edda.StepNotCompensated: nil,
	edda.StepSkipped:        nil,
	edda.StepCancelled:      nil,
}

// reach reports whether moves lead from one state to another.
func reach(from, to edda.StepState) bool {
	return from == to || slices.ContainsFunc(stepMoves[from], func(next edda.StepState) bool { return reach(next, to) })
}

// ruleMoves: states move as they may, and what was said once stays.
func (h history) ruleMoves() error {
	m := h.last()
	for id, s := range m.sagas {
		was := h.before(id)
		if was == nil {
			continue
		}
		nested := strings.Contains(id, "~") && was.State == edda.SagaSucceeded && undone(s)
		if _, known := sagaMoves[s.State]; !known || s.State != was.State && !slices.Contains(sagaMoves[was.State], s.State) && !nested {
			return fmt.Errorf("saga %s went from %s to %s", id, was.State, s.State)
		}
		if len(s.Steps) < len(was.Steps) || was.Reason != "" && (s.Reason != was.Reason || s.Detail != was.Detail) {
			return fmt.Errorf("saga %s was %s %q with %d steps, is %s %q with %d", id, was.Reason, was.Detail, len(was.Steps), s.Reason, s.Detail, len(s.Steps))
		}
		for i := range was.Steps {
			if err := stepMoved(&was.Steps[i], &s.Steps[i]); err != nil {
				return fmt.Errorf("saga %s: %w", id, err)
			}
		}
	}
	return nil
}

func stepMoved(was, is *edda.Step) error {
	_, known := stepMoves[is.State]
	switch {
	case !known || was.ID != is.ID || !reach(was.State, is.State):
		return fmt.Errorf("step %s went from %s to %s %s", was.ID, was.State, is.ID, is.State)
	case was.Result != nil && string(is.Result) != string(was.Result):
		return fmt.Errorf("result of step %s was %s, is %s", was.ID, was.Result, is.Result)
	case was.Error != nil && !reflect.DeepEqual(is.Error, was.Error):
		return fmt.Errorf("error of step %s was %v, is %v", was.ID, was.Error, is.Error)
	case was.Pending && is.State == edda.StepRunning && !is.Pending:
		return fmt.Errorf("step %s is not pending any more", was.ID)
	}
	return nil
}

// spec returns what defines a saga, with all that was added.
func (h history) spec(id string) []edda.StepSpec {
	root, path, nested := strings.Cut(id, "~")
	var steps []edda.StepSpec
	for i := range h {
		w := &h[i].wish
		switch {
		case w.kind == wishCreate && w.saga == root && steps == nil:
			steps = descend(w.spec.Steps, path, nested)
		case len(w.steps) > 0 && w.saga == id && h[:i+1].takesSteps():
			steps = append(slices.Clip(steps), w.steps...)
		}
	}
	return steps
}

// takesSteps reports whether the steps of the last wish became the saga's: a handler's
// do as long as its saga runs.
func (h history) takesSteps() bool {
	w := &h.last().wish
	yes, _ := h.applies()
	return yes && (w.kind == wishAdd || h.before(w.saga).State == edda.SagaRunning)
}

func descend(steps []edda.StepSpec, path string, nested bool) []edda.StepSpec {
	for nested {
		var first string
		first, path, nested = strings.Cut(path, "~")
		i := slices.IndexFunc(steps, func(s edda.StepSpec) bool { return s.ID == first })
		steps = steps[i].Saga.Steps
	}
	return steps
}

// ruleShape: a view says what was defined, its numbers are right, and what a step
// shows goes with its state.
func (h history) ruleShape() error {
	for id, s := range h.last().sagas {
		spec := h.spec(id)
		if len(spec) != len(s.Steps) || s.StepCount != len(s.Steps) {
			return fmt.Errorf("saga %s has %d steps, says %d, was given %d", id, len(s.Steps), s.StepCount, len(spec))
		}
		succeeded := 0
		for i := range s.Steps {
			st := &s.Steps[i]
			if err := sameStep(st, &spec[i]); err != nil {
				return err
			}
			if err := consistent(st); err != nil {
				return fmt.Errorf("step %s/%s is %s: %w", id, st.ID, describe(st), err)
			}
			if st.Result != nil {
				succeeded++
			}
		}
		if succeeded != s.SucceededCount {
			return fmt.Errorf("saga %s counts %d steps that have succeeded, there are %d", id, s.SucceededCount, succeeded)
		}
		if s.State.Ended() != !s.EndedAt.IsZero() || s.State == edda.SagaCreated != s.StartedAt.IsZero() && s.State != edda.SagaCancelled {
			return fmt.Errorf("saga %s is %s, started at %v, ended at %v", id, s.State, s.StartedAt, s.EndedAt)
		}
	}
	return nil
}

func sameStep(st *edda.Step, spec *edda.StepSpec) error {
	if st.ID != spec.ID || st.Service != spec.Service || st.Key != spec.Key || st.Method != spec.Method ||
		!reflect.DeepEqual(st.Queue, spec.Queue) || !slices.Equal(st.After, spec.After) || !sameJSON(st.Args, spec.Args) {
		return fmt.Errorf("step %v is not the one that was defined, %v", st, spec)
	}
	c := spec.Compensate
	if (st.Compensation != nil) != (c != nil) && spec.Saga == nil {
		return fmt.Errorf("step %s has a compensation: %t, was defined with one: %t", st.ID, st.Compensation != nil, c != nil)
	}
	if got := st.Compensation; c != nil && (got.Service != c.Service || got.Key != c.Key || got.Method != c.Method || !sameJSON(got.Args, c.Args)) {
		return fmt.Errorf("compensation of step %s is %v, was defined as %v", st.ID, got, c)
	}
	return nil
}

func sameJSON(a, b []json.RawMessage) bool {
	return slices.EqualFunc(a, b, func(x, y json.RawMessage) bool { return string(x) == string(y) })
}

// consistent: what a step shows goes with its state.
func consistent(st *edda.Step) error {
	var undo edda.CompensationState
	if st.Compensation != nil {
		undo = st.Compensation.State
	}
	var result, failed bool
	undos := []edda.CompensationState{"", edda.CompensationWaiting}
	switch st.State {
	case edda.StepFailed:
		failed = true
	case edda.StepSucceeded:
		result = true
	case edda.StepCompensating:
		result = true
		undos = []edda.CompensationState{edda.CompensationWaiting, edda.CompensationRunning, edda.CompensationFailed}
	case edda.StepCompensated:
		result = true
		undos = []edda.CompensationState{edda.CompensationSucceeded, edda.CompensationResolved}
	case edda.StepNotCompensated:
		result = true
		undos = []edda.CompensationState{"", edda.CompensationSkipped}
	}
	if st.SagaID != "" {
		undos = append(undos, undo) // its saga tells
	}
	begun := st.State != edda.StepWaiting && st.State != edda.StepReady && st.State != edda.StepSkipped
	over := begun && st.State != edda.StepRunning
	switch {
	case (st.Result != nil) != result:
		return fmt.Errorf("it has a result: %t", !result)
	case (st.Error != nil) != failed && st.State != edda.StepCancelled:
		return fmt.Errorf("it has an error: %t", !failed)
	case !slices.Contains(undos, undo):
		return fmt.Errorf("its compensation is %s", undo)
	case st.Pending && st.State != edda.StepRunning:
		return fmt.Errorf("it is pending")
	case st.Queue != nil && st.State == edda.StepRunning && !st.Pending:
		return fmt.Errorf("it is a message, and not pending")
	case begun != !st.StartedAt.IsZero() || over != !st.EndedAt.IsZero() && st.State != edda.StepSkipped:
		return fmt.Errorf("started at %v, ended at %v", st.StartedAt, st.EndedAt)
	}
	return nil
}

// ruleShould: in every view, whatever could have happened by itself has.
func (h history) ruleShould() error {
	m := h.last()
	for id, s := range m.sagas {
		if slices.Contains(m.more, id) {
			continue // it says itself that there is more to do
		}
		if err := should(s); err != nil {
			return fmt.Errorf("saga %s is %s: %w", id, s.State, err)
		}
	}
	return nil
}

func should(s *edda.Saga) error {
	count := map[edda.StepState]int{}
	undos := map[edda.CompensationState]int{}
	for i := range s.Steps {
		st := &s.Steps[i]
		count[st.State]++
		if st.State == edda.StepCompensating && st.Compensation != nil {
			undos[st.Compensation.State]++
		}
		if st.State == edda.StepCompensating && st.SagaID != "" && st.Compensation == nil {
			undos[edda.CompensationRunning]++
		}
	}
	n := len(s.Steps)
	switch s.State {
	case edda.SagaCreated:
		return only(count, edda.StepWaiting)
	case edda.SagaRunning:
		if count[edda.StepSucceeded] == n {
			return fmt.Errorf("every step has succeeded")
		}
		if err := only(count, edda.StepWaiting, edda.StepReady, edda.StepRunning, edda.StepSucceeded); err != nil {
			return err
		}
		if err := crowded(s); err != nil {
			return err
		}
		return begun(s)
	case edda.SagaSucceeded:
		return only(count, edda.StepSucceeded)
	case edda.SagaCancelled:
		return only(count, edda.StepSkipped)
	case edda.SagaCompensated:
		return only(count, edda.StepSkipped, edda.StepFailed, edda.StepCancelled, edda.StepCompensated, edda.StepNotCompensated)
	}
	if count[edda.StepWaiting]+count[edda.StepReady] > 0 {
		return fmt.Errorf("steps wait to be started: %v", count)
	}
	busy := count[edda.StepRunning] + undos[edda.CompensationRunning]
	switch {
	case s.State == edda.SagaCompensating && count[edda.StepRunning] > 0:
		return only(count, edda.StepRunning, edda.StepSucceeded, edda.StepFailed, edda.StepSkipped, edda.StepCancelled)
	case s.State == edda.SagaCompensating && busy == 0:
		return fmt.Errorf("nothing of it runs: %v %v", count, undos)
	case s.State == edda.SagaCompensationFailed && (busy > 0 || undos[edda.CompensationFailed] == 0):
		return fmt.Errorf("%d steps and compensations run, %d have failed", busy, undos[edda.CompensationFailed])
	case undos[edda.CompensationWaiting] > 0:
		return fmt.Errorf("a compensation has begun and waits")
	}
	return blocked(s)
}

func only(count map[edda.StepState]int, allowed ...edda.StepState) error {
	for _, state := range slices.Sorted(maps.Keys(count)) {
		if !slices.Contains(allowed, state) {
			return fmt.Errorf("%d steps are %s", count[state], state)
		}
	}
	return nil
}

// crowded: what the steps that run are sent together is bounded, and a step that is
// ready starts as soon as there is room. Sizes are those of results; what goes with
// them is small.
func crowded(s *edda.Saga) error {
	const most, little = 64 << 20, 1 << 10
	size := func(st *edda.Step) (n int) {
		for _, id := range st.After {
			n += len(find(s, id).Result)
		}
		return n
	}
	sent, rest := 0, 0
	for i := range s.Steps {
		if st := &s.Steps[i]; st.State == edda.StepRunning && !st.Pending && st.SagaID == "" {
			sent += size(st)
			rest += little
		}
	}
	if sent > most {
		return fmt.Errorf("%d bytes are under way", sent)
	}
	for i := range s.Steps {
		if st := &s.Steps[i]; st.State == edda.StepReady {
			if sent+size(st)+rest+little <= most {
				return fmt.Errorf("step %s is ready and does not start, with %d bytes under way", st.ID, sent)
			}
			break // the others wait for this one
		}
	}
	return nil
}

// begun: a step of a running saga has started if all it depends on have succeeded,
// and only then.
func begun(s *edda.Saga) error {
	for i := range s.Steps {
		st := &s.Steps[i]
		free := !slices.ContainsFunc(st.After, func(id string) bool { return find(s, id).State != edda.StepSucceeded })
		if free == (st.State == edda.StepWaiting) {
			return fmt.Errorf("step %s is %s, all it depends on have succeeded: %t", st.ID, st.State, free)
		}
	}
	return nil
}

// blocked: a step that still stands waits for one that depends on it.
func blocked(s *edda.Saga) error {
	for i := range s.Steps {
		st := &s.Steps[i]
		if st.State != edda.StepSucceeded {
			continue
		}
		if !slices.ContainsFunc(s.Steps, func(d edda.Step) bool { return slices.Contains(d.After, st.ID) && !settled(&d) }) {
			return fmt.Errorf("step %s could be undone and is not", st.ID)
		}
	}
	return nil
}
