package node_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// Siblings that run when a step fails are waited for, and undone, or cancelled;
// here, and where their keys live.
func TestSagaSiblingsOfAFailure(t *testing.T) {
	for _, to := range []string{"slow", "shelf/1", "shelf/2"} {
		for _, policy := range []edda.OnFailure{edda.WaitForSteps, edda.CancelSteps} {
			bubble(t, fmt.Sprint(to, " ", policy), func(t *testing.T) {
				var j journal
				gate := make(chan struct{})
				n := start(t, node.Options{Partitions: 8}, tool("slow", gated(gate, logged(&j, "slow", 1))), shelf("shelf", gated(gate, logged(&j, "slow", 1))),
					tool("undo", logged(&j, "undo", nil)), tool("bad", failing(&j, "bad")))
				sp := sagaOf("", undo(ask("a", to, "", ""), "undo", ""), ask("b", "bad", "", ""), ask("c", "slow", "", "a"))
				sp.OnFailure = policy
				id := create(t, n, sp)
				synctest.Wait()
				if policy == edda.WaitForSteps {
					isIn(t, n, id, "compensating: a=running b=failed c=skipped")
					close(gate)
					endsAs(t, n, id, edda.SagaCompensated)
					isIn(t, n, id, "compensated: a=compensated/succeeded b=failed c=skipped")
					j.want(t, "bad[][] slow[][] undo[][1]")
				} else {
					endsAs(t, n, id, edda.SagaCompensated)
					isIn(t, n, id, "compensated: a=cancelled b=failed c=skipped")
					j.want(t, "bad[][]")
				}
				noSlotIsLost(t, n, "slow", "shelf", "undo", "bad")
			})
		}
	}
}

func TestSagaIsCancelled(t *testing.T) {
	bubble(t, "running", func(t *testing.T) {
		var j journal
		gate := make(chan struct{})
		n := start(t, node.Options{}, tool("good", logged(&j, "good", 1)), tool("slow", gated(gate, logged(&j, "slow", 1))), tool("undo", logged(&j, "undo", nil)))
		id := create(t, n, sagaOf("", undo(ask("a", "good", "", ""), "undo", "1"), undo(ask("b", "good", "", "a"), "undo", "2"), ask("c", "slow", "", "b"), ask("d", "good", "", "c")))
		isIn(t, n, id, "running: a=succeeded b=succeeded c=running d=waiting")
		v, err := n.CancelSaga(t.Context(), "", id)
		if err != nil || v.State != edda.SagaCompensating || v.Reason != edda.Cancelled {
			t.Fatalf("got %+v, %v", v, err)
		}
		s := endsAs(t, n, id, edda.SagaCompensated)
		if got := states(s); got != "compensated: a=compensated/succeeded b=compensated/succeeded c=cancelled d=skipped" || s.Reason != edda.Cancelled {
			t.Errorf("got %s, reason %s", got, s.Reason)
		}
		j.want(t, "good[][] good[][1] undo[2][1] undo[1][1]")
		if v, err = n.CancelSaga(t.Context(), "", id); err != nil || v.State != edda.SagaCompensated {
			t.Errorf("cancelled again: got %+v, %v", v, err)
		}
		_, err = n.CancelSaga(t.Context(), "", "nothing")
		wantReason(t, err, edda.NoSaga)
		noSlotIsLost(t, n, "good", "slow", "undo")
	})
	bubble(t, "not started", func(t *testing.T) {
		n := start(t, node.Options{})
		sp := sagaOf("", ask("a", "good", "", ""))
		sp.Start = false
		id := create(t, n, sp)
		if v, err := n.CancelSaga(t.Context(), "", id); err != nil || v.State != edda.SagaCancelled {
			t.Fatalf("got %+v, %v", v, err)
		}
		isIn(t, n, id, "cancelled: a=skipped")
		if v, err := n.StartSaga(t.Context(), "", id); err != nil && edda.ReasonOf(err) != edda.SagaEnded || v != nil && v.State != edda.SagaCancelled {
			t.Errorf("started: got %+v, %v", v, err)
		}
	})
}

func TestSagaDeadline(t *testing.T) {
	bubble(t, "deadline", func(t *testing.T) {
		var j journal
		var keys sync.Map
		n := start(t, node.Options{}, tool("good", logged(&j, "good", 1)), tool("later", pends(&keys)), tool("undo", logged(&j, "undo", nil)))
		begun := time.Now()
		sp := sagaOf("", undo(ask("a", "good", "", ""), "undo", ""), ask("b", "later", "", "a"))
		sp.DeadlineAfter = time.Minute
		late := sagaOf("", ask("b", "later", "", ""))
		late.Deadline = begun.Add(time.Hour)
		unstarted := sagaOf("", ask("b", "later", "", ""))
		unstarted.DeadlineAfter, unstarted.Start = 2*time.Minute, false
		fast := sagaOf("", ask("a", "good", "", ""))
		fast.DeadlineAfter = time.Minute
		id, other, third := create(t, n, sp), create(t, n, late), create(t, n, unstarted)
		endsAs(t, n, create(t, n, fast), edda.SagaSucceeded)
		if v := look(t, n, id); !v.Deadline.Equal(begun.Add(time.Minute)) {
			t.Errorf("got deadline %v", v.Deadline)
		}
		s := endsAs(t, n, id, edda.SagaCompensated)
		if s.Reason != edda.DeadlineExceeded || since(begun) != "1m0s" {
			t.Errorf("got %s after %s", s.Reason, since(begun))
		}
		if got := states(s); got != "compensated: a=compensated/succeeded b=cancelled" {
			t.Errorf("got %s", got)
		}
		endsAs(t, n, third, edda.SagaCancelled)
		if since(begun) != "2m0s" {
			t.Errorf("got %s", since(begun))
		}
		endsAs(t, n, other, edda.SagaCompensated)
		if since(begun) != "1h0m0s" {
			t.Errorf("got %s", since(begun))
		}
		past := sagaOf("", ask("b", "later", "", ""))
		past.Deadline = begun
		_, err := n.CreateSaga(t.Context(), past)
		wantReason(t, err, edda.DeadlineExceeded)
	})
}

