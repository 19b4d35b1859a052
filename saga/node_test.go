package saga_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/eddatest"
	"github.com/edda-io/edda/saga"
)

// work is a balanced service: do returns its argument, later is pending, fail fails,
// undo undoes what do and later have done.
func work(undo func(result string) error) *edda.Service {
	s := edda.NewBalanced("work")
	saga.Handle(s, "do", func(_ *saga.Context, result string) (string, error) { return result, nil })
	saga.Handle(s, "later", func(*saga.Context, saga.None) (string, error) { return "", saga.Pending })
	saga.Handle(s, "fail", func(*saga.Context, saga.None) (string, error) { return "", edda.Final("NO", "it cannot be") })
	saga.Compensator(s, "undo", func(_ *saga.Context, result string) error { return undo(result) })
	return s
}

func undoNothing(string) error { return nil }

// must returns v where there is no error, and ends the tests where there is one.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// steps lists the steps of a saga with their states.
func steps(s *edda.Saga) string {
	var all []string
	for _, step := range s.Steps {
		text := step.ID + " " + string(step.State)
		if c := step.Compensation; c != nil && c.State != edda.CompensationWaiting {
			text += " (" + string(c.State) + ")"
		}
		all = append(all, text)
	}
	return string(s.State) + ": " + strings.Join(all, ", ")
}

func wantSteps(t *testing.T, s *edda.Saga, want string) {
	t.Helper()
	if got := steps(s); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := saga.NewClient(eddatest.Start(t, work(undoNothing)).Node)
		def := saga.New("late")
		def.DeadlineAfter = 7 * 24 * time.Hour
		def.AddStep("a", "work", "do", "x").CompensateWith("work", "undo")
		def.AddStep("b", "work", "later").After("a")
		begin := time.Now()
		started := must(client.Start(t.Context(), def))
		_, err := saga.Result[string](t.Context(), client, started.ID, "b")
		undone, ok := errors.AsType[*saga.UndoneError](err)
		if !ok || edda.ReasonOf(err) != edda.DeadlineExceeded || undone.Step() != nil {
			t.Fatalf("got %v, want DEADLINE", err)
		}
		wantSteps(t, undone.Saga, "compensated: a compensated (succeeded), b cancelled")
		if took := time.Since(begin).Truncate(time.Second); took != def.DeadlineAfter {
			t.Errorf("it took %v, want %v", took, def.DeadlineAfter)
		}
	})
}

func TestCreateStartCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := saga.NewClient(eddatest.Start(t, work(undoNothing)).Node)
		def := saga.New("later")
		def.AddStep("a", "work", "do", "x").CompensateWith("work", "undo")
		def.AddStep("b", "work", "later").After("a")

		never := must(client.Create(t.Context(), def))
		if never.State != edda.SagaCreated {
			t.Errorf("got state %s", never.State)
		}
		wantSteps(t, must(client.Cancel(t.Context(), never.ID)), "cancelled: a skipped, b skipped")

		id := must(client.Create(t.Context(), def)).ID
		must(client.StartCreated(t.Context(), id))
		synctest.Wait()
		wantSteps(t, must(client.StartCreated(t.Context(), id)), "running: a succeeded, b running")
		must(client.Cancel(t.Context(), id))
		wantSteps(t, must(client.Wait(t.Context(), id)), "compensated: a compensated (succeeded), b cancelled")
		wantSteps(t, must(client.Cancel(t.Context(), id)), "compensated: a compensated (succeeded), b cancelled")
	})
}

func TestAddStepsToRunningSaga(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := saga.NewClient(eddatest.Start(t, work(undoNothing)).Node)
		def := saga.New("growing")
		first := def.AddStep("a", "work", "later")
		id := must(client.Start(t.Context(), def)).ID

		var more saga.Steps
		b := more.AddStep("b", "work", "do", "x").DependsOn(first)
		more.AddStep("c", "work", "do", "y").DependsOn(b)
		must(client.AddSteps(t.Context(), id, &more))
		synctest.Wait()
		must(client.StepFinished(t.Context(), saga.Ref{Saga: id, Step: "a"}, "z"))
		wantSteps(t, must(client.Wait(t.Context(), id)), "succeeded: a succeeded, b succeeded, c succeeded")

		if _, err := client.AddSteps(t.Context(), id, nil); edda.ReasonOf(err) == "" {
			t.Error("no steps were added without an error")
		}
		var tooLate saga.Steps
		tooLate.AddStep("d", "work", "do", "x")
		if _, err := client.AddSteps(t.Context(), id, &tooLate); edda.ReasonOf(err) != edda.SagaEnded {
			t.Errorf("got %v, want SAGA_ENDED", err)
		}
	})
}

