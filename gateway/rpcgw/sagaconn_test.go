package rpcgw

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
)

// A connection is the backend that it leads to: it asks the same of it, and
// answers the same.
func TestSagasThroughAConnection(t *testing.T) {
	f := &fakeSagas{saga: tripSaga()}
	conn, err := client.Dial(serveSagas(t, f, Options{}).CanonicalTarget()[len("passthrough:///"):], client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	saga := func(s *edda.Saga, err error) []any { return []any{s, err} }
	for name, call := range map[string]func(ctx context.Context, b edda.SagaBackend) []any{
		"create": func(ctx context.Context, b edda.SagaBackend) []any {
			s := fullSpec()
			s.Principal = edda.Anonymous
			ack, err := b.CreateSaga(ctx, s)
			return []any{ack, err}
		},
		"get":    func(ctx context.Context, b edda.SagaBackend) []any { return saga(b.Saga(ctx, "shop", "trip-1")) },
		"start":  func(ctx context.Context, b edda.SagaBackend) []any { return saga(b.StartSaga(ctx, "shop", "trip-1")) },
		"cancel": func(ctx context.Context, b edda.SagaBackend) []any { return saga(b.CancelSaga(ctx, "shop", "trip-1")) },
		"add": func(ctx context.Context, b edda.SagaBackend) []any {
			return saga(b.AddSteps(ctx, "shop", "trip-1", fullSpec().Steps))
		},
		"wait": func(ctx context.Context, b edda.SagaBackend) []any {
			for {
				brief, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
				s, err := b.WaitSaga(brief, "shop", "trip-1")
				cancel()
				if edda.ReasonOf(err) != edda.Timeout || ctx.Err() != nil { // its last look has a second
					return saga(s, err)
				}
			}
		},
		"list": func(ctx context.Context, b edda.SagaBackend) []any {
			page, next, err := b.Sagas(ctx, edda.SagaFilter{
				Namespace: "shop", ID: "trip-1", Name: "trip", State: edda.SagaRunning, Principal: "ada",
				Since: time.Unix(0, 1).UTC(), Until: time.Unix(0, 2).UTC(),
			}, 7, "cursor")
			return []any{page, next, err}
		},
		"complete": func(ctx context.Context, b edda.SagaBackend) []any {
			a, err := b.FinishStep(ctx, "shop", "trip-1", "fly", edda.StepResult{Result: json.RawMessage(`[1]`), CompletionKey: "k"})
			return []any{a, err}
		},
		"complete with nothing": func(ctx context.Context, b edda.SagaBackend) []any {
			a, err := b.FinishStep(ctx, "shop", "trip-1", "fly", edda.StepResult{})
			return []any{a, err}
		},
		"fail": func(ctx context.Context, b edda.SagaBackend) []any {
			a, err := b.FinishStep(ctx, "shop", "trip-1", "fly", edda.StepResult{Error: &edda.StepError{Reason: "R", Message: "m", Status: 409}})
			return []any{a, err}
		},
		"retry": func(ctx context.Context, b edda.SagaBackend) []any {
			return saga(b.Compensate(ctx, "shop", "trip-1", "fly", edda.RetryCompensation))
		},
		"prune": func(ctx context.Context, b edda.SagaBackend) []any {
			n, err := b.PruneSagas(ctx, edda.SagaFilter{State: edda.SagaCompensationFailed})
			return []any{n, err}
		},
	} {
		here := &fakeSagas{saga: tripSaga()}
		want := call(ctx, here)
		got := call(ctx, conn)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s answers (-backend +connection):\n%s", name, diff)
		}
		if diff := cmp.Diff([]any{here.spec, here.steps, here.result, here.filter}, []any{f.spec, f.steps, f.result, f.filter}); diff != "" {
			t.Errorf("%s asks (-backend +connection):\n%s", name, diff)
		}
		f.mu.Lock()
		if name != "wait" && !slices.Equal(here.asked, f.asked) {
			t.Errorf("%s asks for %q, the connection for %q", name, here.asked, f.asked)
		}
		f.asked, f.spec, f.steps, f.result, f.filter = nil, nil, nil, edda.StepResult{}, edda.SagaFilter{}
		f.mu.Unlock()
	}
	_, err = conn.StartSaga(ctx, "shop", "none")
	if edda.ReasonOf(err) != edda.NoSaga || !strings.Contains(err.Error(), `start saga none: there is no saga "none"`) {
		t.Errorf("got %v, want NO_SAGA", err)
	}
}
