package node_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rendezvous"
	"github.com/edda-io/edda/node"
)

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
