package saga_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/saga"
)

type (
	head  struct{ Kind string }
	shaft struct{ Size string }
	tool  struct {
		Head  head
		Shaft shaft
	}
)

// invoke runs one attempt of a method, as a step of saga s1.
func invoke(t *testing.T, s *edda.Service, method string, in edda.StepInput) edda.Outcome {
	t.Helper()
	in.SagaID, in.StepID = "s1", "step"
	return invokeWith(t, s, method, string(edda.JSON(in)))
}

func invokeWith(t *testing.T, s *edda.Service, method, payload string) edda.Outcome {
	t.Helper()
	m := &edda.Message{To: edda.Address{Namespace: "default", Name: s.Name}, Type: method, ContentType: "application/json", Payload: []byte(payload)}
	return s.Invoke(t.Context(), &edda.Dispatch{Message: m, Attempt: 1, Step: &edda.StepRef{SagaID: "s1"}})
}

func smithy() *edda.Service {
	s := edda.NewBalanced("smithy")
	saga.Handle(s, "forge-head", func(_ *saga.Context, kind string) (head, error) { return head{kind}, nil })
	saga.Handle(s, "assemble", func(ctx *saga.Context, _ saga.None) (tool, error) {
		var t tool
		err := ctx.Dependencies(&t.Head, &t.Shaft)
		return t, err
	})
	saga.Handle(s, "engrave", func(ctx *saga.Context, text string) (string, error) {
		times, err := saga.Arg[int](ctx, 1)
		if err != nil {
			return "", err
		}
		on, err := saga.Dependency[tool](ctx, 0)
		for range times {
			on.Head.Kind += text
		}
		return on.Head.Kind, err
	})
	return s
}

func TestHandle(t *testing.T) {
	s := smithy()
	for _, c := range []struct {
		method string
		in     edda.StepInput
		want   string // the result, else the error
	}{
		{"forge-head", edda.StepInput{Args: raw(`"iron"`)}, `{"Kind":"iron"}`},
		{"forge-head", edda.StepInput{Args: raw(`"iron"`, `"not read"`), Dependencies: raw("1")}, `{"Kind":"iron"}`},
		{"forge-head", edda.StepInput{}, `SCHEMA: argument 0 is read, but there are 0 (they count from 0)`},
		{"assemble", edda.StepInput{Dependencies: raw(`{"Kind":"iron"}`, `{"Size":"short"}`)}, `{"Head":{"Kind":"iron"},"Shaft":{"Size":"short"}}`},
		{"assemble", edda.StepInput{Dependencies: raw(`{"Kind":"iron"}`)}, `SCHEMA: dependency 1 is read, but there are 1 (they count from 0)`},
		{"engrave", edda.StepInput{Args: raw(`"o"`, "2"), Dependencies: raw(`{"Head":{"Kind":"N"}}`)}, `"Noo"`},
		{"engrave", edda.StepInput{Args: raw(`"o"`), Dependencies: raw("{}")}, `SCHEMA: argument 1 is read, but there are 1 (they count from 0)`},
	} {
		out := invoke(t, s, c.method, c.in)
		if out.Err != nil {
			if h, ok := errors.AsType[*edda.HandlerError](out.Err); !ok || !h.Final || out.Err.Error() != c.want {
				t.Errorf("%s %v: got %v, want the final %s", c.method, c.in, out.Err, c.want)
			}
			continue
		}
		if got := string(out.Reply.Payload); got != c.want || out.Reply.ContentType != "application/json" {
			t.Errorf("%s %v: got %s, want %s", c.method, c.in, got, c.want)
		}
	}
}

