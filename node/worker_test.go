package node_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

func TestWorkerElsewhere(t *testing.T) {
	bubble(t, "answers, with state and sends", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		c := calling(t, n, msg("s/k", "m", "in"))
		a := w.attempt(t, 0)
		d := a.Dispatch()
		if string(d.Message.Payload) != "in" || d.Attempt != 1 || d.Fence == 0 || d.Message.Time.IsZero() {
			t.Fatalf("dispatch is %+v of %+v", d, d.Message)
		}
		if at, ok := a.Context().Deadline(); !ok || time.Until(at) != edda.DefaultAttemptTimeout {
			t.Errorf("deadline in %v, want the attempt timeout", time.Until(at))
		}
		pending(t, c)
		out := reply("out")
		out.Set = []edda.StateEntry{{Name: "n", Value: []byte("1")}}
		out.Sends = []*edda.Message{msg("s/other", "m", "sent")}
		done(t, a, out)
		now(t, c).replied(t, 200, "out")
		if string(w.attempt(t, 1).Dispatch().Message.Payload) != "sent" {
			t.Error("what the handler sent did not come")
		}
		calling(t, n, msg("s/k", "m", "again"))
		v, ok, err := w.attempt(t, 2).Dispatch().State.Get(t.Context(), "n")
		if err != nil || !ok || string(v) != "1" {
			t.Errorf("state is %q, %v, %v", v, ok, err)
		}
	})
	bubble(t, "sends no more than it may", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		calling(t, n, msg("s/k", "m", "in"))
		out := reply("out")
		for range edda.MaxSends + 1 {
			out.Sends = append(out.Sends, msg("s/other", "m", "sent"))
		}
		done(t, w.attempt(t, 0), out)
		time.Sleep(time.Second) // it is tried again
		a := w.attempt(t, 1)
		if d := a.Dispatch(); d.Attempt != 2 || string(d.Message.Payload) != "in" {
			t.Errorf("dispatch is %+v of %+v", d, d.Message)
		}
		fewer := reply("out") // the first is the attempt's
		fewer.Sends = out.Sends[1:]
		done(t, a, fewer)
		if d := w.attempt(t, 2).Dispatch(); string(d.Message.Payload) != "sent" {
			t.Errorf("dispatch is %+v of %+v", d, d.Message)
		}
	})
	bubble(t, "ends an attempt once", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		c := calling(t, n, msg("s/k", "m", ""))
		a := w.attempt(t, 0)
		done(t, a, reply("first"))
		wantReason(t, a.Done(reply("second")), edda.Fenced)
		a.HandBack()
		now(t, c).replied(t, 200, "first")
		if got := w.info(t, n).InFlight; got != 0 {
			t.Errorf("%d in flight, want none", got)
		}
	})
	bubble(t, "reads a message that only the store has", func(t *testing.T) {
		d := newDisk()
		n := d.open(t, node.Options{}, ordered("x", echo))
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		w.Worker.Drain()
		send(t, n, msg("s/k", "m", "kept"))
		stop(t, n)
		n = d.open(t, node.Options{}, ordered("x", echo))
		t.Cleanup(func() { stop(t, n) })
		w = attach(t, n, spec("w", orderedSpec("s")), nil)
		if got := string(w.attempt(t, 0).Dispatch().Message.Payload); got != "kept" {
			t.Errorf("payload is %q", got)
		}
	})
}

