package node_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// The same key again joins the request while it runs (D6).
func TestIdempotencyKeyJoins(t *testing.T) {
	for _, to := range []string{"s/k", "b"} {
		bubble(t, to, func(t *testing.T) {
			gate := make(chan struct{})
			var runs atomic.Int32
			h := func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
				runs.Add(1)
				return waitFor(gate)(ctx, m)
			}
			n := start(t, node.Options{Partitions: 16}, ordered("s", h), balanced("b", h))
			first := calling(t, n, keyed(msg(to, "m", "x"), "key"))
			second := calling(t, n, keyed(msg(to, "m", "x"), "key"))
			ack := send(t, n, keyed(msg(to, "m", "x"), "key"))
			if !ack.Joined || ack.Done {
				t.Errorf("got %+v, want joined and not done", ack)
			}
			close(gate)
			a, b := now(t, first).replied(t, 200, "x"), now(t, second).replied(t, 200, "x")
			if a.RequestID != b.RequestID || a.RequestID != ack.ID || a.Position != b.Position || a.Replayed || b.Replayed {
				t.Errorf("got %+v, %+v and %+v, want one request, not replayed", a, b, ack)
			}
			if ack := send(t, n, keyed(msg(to, "m", "x"), "key")); !ack.Joined || !ack.Done || ack.ID != a.RequestID {
				t.Errorf("got %+v, want %s, joined and done", ack, a.RequestID)
			}
			if r := runs.Load(); r != 1 {
				t.Errorf("the handler ran %d times, want once", r)
			}
		})
	}
}

// Every outcome is replayed with the first one's id, position and attempts.
func TestIdempotencyKeyReplays(t *testing.T) {
	outcomes := []struct {
		method string
		reason edda.Reason // "" is a reply
		tries  int
	}{
		{"succeed", "", 1}, {"late", "", 2}, {"fail", edda.Failed, 1}, {"die", edda.Dead, 3}, {"cancel", edda.Cancelled, 1}, {"deadline", edda.DeadlineExceeded, 1},
	}
	for _, to := range []string{"s/k", "b"} {
		for _, o := range outcomes {
			bubble(t, to+"/"+o.method, func(t *testing.T) {
				h := func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
					switch m.Type {
					case "fail":
						return nil, edda.Final("NO", "no")
					case "die":
						return nil, errHandler
					case "cancel", "deadline":
						<-ctx.Done()
						return nil, ctx.Err()
					}
					if m.Type == "late" && ctx.Attempt() == 1 {
						return nil, errHandler
					}
					return &edda.Reply{Status: 418, Payload: []byte("short")}, nil
				}
				s, b := ordered("s", h), balanced("b", h)
				s.Retry, b.Retry = edda.RetryPolicy{Max: 3}, edda.RetryPolicy{Max: 3}
				n := start(t, node.Options{}, s, b)
				m := func() *edda.Message {
					m := keyed(msg(to, o.method, "x"), "key")
					if o.method == "deadline" {
						m.Deadline = time.Now().Add(time.Minute / 2)
					}
					return m
				}
				c := calling(t, n, m())
				if o.method == "cancel" {
					if _, err := n.Client().Cancel(t.Context(), stateOf(t, n, edda.Taken)); err != nil {
						t.Fatal(err)
					}
				}
				first := <-c
				for range 2 {
					time.Sleep(time.Hour)
					again := call(t, n, m())
					same(t, first, again, o.reason, o.tries)
				}
			})
		}
	}
}

// same fails the test unless again is a replay of first, which ended for the
// reason after so many attempts.
func same(t *testing.T, first, again answer, reason edda.Reason, attempts int) {
	t.Helper()
	if reason == "" {
		a, b := first.replied(t, 418, "short"), again.replied(t, 418, "short")
		if a.RequestID != b.RequestID || a.Position != b.Position || a.Attempts != attempts || b.Attempts != attempts || a.Replayed || !b.Replayed {
			t.Errorf("got %+v, then %+v, want the same with %d attempts, replayed", a, b, attempts)
		}
		return
	}
	a, b := first.refused(t, reason), again.refused(t, reason)
	if stored(t, a) != stored(t, b) || a.Position != b.Position || a.Attempts != attempts || b.Attempts != attempts || a.Replayed || !b.Replayed {
		t.Errorf("got %+v, then %+v, want the same with %d attempts, replayed", a, b, attempts)
	}
	if a.Error() != b.Error() {
		t.Errorf("got %q, then %q, want the same text", a, b)
	}
}

// The key's scope is namespace, principal, service and key.
func TestIdempotencyScope(t *testing.T) {
	bubble(t, "scope", func(t *testing.T) {
		var runs atomic.Int32
		h := func(*edda.Context, *edda.Message) (*edda.Reply, error) {
			return &edda.Reply{Payload: fmt.Append(nil, runs.Add(1))}, nil
		}
		other := ordered("s", h)
		other.Namespace = "other"
		n := start(t, node.Options{Partitions: 1}, ordered("s", h), ordered("s2", h), balanced("b", h), balanced("b2", h), other)
		c := n.Client()
		scopes := []struct {
			c  *edda.Client
			to string
		}{
			{c, "s/k"}, {c, "s/k2"}, {c, "s2/k"}, {c.In("other"), "s/k"}, {c.As("ann"), "s/k"}, {c.As("bob"), "s/k"},
			{c, "b"}, {c, "b2"}, {c.As("ann"), "b"},
		}
		for round := range 2 {
			for i, sc := range scopes {
				r, err := sc.c.Call(t.Context(), keyed(msg(sc.to, "m", "x"), "key"))
				answer{r, err}.replied(t, 200, fmt.Sprint(i+1))
				if r.Replayed != (round == 1) {
					t.Errorf("round %d, scope %d: got replayed %t", round, i, r.Replayed)
				}
			}
		}
	})
}

