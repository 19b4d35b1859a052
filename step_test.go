package edda_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

var (
	ofStep = &edda.StepRef{SagaID: "trip"}
	ofUndo = &edda.StepRef{SagaID: "trip", Undo: true}
)

func stepSpec(id string) edda.StepSpec {
	return edda.StepSpec{ID: id, Task: edda.Task{Service: "cars", Method: "rent", Args: []json.RawMessage{json.RawMessage(`1`)}}}
}

// The same rules hold for what a handler here asks for and for what one elsewhere
// says it asks for.
func TestStepsOutcome(t *testing.T) {
	nameless := stepSpec("")
	large := stepSpec("large")
	large.Args = []json.RawMessage{json.RawMessage(`"` + strings.Repeat("x", edda.MaxOutcomeBytes) + `"`)}
	for _, c := range []struct {
		name  string
		step  *edda.StepRef
		add   []edda.StepSpec
		reply error // what the handler returns
		want  string
	}{
		{"pending", ofStep, nil, edda.ErrPending, ""},
		{"pending, wrapped", ofStep, nil, fmt.Errorf("wait for the bank: %w", edda.ErrPending), ""},
		{"pending with steps", ofStep, []edda.StepSpec{stepSpec("a"), stepSpec("b")}, edda.ErrPending, ""},
		{"steps", ofStep, []edda.StepSpec{stepSpec("a")}, nil, ""},
		{"pending without a saga", nil, nil, edda.ErrPending, "only a step of a saga may be"},
		{"pending compensation", ofUndo, nil, edda.ErrPending, "a compensation was left pending"},
		{"steps without a saga", nil, []edda.StepSpec{stepSpec("a")}, nil, "no step of a saga"},
		{"steps of a compensation", ofUndo, []edda.StepSpec{stepSpec("a")}, nil, "its saga is being undone"},
		{"a malformed step", ofStep, []edda.StepSpec{stepSpec("a"), nameless}, nil, "step id is empty"},
		{"too much", ofStep, []edda.StepSpec{large}, nil, "at most 6291456 are allowed"},
	} {
		d := &edda.Dispatch{Message: &edda.Message{Type: "m"}, Step: c.step}
		s := edda.NewBalanced("s")
		var refused error
		edda.Handle(s, "m", func(ctx *edda.Context, _ []byte) (string, error) {
			if ctx.Step() != c.step {
				t.Errorf("%s: the step is %+v, want %+v", c.name, ctx.Step(), c.step)
			}
			if len(c.add) > 0 {
				refused = ctx.AddSteps(c.add...)
			}
			return "ok", c.reply
		})
		here := s.Invoke(t.Context(), d)
		elsewhere := edda.Outcome{Pending: c.reply != nil, Steps: c.add}
		d.Admit(&elsewhere)
		if here.Err == nil {
			here.Err = refused
		}
		for from, out := range map[string]*edda.Outcome{"here": &here, "elsewhere": &elsewhere} {
			switch {
			case c.want != "":
				if out.Err == nil || !strings.Contains(out.Err.Error(), c.want) {
					t.Errorf("%s, %s: %v, want %q", c.name, from, out.Err, c.want)
				}
			case out.Err != nil || out.Pending != (c.reply != nil) || len(out.Steps) != len(c.add) || (out.Reply == nil) != out.Pending:
				t.Errorf("%s, %s: %+v", c.name, from, out)
			}
		}
	}
}

// What breaks a rule adds nothing, and what was added before stays.
func TestAddStepsAllOrNone(t *testing.T) {
	s := edda.NewBalanced("s")
	var kept *edda.Context
	s.HandleAny(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		kept = ctx
		if err := ctx.AddSteps(stepSpec("a")); err != nil {
			t.Error(err)
		}
		if err := ctx.AddSteps(stepSpec("b"), stepSpec("no name")); edda.ReasonOf(err) != edda.BadName {
			t.Errorf("a malformed id: %v", err)
		}
		if err := ctx.AddSteps(make([]edda.StepSpec, edda.MaxSagaSteps+1)...); err == nil || !strings.Contains(err.Error(), "at most 100000") {
			t.Errorf("too many: %v", err)
		}
		return nil, nil
	})
	out := s.Invoke(t.Context(), &edda.Dispatch{Message: &edda.Message{Type: "m"}, Step: ofStep})
	if out.Err != nil || len(out.Steps) != 1 || out.Steps[0].ID != "a" {
		t.Errorf("added are %+v, %v", out.Steps, out.Err)
	}
	if err := kept.AddSteps(stepSpec("late")); err == nil || !strings.Contains(err.Error(), "is over") {
		t.Errorf("after the invocation: %v", err)
	}
}

// An error that is not pending drops what was added, as it drops sends.
func TestErrorDropsSteps(t *testing.T) {
	s := edda.NewBalanced("s")
	s.HandleAny(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		return nil, errors.Join(ctx.AddSteps(stepSpec("a")), errors.New("boom"))
	})
	out := s.Invoke(t.Context(), &edda.Dispatch{Message: &edda.Message{Type: "m"}, Step: ofStep})
	if out.Err == nil || out.Steps != nil || out.Pending {
		t.Errorf("%+v", out)
	}
}
