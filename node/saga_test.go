package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

func TestSagaHammer(t *testing.T) {
	bubble(t, "hammer", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{}, hammer(&j, logged(&j, "hammer", "done"))...)
		id := create(t, n, hammerSpec())
		s := endsAs(t, n, id, edda.SagaSucceeded)
		lines := j.all()
		slices.Sort(lines[:2])
		if want := []string{`handle["short"][]`, `head["ThunderBestowed"][]`, `hammer[][{"headId":1} {"handleId":2}]`}; !slices.Equal(lines, want) {
			t.Errorf("handlers wrote %q, want %q", lines, want)
		}
		if got := states(s); got != "succeeded: head=succeeded handle=succeeded hammer=succeeded" {
			t.Errorf("got %s", got)
		}
		if s.Name != "hammer" || s.StepCount != 3 || s.SucceededCount != 3 || s.Principal != edda.Anonymous || s.CorrelationID != id || s.EndedAt.IsZero() {
			t.Errorf("got %+v", s)
		}
		if got := string(s.Steps[2].Result); got != `"done"` || s.Steps[2].Attempts != 1 {
			t.Errorf("got result %s after %d attempts", got, s.Steps[2].Attempts)
		}
	})
}

// What a step gets, and what its message says of the saga.
func TestSagaStepInput(t *testing.T) {
	bubble(t, "input", func(t *testing.T) {
		var got edda.StepInput
		var msg edda.Message
		n := start(t, node.Options{}, balanced("s", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
			msg = *m
			return nil, json.Unmarshal(m.Payload, &got)
		}))
		s := sagaOf("one", ask("only", "s", `1 {"a":[2]}`, ""))
		s.Principal, s.CorrelationID, s.ID = "ada", "corr", "my-saga"
		create(t, n, s)
		v := endsAs(t, n, "my-saga", edda.SagaSucceeded)
		if got.SagaID != "my-saga" || got.StepID != "only" || len(got.CompletionKey) < 32 || len(got.Args) != 2 || string(got.Args[1]) != `{"a":[2]}` {
			t.Errorf("got input %+v", got)
		}
		if msg.Principal != "ada" || msg.CorrelationID != "corr" || msg.Type != "run" || msg.ContentType != "application/json" {
			t.Errorf("got message %+v", msg)
		}
		if string(v.Steps[0].Result) != "null" || v.Principal != "ada" {
			t.Errorf("got %+v, want the result null", v)
		}
	})
}

func TestSagaFailingHammer(t *testing.T) {
	bubble(t, "hammer", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{}, hammer(&j, failing(&j, "hammer"))...)
		id := create(t, n, hammerSpec())
		s := endsAs(t, n, id, edda.SagaCompensated)
		if got := states(s); got != "compensated: head=compensated/succeeded handle=not_compensated hammer=failed" {
			t.Errorf("got %s", got)
		}
		if s.Reason != edda.SagaStepFailed || s.Detail == "" || s.SucceededCount != 2 {
			t.Errorf("got reason %s, %q, %d succeeded", s.Reason, s.Detail, s.SucceededCount)
		}
		if e := s.Steps[2].Error; e == nil || e.Reason != edda.Failed || e.Message == "" {
			t.Errorf("got error %+v", e)
		}
		if lines := j.all(); len(lines) != 4 || lines[3] != `destroyer["anExampleArg"][{"headId":1}]` {
			t.Errorf("handlers wrote %q", lines)
		}
	})
}

// The original loses the saga when one of two last steps is done before the other fails.
func TestSagaLastStepFails(t *testing.T) {
	bubble(t, "last", func(t *testing.T) {
		var j journal
		gate := make(chan struct{})
		n := start(t, node.Options{}, tool("good", logged(&j, "good", 1)), tool("undo", logged(&j, "undo", nil)), tool("bad", gated(gate, failing(&j, "bad"))))
		id := create(t, n, sagaOf("", undo(ask("a", "good", "", ""), "undo", ""), ask("b", "bad", "", "")))
		isIn(t, n, id, "running: a=succeeded b=running")
		close(gate)
		endsAs(t, n, id, edda.SagaCompensated)
		j.want(t, "good[][] bad[][] undo[][1]")
	})
}

