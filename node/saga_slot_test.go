package node_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/node"
)

// Whatever becomes of sagas under load, each slot is given back.
func TestSagaSlots(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, fmt.Sprint("seed ", seed), func(t *testing.T) { slotRound(t, seed) })
	}
}

func slotRound(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex // guards rng in handlers
	chance := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n)
	}
	step := func(ctx *edda.Context, _ *edda.StepInput) (any, error) {
		switch chance(20) {
		case 0:
			return nil, edda.Final("NO", "no")
		case 1, 2:
			return nil, errHandler
		case 3:
			return nil, edda.ErrPending
		case 4:
			<-ctx.Done()
			return nil, ctx.Err()
		case 5, 6, 7:
			time.Sleep(time.Duration(chance(20)) * time.Millisecond)
		}
		return 1, nil
	}
	undone := func(*edda.Context, *edda.StepInput) (any, error) {
		if chance(5) == 0 {
			return nil, errHandler
		}
		return nil, nil
	}
	names := []string{"a", "b", "shelf", "undo"}
	a, b, keyed, un := tool("a", step), tool("b", step), shelf("shelf", step), tool("undo", undone)
	for i, s := range []*edda.Service{a, b, keyed, un} {
		s.Concurrency = 1 + i + chance(3)
		s.Retry = edda.RetryPolicy{Max: 2, Delay: time.Millisecond}
		s.AttemptTimeout = 50 * time.Millisecond
	}
	n := start(t, node.Options{Partitions: 1 << chance(3)}, a, b, keyed, un)
	var wg sync.WaitGroup
	for range 40 {
		sp := randomSaga(chance)
		wg.Go(func() {
			ack, err := n.CreateSaga(t.Context(), sp)
			if err != nil {
				t.Errorf("create: %v", err)
				return
			}
			for range chance(4) {
				time.Sleep(time.Duration(chance(30)) * time.Millisecond)
				id := fmt.Sprint("s", chance(len(sp.Steps)))
				switch chance(6) {
				case 0:
					_, _ = n.CancelSaga(t.Context(), "", ack.ID)
				case 1:
					_, _ = n.FinishStep(t.Context(), "", ack.ID, id, edda.StepResult{Error: &edda.StepError{}})
				case 2:
					_, _ = n.AddSteps(t.Context(), "", ack.ID, []edda.StepSpec{ask(fmt.Sprint("x", chance(1e9)), "a", "", id)})
				default:
					_, _ = n.FinishStep(t.Context(), "", ack.ID, id, edda.StepResult{})
				}
			}
			time.Sleep(time.Second)
			finishAll(t, n, ack.ID)
		})
	}
	wg.Wait()
	noSlotIsLost(t, n, names...)
}

