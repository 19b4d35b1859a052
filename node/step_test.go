package node_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/inputschema"
	"github.com/edda-io/edda/node"
)

// host has a service handled in the node's process, or by a worker elsewhere, which
// runs the same handlers.
func host(t *testing.T, far bool, s *edda.Service) *node.Node {
	t.Helper()
	if !far {
		return start(t, node.Options{}, s)
	}
	n := start(t, node.Options{})
	attach(t, n, node.WorkerSpec{ID: "far", Services: []edda.ServiceSpec{s.Spec()}}, func(a *node.Attempt) {
		a.Taken()
		out := s.Invoke(a.Context(), a.Dispatch())
		_ = a.Done(&out)
	})
	return n
}

// everywhere runs a test with a service here, and with one elsewhere.
func everywhere(t *testing.T, f func(t *testing.T, far bool)) {
	t.Helper()
	for name, far := range map[string]bool{"here": false, "elsewhere": true} {
		bubble(t, name, func(t *testing.T) { f(t, far) })
	}
}

// A pending step keeps its changes and sends, adds steps, frees its key, and ends
// when somebody says so.
func TestStepPending(t *testing.T) {
	everywhere(t, func(t *testing.T, far bool) {
		s := shelf("shelf", func(ctx *edda.Context, in *edda.StepInput) (any, error) {
			if in.StepID != "slow" {
				v, _, err := edda.Get[int](ctx, "n")
				return v, err
			}
			if ref := ctx.Step(); ref == nil || ref.SagaID != in.SagaID || ref.Undo {
				t.Errorf("the step is %+v", ref)
			}
			if err := edda.Set(ctx, "n", 7); err != nil {
				return nil, err
			}
			if err := ctx.AddSteps(ask("after", "shelf/1", "", "slow"), ask("aside", "shelf/1", "", "")); err != nil {
				return nil, err
			}
			return "not looked at", edda.ErrPending
		})
		n := host(t, far, s)
		id := create(t, n, sagaOf("", ask("slow", "shelf/1", "", "")))
		v := isIn(t, n, id, "running: slow=running after=waiting aside=succeeded")
		if !v.Steps[0].Pending || string(v.Steps[2].Result) != "7" {
			t.Errorf("got %+v", v.Steps)
		}
		finish(t, n, id, "slow", edda.StepResult{Result: json.RawMessage(`1`)}, true, edda.StepSucceeded)
		endsAs(t, n, id, edda.SagaSucceeded)
	})
}

// The record that ends a step may start the next one of its key and cancel that, too:
// then its handler does not run, and its slot is free again.
func TestStepIsStartedAndCancelledAtOnce(t *testing.T) {
	bubble(t, "at once", func(t *testing.T) {
		var j journal
		gate := make(chan struct{})
		s := ordered("shelf", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
			<-gate
			j.addf("%s", m.Payload)
			return edda.TextReply(400, "no"), nil
		})
		s.Concurrency = 1
		n := start(t, node.Options{Partitions: 1}, s)
		spec := sagaOf("", ask("a", "shelf/1", "", ""), ask("b", "shelf/1", "", ""))
		spec.OnFailure = edda.CancelSteps
		id := create(t, n, spec)
		isIn(t, n, id, "running: a=running b=running")
		close(gate)
		if got := states(endsAs(t, n, id, edda.SagaCompensated)); got != "compensated: a=failed b=cancelled" {
			t.Errorf("got %s", got)
		}
		noSlotIsLost(t, n, "shelf")
		if lines := j.all(); len(lines) != 1 {
			t.Errorf("handlers wrote %q, want one line", lines)
		}
	})
}

// Outside of a saga, and in a compensation, pending is a failed attempt that says so.
func TestPendingWhereItMayNotBe(t *testing.T) {
	everywhere(t, func(t *testing.T, far bool) {
		s := tool("later", func(ctx *edda.Context, _ *edda.StepInput) (any, error) {
			if ctx.Step() != nil && !ctx.Step().Undo {
				return nil, nil
			}
			return nil, edda.ErrPending
		})
		n := host(t, far, s)
		_, err := n.Client().Call(t.Context(), &edda.Message{To: edda.Address{Name: "later"}, Type: "run", Payload: []byte("{}")})
		wantReason(t, err, edda.Dead)
		if !strings.Contains(err.Error(), "only a step of a saga may be") {
			t.Errorf("got %v", err)
		}
		id := create(t, n, sagaOf("", undo(ask("a", "later", "", ""), "later", ""), ask("b", "nobody", "", "a")))
		isIn(t, n, id, "running: a=succeeded b=running")
		if _, err := n.CancelSaga(t.Context(), "", id); err != nil {
			t.Fatal(err)
		}
		v := endsAs(t, n, id, edda.SagaCompensationFailed)
		if e := v.Steps[0].Compensation.Error; e == nil || !strings.Contains(e.Message, "a compensation was left pending") {
			t.Errorf("got %+v", e)
		}
	})
}