// A compensation that has failed waits for a person, who may act in three ways.
func TestCompensationActions(t *testing.T) {
	for _, c := range []struct {
		act  func(c *saga.Client, ctx context.Context, id, step string) (*edda.Saga, error)
		want string
	}{
		{(*saga.Client).RetryCompensation, "compensated: a compensated (succeeded), b compensated (succeeded), c failed"},
		{(*saga.Client).SkipCompensation, "compensated: a compensated (succeeded), b not_compensated (skipped), c failed"},
		{(*saga.Client).ResolveCompensation, "compensated: a compensated (succeeded), b compensated (resolved), c failed"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var away atomic.Bool
			away.Store(true)
			client := saga.NewClient(eddatest.Start(t, work(func(result string) error {
				if result == "two" && away.Load() {
					return errors.New("nobody is there")
				}
				return nil
			})).Node)
			def := saga.New("stuck")
			a := def.AddStep("a", "work", "do", "one").CompensateWith("work", "undo")
			b := def.AddStep("b", "work", "do", "two").CompensateWith("work", "undo").DependsOn(a)
			b.CompensationRetry = edda.RetryPolicy{Max: 3}
			def.AddStep("c", "work", "fail").DependsOn(b)
			id := must(client.Start(t.Context(), def)).ID
			stuck := must(client.Wait(t.Context(), id))
			wantSteps(t, stuck, "compensation_failed: a succeeded, b compensating (failed), c failed")
			if b := stuck.Steps[1].Compensation; b.Attempts != 3 || b.Error == nil || b.Error.Message != "nobody is there" {
				t.Errorf("got compensation %+v, want three attempts", b)
			}
			away.Store(false)
			must(c.act(client, t.Context(), id, "b"))
			wantSteps(t, must(client.Wait(t.Context(), id)), c.want)
		})
	}
}

func TestIdempotencyKey(t *testing.T) {
	client := saga.NewClient(eddatest.Start(t, work(undoNothing)).Node)
	def := saga.New("once")
	def.IdempotencyKey = "order-7"
	def.DeadlineAfter = time.Hour
	def.AddStep("a", "work", "do", "x")
	first := must(client.Start(t.Context(), def))
	again := must(client.Start(t.Context(), def))
	if first.Joined || !again.Joined || again.ID != first.ID {
		t.Errorf("got %+v and then %+v, want the first again", first, again)
	}
	if other := must(client.As("bob").Start(t.Context(), def)); other.ID == first.ID {
		t.Error("another principal's key found it")
	}
	def.AddStep("b", "work", "do", "x")
	if _, err := client.Start(t.Context(), def); edda.ReasonOf(err) != edda.IdempotencyMismatch {
		t.Errorf("got %v, want IDEMPOTENCY_MISMATCH", err)
	}
	def.IdempotencyKey, def.ID = "", first.ID
	if _, err := client.Start(t.Context(), def); edda.ReasonOf(err) != edda.Exists {
		t.Errorf("got %v, want EXISTS", err)
	}
}

func TestNamespacesListsAndPruning(t *testing.T) {
	inOther := work(undoNothing)
	inOther.Namespace = "other"
	n := eddatest.Start(t, work(undoNothing), inOther)
	here := saga.NewClient(n.Node)
	other := here.In("other")
	def := saga.New("one")
	def.AddStep("a", "work", "do", "x")
	var ids []string
	for range 3 {
		ids = append(ids, must(here.Start(t.Context(), def)).ID)
	}
	for _, id := range ids {
		must(here.Wait(t.Context(), id))
	}
	there := must(other.Start(t.Context(), def)).ID
	must(other.Wait(t.Context(), there))
	if _, err := here.Saga(t.Context(), there); edda.ReasonOf(err) != edda.NoSaga {
		t.Errorf("got %v, want NO_SAGA for one of another namespace", err)
	}
	list := func(c *saga.Client) (ids []string) {
		for s, err := range c.Sagas(t.Context(), edda.SagaFilter{State: edda.SagaSucceeded}) {
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, s.ID)
		}
		slices.SortFunc(ids, cmp.Compare[string])
		return ids
	}
	slices.Sort(ids)
	if got := list(here); !slices.Equal(got, ids) {
		t.Errorf("got %v, want %v", got, ids)
	}
	if got := list(other); !slices.Equal(got, []string{there}) {
		t.Errorf("got %v, want %v", got, there)
	}
	if n := must(here.Prune(t.Context(), edda.SagaFilter{Name: "one"})); n != 3 {
		t.Errorf("removed %d, want 3", n)
	}
	if got := append(list(here), list(other)...); !slices.Equal(got, []string{there}) {
		t.Errorf("left are %v, want %v", got, there)
	}
}
