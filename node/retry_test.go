package node_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// A failed attempt is followed by the next one when the policy says (D5).
func TestRetryPolicy(t *testing.T) {
	tests := []struct {
		name   string
		policy edda.RetryPolicy
		at     string // when the attempts begin
	}{
		{"fixed", edda.RetryPolicy{Max: 4, Delay: time.Second, Backoff: 1, Jitter: -1}, "0s 1s 2s 3s"},
		{"exponential", edda.RetryPolicy{Max: 4, Delay: time.Second, Jitter: -1}, "0s 1s 3s 7s"},
		{"bounded", edda.RetryPolicy{Max: 5, Delay: time.Second, MaxDelay: 3 * time.Second, Backoff: 2, Jitter: -1}, "0s 1s 3s 6s 9s"},
		{"never", edda.RetryPolicy{Max: 1}, "0s"},
		{"default", edda.RetryPolicy{Jitter: -1}, "0s 100ms 300ms 700ms 1.5s 3.1s 6.3s 12.7s 25.5s 51.1s"},
	}
	for _, tt := range tests {
		for _, to := range []string{"s/k", "b"} {
			bubble(t, tt.name+"/"+to, func(t *testing.T) {
				var j journal
				begun := time.Now()
				h := func(*edda.Context, *edda.Message) (*edda.Reply, error) {
					j.addf("%s", since(begun))
					return nil, errHandler
				}
				s, b := ordered("s", h), balanced("b", h)
				s.Retry, b.Retry = tt.policy, tt.policy
				n := start(t, node.Options{}, s, b)
				e := call(t, n, msg(to, "m", "")).refused(t, edda.Dead)
				stored(t, e)
				if want := len(strings.Fields(tt.at)); e.Attempts != want || !strings.Contains(e.Error(), errHandler.Error()) {
					t.Errorf("got %d attempts and %q, want %d and the last error", e.Attempts, e, want)
				}
				j.want(t, tt.at)
			})
		}
	}
	bubble(t, "without limit", func(t *testing.T) {
		s := ordered("s", fail)
		s.Retry = everySecond
		n := start(t, node.Options{}, s)
		id := send(t, n, msg("s/k", "m", "")).ID
		time.Sleep(100*time.Second + time.Millisecond)
		if q := inState(t, n, id, edda.Retrying); q.Attempts != 101 {
			t.Errorf("got %d attempts, want 101", q.Attempts)
		}
	})
	bubble(t, "jitter", func(t *testing.T) {
		var times []time.Time
		s := ordered("s", func(*edda.Context, *edda.Message) (*edda.Reply, error) {
			times = append(times, time.Now())
			return nil, errHandler
		})
		s.Retry = edda.RetryPolicy{Max: 100, Delay: time.Second, Backoff: 1, Jitter: 0.5}
		n := start(t, node.Options{}, s)
		id := send(t, n, msg("s/k", "m", "")).ID
		answerOf(n.Client().Wait(t.Context(), id)).refused(t, edda.Dead)
		differ := false
		for i := 1; i < len(times); i++ {
			d := times[i].Sub(times[i-1])
			if d < time.Second/2 || d > 3*time.Second/2 {
				t.Errorf("delay %d is %v, want 0.5s to 1.5s", i, d)
			}
			differ = differ || d != time.Second
		}
		if !differ {
			t.Error("no delay differs from another")
		}
	})
}

// What a handler says of the next attempt counts for more than the policy.
func TestHandlersSay(t *testing.T) {
	bubble(t, "retry after", func(t *testing.T) {
		var j journal
		begun := time.Now()
		s := ordered("s", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			j.addf("%s", since(begun))
			if ctx.Attempt() == 4 {
				return nil, nil
			}
			return nil, fmt.Errorf("wrapped: %w", edda.Retry([]time.Duration{7 * time.Second, 0, 48 * time.Hour}[ctx.Attempt()-1], "later"))
		})
		s.Retry = everySecond
		n := start(t, node.Options{}, s)
		id := send(t, n, msg("s/k", "m", "")).ID
		answerOf(n.Client().Wait(t.Context(), id)).replied(t, 204, "")
		j.want(t, "0s 7s 8s 1h0m8s") // at most an hour
	})
	bubble(t, "retry after does not add attempts", func(t *testing.T) {
		s := ordered("s", func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, edda.Retry(time.Second, "later") })
		s.Retry = edda.RetryPolicy{Max: 2}
		n := start(t, node.Options{}, s)
		if e := call(t, n, msg("s/k", "m", "")).refused(t, edda.Dead); e.Attempts != 2 {
			t.Errorf("got %d attempts, want 2", e.Attempts)
		}
	})
	bubble(t, "final", func(t *testing.T) {
		var runs atomic.Int32
		n := start(t, node.Options{}, ordered("s", func(*edda.Context, *edda.Message) (*edda.Reply, error) {
			runs.Add(1)
			return nil, fmt.Errorf("wrapped: %w", edda.Final("NO_FUNDS", "%d missing", 5))
		}))
		e := call(t, n, msg("s/k", "m", "")).refused(t, edda.Failed)
		if e.Attempts != 1 || runs.Load() != 1 || !strings.Contains(e.Error(), "NO_FUNDS: 5 missing") {
			t.Errorf("got %q after %d attempts and %d runs, want the handler's words after one", e, e.Attempts, runs.Load())
		}
		id := send(t, n, msg("s/k", "m", "")).ID
		if q := inState(t, n, id, edda.StateFailed); q.Error == nil || q.Error.Reason != edda.Failed || q.Error.Code != edda.CodeAborted {
			t.Errorf("got error %+v, want FAILED", q.Error)
		}
		if letters := deadLetters(t, n, node.DeadLetterFilter{}); len(letters) != 0 {
			t.Errorf("got dead letters %v of a failed request, want none", letters)
		}
	})
}