// A step is retried by its own policy, else by its service's, and may take as long
// as it says.
func TestSagaRetries(t *testing.T) {
	bubble(t, "retries", func(t *testing.T) {
		var j journal
		begun := time.Now()
		flaky := tool("flaky", func(ctx *edda.Context, _ *edda.StepInput) (any, error) {
			j.addf("%s", since(begun))
			if ctx.Attempt() < 3 {
				return nil, errHandler
			}
			return ctx.Attempt(), nil
		})
		hangs := tool("hangs", func(ctx *edda.Context, _ *edda.StepInput) (any, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		n := start(t, node.Options{}, flaky, hangs)
		step := ask("a", "flaky", "", "")
		step.Retry = everySecond
		s := endsAs(t, n, create(t, n, sagaOf("", step)), edda.SagaSucceeded)
		if s.Steps[0].Attempts != 3 || string(s.Steps[0].Result) != "3" {
			t.Errorf("got %+v", s.Steps[0])
		}
		j.want(t, "0s 1s 2s")
		step = ask("a", "hangs", "", "")
		step.AttemptTimeout = 3 * time.Second
		begun = time.Now()
		s = endsAs(t, n, create(t, n, sagaOf("", step)), edda.SagaCompensated)
		if e := s.Steps[0].Error; e == nil || e.Reason != edda.Dead && e.Reason != edda.Timeout || since(begun) != "3s" {
			t.Errorf("got %+v after %s", e, since(begun))
		}
	})
}

// Steps of ordered services are requests of their keys, wherever those live.
func TestSagaKeyedSteps(t *testing.T) {
	bubble(t, "keys", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{Partitions: 8}, shelf("shelf", func(ctx *edda.Context, in *edda.StepInput) (any, error) {
			v, _, err := edda.Get[int](ctx, "n")
			if err != nil {
				return nil, err
			}
			j.addf("%s", in.StepID)
			return v + 1, edda.Set(ctx, "n", v+1)
		}), tool("sum", func(_ *edda.Context, in *edda.StepInput) (any, error) {
			return fmt.Sprint(in.Dependencies), nil
		}))
		for range 3 {
			sp := sagaOf("")
			after := ""
			for i := range 10 {
				id := fmt.Sprint("s", i)
				sp.Steps = append(sp.Steps, ask(id, fmt.Sprint("shelf/", i), "", ""))
				after += " " + id
			}
			sp.Steps = append(sp.Steps, ask("sum", "sum", "", after))
			s := endsAs(t, n, create(t, n, sp), edda.SagaSucceeded)
			t.Log(string(s.Steps[10].Result))
		}
		for i := range 10 {
			e, err := n.State(t.Context(), edda.Address{Name: "shelf", Key: fmt.Sprint(i)}, "")
			if err != nil || len(e) != 1 || string(e[0].Value) != "3" {
				t.Errorf("key %d: got state %s, %v, want 3", i, e, err)
			}
		}
	})
}

func TestSagaIsStartedLater(t *testing.T) {
	bubble(t, "start", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{}, tool("a", logged(&j, "a", 1)))
		sp := sagaOf("", ask("a", "a", "", ""), ask("b", "a", "", "a"))
		sp.Start = false
		id := create(t, n, sp)
		isIn(t, n, id, "created: a=waiting b=waiting")
		v, err := n.StartSaga(t.Context(), "", id)
		if err != nil || v.State != edda.SagaRunning || v.StartedAt.IsZero() {
			t.Fatalf("got %+v, %v", v, err)
		}
		endsAs(t, n, id, edda.SagaSucceeded)
		if v, err = n.StartSaga(t.Context(), "", id); err != nil || v.State != edda.SagaSucceeded {
			t.Errorf("started again: got %+v, %v", v, err)
		}
		j.want(t, "a[][] a[][1]")
		_, err = n.StartSaga(t.Context(), "", "nothing")
		wantReason(t, err, edda.NoSaga)
	})
}