// finishAll brings a saga to an end: it finishes what is pending, and skips
// compensations that have failed.
func finishAll(t *testing.T, n *node.Node, id string) {
	t.Helper()
	for range 100 {
		s, err := n.Saga(t.Context(), "", id)
		if err != nil {
			t.Error(err)
			return
		}
		if s.State.Ended() && s.State != edda.SagaCompensationFailed {
			return
		}
		for i := range s.Steps {
			switch st := &s.Steps[i]; {
			case st.Pending && st.State == edda.StepRunning:
				_, err = n.FinishStep(t.Context(), "", id, st.ID, edda.StepResult{})
			case st.Compensation != nil && st.Compensation.State == edda.CompensationFailed:
				_, err = n.Compensate(t.Context(), "", id, st.ID, edda.SkipCompensation)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	s, _ := n.Saga(t.Context(), "", id)
	t.Errorf("saga %s does not end: %s", id, states(s))
}

// randomSaga is a saga of up to 12 steps.
func randomSaga(chance func(int) int) *edda.SagaSpec {
	sp := sagaOf("random")
	sp.Start = true
	if chance(2) == 0 {
		sp.OnFailure = edda.CancelSteps
	}
	if chance(6) == 0 {
		sp.DeadlineAfter = time.Duration(1+chance(100)) * time.Millisecond
	}
	for i := range 1 + chance(12) {
		var after []string
		for range chance(3) {
			if d := fmt.Sprint("s", chance(i+1)); i > 0 && d != fmt.Sprint("s", i) && !strings.Contains(strings.Join(after, " ")+" ", d+" ") {
				after = append(after, d)
			}
		}
		to := []string{"a", "b", fmt.Sprint("shelf/", chance(4))}[chance(3)]
		s := ask(fmt.Sprint("s", i), to, "", strings.Join(after, " "))
		if chance(2) == 0 {
			s = undo(s, "undo", "")
		}
		sp.Steps = append(sp.Steps, s)
	}
	return sp
}

// A level of a saga of balanced steps costs one flush when slots are free: the record
// that ends the last dependency starts the step, also when several end in one round.
// So it is when steps are undone.
func TestSagaStepsStartWithTheRecord(t *testing.T) {
	bubble(t, "records", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{Partitions: 1}, tool("a", logged(&j, "a", 1)), tool("bad", failing(&j, "bad")),
			tool("slow", func(*edda.Context, *edda.StepInput) (any, error) {
				time.Sleep(time.Millisecond)
				return 1, nil
			}))
		sp := sagaOf("", ask("a", "a", "", ""), ask("b", "a", "", ""), ask("c", "a", "", "a b"), ask("d", "a", "", "c"), ask("e", "a", "", "c"), ask("f", "a", "", "e d"))
		endsAs(t, n, create(t, n, sp), edda.SagaSucceeded)
		later := sagaOf("", ask("a", "a", "", ""), ask("b", "a", "", "a"))
		later.Start = false
		id := create(t, n, later)
		if _, err := n.StartSaga(t.Context(), "", id); err != nil {
			t.Fatal(err)
		}
		endsAs(t, n, id, edda.SagaSucceeded)
		bad := sagaOf("", undo(ask("a", "a", "", ""), "a", ""), undo(ask("b", "a", "", "a"), "a", ""), undo(ask("c", "a", "", "a"), "a", ""),
			ask("d", "a", "", "a"), ask("e", "bad", "", "b c d"))
		endsAs(t, n, create(t, n, bad), edda.SagaCompensated)
		endsAs(t, n, create(t, n, sagaOf("", undo(ask("a", "slow", "", ""), "a", ""), ask("b", "bad", "", ""))), edda.SagaCompensated)
		synctest.Wait()
		for e, err := range n.Memlog().Read(t.Context(), engine.Start{Partition: 0, Position: 1}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, rec := range e.Records {
				if record.Type(rec[0]) == record.TypeDispatched {
					t.Error("a step waited for a slot, though there were some")
				}
			}
		}
		noSlotIsLost(t, n, "a", "bad")
	})
}

// A saga with more steps than a record has room for, and one of many levels.
func TestSagaManySteps(t *testing.T) {
	bubble(t, "wide", func(t *testing.T) {
		var ran, undone atomic.Int64
		d := newDisk()
		services := func() []*edda.Service {
			return []*edda.Service{
				tool("a", func(*edda.Context, *edda.StepInput) (any, error) { return ran.Add(1), nil }),
				tool("undo", func(*edda.Context, *edda.StepInput) (any, error) { return undone.Add(1), nil }),
				tool("bad", failing(&journal{}, "bad")),
			}
		}
		n := d.open(t, node.Options{Partitions: 2}, services()...)
		sp := sagaOf("")
		var all []string
		for i := range 3000 {
			id := fmt.Sprint("s", i)
			all = append(all, id)
			sp.Steps = append(sp.Steps, undo(ask(id, "a", "", ""), "undo", ""))
		}
		sp.Steps = append(sp.Steps, edda.StepSpec{ID: "bad", Task: task("bad", ""), After: all})
		id := create(t, n, sp)
		stop(t, n) // in the middle of it
		n = d.open(t, node.Options{Partitions: 2}, services()...)
		defer func() { stop(t, n) }()
		endsAs(t, n, id, edda.SagaCompensated)
		if ran.Load() != 3000 || undone.Load() != 3000 {
			t.Errorf("%d steps ran, %d were undone, want 3000 each", ran.Load(), undone.Load())
		}
		noSlotIsLost(t, n, "a", "undo", "bad")
	})
	bubble(t, "deep", func(t *testing.T) {
		n := start(t, node.Options{Partitions: 1}, tool("a", func(*edda.Context, *edda.StepInput) (any, error) { return 1, nil }))
		const levels, width = 30, 40
		sp := sagaOf("")
		before := ""
		for l := range levels {
			level := ""
			for i := range width {
				id := fmt.Sprintf("l%d-%d", l, i)
				sp.Steps = append(sp.Steps, ask(id, "a", "", before))
				level += " " + id
			}
			before = level
		}
		s := endsAs(t, n, create(t, n, sp), edda.SagaSucceeded)
		if s.SucceededCount != levels*width {
			t.Errorf("%d steps have succeeded, want %d", s.SucceededCount, levels*width)
		}
		noSlotIsLost(t, n, "a")
	})
}
