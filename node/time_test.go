package node_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// before returns the message with a deadline.
func before(m *edda.Message, d time.Duration) *edda.Message {
	m.Deadline = time.Now().Add(d)
	return m
}

// after returns the message with a delay.
func after(m *edda.Message, d time.Duration) *edda.Message {
	m.Due = time.Now().Add(d)
	return m
}

// When its deadline has passed a request is failed, wherever it is, and its key
// goes on with the next.
func TestDeadline(t *testing.T) {
	const at = 10 * time.Second
	tests := []struct {
		name string
		// prepare brings the service into its state before the request comes.
		prepare func(t *testing.T, n *node.Node)
		change  func(*edda.Message)
		retry   edda.RetryPolicy
		method  string
		tries   int
	}{
		{name: "running", method: "wait", tries: 1},
		{name: "behind another of its key", method: "m", prepare: func(t *testing.T, n *node.Node) { send(t, n, msg("s/k", "wait", "")) }},
		{name: "without a slot", method: "m", prepare: func(t *testing.T, n *node.Node) { send(t, n, msg("s/other", "wait", "")) }},
		{name: "retrying", method: "fail", tries: 2, retry: edda.RetryPolicy{Max: 5, Delay: 9 * time.Second, Backoff: 1, Jitter: -1}},
		{name: "delayed", method: "m", change: func(m *edda.Message) { m.Due = time.Now().Add(time.Hour) }},
		{name: "delayed, then behind another", method: "m",
			prepare: func(t *testing.T, n *node.Node) { send(t, n, msg("s/k", "wait", "")) },
			change:  func(m *edda.Message) { m.Due = time.Now().Add(time.Second) }},
		{name: "delayed, then without a slot", method: "m",
			prepare: func(t *testing.T, n *node.Node) { send(t, n, msg("s/other", "wait", "")) },
			change:  func(m *edda.Message) { m.Due = time.Now().Add(time.Second) }},
		{name: "delayed, then running", method: "wait", tries: 1, change: func(m *edda.Message) { m.Due = time.Now().Add(time.Second) }},
		{name: "service paused", method: "m", prepare: func(t *testing.T, n *node.Node) {
			if _, err := n.PauseService(t.Context(), "", "s"); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			gate := make(chan struct{})
			var j journal
			s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
				switch m.Type {
				case "fail":
					return nil, errHandler
				case "wait":
					return waitFor(gate)(ctx, m)
				}
				j.addf("ran")
				return nil, nil
			})
			s.Concurrency, s.Retry, s.AttemptTimeout = 1, tt.retry, time.Hour
			n := start(t, node.Options{}, s)
			if tt.prepare != nil {
				tt.prepare(t, n)
				synctest.Wait()
			}
			begun := time.Now()
			m := before(msg("s/k", tt.method, ""), at)
			if tt.change != nil {
				tt.change(m)
			}
			id := send(t, n, m).ID
			e := answerOf(n.Client().Wait(t.Context(), id)).refused(t, edda.DeadlineExceeded)
			if took := time.Since(begun); took != at || e.Attempts != tt.tries {
				t.Errorf("it took %v and %d attempts, want %v and %d", took, e.Attempts, at, tt.tries)
			}
			if q := inState(t, n, id, edda.StateFailed); q.Error == nil || q.Error.Reason != edda.DeadlineExceeded {
				t.Errorf("got error %+v, want DEADLINE", q.Error)
			}
			if letters := deadLetters(t, n, node.DeadLetterFilter{}); len(letters) != 0 {
				t.Errorf("got dead letters %v, want none", letters)
			}
			close(gate)
			if _, err := n.ResumeService(t.Context(), "", "s"); err != nil {
				t.Fatal(err)
			}
			j.want(t, "")
			call(t, n, msg("s/k", "m", "")).replied(t, 204, "")
		})
	}
}

// A handler sees the earlier one of its attempt's and the request's deadline, and
// is cancelled then.
func TestHandlerSeesDeadline(t *testing.T) {
	bubble(t, "deadline", func(t *testing.T) {
		begun := time.Now()
		var j journal
		s := ordered("s", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			d, _ := ctx.Deadline()
			<-ctx.Done()
			j.addf("%s/%s", d.Sub(begun), since(begun))
			return nil, ctx.Err()
		})
		s.AttemptTimeout, s.Retry = 4*time.Second, everySecond
		n := start(t, node.Options{}, s)
		call(t, n, before(msg("s/k", "m", ""), 7*time.Second)).refused(t, edda.DeadlineExceeded)
		j.want(t, "4s/4s 7s/7s")
	})
}

