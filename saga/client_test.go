package saga_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/saga"
)

// What the client asks of its backend.
func TestClientAsks(t *testing.T) {
	b := &backend{saga: &edda.Saga{ID: "s1", State: edda.SagaSucceeded}, answer: &edda.StepAnswer{Applied: true}}
	c := saga.NewClient(b).In("ns")
	ctx := t.Context()
	var steps saga.Steps
	steps.AddStep("more", "smithy", "polish").After("hammer")
	ref := saga.Ref{Saga: "s1", Step: "handle", CompletionKey: "k"}
	for _, call := range []struct {
		do   func() error
		want []any
	}{
		{func() error { return second(c.Saga(ctx, "s1")) }, []any{"Saga", "ns", "s1"}},
		{func() error { return second(c.Wait(ctx, "s1")) }, []any{"WaitSaga", "ns", "s1"}},
		{func() error { return second(c.StartCreated(ctx, "s1")) }, []any{"StartSaga", "ns", "s1"}},
		{func() error { return second(c.Cancel(ctx, "s1")) }, []any{"CancelSaga", "ns", "s1"}},
		{func() error { return second(c.RetryCompensation(ctx, "s1", "a")) }, []any{"Compensate", "ns", "s1", "a", edda.RetryCompensation}},
		{func() error { return second(c.SkipCompensation(ctx, "s1", "a")) }, []any{"Compensate", "ns", "s1", "a", edda.SkipCompensation}},
		{func() error { return second(c.ResolveCompensation(ctx, "s1", "a")) }, []any{"Compensate", "ns", "s1", "a", edda.ResolveCompensation}},
		{func() error { return second(c.Prune(ctx, edda.SagaFilter{Name: "n"})) }, []any{"PruneSagas", edda.SagaFilter{Namespace: "ns", Name: "n"}}},
		{
			func() error { return second(c.AddSteps(ctx, "s1", &steps)) },
			[]any{"AddSteps", "ns", "s1", []edda.StepSpec{{ID: "more", Task: task("polish"), After: []string{"hammer"}}}},
		},
		{
			func() error { return second(c.StepFinished(ctx, ref, []int{1})) },
			[]any{"FinishStep", "ns", "s1", "handle", edda.StepResult{Result: json.RawMessage("[1]"), CompletionKey: "k"}},
		},
		{
			func() error {
				return second(c.StepFinished(ctx, saga.Ref{Namespace: "own", Saga: "s1", Step: "handle"}, saga.None{}))
			},
			[]any{"FinishStep", "own", "s1", "handle", edda.StepResult{Result: json.RawMessage("null")}},
		},
		{
			func() error { return second(c.StepFailed(ctx, ref, errors.New("no wood"))) },
			[]any{"FinishStep", "ns", "s1", "handle", edda.StepResult{
				Error: &edda.StepError{Reason: edda.Failed, Message: "no wood"}, CompletionKey: "k",
			}},
		},
		{
			func() error { return second(c.StepFailed(ctx, ref, nil)) },
			[]any{"FinishStep", "ns", "s1", "handle", edda.StepResult{Error: &edda.StepError{Reason: edda.Failed}, CompletionKey: "k"}},
		},
	} {
		b.asked, b.err = nil, nil
		if err := call.do(); err != nil {
			t.Errorf("%v: %v", call.want[0], err)
		}
		if diff := cmp.Diff(call.want, b.asked); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		b.err = &edda.Error{Reason: edda.NoSaga}
		if err := call.do(); edda.ReasonOf(err) != edda.NoSaga {
			t.Errorf("%v: got %v, want the backend's error", call.want[0], err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestResultIsNoJSON(t *testing.T) {
	b := &backend{}
	_, err := saga.NewClient(b).StepFinished(t.Context(), saga.Ref{Saga: "s1", Step: "a"}, make(chan int))
	if edda.ReasonOf(err) != edda.BadJSON || b.asked != nil {
		t.Errorf("got %v, and asked %v, want BAD_JSON at once", err, b.asked)
	}
}

func TestAddStepsTellsMistakes(t *testing.T) {
	var steps saga.Steps
	steps.AddStep("a", "", "m")
	b := &backend{}
	if _, err := saga.NewClient(b).AddSteps(t.Context(), "s1", &steps); edda.ReasonOf(err) != edda.BadName || b.asked != nil {
		t.Errorf("got %v, and asked %v, want BAD_NAME at once", err, b.asked)
	}
}

// A reference goes to whoever finishes the step, in whatever language.
func TestRefAsJSON(t *testing.T) {
	b, err := json.Marshal(saga.Ref{Saga: "s1", Step: "handle", CompletionKey: "k"})
	if want := `{"sagaId":"s1","stepId":"handle","completionKey":"k"}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
}

func TestSagasGoesThroughPages(t *testing.T) {
	b := &backend{pages: map[string][]edda.Saga{"": {{ID: "c"}, {ID: "b"}}, "b": {{ID: "a"}}}}
	c := saga.NewClient(b)
	list := func(n int) (ids []string, err error) {
		for s, err := range c.Sagas(t.Context(), edda.SagaFilter{State: edda.SagaRunning}) {
			if err != nil {
				return ids, err
			}
			if ids = append(ids, s.ID); len(ids) == n {
				break
			}
		}
		return ids, nil
	}
	if ids, err := list(-1); err != nil || !cmp.Equal(ids, []string{"c", "b", "a"}) {
		t.Errorf("got %v, %v", ids, err)
	}
	if want := []any{"Sagas", edda.SagaFilter{Namespace: "default", State: edda.SagaRunning}, 0, "a"}; !cmp.Equal(b.asked, want) {
		t.Errorf("asked %v last, want %v", b.asked, want)
	}
	if ids, err := list(1); err != nil || !cmp.Equal(ids, []string{"c"}) {
		t.Errorf("got %v, %v", ids, err)
	}
	b.err = &edda.Error{Reason: edda.Unavailable}
	if ids, err := list(-1); edda.ReasonOf(err) != edda.Unavailable || len(ids) != 3 {
		t.Errorf("got %v, %v, want three and then the error", ids, err)
	}
}

func TestResult(t *testing.T) {
	b := &backend{saga: &edda.Saga{ID: "s1", State: edda.SagaSucceeded, Steps: []edda.Step{
		{ID: "head", Result: json.RawMessage(`{"kind":"iron"}`)}, {ID: "handle", Result: json.RawMessage(`"oak"`)},
	}}}
	c := saga.NewClient(b)
	if got, err := saga.Result[string](t.Context(), c, "s1", "handle"); err != nil || got != "oak" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := saga.Result[string](t.Context(), c, "s1", "head"); edda.ReasonOf(err) != edda.BadJSON {
		t.Errorf("got %v, want BAD_JSON", err)
	}
	if _, err := saga.Result[string](t.Context(), c, "s1", "hammer"); edda.ReasonOf(err) != edda.NoStep {
		t.Errorf("got %v, want NO_STEP", err)
	}
	b.saga.State = edda.SagaRunning
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := saga.Result[string](ctx, c, "s1", "handle"); edda.ReasonOf(err) != edda.Timeout || !errors.Is(err, enough) {
		t.Errorf("got %v, want TIMEOUT because of the context", err)
	}
}

func TestUndone(t *testing.T) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	failed := func(id string, after time.Duration, reason edda.Reason, message string) edda.Step {
		return edda.Step{
			ID: id, State: edda.StepFailed, EndedAt: at.Add(after),
			Error: &edda.StepError{Reason: reason, Message: message},
		}
	}
	for _, c := range []struct {
		saga edda.Saga
		text string
		step string
	}{
		{edda.Saga{
			ID: "s1", Name: "hammer", State: edda.SagaCompensated, Reason: edda.SagaStepFailed,
			Steps: []edda.Step{
				{ID: "head", State: edda.StepCompensated},
				failed("b", 2, edda.Dead, "later"), failed("a", 1, edda.Failed, "NO_WOOD: none is left"),
			},
		}, "saga hammer (s1) was undone: step a failed: FAILED: NO_WOOD: none is left", "a"},
		{edda.Saga{
			ID: "s1", State: edda.SagaCompensationFailed, Reason: edda.SagaStepFailed,
			Steps: []edda.Step{failed("a", 0, edda.NoService, "")},
		}, "saga s1 could not be undone: step a failed: NO_SERVICE", "a"},
		{edda.Saga{ID: "s1", State: edda.SagaCancelled, Reason: edda.Cancelled}, "saga s1 was cancelled before it started: CANCELLED", ""},
		{edda.Saga{
			ID: "s1", State: edda.SagaCompensated, Reason: edda.DeadlineExceeded, Detail: "after 1h",
		}, "saga s1 was undone: DEADLINE: after 1h", ""},
	} {
		_, err := saga.Result[string](t.Context(), saga.NewClient(&backend{saga: &c.saga}), "s1", "a")
		undone, ok := errors.AsType[*saga.UndoneError](err)
		if !ok || err.Error() != c.text || edda.ReasonOf(err) != c.saga.Reason || undone.Saga != &c.saga {
			t.Errorf("got %v, want %s", err, c.text)
			continue
		}
		if s := undone.Step(); (s == nil) != (c.step == "") || s != nil && s.ID != c.step {
			t.Errorf("%s: got step %v, want %q", c.text, s, c.step)
		}
	}
}

// A saga that a handler starts belongs to the story of its request.
func TestStartInHandler(t *testing.T) {
	b := &backend{}
	s := edda.NewBalanced("orders")
	edda.Handle(s, "place", func(ctx *edda.Context, own string) (string, error) {
		within, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		def := hammer()
		def.CorrelationID = own
		ack, err := saga.NewClient(b).Start(within, def)
		if err != nil {
			return "", err
		}
		return ack.ID, nil
	})
	place := func(own string) {
		m := &edda.Message{Type: "place", CorrelationID: "story", TraceParent: "tp", TraceState: "ts", Payload: edda.JSON(own)}
		if out := s.Invoke(t.Context(), &edda.Dispatch{Message: m, Attempt: 1}); out.Err != nil {
			t.Fatal(out.Err)
		}
	}
	place("")
	if got := b.created; got.CorrelationID != "story" || got.TraceParent != "tp" || got.TraceState != "ts" {
		t.Errorf("got %+v, want the correlation and trace of the request", got)
	}
	place("own")
	if got := b.created.CorrelationID; got != "own" {
		t.Errorf("got correlation id %q, want the definition's", got)
	}
}