// A step whose service is not registered starts as soon as it is, and the time that it
// waited costs nothing; with each attempt that goes by it keeps its place.
func TestStepWaitsForItsService(t *testing.T) {
	for name, late := range map[string]time.Duration{"in time": time.Second, "after two attempts": 7 * time.Second} {
		bubble(t, name, func(t *testing.T) {
			n := start(t, node.Options{})
			step := ask("a", "late", "", "")
			step.Retry = edda.RetryPolicy{Max: 5, Delay: 2 * time.Second, Backoff: 1, Jitter: -1}
			begun := time.Now()
			id := create(t, n, sagaOf("", step))
			time.Sleep(late)
			if s := isIn(t, n, id, "running: a=running"); s.Steps[0].Attempts != 0 {
				t.Errorf("got %+v", s.Steps[0])
			}
			s := tool("late", func(ctx *edda.Context, _ *edda.StepInput) (any, error) { return ctx.Attempt(), nil })
			attach(t, n, node.WorkerSpec{ID: "w", Services: []edda.ServiceSpec{s.Spec()}}, func(a *node.Attempt) {
				out := s.Invoke(a.Context(), a.Dispatch())
				_ = a.Done(&out)
			})
			v := endsAs(t, n, id, edda.SagaSucceeded)
			want, at := 1, "1s"
			if late > time.Second {
				want, at = 3, "8s" // failed at 2 s and 6 s, due at 8 s
			}
			if v.Steps[0].Attempts != want || since(begun) != at {
				t.Errorf("it took %d attempts and %s, want %d and %s", v.Steps[0].Attempts, since(begun), want, at)
			}
		})
	}
}

// Deleting a service makes no dead letters of steps: their attempts fail from then
// on. So it is with one that was never there, after a restart too.
func TestStepOfADeletedService(t *testing.T) {
	bubble(t, "deleted", func(t *testing.T) {
		n := start(t, node.Options{})
		gone := attach(t, n, node.WorkerSpec{ID: "w", Services: []edda.ServiceSpec{{Name: "gone", Kind: edda.Ordered}}}, nil)
		gone.Detach()
		step := ask("a", "gone/1", "", "")
		step.Retry = once
		id := create(t, n, sagaOf("", step))
		time.Sleep(time.Hour) // registered, without a worker
		isIn(t, n, id, "running: a=running")
		begun := time.Now()
		if err := n.DeleteService(t.Context(), "", "gone", true); err != nil {
			t.Fatal(err)
		}
		v := endsAs(t, n, id, edda.SagaCompensated)
		if e := v.Steps[0].Error; e == nil || e.Reason != edda.NoService || v.Steps[0].Attempts != 1 || since(begun) != "2s" {
			t.Errorf("got %+v, %+v after %s", v.Steps[0], e, since(begun))
		}
		if letters, _, err := n.DeadLetters(t.Context(), node.DeadLetterFilter{}, node.Page{}); err != nil || len(letters) != 0 {
			t.Errorf("dead letters are %+v, %v", letters, err)
		}
	})
}

// A service that is there and would refuse the message fails its step at once,
// wherever it is handled, and when nobody is there to handle it.
func TestStepIsRefused(t *testing.T) {
	picky := edda.NewOrdered("picky")
	edda.Handle(picky, "run", func(*edda.Context, struct {
		Args []int `json:"args"`
	}) (string, error) {
		return "ok", nil
	})
	far := node.WorkerSpec{ID: "far", Services: []edda.ServiceSpec{picky.Spec()}}
	var err error
	if far.Services[0].Schemas, err = inputschema.Texts(picky); err != nil {
		t.Fatal(err)
	}
	for where, set := range map[string]func(t *testing.T, adder *edda.Service) *node.Node{
		"here": func(t *testing.T, adder *edda.Service) *node.Node { return start(t, node.Options{}, adder, picky) },
		"elsewhere": func(t *testing.T, adder *edda.Service) *node.Node {
			n := start(t, node.Options{}, adder)
			attach(t, n, far, func(a *node.Attempt) {
				out := picky.Invoke(a.Context(), a.Dispatch())
				_ = a.Done(&out)
			})
			return n
		},
		"nowhere": func(t *testing.T, adder *edda.Service) *node.Node {
			n := start(t, node.Options{}, adder)
			attach(t, n, far, nil).Detach()
			return n
		},
	} {
		bubble(t, where, func(t *testing.T) {
			steps := map[string]edda.StepSpec{ // a handler may add what the node refuses to others
				"kind": ask("x", "picky", "", ""), "method": {ID: "x", Task: edda.Task{Service: "picky", Key: "1", Method: "walk"}},
				"schema": ask("x", "picky/1", `"no-number"`, ""), "fits": ask("x", "picky/1", "1", ""),
			}
			n := set(t, tool("adder", func(ctx *edda.Context, in *edda.StepInput) (any, error) { return nil, ctx.AddSteps(steps[in.StepID]) }))
			for id, want := range map[string]edda.Reason{"kind": edda.WrongKind, "method": edda.NoMethod, "schema": edda.BadSchema} {
				begun := time.Now()
				v := endsAs(t, n, create(t, n, sagaOf("", ask(id, "adder", "", ""))), edda.SagaCompensated)
				if len(v.Steps) != 2 {
					t.Fatalf("%s: got %+v, %+v", id, v.Steps, v.Steps[0].Error)
				}
				if e := v.Steps[1].Error; e == nil || e.Reason != want || v.Steps[1].Attempts > 1 || since(begun) != "0s" {
					t.Errorf("%s: got %+v, %+v after %s, want %s", id, v.Steps[1], e, since(begun), want)
				}
			}
			id := create(t, n, sagaOf("", ask("fits", "adder", "", "")))
			if where != "nowhere" {
				endsAs(t, n, id, edda.SagaSucceeded)
			} else {
				time.Sleep(time.Hour)
				isIn(t, n, id, "running: fits=succeeded x=running")
			}
		})
	}
}