func TestSagaStepsAreAdded(t *testing.T) {
	bubble(t, "from outside", func(t *testing.T) {
		var j journal
		gate := make(chan struct{})
		n := start(t, node.Options{}, tool("slow", gated(gate, logged(&j, "slow", 1))), tool("fast", logged(&j, "fast", 2)))
		id := create(t, n, sagaOf("", ask("a", "slow", "", "")))
		synctest.Wait()
		v, err := n.AddSteps(t.Context(), "", id, []edda.StepSpec{ask("c", "fast", "3", "b a"), ask("b", "fast", "", "a")})
		if err != nil || v.StepCount != 3 {
			t.Fatalf("got %+v, %v", v, err)
		}
		for name, c := range map[string]struct {
			steps []edda.StepSpec
			want  edda.Reason
		}{
			"twice":         {[]edda.StepSpec{ask("a", "fast", "", "")}, edda.Exists},
			"twice here":    {[]edda.StepSpec{ask("x", "fast", "", ""), ask("x", "fast", "", "")}, edda.Exists},
			"unknown":       {[]edda.StepSpec{ask("x", "fast", "", "y")}, edda.BadSchema},
			"cycle":         {[]edda.StepSpec{ask("x", "fast", "", "y"), ask("y", "fast", "", "x")}, edda.Cycle},
			"wrong kind":    {[]edda.StepSpec{ask("x", "fast/key", "", "")}, edda.WrongKind},
			"bad name":      {[]edda.StepSpec{ask("x~y", "fast", "", "")}, edda.BadName},
			"no steps":      {nil, edda.BadSchema},
			"not all valid": {[]edda.StepSpec{ask("x", "fast", "", ""), ask("y", "fast", "nojson", "")}, edda.BadSchema},
		} {
			_, err := n.AddSteps(t.Context(), "", id, c.steps)
			if got := edda.ReasonOf(err); got != c.want {
				t.Errorf("%s: got %v (%s), want %s", name, err, got, c.want)
			}
		}
		close(gate)
		endsAs(t, n, id, edda.SagaSucceeded)
		j.want(t, "slow[][] fast[][1] fast[3][2 1]")
		_, err = n.AddSteps(t.Context(), "", id, []edda.StepSpec{ask("d", "fast", "", "")})
		wantReason(t, err, edda.SagaEnded)
		_, err = n.AddSteps(t.Context(), "", "nothing", []edda.StepSpec{ask("d", "fast", "", "")})
		wantReason(t, err, edda.NoSaga)
	})
}

// What a handler adds comes with its outcome, or not at all.
func TestSagaStepsAreAddedByAStep(t *testing.T) {
	for _, to := range []string{"adds", "shelf/k"} {
		bubble(t, to, func(t *testing.T) {
			var j journal
			adds := func(ctx *edda.Context, in *edda.StepInput) (any, error) {
				j.addf("%s%d", in.StepID, ctx.Attempt())
				err := ctx.AddSteps(ask("x"+in.StepID, "good", "", in.StepID), ask("y"+in.StepID, "shelf2/1", "", "x"+in.StepID))
				if err == nil && ctx.Attempt() == 1 {
					err = errHandler
				}
				return "a", err
			}
			local, keyed := tool("adds", adds), shelf("shelf", adds)
			local.Retry, keyed.Retry = everySecond, everySecond
			n := start(t, node.Options{Partitions: 8}, local, keyed, tool("good", logged(&j, "good", 1)), shelf("shelf2", logged(&j, "shelf", 2)))
			id := create(t, n, sagaOf("", ask("a", to, "", ""), ask("b", "good", "", "a")))
			s := endsAs(t, n, id, edda.SagaSucceeded)
			if got := states(s); got != "succeeded: a=succeeded b=succeeded xa=succeeded ya=succeeded" {
				t.Errorf("got %s", got)
			}
			lines := j.all()
			slices.Sort(lines)
			if want := []string{"a1", "a2", `good[]["a"]`, `good[]["a"]`, "shelf[][1]"}; !slices.Equal(lines, want) {
				t.Errorf("handlers wrote %q, want %q", lines, want)
			}
			noSlotIsLost(t, n, "adds", "shelf", "good", "shelf2")
		})
	}
}

