package node_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rendezvous"
	"github.com/edda-io/edda/node"
)

// farWorker is a worker elsewhere, as a test plays it. Attempts wait until the test
// ends them, unless it says what is done with them.
type farWorker struct {
	*node.Worker

	mu      sync.Mutex // guards what follows
	handle  func(a *node.Attempt)
	started []*node.Attempt
	fenced  []uint64
	members []string
	drained []string
}

func (w *farWorker) Start(a *node.Attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started = append(w.started, a)
	if w.handle != nil {
		go w.handle(a)
	}
}

func (w *farWorker) Fenced(a *node.Attempt, _ error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fenced = append(w.fenced, a.ID())
}

func (w *farWorker) Members(_ edda.Address, ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members = ids
}

func (w *farWorker) Drain(reason string, _ bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drained = append(w.drained, reason)
}

// got returns how many attempts the worker was given, once all has settled.
func (w *farWorker) got() int {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.started)
}

// attempt returns the i-th attempt that the worker was given.
func (w *farWorker) attempt(t *testing.T, i int) *node.Attempt {
	t.Helper()
	if n := w.got(); i >= n {
		t.Fatalf("worker %s was given %d attempts, want more than %d", w.ID(), n, i)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.started[i]
}

// wasFenced reports whether the worker was told that the attempt is over.
func (w *farWorker) wasFenced(a *node.Attempt) bool {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.fenced, a.ID())
}

// answer answers all that the worker was given, and what it is given then.
func (w *farWorker) answer(t *testing.T) {
	t.Helper()
	for i := 0; ; i++ {
		if i == w.got() {
			return
		}
		answerAll(w.attempt(t, i))
	}
}

// told returns who the worker was last told shares its keys.
func (w *farWorker) told() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.members
}

// spec is a worker for services; an empty id is made by the node.
func spec(id string, services ...edda.ServiceSpec) node.WorkerSpec {
	return node.WorkerSpec{ID: id, Transport: "test", Services: services}
}

func orderedSpec(name string) edda.ServiceSpec {
	return edda.ServiceSpec{Name: name, Kind: edda.Ordered, Retry: everySecond}
}

func balancedSpec(name string) edda.ServiceSpec {
	return edda.ServiceSpec{Name: name, Kind: edda.Balanced, Retry: everySecond}
}

// attach attaches a worker that is detached when the test ends.
func attach(t *testing.T, n *node.Node, s node.WorkerSpec, handle func(*node.Attempt)) *farWorker {
	t.Helper()
	w := &farWorker{handle: handle}
	got, err := n.Attach(t.Context(), s, w)
	if err != nil {
		t.Fatalf("attach worker: %v", err)
	}
	w.Worker = got
	t.Cleanup(got.Detach)
	return w
}

// reply is an outcome.
func reply(payload string) *edda.Outcome {
	return &edda.Outcome{Reply: &edda.Reply{Payload: []byte(payload)}}
}

// done ends an attempt that has to be taken.
func done(t *testing.T, a *node.Attempt, out *edda.Outcome) {
	t.Helper()
	if err := a.Done(out); err != nil {
		t.Fatalf("end attempt: %v", err)
	}
}

// answerAll takes and answers everything at once.
func answerAll(a *node.Attempt) {
	a.Taken()
	_ = a.Done(reply(string(a.Dispatch().Message.Payload)))
}

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