// What no retry can mend fails the step at once.
func TestHandleRefuses(t *testing.T) {
	s := smithy()
	saga.Handle(s, "bad", func(*saga.Context, saga.None) (any, error) { return make(chan int), nil })
	for _, c := range []struct{ method, payload, reason string }{
		{"forge-head", `"iron"`, "SCHEMA"},
		{"forge-head", ``, "SCHEMA"},
		{"forge-head", `{"args":[1]}`, "SCHEMA"},
		{"bad", `{"args":[]}`, "BAD_REPLY"},
	} {
		out := invokeWith(t, s, c.method, c.payload)
		if h, ok := errors.AsType[*edda.HandlerError](out.Err); !ok || !h.Final || h.Reason != c.reason {
			t.Errorf("%s %s: got %v, want the final %s", c.method, c.payload, out.Err, c.reason)
		}
	}
}

func TestDependencies(t *testing.T) {
	s := edda.NewBalanced("s")
	saga.Handle(s, "last", func(ctx *saga.Context, _ saga.None) (string, error) {
		var last string
		err := ctx.Dependencies(nil, &last)
		return last, err
	})
	out := invoke(t, s, "last", edda.StepInput{Dependencies: raw(`{}`, `"x"`, `3`)})
	if out.Err != nil || string(out.Reply.Payload) != `"x"` {
		t.Errorf("got %v, %v, want the second alone", out.Reply, out.Err)
	}
}

func TestErrorsOfHandlers(t *testing.T) {
	s := edda.NewBalanced("s")
	broken := errors.New("broken")
	saga.Handle(s, "broken", func(*saga.Context, saga.None) (saga.None, error) { return saga.None{}, broken })
	saga.Handle(s, "later", func(*saga.Context, saga.None) (saga.None, error) {
		return saga.None{}, fmt.Errorf("the carver has it: %w", saga.Pending)
	})
	if out := invoke(t, s, "later", edda.StepInput{}); !out.Pending || out.Err != nil || out.Reply != nil {
		t.Errorf("got %+v, want that it is pending", out)
	}
	saga.Handle(s, "nothing", func(*saga.Context, saga.None) (saga.None, error) { return saga.None{}, nil })
	if out := invoke(t, s, "broken", edda.StepInput{}); !errors.Is(out.Err, broken) {
		t.Errorf("got %v", out.Err)
	}
	if out := invoke(t, s, "nothing", edda.StepInput{}); out.Err != nil || string(out.Reply.Payload) != "null" {
		t.Errorf("got %v, %v, want null", out.Reply, out.Err)
	}
}

func TestCompensator(t *testing.T) {
	s := edda.NewBalanced("smithy")
	var melted []string
	saga.Compensator(s, "melt-head", func(ctx *saga.Context, undone head) error {
		why, err := saga.Arg[string](ctx, 0)
		melted = append(melted, ctx.StepID(), undone.Kind, why)
		return err
	})
	in := edda.StepInput{Args: raw(`"anExampleArg"`), Dependencies: raw(`{"Kind":"iron"}`)}
	if out := invoke(t, s, "melt-head", in); out.Err != nil || len(out.Reply.Payload) > 0 {
		t.Errorf("got %v, %v, want an empty reply", out.Reply, out.Err)
	}
	if want := []string{"step", "iron", "anExampleArg"}; !cmp.Equal(melted, want) {
		t.Errorf("got %v, want %v", melted, want)
	}
	in.Dependencies = raw(`[]`)
	if out := invoke(t, s, "melt-head", in); out.Err == nil || len(melted) != 3 {
		t.Errorf("got %v, %v, want an error of the result's type", out.Err, melted)
	}
}

