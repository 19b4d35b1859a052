package node_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// pends is a handler that leaves its step to whoever has the completion key.
func pends(keys *sync.Map) stepFunc {
	return func(_ *edda.Context, in *edda.StepInput) (any, error) {
		keys.Store(in.SagaID+" "+in.StepID, in.CompletionKey)
		return nil, edda.ErrPending
	}
}

func keyOf(t *testing.T, keys *sync.Map, id, step string) string {
	t.Helper()
	synctest.Wait()
	k, _ := keys.Load(id + " " + step)
	s, _ := k.(string)
	if s == "" {
		t.Fatalf("step %s has no completion key", step)
	}
	return s
}

func TestSagaPendingStep(t *testing.T) {
	bubble(t, "pending", func(t *testing.T) {
		var j journal
		var keys sync.Map
		n := start(t, node.Options{}, tool("later", pends(&keys)), shelf("shelf", pends(&keys)), tool("sum", logged(&j, "sum", nil)))
		id := create(t, n, sagaOf("", ask("a", "later", "", ""), ask("b", "later", "", ""), ask("c", "shelf/1", "", ""), ask("sum", "sum", "", "a b c")))
		time.Sleep(24 * time.Hour) // nothing hurries it
		s := isIn(t, n, id, "running: a=running b=running c=running sum=waiting")
		if !s.Steps[0].Pending || s.Steps[0].Attempts != 1 || s.Steps[3].Pending {
			t.Errorf("got %+v", s.Steps)
		}
		finish(t, n, id, "a", edda.StepResult{Result: json.RawMessage(`{"x":1}`)}, true, edda.StepSucceeded)
		finish(t, n, id, "a", edda.StepResult{Result: json.RawMessage(`2`)}, false, edda.StepSucceeded)
		finish(t, n, id, "a", edda.StepResult{Error: &edda.StepError{}}, false, edda.StepSucceeded)
		finish(t, n, id, "sum", edda.StepResult{}, false, edda.StepWaiting)
		k := keyOf(t, &keys, id, "b")
		_, err := n.FinishStep(t.Context(), "", id, "b", edda.StepResult{CompletionKey: k[1:] + "0"})
		wantReason(t, err, edda.NotAllowed)
		_, err = n.FinishStep(t.Context(), "", id, "c", edda.StepResult{CompletionKey: k})
		wantReason(t, err, edda.NotAllowed)
		finish(t, n, id, "b", edda.StepResult{CompletionKey: k}, true, edda.StepSucceeded)
		finish(t, n, id, "b", edda.StepResult{CompletionKey: k}, false, edda.StepSucceeded)
		finish(t, n, id, "c", edda.StepResult{CompletionKey: keyOf(t, &keys, id, "c"), Result: json.RawMessage(`3`)}, true, edda.StepSucceeded)
		endsAs(t, n, id, edda.SagaSucceeded)
		j.want(t, `sum[][{"x":1} null 3]`)
		finish(t, n, id, "c", edda.StepResult{}, false, edda.StepSucceeded)
	})
}

// Completions that make no sense are answered with what is true.
func TestSagaBadCompletions(t *testing.T) {
	bubble(t, "bad", func(t *testing.T) {
		var keys sync.Map
		n := start(t, node.Options{Limits: node.Limits{PayloadBytes: 1000}}, tool("later", pends(&keys)))
		id := create(t, n, sagaOf("", ask("a", "later", "", "")))
		synctest.Wait()
		for name, c := range map[string]struct {
			id, step string
			r        edda.StepResult
			want     edda.Reason
		}{
			"no saga":   {"nothing", "a", edda.StepResult{}, edda.NoSaga},
			"no step":   {id, "b", edda.StepResult{}, edda.NoStep},
			"bad id":    {"..", "a", edda.StepResult{}, edda.BadName},
			"reason":    {id, "a", edda.StepResult{Error: &edda.StepError{Reason: edda.Reason(strings.Repeat("R", 1000))}}, edda.BadName},
			"no JSON":   {id, "a", edda.StepResult{Result: json.RawMessage("{")}, edda.BadSchema},
			"too large": {id, "a", edda.StepResult{Result: json.RawMessage(`"` + strings.Repeat("x", 1000) + `"`)}, edda.TooLarge},
		} {
			if _, err := n.FinishStep(t.Context(), "", c.id, c.step, c.r); edda.ReasonOf(err) != c.want {
				t.Errorf("%s: got %v, want %s", name, err, c.want)
			}
		}
		finish(t, n, id, "a", edda.StepResult{Error: &edda.StepError{Message: "lost"}}, true, edda.StepFailed)
		s := endsAs(t, n, id, edda.SagaCompensated)
		if e := s.Steps[0].Error; e == nil || *e != (edda.StepError{Reason: edda.Failed, Message: "lost"}) {
			t.Errorf("got %+v", e)
		}
		finish(t, n, id, "a", edda.StepResult{}, false, edda.StepFailed)
	})
}