// deadLetters returns the first page of dead letters.
func deadLetters(t *testing.T, n *node.Node, f node.DeadLetterFilter) []edda.DeadLetter {
	t.Helper()
	synctest.Wait()
	letters, _, err := n.DeadLetters(t.Context(), f, node.Page{})
	if err != nil {
		t.Fatal(err)
	}
	return letters
}

// brokenError is an error that cannot be asked what it is.
type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }

func nothing() any { return nil }

// However a handler ends, it ends one attempt of one request (W4, D-A7).
func TestHandlersThatBreak(t *testing.T) {
	tests := []struct {
		name   string
		h      edda.HandlerFunc
		reason edda.Reason
	}{
		{"error", fail, edda.Failed},
		{"panic", func(*edda.Context, *edda.Message) (*edda.Reply, error) { panic("oh") }, edda.Panicked},
		{"panic with nil", func(*edda.Context, *edda.Message) (*edda.Reply, error) { panic(nothing()) }, edda.Panicked},
		{"panic with an error", func(*edda.Context, *edda.Message) (*edda.Reply, error) { panic(errHandler) }, edda.Panicked},
		{"runtime error", func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nothing().(*edda.Reply), nil }, edda.Panicked},
		{"goexit", func(*edda.Context, *edda.Message) (*edda.Reply, error) { runtime.Goexit(); return nil, nil }, edda.Panicked},
		{"error that panics", func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, (*brokenError)(nil) }, edda.Panicked},
		{"nil handler error", func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, (*edda.HandlerError)(nil) }, edda.Panicked},
		{"too many sends", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			for range edda.MaxSends + 1 {
				if err := ctx.Send(msg("other/k", "m", "")); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}, edda.Failed},
	}
	for _, tt := range tests {
		for _, to := range []string{"s/k", "b"} {
			bubble(t, tt.name+"/"+to, func(t *testing.T) {
				s, b := ordered("s", tt.h), balanced("b", tt.h)
				s.Retry, b.Retry = edda.RetryPolicy{Max: 2}, edda.RetryPolicy{Max: 2}
				s.Concurrency, b.Concurrency = 1, 1
				n := start(t, node.Options{}, s, b, ordered("other", echo))
				for range 3 { // no slot is lost
					e := call(t, n, msg(to, "m", "")).refused(t, edda.Dead)
					if e.Attempts != 2 {
						t.Errorf("got %d attempts, want 2", e.Attempts)
					}
				}
				for _, l := range deadLetters(t, n, node.DeadLetterFilter{}) {
					if l.Reason != tt.reason || l.Detail == "" {
						t.Errorf("got dead letter with reason %s and detail %q, want %s and some", l.Reason, l.Detail, tt.reason)
					}
				}
				call(t, n, msg("other/k", "m", "x")).replied(t, 200, "x")
			})
		}
	}
}