// Nothing starts once the deadline has passed, not even at that very moment, and
// not after a restart either.
func TestNothingStartsAfterDeadline(t *testing.T) {
	bubble(t, "at that moment", func(t *testing.T) {
		for range 50 {
			var j journal
			s := ordered("s", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
				time.Sleep(time.Second)
				j.addf("%s", m.Payload)
				return nil, nil
			})
			n := open(t, node.Options{}, s)
			send(t, n, msg("s/k", "m", "a"))
			b := send(t, n, before(msg("s/k", "m", "b"), time.Second))
			c := send(t, n, msg("s/k", "m", "c"))
			answerOf(n.Client().Wait(t.Context(), b.ID)).refused(t, edda.DeadlineExceeded)
			answerOf(n.Client().Wait(t.Context(), c.ID)).replied(t, 204, "")
			j.want(t, "a c")
			stop(t, n)
		}
	})
	bubble(t, "after a restart", func(t *testing.T) {
		d := newDisk()
		n := d.open(t, node.Options{}, ordered("s", echo))
		if _, err := n.PauseService(t.Context(), "", "s"); err != nil {
			t.Fatal(err)
		}
		a, b := send(t, n, before(msg("s/k", "m", ""), time.Second)), send(t, n, before(after(msg("s/k", "m", ""), time.Second), 2*time.Second))
		stop(t, n)
		time.Sleep(time.Minute)
		var j journal
		n = d.open(t, node.Options{}, ordered("s", func(*edda.Context, *edda.Message) (*edda.Reply, error) {
			j.addf("ran")
			return nil, nil
		}))
		defer stop(t, n)
		if _, err := n.ResumeService(t.Context(), "", "s"); err != nil {
			t.Fatal(err)
		}
		for _, id := range []edda.ID{a.ID, b.ID} {
			answerOf(n.Client().Wait(t.Context(), id)).refused(t, edda.DeadlineExceeded)
		}
		j.want(t, "")
	})
}

// A delayed request joins its key's queue when it is due, holds up nobody before
// that, and a caller waits through the delay.
func TestDelay(t *testing.T) {
	bubble(t, "joins its queue when due", func(t *testing.T) {
		var j journal
		begun := time.Now()
		s := ordered("s", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
			j.addf("%s@%s", m.Payload, since(begun))
			time.Sleep(3 * time.Second)
			return echo(nil, m)
		})
		n := start(t, node.Options{}, s)
		send(t, n, after(msg("s/k", "m", "late"), 10*time.Second))
		send(t, n, after(msg("s/k", "m", "past"), -time.Hour)) // the past means now
		send(t, n, after(msg("s/k", "m", "soon"), time.Second))
		send(t, n, msg("s/k", "m", "now"))
		c := calling(t, n, after(msg("s/other", "m", "called"), 20*time.Second))
		time.Sleep(9 * time.Second)
		send(t, n, msg("s/k", "m", "before"))
		time.Sleep(2 * time.Second)
		send(t, n, msg("s/k", "m", "behind"))
		r := (<-c).replied(t, 200, "called")
		if r.Attempts != 1 || time.Since(begun) != 23*time.Second {
			t.Errorf("got %d attempts after %v, want 1 after 23s", r.Attempts, time.Since(begun))
		}
		j.want(t, "past@0s now@3s soon@6s before@9s late@12s behind@15s called@20s")
	})
	bubble(t, "balanced", func(t *testing.T) {
		begun := time.Now()
		n := start(t, node.Options{}, balanced("b", echo))
		call(t, n, after(msg("b", "m", "x"), 20*time.Second)).replied(t, 200, "x")
		if took := time.Since(begun); took != 20*time.Second {
			t.Errorf("it took %v, want 20s", took)
		}
	})
	bubble(t, "many at a time", func(t *testing.T) {
		n := start(t, node.Options{}, ordered("s", echo))
		var ids []edda.ID
		for i := range 100 {
			ids = append(ids, send(t, n, after(msg("s/k", "m", "x"), time.Duration(i%10)*time.Second)).ID)
		}
		for _, id := range ids {
			answerOf(n.Client().Wait(t.Context(), id)).replied(t, 200, "x")
		}
	})
}

// While requests wait for their time nothing runs: a year goes by in no time.
func TestNothingPolls(t *testing.T) {
	bubble(t, "a year", func(t *testing.T) {
		n := start(t, node.Options{}, ordered("s", echo))
		id := send(t, n, after(msg("s/k", "m", "x"), 365*24*time.Hour)).ID
		begun := time.Now()
		answerOf(n.Client().Wait(t.Context(), id)).replied(t, 200, "x")
		if took := time.Since(begun); took != 365*24*time.Hour {
			t.Errorf("it took %v, want a year", took)
		}
	})
}