func TestContext(t *testing.T) {
	s := edda.NewOrdered("s")
	var refs []saga.Ref
	saga.Handle(s, "m", func(ctx *saga.Context, _ saga.None) (*edda.StepInput, error) {
		if ctx.SagaID() != "s1" || ctx.StepID() != "step" || ctx.Attempt() != 2 || ctx.Key() != "k" {
			t.Errorf("got saga %s, step %s, attempt %d, key %s", ctx.SagaID(), ctx.StepID(), ctx.Attempt(), ctx.Key())
		}
		refs = append(refs, ctx.Ref())
		return ctx.Input(), nil
	})
	in := edda.StepInput{Args: raw("1"), Dependencies: raw("2"), SagaID: "s1", StepID: "step", CompletionKey: "secret"}
	for _, ns := range []string{"default", "other"} {
		m := &edda.Message{To: edda.Address{Namespace: ns, Name: "s", Key: "k"}, Type: "m", Payload: edda.JSON(in)}
		out := s.Invoke(t.Context(), &edda.Dispatch{Message: m, Attempt: 2})
		if out.Err != nil || !json.Valid(out.Reply.Payload) || string(out.Reply.Payload) != string(edda.JSON(in)) {
			t.Errorf("got %v, %v, want the input", out.Reply, out.Err)
		}
	}
	want := []saga.Ref{
		{Saga: "s1", Step: "step", CompletionKey: "secret"},
		{Namespace: "other", Saga: "s1", Step: "step", CompletionKey: "secret"},
	}
	if diff := cmp.Diff(want, refs); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// What a handler adds to its saga is part of its outcome.
func TestHandlerAddsSteps(t *testing.T) {
	for _, c := range []struct {
		returns error
		added   bool
	}{{nil, true}, {saga.Pending, true}, {errors.New("broken"), false}, {edda.Final("NO", "final"), false}} {
		s := edda.NewBalanced("smithy")
		saga.Handle(s, "m", func(ctx *saga.Context, _ saga.None) (saga.None, error) {
			first := ctx.AddStep("first", "smithy", "forge-head", "iron").After(ctx.StepID()).CompensateWith("smithy", "melt-head")
			inner := saga.New("inner")
			inner.AddStep("a", "smithy", "polish")
			ctx.AddSaga("second", inner).DependsOn(first)
			return saga.None{}, c.returns
		})
		out := invoke(t, s, "m", edda.StepInput{})
		if !c.added {
			if !errors.Is(out.Err, c.returns) || out.Steps != nil {
				t.Errorf("returned %v: got %v and steps %v", c.returns, out.Err, out.Steps)
			}
			continue
		}
		want := []edda.StepSpec{
			{ID: "first", Task: task("forge-head", `"iron"`), After: []string{"step"}, Compensate: new(task("melt-head"))},
			{ID: "second", After: []string{"first"}, Saga: &edda.SagaSpec{Name: "inner", Steps: []edda.StepSpec{{ID: "a", Task: task("polish")}}}},
		}
		if diff := cmp.Diff(want, out.Steps); out.Err != nil || diff != "" {
			t.Errorf("returned %v: got %v, steps (-want +got)\n%s", c.returns, out.Err, diff)
		}
	}
}

func TestMistakesInStepsOfHandlers(t *testing.T) {
	s := edda.NewBalanced("smithy")
	saga.Handle(s, "twice", func(ctx *saga.Context, _ saga.None) (saga.None, error) {
		ctx.AddStep("a", "smithy", "m")
		ctx.AddStep("a", "smithy", "m")
		return saga.None{}, nil
	})
	saga.Handle(s, "once", func(ctx *saga.Context, _ saga.None) (saga.None, error) {
		ctx.AddStep("a", "smithy", "m")
		return saga.None{}, nil
	})
	final := func(out edda.Outcome, text string) {
		t.Helper()
		h, ok := errors.AsType[*edda.HandlerError](out.Err)
		if !ok || !h.Final || h.Reason != "BAD_STEPS" || !strings.Contains(h.Message, text) {
			t.Errorf("got %v, want the final BAD_STEPS with %q", out.Err, text)
		}
	}
	final(invoke(t, s, "twice", edda.StepInput{}), "define step a: the id is used twice")
	m := &edda.Message{Type: "once", Payload: []byte("{}")}
	final(s.Invoke(t.Context(), &edda.Dispatch{Message: m, Attempt: 1}), "no step of a saga")
}