// An attempt that takes too long is fenced and retried; what it comes up with in
// the end is refused (D4, D-A2, D-A6).
func TestAttemptTimeout(t *testing.T) {
	for _, to := range []string{"s/k", "b"} {
		for _, obey := range []bool{true, false} {
			bubble(t, fmt.Sprintf("%s/%t", to, obey), func(t *testing.T) {
				var j journal
				begun := time.Now()
				h := func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
					attempt := ctx.Attempt()
					j.addf("%d@%s", attempt, since(begun))
					if d, ok := ctx.Deadline(); !ok || !d.Equal(time.Now().Add(5*time.Second)) {
						t.Errorf("got deadline %v, want in 5s", d)
					}
					if attempt < 3 {
						<-ctx.Done()
						j.addf("cancelled@%s", since(begun))
						if !obey {
							time.Sleep(20 * time.Second)
						}
						if ctx.Key() != "" {
							_ = ctx.Set("who", fmt.Append(nil, attempt))
						}
					}
					return &edda.Reply{Payload: fmt.Append(nil, attempt)}, nil
				}
				s, b := ordered("s", h), balanced("b", h)
				for _, svc := range []*edda.Service{s, b} {
					svc.AttemptTimeout, svc.Retry = 5*time.Second, everySecond
				}
				edda.Handle(s, "get", func(ctx *edda.Context, _ []byte) ([]byte, error) {
					v, _, err := ctx.Get("who")
					return v, err
				})
				n := start(t, node.Options{}, s, b)
				r := call(t, n, msg(to, "m", "")).replied(t, 200, "3")
				if r.Attempts != 3 {
					t.Errorf("got %d attempts, want 3", r.Attempts)
				}
				j.want(t, "1@0s cancelled@5s 2@6s cancelled@11s 3@12s")
				time.Sleep(time.Minute) // late outcomes come
				if to == "s/k" {
					call(t, n, msg(to, "get", "")).replied(t, 204, "")
				}
			})
		}
	}
	bubble(t, "is what the request died of", func(t *testing.T) {
		s := ordered("s", waitFor(nil))
		s.AttemptTimeout, s.Retry = 5*time.Second, edda.RetryPolicy{Max: 2}
		n := start(t, node.Options{}, s)
		call(t, n, msg("s/k", "m", "")).refused(t, edda.Dead)
		letters := deadLetters(t, n, node.DeadLetterFilter{Reason: edda.Timeout})
		if len(letters) != 1 || letters[0].Attempts != 2 || letters[0].Detail != "attempt 2 took longer than 5s" {
			t.Errorf("got dead letters %+v, want one of TIMEOUT", letters)
		}
	})
	bubble(t, "default", func(t *testing.T) {
		n := start(t, node.Options{}, ordered("s", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			d, _ := ctx.Deadline()
			return edda.TextReply(200, time.Until(d).String()), nil
		}))
		call(t, n, msg("s/k", "m", "")).replied(t, 200, "30s")
	})
}

// Fences rise with each dispatch of a key.
func TestFencesRise(t *testing.T) {
	bubble(t, "fences", func(t *testing.T) {
		var last uint64
		var runs int
		s := ordered("s", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			runs++
			if ctx.Fence() <= last {
				t.Errorf("got fence %d after %d, want a higher one", ctx.Fence(), last)
			}
			last = ctx.Fence()
			if runs%3 == 0 {
				return nil, errHandler
			}
			return nil, nil
		})
		n := start(t, node.Options{}, s)
		for range 10 {
			call(t, n, msg("s/k", "m", "")).replied(t, 204, "")
		}
	})
}

// Handlers that never return hold up neither other keys nor, after the attempt
// timeout, other requests; and only a bounded number of them lingers (D-A11).
func TestHandlersThatNeverReturn(t *testing.T) {
	bubble(t, "stuck", func(t *testing.T) {
		forever := make(chan struct{})
		var running, most atomic.Int32
		s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			if string(m.Payload) != "stuck" {
				return echo(ctx, m)
			}
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			<-forever
			return nil, nil
		})
		s.Concurrency, s.AttemptTimeout, s.Retry = 4, time.Second, edda.RetryPolicy{Max: 3, Delay: time.Second}
		n := start(t, node.Options{}, s)
		stuck := send(t, n, msg("s/stuck", "m", "stuck"))
		for range 10 {
			call(t, n, msg("s/other", "m", "x")).replied(t, 200, "x")
		}
		after := send(t, n, msg("s/stuck", "m", "x"))
		answerOf(n.Client().Wait(t.Context(), stuck.ID)).refused(t, edda.Dead)
		answerOf(n.Client().Wait(t.Context(), after.ID)).replied(t, 200, "x")
		for i := range 100 {
			send(t, n, msg(fmt.Sprint("s/", i), "m", "stuck"))
		}
		time.Sleep(time.Hour)
		if got := most.Load(); got > 8 {
			t.Errorf("%d handlers that never return are about, want at most twice the concurrency of 4", got)
		}
		close(forever)
		time.Sleep(time.Hour)
		call(t, n, msg("s/other", "m", "x")).replied(t, 200, "x")
		if got := running.Load(); got != 0 {
			t.Errorf("%d handlers run, want none", got)
		}
	})
}

// The context of a handler says why it ended.
func TestCauseOfCancellation(t *testing.T) {
	bubble(t, "cause", func(t *testing.T) {
		causes := make(chan error, 1)
		s := ordered("s", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			<-ctx.Done()
			if !errors.Is(ctx.Err(), context.Canceled) {
				t.Errorf("got %v, want canceled", ctx.Err())
			}
			causes <- context.Cause(ctx)
			return nil, nil
		})
		s.AttemptTimeout, s.Retry = time.Second, once
		n := start(t, node.Options{}, s)
		call(t, n, msg("s/k", "m", "")).refused(t, edda.Dead)
		if err := <-causes; err == nil || !strings.Contains(err.Error(), "fenced") {
			t.Errorf("got cause %v, want that the attempt was fenced", err)
		}
	})
}