func (w *farWorker) info(t *testing.T, n *node.Node) *edda.WorkerInfo {
	t.Helper()
	synctest.Wait()
	i, err := n.Worker(w.ID())
	if err != nil {
		t.Fatalf("look up worker: %v", err)
	}
	return i
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
		wantReason(t, silent.attempt(t, 0).Done(reply("")), edda.Fenced)
		silent.Beat()
		if st := silent.info(t, n).State; st != edda.WorkerReady {
			t.Errorf("state after a beat is %s", st)
		}
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

func TestChoiceOfWorker(t *testing.T) {
	bubble(t, "30 jobs of a second on 3 workers of 10 slots", func(t *testing.T) {
		n := start(t, node.Options{})
		s := balancedSpec("s")
		s.Concurrency = 10
		job := func(a *node.Attempt) {
			a.Taken()
			time.Sleep(time.Second)
			answerAll(a)
		}
		var ws []*farWorker
		for i := range 3 {
			ws = append(ws, attach(t, n, spec(fmt.Sprintf("w%d", i), s), job))
		}
		begin := time.Now()
		var all []<-chan answer
		for range 30 {
			all = append(all, calling(t, n, msg("s", "m", "")))
		}
		for _, c := range all {
			(<-c).replied(t, 204, "")
		}
		if took := time.Since(begin); took != time.Second {
			t.Errorf("took %v, want 1s", took)
		}
		for _, w := range ws {
			if w.got() != 10 {
				t.Errorf("%s did %d, want 10", w.ID(), w.got())
			}
		}
	})
	bubble(t, "ordered: keys stay with their worker, and a joining one takes only its own", func(t *testing.T) {
		n := start(t, node.Options{})
		var ids []string
		ws := map[string]*farWorker{}
		join := func(id string) {
			ws[id] = attach(t, n, spec(id, orderedSpec("s")), nil)
			ids = append(ids, id)
			slices.Sort(ids)
		}
		join("a")
		join("b")
		join("c")
		keys := make([]string, 60)
		for i := range keys {
			keys[i] = fmt.Sprintf("k%d", i)
		}
		place := func() map[string]string {
			before := map[string]int{}
			for id, w := range ws {
				before[id] = w.got()
			}
			for _, k := range keys {
				send(t, n, msg("s/"+k, "m", ""))
			}
			at := map[string]string{}
			for id, w := range ws {
				for i := before[id]; i < w.got(); i++ {
					a := w.attempt(t, i)
					at[a.Dispatch().Message.To.Key] = id
					answerAll(a)
				}
			}
			return at
		}
		check := func(at map[string]string) {
			t.Helper()
			for _, k := range keys {
				hash := edda.Address{Namespace: "default", Name: "s", Key: k}.Hash()
				if want := rendezvous.Owner(ids, hash); at[k] != want {
					t.Errorf("key %s is at %q, want %s", k, at[k], want)
				}
			}
		}
		first := place()
		check(first)
		join("d")
		second := place()
		check(second)
		for k, id := range second {
			if id != first[k] && id != "d" {
				t.Errorf("key %s moved from %s to %s", k, first[k], id)
			}
		}
		time.Sleep(time.Second)
		if got := ws["a"].told(); !slices.Equal(got, ids) {
			t.Errorf("members are %v, want %v", got, ids)
		}
	})
	bubble(t, "a key with a request in flight moves with its next one", func(t *testing.T) {
		n := start(t, node.Options{})
		old := attach(t, n, spec("old", orderedSpec("s")), nil)
		key := ""
		for i := 0; key == ""; i++ {
			k := fmt.Sprintf("k%d", i)
			if rendezvous.Owner([]string{"new", "old"}, edda.Address{Namespace: "default", Name: "s", Key: k}.Hash()) == "new" {
				key = k
			}
		}
		first, second := calling(t, n, msg("s/"+key, "m", "1")), calling(t, n, msg("s/"+key, "m", "2"))
		fresh := attach(t, n, spec("new", orderedSpec("s")), nil)
		pending(t, first)
		if fresh.got() != 0 {
			t.Fatal("the new worker got a key that is in use")
		}
		answerAll(old.attempt(t, 0))
		now(t, first).replied(t, 200, "1")
		answerAll(fresh.attempt(t, 0))
		now(t, second).replied(t, 200, "2")
	})
	bubble(t, "a full worker's keys wait for it, others do not wait for them", func(t *testing.T) {
		n := start(t, node.Options{})
		s := orderedSpec("s")
		s.Concurrency = 1
		a, b := attach(t, n, spec("a", s), nil), attach(t, n, spec("b", s), nil)
		for i := range 20 {
			send(t, n, msg(fmt.Sprintf("s/k%d", i), "m", ""))
		}
		if a.got() != 1 || b.got() != 1 {
			t.Fatalf("they have %d and %d, want 1 each", a.got(), b.got())
		}
		b.answer(t)
		if a.got() != 1 {
			t.Errorf("a got %d, want 1: it has one slot", a.got())
		}
		a.Detach() // what waits for it goes to b
		b.answer(t)
		if b.got() != 20 {
			t.Errorf("b got %d in the end, want all 20", b.got())
		}
	})
	bubble(t, "credit", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attach(t, n, spec("w", balancedSpec("s")), nil)
		addr := edda.Address{Namespace: "default", Name: "s"}
		if err := w.SetConcurrency(addr, 0); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			send(t, n, msg("s", "m", ""))
		}
		if w.got() != 0 {
			t.Fatalf("it got %d without a slot", w.got())
		}
		if err := w.SetConcurrency(addr, 2); err != nil {
			t.Fatal(err)
		}
		if w.got() != 2 {
			t.Errorf("it got %d with 2 slots", w.got())
		}
		wantReason(t, w.SetConcurrency(edda.Address{Namespace: "default", Name: "other"}, 1), edda.UnknownService)
	})
}

func TestVersions(t *testing.T) {
	versioned := func(id, v string) node.WorkerSpec {
		s := spec(id, balancedSpec("s"))
		s.Version = v
		return s
	}
	bubble(t, "new requests go to the newest, retries to their own", func(t *testing.T) {
		n := start(t, node.Options{})
		old := attach(t, n, versioned("old", "1.9"), nil)
		retried := send(t, n, msg("s", "m", "retried"))
		fresh := attach(t, n, versioned("new", "1.10"), nil)
		_ = old.attempt(t, 0).Done(&edda.Outcome{Err: errHandler})
		time.Sleep(2 * time.Second)
		if a := old.attempt(t, 1).Dispatch(); a.Message.ID != retried.ID || a.Attempt != 2 {
			t.Errorf("the old version got %+v", a)
		}
		send(t, n, msg("s", "m", "fresh"))
		if got := string(fresh.attempt(t, 0).Dispatch().Message.Payload); got != "fresh" {
			t.Errorf("the new version got %q", got)
		}
		info, err := n.Service(t.Context(), "", "s")
		if err != nil || !slices.Equal(info.Versions, []string{"1.10", "1.9"}) || info.Workers != 2 {
			t.Errorf("service is %+v, %v", info, err)
		}
		_ = old.attempt(t, 1).Done(&edda.Outcome{Err: errHandler})
		old.Detach()
		time.Sleep(2 * time.Second)
		if got := fresh.attempt(t, 1).Dispatch(); got.Message.ID != retried.ID || got.Attempt != 3 {
			t.Errorf("after the old version was gone the new one got %+v", got)
		}
	})
	bubble(t, "an older worker does not say what the service is", func(t *testing.T) {
		n := start(t, node.Options{})
		s := versioned("new", "2")
		s.Services[0].Methods = []string{"new"}
		attach(t, n, s, nil)
		o := versioned("old", "1")
		o.Services[0].Methods = []string{"old"}
		attach(t, n, o, nil)
		if info, err := n.Service(t.Context(), "", "s"); err != nil || !slices.Equal(info.Methods, []string{"new"}) {
			t.Errorf("service is %+v, %v", info, err)
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