// Many deadlines at once are met by few timers.
func TestSagaManyDeadlines(t *testing.T) {
	bubble(t, "many", func(t *testing.T) {
		var keys sync.Map
		n := start(t, node.Options{Partitions: 2}, tool("later", pends(&keys)))
		begun := time.Now()
		var ids []string
		for range 300 {
			sp := sagaOf("", ask("a", "later", "", ""))
			sp.Deadline = begun.Add(time.Minute)
			ids = append(ids, create(t, n, sp))
		}
		for _, id := range ids {
			endsAs(t, n, id, edda.SagaCompensated)
		}
		if since(begun) != "1m0s" {
			t.Errorf("got %s", since(begun))
		}
	})
}

// A compensation that fails for good is left to a person, who retries, skips or
// resolves it; those before it wait.
func TestSagaCompensationFails(t *testing.T) {
	for _, c := range []struct {
		action edda.CompensationAction
		want   string
	}{
		{edda.RetryCompensation, "compensated: a=compensated/succeeded b=compensated/succeeded c=failed"},
		{edda.SkipCompensation, "compensated: a=compensated/succeeded b=not_compensated/skipped c=failed"},
		{edda.ResolveCompensation, "compensated: a=compensated/succeeded b=compensated/resolved c=failed"},
	} {
		bubble(t, string(c.action), func(t *testing.T) {
			var j journal
			var mu sync.Mutex
			broken := true
			n := start(t, node.Options{}, tool("good", logged(&j, "good", 1)), tool("bad", failing(&j, "bad")), tool("undo", logged(&j, "undo", nil)),
				tool("breaks", func(_ *edda.Context, in *edda.StepInput) (any, error) {
					mu.Lock()
					defer mu.Unlock()
					j.addf("breaks%s", in.Dependencies)
					if broken {
						return nil, errHandler
					}
					return nil, nil
				}))
			id := create(t, n, sagaOf("", undo(ask("a", "good", "", ""), "undo", ""), undo(ask("b", "good", "", "a"), "breaks", ""), ask("c", "bad", "", "b")))
			s := endsAs(t, n, id, edda.SagaCompensationFailed)
			if e := s.Steps[1].Compensation.Error; e == nil || e.Message == "" || s.Steps[1].Compensation.Attempts != 1 {
				t.Errorf("got %+v", s.Steps[1].Compensation)
			}
			v, err := n.Compensate(t.Context(), "", id, "b", edda.RetryCompensation) // in vain
			if err != nil || v.State != edda.SagaCompensating {
				t.Fatalf("got %+v, %v", v, err)
			}
			endsAs(t, n, id, edda.SagaCompensationFailed)
			mu.Lock()
			broken = false
			mu.Unlock()
			for _, step := range []string{"a", "c"} { // nothing has failed there
				if v, err := n.Compensate(t.Context(), "", id, step, c.action); err != nil || v.State != edda.SagaCompensationFailed {
					t.Errorf("step %s: got %+v, %v", step, v, err)
				}
			}
			_, err = n.Compensate(t.Context(), "", id, "x", c.action)
			wantReason(t, err, edda.NoStep)
			_, err = n.Compensate(t.Context(), "", "nothing", "b", c.action)
			wantReason(t, err, edda.NoSaga)
			_, err = n.Compensate(t.Context(), "", id, "b", "forget")
			wantReason(t, err, edda.BadValue)
			if _, err = n.Compensate(t.Context(), "", id, "b", c.action); err != nil {
				t.Fatal(err)
			}
			endsAs(t, n, id, edda.SagaCompensated)
			isIn(t, n, id, c.want)
			lines := j.all()
			if lines[len(lines)-1] != "undo[][1]" || slices.Index(lines, "undo[][1]") != len(lines)-1 {
				t.Errorf("handlers wrote %q", lines)
			}
			noSlotIsLost(t, n, "good", "bad", "undo", "breaks")
		})
	}
}

// Compensations run against the order of their steps, independent ones in parallel,
// by the retry policy of each.
func TestSagaUndoOrder(t *testing.T) {
	bubble(t, "diamond", func(t *testing.T) {
		var j journal
		begun := time.Now()
		n := start(t, node.Options{}, tool("good", logged(&j, "good", 1)), tool("bad", failing(&journal{}, "bad")),
			tool("undo", func(ctx *edda.Context, in *edda.StepInput) (any, error) {
				if ctx.Attempt() == 1 {
					return nil, errHandler
				}
				j.addf("%s:%s", in.StepID, since(begun))
				if in.CompletionKey != "" {
					t.Error("a compensation has a completion key")
				}
				return nil, nil
			}))
		retry := func(s edda.StepSpec) edda.StepSpec {
			s = undo(s, "undo", "")
			s.Compensate.Retry = everySecond
			return s
		}
		id := create(t, n, sagaOf("", retry(ask("a", "good", "", "")), retry(ask("b", "good", "", "a")), retry(ask("c", "good", "", "a")), retry(ask("d", "good", "", "b c")), ask("e", "bad", "", "d")))
		endsAs(t, n, id, edda.SagaCompensated)
		lines := j.all()[4:]
		slices.Sort(lines[1:3])
		if !slices.Equal(lines, []string{"d:1s", "b:2s", "c:2s", "a:3s"}) {
			t.Errorf("got %q", lines)
		}
	})
}