func TestSagaNested(t *testing.T) {
	inner := func(last string) edda.StepSpec {
		return edda.StepSpec{ID: "inner", After: []string{"first"}, Saga: &edda.SagaSpec{Name: "small", Steps: []edda.StepSpec{
			undo(ask("a", "good", "1", ""), "undo", "1"), ask("b", last, "2", "a"),
		}}}
	}
	bubble(t, "done", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{}, tool("good", logged(&j, "good", 1)), tool("undo", logged(&j, "undo", nil)), tool("bad", failing(&j, "bad")))
		id := create(t, n, sagaOf("big", ask("first", "good", "", ""), inner("good"), ask("last", "good", "", "inner")))
		s := endsAs(t, n, id, edda.SagaSucceeded)
		if s.Steps[1].SagaID != id+"~inner" || string(s.Steps[1].Result) != `{"b":1}` {
			t.Errorf("got %+v", s.Steps[1])
		}
		if v := look(t, n, id+"~inner"); v.State != edda.SagaSucceeded || v.Name != "small" || v.StepCount != 2 {
			t.Errorf("got %+v", v)
		}
		j.want(t, `good[][] good[1][] good[2][1] good[][{"b":1}]`)
	})
	bubble(t, "undone", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{}, tool("good", logged(&j, "good", 1)), tool("undo", logged(&j, "undo", nil)), tool("bad", failing(&j, "bad")))
		id := create(t, n, sagaOf("big", undo(ask("first", "good", "", ""), "undo", "0"), inner("good"), ask("last", "bad", "", "inner")))
		endsAs(t, n, id, edda.SagaCompensated)
		if v := look(t, n, id+"~inner"); v.State != edda.SagaCompensated {
			t.Errorf("got %s", states(v))
		}
		j.want(t, `good[][] good[1][] good[2][1] bad[][{"b":1}] undo[1][1] undo[0][1]`)
		id = create(t, n, sagaOf("big", undo(ask("first", "good", "", ""), "undo", "0"), inner("bad"), ask("last", "good", "", "inner")))
		s := endsAs(t, n, id, edda.SagaCompensated)
		if got := states(s); got != "compensated: first=compensated/succeeded inner=failed last=skipped" {
			t.Errorf("got %s", got)
		}
	})
}

