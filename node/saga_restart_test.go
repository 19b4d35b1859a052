package node_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// Sagas go on after a restart from where they were: running, pending, waiting for a
// retry, not started, undone in part, ended.
func TestSagaRestart(t *testing.T) {
	var keys sync.Map
	var mu sync.Mutex
	var closed bool
	isClosed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return closed
	}
	services := func() []*edda.Service {
		blocks := func(ctx *edda.Context, in *edda.StepInput) (any, error) {
			if !isClosed() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return fmt.Sprint(in.StepID, in.Dependencies), nil
		}
		good := func(_ *edda.Context, in *edda.StepInput) (any, error) { return in.StepID, nil }
		all := []*edda.Service{
			tool("good", good), shelf("shelf", good), tool("blocks", blocks), shelf("blocked", blocks), tool("later", pends(&keys)),
			tool("bad", func(*edda.Context, *edda.StepInput) (any, error) { return nil, edda.Final("NO", "no") }),
		}
		for _, s := range all {
			s.Retry, s.AttemptTimeout = edda.RetryPolicy{Max: -1, Delay: time.Second, Backoff: 1, Jitter: -1}, 24*time.Hour
		}
		return all
	}
	restarts(t, func(t *testing.T, n *node.Node, restart func(*node.Node) *node.Node) {
		mu.Lock()
		closed = false
		mu.Unlock()
		begun := time.Now()
		chain := func(to string) *edda.SagaSpec {
			return sagaOf("chain", undo(ask("a", "good", "", ""), "good", ""), undo(ask("k", "shelf/k", "", "a"), "shelf/k", ""), ask("b", to, "", "k"), ask("c", "good", "", "b"))
		}
		running, keyed, pending := create(t, n, chain("blocks")), create(t, n, chain("blocked/1")), create(t, n, chain("later"))
		unstarted := chain("good")
		unstarted.Start, unstarted.IdempotencyKey = false, "key"
		waits := create(t, n, unstarted)
		late := chain("later")
		late.DeadlineAfter = 10 * time.Minute
		due := create(t, n, late)
		undoing := create(t, n, sagaOf("", undo(ask("a", "good", "", ""), "blocks", ""), ask("b", "bad", "", "a")))
		done := create(t, n, chain("good"))
		endsAs(t, n, done, edda.SagaSucceeded)
		nested := create(t, n, sagaOf("", edda.StepSpec{ID: "in", Saga: chain2("blocks")}, ask("z", "good", "", "in")))
		for range 3 {
			synctest.Wait()
			isIn(t, n, running, "running: a=succeeded k=succeeded b=running c=waiting")
			isIn(t, n, keyed, "running: a=succeeded k=succeeded b=running c=waiting")
			isIn(t, n, pending, "running: a=succeeded k=succeeded b=running c=waiting")
			isIn(t, n, waits, "created: a=waiting k=waiting b=waiting c=waiting")
			isIn(t, n, due, "running: a=succeeded k=succeeded b=running c=waiting")
			isIn(t, n, undoing, "compensating: a=compensating/running b=failed")
			isIn(t, n, nested, "running: in=running z=waiting")
			s := isIn(t, n, done, "succeeded: a=succeeded k=succeeded b=succeeded c=succeeded")
			if string(s.Steps[3].Result) != `"c"` || !s.EndedAt.Equal(begun) || s.StepCount != 4 || !slices.Equal(s.Steps[1].After, []string{"a"}) {
				t.Errorf("got %+v", s)
			}
			if ack, err := n.CreateSaga(t.Context(), changed(chain("good"), func(s *edda.SagaSpec) { s.Start, s.IdempotencyKey = false, "key" })); err != nil || !ack.Joined || ack.ID != waits {
				t.Errorf("got %+v, %v", ack, err)
			}
			if got := listed(t, n, edda.SagaFilter{State: edda.SagaRunning, Name: "chain"}, 2); len(got) != 4 {
				t.Errorf("got %v", got)
			}
			n = restart(n)
			time.Sleep(2 * time.Second)
		}
		finish(t, n, pending, "b", edda.StepResult{CompletionKey: keyOf(t, &keys, pending, "b"), Result: json.RawMessage("1")}, true, edda.StepSucceeded)
		endsAs(t, n, pending, edda.SagaSucceeded)
		mu.Lock()
		closed = true
		mu.Unlock()
		n = restart(n)
		for _, id := range []string{running, keyed, nested} {
			endsAs(t, n, id, edda.SagaSucceeded)
		}
		endsAs(t, n, undoing, edda.SagaCompensated)
		if _, err := n.StartSaga(t.Context(), "", waits); err != nil {
			t.Fatal(err)
		}
		endsAs(t, n, waits, edda.SagaSucceeded)
		s := endsAs(t, n, due, edda.SagaCompensated)
		if took := time.Since(begun); took != 10*time.Minute || s.Reason != edda.DeadlineExceeded {
			t.Errorf("the deadline was met after %v, reason %s", took, s.Reason)
		}
		noSlotIsLost(t, n, "good", "shelf", "blocks", "blocked", "later", "bad")
		stop(t, n)
	}, services)
}

// chain2 is a saga for a step.
func chain2(to string) *edda.SagaSpec {
	return &edda.SagaSpec{Steps: []edda.StepSpec{ask("x", "good", "", ""), ask("y", to, "", "x")}}
}

func changed(s *edda.SagaSpec, change func(*edda.SagaSpec)) *edda.SagaSpec {
	change(s)
	return s
}