// Another request under the same key is refused, and the first one stays.
func TestIdempotencyMismatch(t *testing.T) {
	changes := map[string]func(*edda.Message){
		"method":       func(m *edda.Message) { m.Type = "m2" },
		"content type": func(m *edda.Message) { m.ContentType = "text/csv" },
		"body":         func(m *edda.Message) { m.Payload = []byte("y") },
		"frames":       func(m *edda.Message) { m.Frames = [][]byte{{}} },
	}
	for name, change := range changes {
		for _, to := range []string{"s/k", "b"} {
			bubble(t, name+"/"+to, func(t *testing.T) {
				gate := make(chan struct{})
				n := start(t, node.Options{}, ordered("s", waitFor(gate)), balanced("b", waitFor(gate)))
				m := func() *edda.Message { return keyed(msg(to, "m", "x"), "key") }
				first := calling(t, n, m())
				for range 2 { // while it runs, and afterwards
					_, err := n.Client().Send(t.Context(), with(m(), change))
					notStored(t, wantReason(t, err, edda.IdempotencyMismatch))
					call(t, n, with(m(), change)).refused(t, edda.IdempotencyMismatch)
					if gate != nil {
						close(gate)
						now(t, first).replied(t, 200, "x")
						gate = nil
					}
				}
				if r := call(t, n, m()).replied(t, 200, "x"); !r.Replayed {
					t.Error("the first outcome is gone")
				}
			})
		}
	}
	bubble(t, "headers do not matter", func(t *testing.T) {
		n := start(t, node.Options{}, ordered("s", echo))
		call(t, n, keyed(msg("s/k", "m", "x"), "key")).replied(t, 200, "x")
		m := keyed(msg("s/k", "m", "x"), "key")
		m.Headers = edda.Headers{{Name: "A", Value: "b"}}
		if r := call(t, n, m).replied(t, 200, "x"); !r.Replayed {
			t.Error("got a second run, want the replay")
		}
	})
}

// Refusals are not stored: the key is free afterwards.
func TestRefusalsAreNotReplayed(t *testing.T) {
	bubble(t, "refusals", func(t *testing.T) {
		refuse := true
		n := start(t, node.Options{OnAccept: func(context.Context, *edda.Message) error {
			if refuse {
				return errHandler
			}
			return nil
		}}, ordered("s", echo))
		call(t, n, keyed(msg("s/k", "m", "x"), "key")).refused(t, edda.NotAllowed)
		refuse = false
		if r := call(t, n, keyed(msg("s/k", "m", "y"), "key")).replied(t, 200, "y"); r.Replayed {
			t.Error("got a replay of a refusal")
		}
	})
}

// Many callers with one key at the same time are one request.
func TestIdempotencyKeyUnderConcurrency(t *testing.T) {
	for _, to := range []string{"s/k", "b"} {
		bubble(t, to, func(t *testing.T) {
			var runs atomic.Int32
			h := func(*edda.Context, *edda.Message) (*edda.Reply, error) {
				return &edda.Reply{Payload: fmt.Append(nil, runs.Add(1))}, nil
			}
			n := start(t, node.Options{}, ordered("s", h), balanced("b", h))
			var all []<-chan answer
			for range 50 {
				c := make(chan answer, 1)
				go func() { c <- call(t, n, keyed(msg(to, "m", "x"), "key")) }()
				all = append(all, c)
			}
			synctest.Wait()
			for _, c := range all {
				(<-c).replied(t, 200, "1")
			}
		})
	}
}

// The request that used a key can be found, also when it has ended.
func TestFindRequestByIdempotencyKey(t *testing.T) {
	for _, to := range []string{"s/k", "b"} {
		bubble(t, to, func(t *testing.T) {
			n := start(t, node.Options{}, ordered("s", echo), balanced("b", echo))
			m := keyed(msg(to, "m", "x"), "key")
			r, err := n.Client().As("ann").Call(t.Context(), m)
			answer{r, err}.replied(t, 200, "x")
			f := node.RequestFilter{Service: m.To.Name, Key: m.To.Key, IdempotencyKey: "key", Principal: "ann"}
			items, _, err := n.Requests(t.Context(), f, node.Page{})
			if err != nil || len(items) != 1 || items[0].ID != r.RequestID || items[0].State != edda.StateSucceeded {
				t.Errorf("got %v, %v, want the request %s", items, err, r.RequestID)
			}
			f.Principal = "bob"
			if items, _, err := n.Requests(t.Context(), f, node.Page{}); err != nil || len(items) != 0 {
				t.Errorf("got %v, %v, want nothing for another principal", items, err)
			}
			_, _, err = n.Requests(t.Context(), node.RequestFilter{IdempotencyKey: "key"}, node.Page{})
			wantReason(t, err, edda.BadValue)
		})
	}
}