// A request is cancelled at once, wherever it is; its caller hears of it and its
// key goes on (HTTP: 499).
func TestCancel(t *testing.T) {
	tests := []struct {
		name   string
		m      func() *edda.Message
		before string // method of a request that comes before, if any
		state  edda.State
		tries  int
	}{
		{"queued", func() *edda.Message { return msg("s/k", "m", "x") }, "wait", edda.Accepted, 0},
		{"delayed", func() *edda.Message { return after(msg("s/k", "m", "x"), time.Hour) }, "", edda.Accepted, 0},
		{"retrying", func() *edda.Message { return msg("s/k", "fail", "x") }, "", edda.Retrying, 1},
		{"running", func() *edda.Message { return msg("s/k", "wait", "x") }, "", edda.Taken, 1},
		{"running on", func() *edda.Message { return msg("s/k", "stubborn", "x") }, "", edda.Taken, 1},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			gate := make(chan struct{})
			var j journal
			s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
				switch m.Type {
				case "fail":
					return nil, errHandler
				case "wait":
					return waitFor(gate)(ctx, m)
				case "stubborn":
					<-gate
					_ = ctx.Set("stubborn", nil)
					_ = ctx.Send(msg("s/other", "m", "sent"))
					return nil, nil
				}
				_, stubborn, _ := ctx.Get("stubborn")
				j.addf("%s/%t", m.Payload, stubborn)
				return nil, nil
			})
			s.Retry = edda.RetryPolicy{Delay: time.Minute}
			n := start(t, node.Options{}, s)
			if tt.before != "" {
				send(t, n, msg("s/k", tt.before, ""))
			}
			c := calling(t, n, keyed(tt.m(), "key"))
			f := node.RequestFilter{Service: "s", Key: "k", IdempotencyKey: "key"}
			items, _, err := n.Requests(t.Context(), f, node.Page{})
			if err != nil || len(items) != 1 || items[0].State != tt.state {
				t.Fatalf("got %+v, %v, want one %s", items, err, tt.state)
			}
			begun := time.Now()
			next := send(t, n, msg("s/k", "m", "next"))
			for range 2 { // the second finds it as it is
				q, err := n.Client().Cancel(t.Context(), items[0].ID)
				if err != nil || q.State != edda.StateCancelled || q.Error == nil || q.Error.Reason != edda.Cancelled || q.Attempts != tt.tries {
					t.Fatalf("got %+v, %v, want cancelled after %d attempts", q, err, tt.tries)
				}
			}
			e := now(t, c).refused(t, edda.Cancelled)
			if stored(t, e) != items[0].ID || e.Attempts != tt.tries {
				t.Errorf("got %+v, want the id and %d attempts", e, tt.tries)
			}
			if tt.before == "" {
				answerOf(n.Client().Wait(t.Context(), next.ID)).replied(t, 204, "")
				if time.Since(begun) != 0 {
					t.Errorf("the next one came %v later, want at once", time.Since(begun))
				}
			}
			close(gate) // a late outcome comes to nothing
			synctest.Wait()
			call(t, n, msg("s/k", "m", "last")).replied(t, 204, "")
			j.want(t, "next/false last/false")
			if letters := deadLetters(t, n, node.DeadLetterFilter{}); len(letters) != 0 {
				t.Errorf("got dead letters %v, want none", letters)
			}
		})
	}
	bubble(t, "what has ended stays", func(t *testing.T) {
		n := start(t, node.Options{}, ordered("s", echo))
		id := send(t, n, msg("s/k", "m", "x")).ID
		synctest.Wait()
		if q, err := n.Client().Cancel(t.Context(), id); err != nil || q.State != edda.StateSucceeded {
			t.Errorf("got %+v, %v, want succeeded as it was", q, err)
		}
		_, err := n.Client().Cancel(t.Context(), edda.NewID(7, time.Now()))
		wantReason(t, err, edda.NoRequest)
		_, err = n.Client().In("other").Cancel(t.Context(), id)
		wantReason(t, err, edda.NoRequest)
	})
	bubble(t, "a cancelled handler's context says so", func(t *testing.T) {
		var cause error
		n := start(t, node.Options{}, ordered("s", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			<-ctx.Done()
			cause = context.Cause(ctx)
			return nil, cause
		}))
		id := send(t, n, msg("s/k", "m", "")).ID
		synctest.Wait()
		if _, err := n.Client().Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if cause == nil {
			t.Error("the handler was not cancelled")
		}
		if q := request(t, n, id); q.State != edda.StateCancelled {
			t.Errorf("got state %s, want cancelled", q.State)
		}
	})
}
