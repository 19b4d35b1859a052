package worker_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/worker"
)

// story is what happens to keys, in order.
type story struct {
	events chan string
	mu     sync.Mutex
	gate   chan struct{} // when not nil, OnLose waits for it
}

func (s *story) options() worker.Options {
	return worker.Options{
		ID:     "me",
		OnGain: func(a edda.Address) { s.events <- "gain " + a.Key },
		OnLose: func(a edda.Address) {
			s.events <- "lose " + a.Key
			s.mu.Lock()
			gate := s.gate
			s.mu.Unlock()
			if gate != nil {
				<-gate
			}
		},
	}
}

func (s *story) want(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := recv(t, s.events); got != w {
			t.Errorf("%q happens, want %q", got, w)
		}
	}
}

// wantBoth is want for two events that may come in either order.
func (s *story) wantBoth(t *testing.T, one, other string) {
	t.Helper()
	switch got := recv(t, s.events); got {
	case one:
		s.want(t, other)
	case other:
		s.want(t, one)
	default:
		t.Errorf("%q happens, want %q or %q", got, one, other)
	}
}

// A key is gained before its first handler, and lost when it belongs to another
// worker, but never while one of its handlers runs.
func TestKeysAreGainedAndLost(t *testing.T) {
	n := newFakeNode(t)
	s := &story{events: make(chan string, 100)}
	h := newHold()
	r := n.run(s.options(), ordered("users", func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
		s.events <- "run " + c.Key()
		if m.Type == "hold" {
			return h.handle(c, m)
		}
		return edda.TextReply(200, fmt.Sprint(worker.Owns(c, c.Key()))), nil
	}))
	k, _ := n.registered()
	call := func(id uint64, key, want string) {
		t.Helper()
		k.send(dispatch(id, "users/"+key, "m", ""))
		if got := string(k.outcome().GetReply().GetPayload()); got != want {
			t.Errorf("owns %s: %s, want %s", key, got, want)
		}
	}
	call(1, "a", "true")
	call(2, "a", "true")
	s.want(t, "gain a", "run a", "run a")
	k.send(dispatch(3, "users/b", "hold", ""))
	s.want(t, "gain b", "run b")
	k.send(members("users", "me"))
	call(4, "a", "true")
	s.want(t, "run a")
	k.send(members("users", "other"))
	s.want(t, "lose a")
	h.let <- struct{}{}
	k.outcome()
	s.want(t, "lose b")

	// The next handler of a key that is being lost waits until it is, and gains it anew.
	s.mu.Lock()
	s.gate = make(chan struct{})
	gate := s.gate
	s.mu.Unlock()
	k.send(dispatch(5, "users/c", "m", ""))
	s.want(t, "gain c", "run c", "lose c")
	k.outcome()
	k.send(members("users", "me", "other"), dispatch(6, "users/c", "hold", ""))
	select {
	case e := <-s.events:
		t.Errorf("%q happens while the key is being lost", e)
	case <-time.After(20 * time.Millisecond):
	}
	s.mu.Lock()
	s.gate = nil
	s.mu.Unlock()
	close(gate)
	s.want(t, "gain c", "run c")
	close(h.let)
	k.outcome()
	k.send(members("users", "me"))
	call(7, "d", "true")
	s.want(t, "gain d", "run d")
	k.send(members("users", "other"))
	s.wantBoth(t, "lose c", "lose d") // the first that its handler has left, which an outcome does not wait for
	call(8, "e", "false")
	s.want(t, "gain e", "run e", "lose e")
	k.send(members("users", "me"))
	call(9, "f", "true")
	s.want(t, "gain f", "run f")
	r.cancel()
	if err := r.ended(); err != nil {
		t.Error(err)
	}
	s.want(t, "lose f")
}

// Keys are lost when the connection is for longer than the worker's lifetime.
func TestKeysAreLostWithTheConnection(t *testing.T) {
	n := newFakeNode(t)
	s := &story{events: make(chan string, 100)}
	n.run(s.options(), ordered("users", echo))
	n.lifetime = time.Minute
	k, _ := n.registered()
	k.send(dispatch(1, "users/a", "m", ""))
	k.outcome()
	k.stop(nil) // there again within the lifetime: it is kept
	n.lifetime = lifetime
	k, _ = n.registered()
	k.send(dispatch(2, "users/a", "m", ""))
	k.outcome() // so it knows the lifetime
	s.want(t, "gain a")
	start := time.Now()
	n.server.Stop()
	s.want(t, "lose a")
	if took := time.Since(start); took < lifetime/2 {
		t.Errorf("lost after %v, within the lifetime", took)
	}
}

// Keys without requests are forgotten after a while, and when there are too many.
func TestIdleKeysAreForgotten(t *testing.T) {
	n := newFakeNode(t)
	s := &story{events: make(chan string, 100)}
	o := s.options()
	o.MaxKeys = 2
	r := n.run(o, ordered("users", echo))
	k, _ := n.registered()
	for i, key := range []string{"a", "b", "a", "c", "d"} {
		k.send(dispatch(uint64(i), "users/"+key, "m", ""))
		k.outcome()
	}
	s.want(t, "gain a", "gain b", "gain c")
	seen := map[string]bool{recv(t, s.events): true, recv(t, s.events): true, recv(t, s.events): true}
	if !seen["gain d"] {
		t.Errorf("happens: %v", seen)
	}
	r.cancel()
	r.ended()
	seen[recv(t, s.events)], seen[recv(t, s.events)] = true, true
	// Which two are lost first depends on when the handlers are done with them.
	for _, e := range []string{"lose a", "lose b", "lose c", "lose d"} {
		if !seen[e] {
			t.Errorf("happens: %v, want %s too", seen, e)
		}
	}

	o = s.options()
	o.KeyIdle = time.Millisecond
	n.run(o, ordered("users", echo))
	k, _ = n.registered()
	k.send(dispatch(1, "users/a", "m", ""))
	s.want(t, "gain a", "lose a")
	k.outcome()
}

// A hook that panics harms nobody but the attempt that needed it.
func TestHooksPanic(t *testing.T) {
	n := newFakeNode(t)
	times := 0
	o := worker.Options{
		OnGain: func(edda.Address) {
			if times++; times == 1 {
				panic("oops")
			}
		},
		OnLose: func(edda.Address) { panic("oops") },
	}
	r := n.run(o, ordered("users", echo))
	k, _ := n.registered()
	k.send(dispatch(1, "users/a", "m", ""))
	if f := k.outcome().GetFailure(); f.GetMessage() != "OnGain panicked: oops" {
		t.Errorf("failure is %v", f)
	}
	k.send(dispatch(2, "users/a", "m", "x"))
	if out := k.outcome(); string(out.GetReply().GetPayload()) != "x" {
		t.Errorf("outcome is %v", out)
	}
	r.cancel()
	if err := r.ended(); err != nil {
		t.Error(err)
	}
}
