package node_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// A worker that hands everything back gets it again later and later, and does not
// make the node spin.
func TestHandedBackAgainAndAgain(t *testing.T) {
	bubble(t, "later and later, up to a second", func(t *testing.T) {
		n := start(t, node.Options{})
		var mu sync.Mutex
		var at []time.Time
		over := false
		attach(t, n, spec("w", orderedSpec("s")), func(a *node.Attempt) {
			mu.Lock()
			defer mu.Unlock()
			if over {
				answerAll(a)
				return
			}
			at = append(at, time.Now())
			a.HandBack()
		})
		c := calling(t, n, msg("s/k", "m", "x"))
		time.Sleep(10 * time.Second)
		mu.Lock()
		if len(at) < 15 || len(at) > 20 {
			t.Errorf("handed out %d times in 10 s, want 15 to 20", len(at))
		}
		for i := 2; i < len(at); i++ {
			want := min(10*time.Millisecond<<(i-2), time.Second)
			if got := at[i].Sub(at[i-1]); got != want {
				t.Errorf("handed out again after %v, want %v", got, want)
			}
		}
		if at[1] != at[0] {
			t.Errorf("handed out again after %v the first time, want at once", at[1].Sub(at[0]))
		}
		over = true
		mu.Unlock()
		time.Sleep(time.Second)
		if r := now(t, c); r.reply == nil || r.reply.Attempts != 1 {
			t.Errorf("got %+v, want a reply to the first attempt", r)
		}
	})
	bubble(t, "a failure begins it anew", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		calling(t, n, msg("s/k", "m", "x"))
		for i := range 4 {
			time.Sleep(time.Second)
			w.attempt(t, i).HandBack()
		}
		time.Sleep(time.Second)
		done(t, w.attempt(t, 4), &edda.Outcome{Err: errors.New("no")})
		time.Sleep(10 * time.Second) // it is tried again
		w.attempt(t, 5).HandBack()
		w.attempt(t, 6) // at once
	})
	bubble(t, "the slot is free meanwhile, the key is not", func(t *testing.T) {
		n := start(t, node.Options{})
		s := orderedSpec("s")
		s.Concurrency = 1
		w := attach(t, n, spec("w", s), nil)
		first := calling(t, n, msg("s/a", "m", "first"))
		w.attempt(t, 0).HandBack()
		second := calling(t, n, msg("s/a", "m", "second"))
		w.attempt(t, 1).HandBack() // waits from here on
		other := calling(t, n, msg("s/b", "m", "other"))
		answerAll(w.attempt(t, 2))
		now(t, other).replied(t, 200, "other")
		pending(t, first)
		time.Sleep(10 * time.Millisecond)
		answerAll(w.attempt(t, 3))
		now(t, first).replied(t, 200, "first")
		answerAll(w.attempt(t, 4))
		now(t, second).replied(t, 200, "second")
	})
	bubble(t, "a drain is not held up", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		c := calling(t, n, msg("s/k", "m", "x"))
		for i := range 8 {
			time.Sleep(time.Second)
			w.attempt(t, i).HandBack()
		}
		time.Sleep(time.Second)
		a := w.attempt(t, 8)
		other := attach(t, n, spec("other", orderedSpec("s")), answerAll)
		w.Worker.Drain()
		a.HandBack()
		synctest.Wait()
		now(t, c).replied(t, 200, "x")
		if other.got() != 1 {
			t.Errorf("the other got %d, want one", other.got())
		}
	})
	bubble(t, "cancelled while it waits", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		ack := send(t, n, msg("s/k", "m", "x"))
		w.attempt(t, 0).HandBack()
		w.attempt(t, 1).HandBack()
		synctest.Wait()
		if _, err := n.Cancel(t.Context(), "", ack.ID); err != nil {
			t.Fatal(err)
		}
		c := calling(t, n, msg("s/k", "m", "next"))
		answerAll(w.attempt(t, 2))
		now(t, c).replied(t, 200, "next")
		time.Sleep(time.Minute)
		if w.got() != 3 {
			t.Errorf("it got %d attempts, want 3", w.got())
		}
	})
	bubble(t, "the node stops while it waits", func(t *testing.T) {
		d := newDisk()
		n := d.open(t, node.Options{})
		w := attach(t, n, spec("w", orderedSpec("s")), nil)
		send(t, n, msg("s/k", "m", "x"))
		w.attempt(t, 0).HandBack()
		w.attempt(t, 1).HandBack()
		synctest.Wait()
		stop(t, n)
		n = d.open(t, node.Options{})
		t.Cleanup(func() { stop(t, n) })
		w = attach(t, n, spec("w", orderedSpec("s")), nil)
		if got := w.attempt(t, 0).Dispatch().Attempt; got != 1 {
			t.Errorf("attempt %d, want 1: nothing was lost", got)
		}
	})
}