func TestFencedElsewhere(t *testing.T) {
	bubble(t, "timeout, and a late outcome", func(t *testing.T) {
		n := start(t, node.Options{})
		s := orderedSpec("s")
		s.AttemptTimeout, s.Concurrency = time.Second, 1
		w := attach(t, n, spec("w", s), nil)
		c := calling(t, n, msg("s/k", "m", ""))
		first := w.attempt(t, 0)
		first.Taken()
		time.Sleep(2500 * time.Millisecond)
		if !w.wasFenced(first) || context.Cause(first.Context()) == nil {
			t.Fatal("the attempt was not fenced")
		}
		wantReason(t, first.Done(reply("late")), edda.Fenced)
		second := w.attempt(t, 1)
		if d := second.Dispatch(); d.Attempt != 2 || d.Fence <= first.Dispatch().Fence {
			t.Errorf("second attempt is %d with fence %d", d.Attempt, d.Fence)
		}
		done(t, second, reply("right"))
		now(t, c).replied(t, 200, "right")
		if got := w.info(t, n).InFlight; got != 0 {
			t.Errorf("%d in flight, want none", got)
		}
	})
	bubble(t, "progress gives it its timeout anew", func(t *testing.T) {
		n := start(t, node.Options{})
		s := orderedSpec("s")
		s.AttemptTimeout = time.Second
		w := attach(t, n, spec("w", s), nil)
		c := calling(t, n, msg("s/k", "m", ""))
		a := w.attempt(t, 0)
		for range 5 {
			time.Sleep(900 * time.Millisecond)
			a.Progress()
		}
		done(t, a, reply("in the end"))
		now(t, c).replied(t, 200, "in the end")
		if w.got() != 1 {
			t.Errorf("%d attempts, want 1", w.got())
		}
	})
	bubble(t, "cancel", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		ack := send(t, n, msg("s/k", "m", ""))
		a := w.attempt(t, 0)
		if _, err := n.Client().Cancel(t.Context(), ack.ID); err != nil {
			t.Fatal(err)
		}
		if !w.wasFenced(a) {
			t.Error("the worker was not told")
		}
		wantReason(t, a.Done(reply("")), edda.Fenced)
	})
	bubble(t, "handlers that linger do not take slots for ever", func(t *testing.T) {
		n := start(t, node.Options{})
		s := orderedSpec("s")
		s.AttemptTimeout, s.Concurrency = time.Second, 2
		w := attach(t, n, spec("w", s), nil)
		for i := range 6 {
			send(t, n, msg(fmt.Sprintf("s/k%d", i), "m", ""))
		}
		time.Sleep(10 * time.Second)
		// Two run, two linger; a slot more is taken than there are.
		if got := w.info(t, n).InFlight; got > 2 {
			t.Errorf("%d in flight, at most 2 are allowed", got)
		}
		w.mu.Lock()
		w.handle = answerAll
		w.mu.Unlock()
		for i := range w.got() {
			_ = w.attempt(t, i).Done(reply(""))
		}
		time.Sleep(time.Minute)
		if info, err := n.Service(t.Context(), "", "s"); err != nil || info.InFlight+info.Queued > 0 {
			t.Errorf("service is %+v, %v; want nothing left", info, err)
		}
		if got := w.info(t, n).InFlight; got != 0 {
			t.Errorf("%d in flight, want none", got)
		}
	})
}

func TestAttachRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, node.Options{}, ordered("local", echo))
		attach(t, n, spec("taken", orderedSpec("s")), nil)
		cases := map[string]struct {
			spec   node.WorkerSpec
			reason edda.Reason
		}{
			"no service":     {spec("w"), edda.BadValue},
			"a bad id":       {spec("a b", orderedSpec("s")), edda.BadName},
			"a bad name":     {spec("w", orderedSpec("a/b")), edda.BadName},
			"twice":          {spec("w", orderedSpec("s"), orderedSpec("s")), edda.BadValue},
			"id in use":      {spec("taken", orderedSpec("s")), edda.Exists},
			"another kind":   {spec("w", balancedSpec("s")), edda.KindInUse},
			"kind of ours":   {spec("w", balancedSpec("local")), edda.KindInUse},
			"bad schema":     {spec("w", edda.ServiceSpec{Name: "x", Kind: edda.Ordered, Schemas: map[string]string{"m": "{"}}), edda.BadValue},
			"no such type":   {spec("w", edda.ServiceSpec{Name: "x", Kind: edda.Ordered, Schemas: map[string]string{"m": `{"type":"objekt"}`}}), edda.BadValue},
			"bad lifetime":   {node.WorkerSpec{ID: "w", Services: []edda.ServiceSpec{orderedSpec("s")}, Lifetime: -1}, edda.BadValue},
			"unknown worker": {},
		}
		for name, c := range cases {
			if name == "unknown worker" {
				_, err := n.Worker("nobody")
				wantReason(t, err, edda.NoWorkerID)
				_, err = n.DrainWorker("nobody")
				wantReason(t, err, edda.NoWorkerID)
				continue
			}
			_, err := n.Attach(t.Context(), c.spec, &farWorker{})
			if e, ok := errors.AsType[*edda.Error](err); !ok || e.Reason != c.reason {
				t.Errorf("%s: got %v, want %s", name, err, c.reason)
			}
		}
		_, err := n.DrainWorker(n.Info().ID)
		wantReason(t, err, edda.Conflict)
		ids := []string{}
		for _, w := range n.Workers() {
			ids = append(ids, cmp.Or(w.Transport)+" "+fmt.Sprint(w.Services))
		}
		slices.Sort(ids)
		if !slices.Equal(ids, []string{"in-process [local]", "test [s]"}) {
			t.Errorf("workers are %q", ids)
		}
	})
}