// A service that is not registered fails the attempt after 2 s, by the step's policy;
// one that is registered without workers is waited for.
func TestSagaUnregisteredService(t *testing.T) {
	bubble(t, "unregistered", func(t *testing.T) {
		n := start(t, node.Options{})
		step := ask("a", "nobody", "", "")
		step.Retry = edda.RetryPolicy{Max: 3, Delay: time.Second, Backoff: 1, Jitter: -1}
		begun := time.Now()
		s := endsAs(t, n, create(t, n, sagaOf("", step)), edda.SagaCompensated)
		if e := s.Steps[0].Error; e == nil || e.Reason != edda.NoService && e.Reason != edda.Dead || s.Steps[0].Attempts != 3 {
			t.Errorf("got %+v, %+v", s.Steps[0], e)
		}
		if took := time.Since(begun); took < 6*time.Second || took > 9*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestSagaIdempotencyKey(t *testing.T) {
	bubble(t, "key", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{Partitions: 8}, tool("a", logged(&j, "a", 1)))
		keyed := func(change func(*edda.SagaSpec)) *edda.SagaSpec {
			s := sagaOf("x", ask("a", "a", "1", ""))
			s.IdempotencyKey, s.DeadlineAfter, s.TraceParent = "key", time.Hour, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
			change(s)
			return s
		}
		same := func(*edda.SagaSpec) {}
		id := create(t, n, keyed(same))
		endsAs(t, n, id, edda.SagaSucceeded)
		time.Sleep(time.Minute)
		for name, change := range map[string]func(*edda.SagaSpec){
			"same": same, "other trace": func(s *edda.SagaSpec) { s.TraceParent = "" },
		} {
			ack, err := n.CreateSaga(t.Context(), keyed(change))
			if err != nil || ack.ID != id || !ack.Joined || ack.State != edda.SagaSucceeded {
				t.Errorf("%s: got %+v, %v, want joined %s", name, ack, err, id)
			}
		}
		for name, change := range map[string]func(*edda.SagaSpec){
			"name":     func(s *edda.SagaSpec) { s.Name = "y" },
			"args":     func(s *edda.SagaSpec) { s.Steps[0].Args = args("2") },
			"deadline": func(s *edda.SagaSpec) { s.DeadlineAfter = time.Minute },
			"policy":   func(s *edda.SagaSpec) { s.OnFailure = edda.CancelSteps },
		} {
			if _, err := n.CreateSaga(t.Context(), keyed(change)); edda.ReasonOf(err) != edda.IdempotencyMismatch {
				t.Errorf("%s: got %v, want IDEMPOTENCY_MISMATCH", name, err)
			}
		}
		for name, change := range map[string]func(*edda.SagaSpec){
			"principal": func(s *edda.SagaSpec) { s.Principal = "ada" },
			"key":       func(s *edda.SagaSpec) { s.IdempotencyKey = "other" },
			"namespace": func(s *edda.SagaSpec) { s.Namespace = "shop" },
			"id":        func(s *edda.SagaSpec) { s.ID = "given" },
		} {
			if ack, err := n.CreateSaga(t.Context(), keyed(change)); err != nil || ack.Joined {
				t.Errorf("%s: got %+v, %v, want another saga", name, ack, err)
			}
		}
		if ack, err := n.CreateSaga(t.Context(), keyed(func(s *edda.SagaSpec) { s.ID = "given" })); err != nil || !ack.Joined {
			t.Errorf("got %+v, %v, want joined", ack, err)
		}
		_, err := n.CreateSaga(t.Context(), keyed(func(s *edda.SagaSpec) { s.ID, s.IdempotencyKey = "given", "" }))
		wantReason(t, err, edda.Exists)
		_, err = n.CreateSaga(t.Context(), keyed(func(s *edda.SagaSpec) { s.ID, s.IdempotencyKey = "given", "other" }))
		wantReason(t, err, edda.Exists)
	})
}

// The same saga created many times at once is one saga.
func TestSagaCreatedAtOnce(t *testing.T) {
	bubble(t, "at once", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{}, tool("a", logged(&j, "a", 1)))
		acks := make(chan *edda.SagaAck, 20)
		for range cap(acks) {
			go func() {
				s := sagaOf("x", ask("a", "a", "1", ""))
				s.IdempotencyKey = "key"
				ack, err := n.CreateSaga(t.Context(), s)
				if err != nil {
					t.Error(err)
				}
				acks <- ack
			}()
		}
		fresh := 0
		for range cap(acks) {
			if a := <-acks; a != nil && !a.Joined {
				fresh++
			}
		}
		if fresh != 1 {
			t.Errorf("%d were new, want 1", fresh)
		}
		j.want(t, "a[1][]")
	})
}