// Of two who complete a step at once one has finished it.
func TestSagaCompletedAtOnce(t *testing.T) {
	bubble(t, "at once", func(t *testing.T) {
		var keys sync.Map
		n := start(t, node.Options{}, tool("later", pends(&keys)))
		id := create(t, n, sagaOf("", ask("a", "later", "", "")))
		synctest.Wait()
		applied := make(chan bool, 10)
		for range cap(applied) {
			go func() {
				a, err := n.FinishStep(t.Context(), "", id, "a", edda.StepResult{Result: json.RawMessage("1")})
				if err != nil || a.State != edda.StepSucceeded {
					t.Errorf("got %+v, %v", a, err)
				}
				applied <- err == nil && a.Applied
			}()
		}
		some := 0
		for range cap(applied) {
			if <-applied {
				some++
			}
		}
		if some != 1 {
			t.Errorf("%d have finished it, want 1", some)
		}
		endsAs(t, n, id, edda.SagaSucceeded)
	})
}

// A running step may be finished by call: what its handler says later is refused.
func TestSagaRunningStepIsFinished(t *testing.T) {
	for name, to := range map[string]string{"local": "slow", "elsewhere": "shelf/1"} {
		bubble(t, name, func(t *testing.T) {
			var j journal
			gate := make(chan struct{})
			n := start(t, node.Options{Partitions: 8}, tool("slow", gated(gate, logged(&j, "slow", 1))), shelf("shelf", gated(gate, logged(&j, "slow", 1))), tool("sum", logged(&j, "sum", nil)))
			id := create(t, n, sagaOf("", ask("a", to, "", ""), ask("sum", "sum", "", "a")))
			isIn(t, n, id, "running: a=running sum=waiting")
			finish(t, n, id, "a", edda.StepResult{Result: json.RawMessage("7")}, true, edda.StepSucceeded)
			close(gate)
			endsAs(t, n, id, edda.SagaSucceeded)
			synctest.Wait()
			if s := look(t, n, id); string(s.Steps[0].Result) != "7" {
				t.Errorf("got %s, want 7", s.Steps[0].Result)
			}
			noSlotIsLost(t, n, "slow", "shelf", "sum")
		})
	}
}

// A pending step of a saga that fails: it is waited for, or cancelled.
func TestSagaPendingWhileAnotherFails(t *testing.T) {
	for _, c := range []struct {
		policy edda.OnFailure
		want   string
	}{
		{edda.WaitForSteps, "compensated: a=compensated/succeeded b=failed"},
		{edda.CancelSteps, "compensated: a=cancelled b=failed"},
	} {
		bubble(t, string(c.policy), func(t *testing.T) {
			var j journal
			var keys sync.Map
			n := start(t, node.Options{}, tool("later", pends(&keys)), tool("undo", logged(&j, "undo", nil)), tool("bad", failing(&j, "bad")))
			sp := sagaOf("", undo(ask("a", "later", "", ""), "undo", ""), ask("b", "bad", "", ""))
			sp.OnFailure = c.policy
			id := create(t, n, sp)
			synctest.Wait()
			if c.policy == edda.WaitForSteps {
				isIn(t, n, id, "compensating: a=running b=failed")
				finish(t, n, id, "a", edda.StepResult{}, true, edda.StepCompensating)
			}
			endsAs(t, n, id, edda.SagaCompensated)
			isIn(t, n, id, c.want)
		})
	}
}