// What a worker said of its service holds when nobody hosts it, after a restart
// too.
func TestServiceWithoutWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		n := d.open(t, node.Options{})
		s := orderedSpec("s")
		s.Methods, s.Schemas = []string{"m"}, map[string]string{"m": `{"type":"object","required":["n"]}`}
		s.Retry, s.OnDead = edda.RetryPolicy{Max: 2, Delay: time.Second, Jitter: -1}, edda.StopKey
		w := attach(t, n, spec("w", s), nil)
		good := msg("s/k", "m", `{"n":1}`)
		good.ContentType = "application/json"
		ack := send(t, n, good)
		w.attempt(t, 0).Taken()
		w.Detach()
		stop(t, n)
		n = d.open(t, node.Options{})
		t.Cleanup(func() { stop(t, n) })
		bad := msg("s/k", "m", `{}`)
		bad.ContentType = "application/json"
		wantReason(t, call(t, n, bad).err, edda.BadSchema)
		wantReason(t, call(t, n, msg("s/k", "other", "")).err, edda.NoMethod)
		w = attach(t, n, spec("w", s), nil)
		a := w.attempt(t, 0)
		if a.Dispatch().Attempt != 2 {
			t.Fatalf("attempt %d, want 2", a.Dispatch().Attempt)
		}
		_ = a.Done(&edda.Outcome{Err: errHandler})
		synctest.Wait()
		if r, err := n.Client().Request(t.Context(), ack.ID); err != nil || r.State != edda.StateDead {
			t.Errorf("request is %+v, %v; want it dead after its two attempts", r, err)
		}
		if i, err := n.Service(t.Context(), "", "s"); err != nil || i.StoppedKeyCount != 1 {
			t.Errorf("service is %+v, %v; want its key stopped", i, err)
		}
	})
}

func TestAttachRefusedChangesNothing(t *testing.T) {
	bubble(t, "an id that is in use", func(t *testing.T) {
		n := start(t, node.Options{})
		first := orderedSpec("s")
		first.Methods = []string{"one"}
		attach(t, n, spec("w", first), nil)
		second := orderedSpec("s")
		second.Methods = []string{"two"}
		_, err := n.Attach(t.Context(), spec("w", second), &farWorker{})
		wantReason(t, err, edda.Exists)
		if info, err := n.Service(t.Context(), "", "s"); err != nil || !slices.Equal(info.Methods, first.Methods) {
			t.Errorf("the service is %+v, %v; want the methods that its worker has", info, err)
		}
	})
	bubble(t, "the kind of a service whose worker is paused", func(t *testing.T) {
		n := start(t, node.Options{})
		attach(t, n, spec("w", orderedSpec("s")), nil)
		if _, err := n.PauseWorker("w"); err != nil {
			t.Fatal(err)
		}
		_, err := n.Attach(t.Context(), spec("other", balancedSpec("s")), &farWorker{})
		wantReason(t, err, edda.KindInUse)
	})
}

// A worker that attaches while the node stops is refused, or told.
func TestAttachWhileTheNodeStops(t *testing.T) {
	bubble(t, "registered meanwhile", func(t *testing.T) {
		n := open(t, node.Options{})
		release := node.HoldPartition(n, 0)
		w, attached := &farWorker{}, make(chan error)
		go func() {
			_, err := n.Attach(t.Context(), spec("w", orderedSpec("s")), w)
			attached <- err
		}()
		synctest.Wait()
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			stop(t, n)
		}()
		synctest.Wait()
		release()
		err := <-attached
		<-stopped
		w.mu.Lock()
		defer w.mu.Unlock()
		if err == nil && len(w.drained) == 0 {
			t.Error("the worker is attached, and was not told that the node stops")
		}
	})
}

// The time that a service may be without workers begins anew whenever the last one
// goes.
func TestNoWorkerComesAfterTheWholeWait(t *testing.T) {
	bubble(t, "workers come and go", func(t *testing.T) {
		n := start(t, node.Options{Limits: node.Limits{NoWorkerWait: 10 * time.Second}})
		attach(t, n, spec("a", orderedSpec("s")), nil).Detach()
		time.Sleep(8 * time.Second)
		w := attach(t, n, spec("b", orderedSpec("s")), nil)
		c := calling(t, n, msg("s/k", "m", ""))
		time.Sleep(time.Second)
		w.Detach()
		time.Sleep(9 * time.Second)
		pending(t, c)
		time.Sleep(time.Second)
		now(t, c).refused(t, edda.NoWorker)
	})
}
