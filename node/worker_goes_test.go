package node_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

func TestWorkerGoes(t *testing.T) {
	const life = 3 * time.Second
	bubble(t, "silent: what it has goes to others once, and what it has not taken costs nothing", func(t *testing.T) {
		n := start(t, node.Options{})
		sp := spec("silent", balancedSpec("s"))
		sp.Lifetime = life
		silent := attach(t, n, sp, nil)
		var acks []*edda.Ack
		for range 4 {
			acks = append(acks, send(t, n, msg("s", "m", "")))
		}
		if silent.got() != 4 {
			t.Fatalf("silent worker has %d, want 4", silent.got())
		}
		silent.attempt(t, 0).Taken()
		other := attach(t, n, spec("other", balancedSpec("s")), answerAll)
		time.Sleep(life - time.Millisecond)
		if other.got() != 0 {
			t.Fatal("the worker was given up too early")
		}
		time.Sleep(2 * time.Millisecond)
		if other.got() != 4 {
			t.Fatalf("the other worker got %d, want 4", other.got())
		}
		for i, ack := range acks {
			r, err := n.Client().Request(t.Context(), ack.ID)
			want := 1
			if r != nil && r.ID == silent.attempt(t, 0).Dispatch().Message.ID {
				want = 2
			}
			if err != nil || r.State != edda.StateSucceeded || r.Attempts != want {
				t.Errorf("request %d: %+v, %v; want it succeeded after %d attempts", i, r, err, want)
			}
		}
		if st := silent.info(t, n).State; st != edda.WorkerSilent {
			t.Errorf("state is %s", st)
		}
		wantSilent := func(want int) {
			t.Helper()
			if s, err := n.Service(t.Context(), "", "s"); err != nil || s.Workers != 2 || s.SilentWorkers != want {
				t.Errorf("got %+v, %v, want %d silent of 2 workers", s, err, want)
			}
		}
		wantSilent(1)
		wantReason(t, silent.attempt(t, 0).Done(reply("")), edda.Fenced)
		silent.Beat()
		if st := silent.info(t, n).State; st != edda.WorkerReady {
			t.Errorf("state after a beat is %s", st)
		}
		wantSilent(0)
	})
	bubble(t, "beats keep it", func(t *testing.T) {
		n := start(t, node.Options{})
		sp := spec("w", balancedSpec("s"))
		sp.Lifetime = life
		w := attach(t, n, sp, nil)
		c := calling(t, n, msg("s", "m", ""))
		for range 10 {
			time.Sleep(2 * time.Second)
			w.Beat()
		}
		done(t, w.attempt(t, 0), reply("slow"))
		now(t, c).replied(t, 200, "slow")
	})
	bubble(t, "detached: nobody else is disturbed", func(t *testing.T) {
		n := start(t, node.Options{})
		a := attach(t, n, spec("a", balancedSpec("s")), nil)
		b := attach(t, n, spec("b", balancedSpec("s")), nil)
		x, y := calling(t, n, msg("s", "m", "x")), calling(t, n, msg("s", "m", "y"))
		if a.got() != 1 || b.got() != 1 {
			t.Fatalf("workers have %d and %d, want 1 each", a.got(), b.got())
		}
		a.Detach()
		a.Detach()
		if b.got() != 2 {
			t.Fatalf("b has %d, want what a had too", b.got())
		}
		for i := range 2 {
			at := b.attempt(t, i)
			if at.Dispatch().Attempt != 1 {
				t.Errorf("attempt %d, want 1: it was not taken before", at.Dispatch().Attempt)
			}
			answerAll(at)
		}
		now(t, x).replied(t, 200, "x")
		now(t, y).replied(t, 200, "y")
	})
	bubble(t, "a request that kills its workers before they have taken it dies in the end", func(t *testing.T) {
		n := start(t, node.Options{})
		s := orderedSpec("s")
		s.Retry.Max = 3
		c := make(chan answer, 1)
		for i := range 10 {
			w := attach(t, n, spec(fmt.Sprintf("w%d", i), s), nil)
			if i == 0 {
				go func() { c <- call(t, n, msg("s/k", "m", "poison")) }()
			}
			if w.got() == 0 {
				if i != 5 {
					t.Errorf("it was dead after %d workers, want 2 spared and 3 attempts", i)
				}
				break
			}
			w.Detach()
		}
		wantReason(t, now(t, c).err, edda.Dead)
	})
	bubble(t, "the last one: callers are told in time, and it goes on when one comes", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		c := calling(t, n, msg("s/k", "m", "x"))
		w.Detach()
		time.Sleep(time.Second)
		pending(t, c)
		time.Sleep(1100 * time.Millisecond)
		wantReason(t, now(t, c).err, edda.NoWorker)
		again := attach(t, n, spec("w2", orderedSpec("s")), answerAll)
		if again.got() != 1 {
			t.Error("the request did not go on")
		}
	})
	bubble(t, "one comes in time", func(t *testing.T) {
		n := start(t, node.Options{})
		attach(t, n, spec("w", orderedSpec("s")), nil).Detach()
		c := calling(t, n, msg("s/k", "m", "x"))
		time.Sleep(1900 * time.Millisecond)
		w := attach(t, n, spec("w2", orderedSpec("s")), nil)
		time.Sleep(5 * time.Second)
		pending(t, c)
		answerAll(w.attempt(t, 0))
		now(t, c).replied(t, 200, "x")
	})
	bubble(t, "drained: it finishes, hands back at no cost, and gets nothing", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		x, y := calling(t, n, msg("s/x", "m", "x")), calling(t, n, msg("s/y", "m", "y"))
		if _, err := n.DrainWorker("w"); err != nil {
			t.Fatal(err)
		}
		i := w.info(t, n)
		if i.State != edda.WorkerDraining || len(i.Holds) != 2 || i.Holds[0].Service != "s" || len(w.drained) != 1 {
			t.Errorf("worker is %+v, told %q", i, w.drained)
		}
		other := attach(t, n, spec("other", orderedSpec("s")), nil)
		z := calling(t, n, msg("s/z", "m", "z"))
		answerAll(w.attempt(t, 0))
		w.attempt(t, 1).HandBack()
		if w.got() != 2 {
			t.Errorf("it got %d, want nothing more", w.got())
		}
		for i := range other.got() {
			if d := other.attempt(t, i).Dispatch(); d.Attempt != 1 {
				t.Errorf("attempt %d, want 1", d.Attempt)
			}
			answerAll(other.attempt(t, i))
		}
		now(t, x).replied(t, 200, "x")
		now(t, y).replied(t, 200, "y")
		now(t, z).replied(t, 200, "z")
	})
	bubble(t, "out of health: it keeps what it has", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		x := calling(t, n, msg("s/x", "m", "x"))
		w.SetReady(false)
		send(t, n, msg("s/y", "m", "y"))
		if w.got() != 1 {
			t.Fatalf("it got %d, want nothing more", w.got())
		}
		answerAll(w.attempt(t, 0))
		now(t, x).replied(t, 200, "x")
		w.SetReady(true)
		answerAll(w.attempt(t, 1))
	})
	bubble(t, "paused, and resumed", func(t *testing.T) {
		n := start(t, node.Options{}, ordered("local", echo))
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		for _, id := range []string{"w", n.Info().ID} {
			i, err := n.PauseWorker(id)
			if err != nil || i.State != edda.WorkerPaused {
				t.Fatalf("worker is %+v, %v", i, err)
			}
		}
		send(t, n, msg("s/k", "m", "x"))
		ours := calling(t, n, msg("local/k", "m", "ours"))
		if w.got() != 0 {
			t.Fatal("a paused worker was given a request")
		}
		pending(t, ours)
		for _, id := range []string{"w", n.Info().ID} {
			if i, err := n.ResumeWorker(id); err != nil || i.State != edda.WorkerReady {
				t.Fatalf("worker is %+v, %v", i, err)
			}
		}
		answerAll(w.attempt(t, 0))
		now(t, ours).replied(t, 200, "ours")
		_, err := n.PauseWorker("nobody")
		wantReason(t, err, edda.NoWorkerID)
	})
	bubble(t, "the node stops: what is finished in time counts, the rest goes on later", func(t *testing.T) {
		d := newDisk()
		n := d.open(t, node.Options{})
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		finished, rest := send(t, n, msg("s/x", "m", "x")), send(t, n, msg("s/y", "m", "y"))
		a, b := w.attempt(t, 0), w.attempt(t, 1)
		if a.Dispatch().Message.ID != finished.ID {
			a, b = b, a
		}
		go func() {
			time.Sleep(time.Second)
			answerAll(a)
		}()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		if len(w.drained) != 1 || !w.wasFenced(b) {
			t.Errorf("told %q, fenced %v", w.drained, w.fenced)
		}
		n = d.open(t, node.Options{})
		t.Cleanup(func() { stop(t, n) })
		w = attach(t, n, spec("w", orderedSpec("s")), nil)
		if got := w.attempt(t, 0).Dispatch(); got.Message.ID != rest.ID || got.Attempt != 1 || w.got() != 1 {
			t.Errorf("got %+v", got)
		}
		answerAll(w.attempt(t, 0))
	})
}
