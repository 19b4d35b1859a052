package node_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// What a handler sends goes out with its reply, wherever to, once.
func TestSends(t *testing.T) {
	tests := []struct {
		name string
		send func(ctx *edda.Context) error
		want string // what the receivers wrote within a minute
	}{
		{"to many keys", func(ctx *edda.Context) error {
			for i := range 20 {
				if err := ctx.Send(msg(fmt.Sprintf("s/k%02d", i), "m", fmt.Sprintf("%02d", i))); err != nil {
					return err
				}
			}
			return nil
		}, "00 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19"},
		{"to one key, in order", func(ctx *edda.Context) error {
			for i := range 5 {
				if err := ctx.Send(msg("s/other", "m", fmt.Sprint(i))); err != nil {
					return err
				}
			}
			return nil
		}, "0 1 2 3 4"},
		{"to its own key", func(ctx *edda.Context) error { return ctx.Send(msg("s/k", "m", "self")) }, "self"},
		{"to a balanced service", func(ctx *edda.Context) error { return ctx.Send(msg("b", "m", "b")) }, "b"},
		{"later", func(ctx *edda.Context) error { return ctx.SendAfter(30*time.Second, "s/x", "m", 30) }, "30@30s"},
		{"later to its own key", func(ctx *edda.Context) error { return ctx.SendAfter(30*time.Second, "s/k", "m", 30) }, "30@30s"},
		{"too late", func(ctx *edda.Context) error { return ctx.SendAfter(time.Hour, "s/x", "m", 1) }, ""},
		{"in the past", func(ctx *edda.Context) error { return ctx.SendAfter(-time.Hour, "s/x", "m", 1) }, "1"},
	}
	for _, tt := range tests {
		for _, fails := range []string{"", "once", "finally"} {
			bubble(t, tt.name+"/fails "+fails, func(t *testing.T) {
				var j, sorted journal
				begun := time.Now()
				h := func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
					if m.Type == "start" {
						if err := tt.send(ctx); err != nil {
							return nil, err
						}
						switch {
						case fails == "finally":
							return nil, edda.Final("NO", "no")
						case fails == "once" && ctx.Attempt() == 1:
							return nil, errHandler
						}
						return nil, nil
					}
					at := ""
					if d := time.Since(begun); d >= time.Second {
						at = "@" + d.Round(time.Second).String()
					}
					j.addf("%s%s", m.Payload, at)
					return nil, nil
				}
				n := start(t, node.Options{Partitions: 16}, ordered("s", h), balanced("b", h))
				a := call(t, n, msg("s/k", "start", ""))
				want := tt.want
				if fails == "finally" {
					a.refused(t, edda.Failed)
					want = ""
				} else {
					a.replied(t, 204, "")
				}
				time.Sleep(time.Minute)
				if tt.name == "to many keys" {
					sortJournal(&j, &sorted)
					sorted.want(t, want)
				} else {
					j.want(t, want)
				}
			})
		}
	}
}

// What is sent to where nobody can take it is a dead letter, which says why.
func TestSendsThatNobodyTakes(t *testing.T) {
	tests := []struct {
		name string
		m    *edda.Message
		want edda.Reason
	}{
		{"no such service", msg("nobody/k", "m", "x"), edda.NoService},
		{"no such balanced service", msg("nobody", "m", "x"), edda.NoService},
		{"no such method", with(msg("typed/k", "sub", "x"), func(m *edda.Message) { m.ContentType = "application/json" }), edda.NoMethod},
		{"does not fit", with(msg("typed/k", "add", "x"), func(m *edda.Message) { m.ContentType = "application/json" }), edda.BadSchema},
		{"wrong kind", msg("s", "m", "x"), edda.WrongKind},
		{"wrong kind of balanced", msg("b/k", "m", "x"), edda.WrongKind},
		{"check that panics", msg("typed/k", "checked", "panic"), edda.Panicked},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			s := ordered("s", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
				return edda.TextReply(200, "done"), ctx.Send(tt.m)
			})
			n := start(t, node.Options{}, s, balanced("b", echo), typedService())
			for i := range 8 { // from several partitions
				call(t, n, msg(fmt.Sprint("s/k", i), "m", "")).replied(t, 200, "done")
			}
			letters := deadLetters(t, n, node.DeadLetterFilter{Service: tt.m.To.Name})
			if len(letters) != 8 {
				t.Fatalf("got %d dead letters, want 8", len(letters))
			}
			for _, l := range letters {
				if l.Reason != tt.want || l.Detail == "" || string(l.Payload) != string(tt.m.Payload) || l.Attempts != 0 {
					t.Errorf("got %+v, want reason %s, its payload and no attempt", l, tt.want)
				}
			}
		})
	}
}

// A handler's sends obey idempotency keys, and one that does not fit its key
// does no harm to anybody (scope: the sender's principal).
func TestSendsWithIdempotencyKeys(t *testing.T) {
	bubble(t, "keys", func(t *testing.T) {
		var j journal
		s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			if m.Type == "start" {
				for i := range 8 {
					for range 2 {
						if err := ctx.Send(keyed(msg(fmt.Sprint("s/k", i), "m", string(m.Payload)), "key")); err != nil {
							return nil, err
						}
					}
				}
				return nil, nil
			}
			j.addf("%s", m.Payload)
			return nil, nil
		})
		n := start(t, node.Options{}, s)
		call(t, n, msg("s/a", "start", "x")).replied(t, 204, "")
		call(t, n, msg("s/b", "start", "x")).replied(t, 204, "")
		synctest.Wait()
		call(t, n, msg("s/c", "start", "other")).replied(t, 204, "")
		j.want(t, "x x x x x x x x")
		if r := call(t, n, keyed(msg("s/k0", "m", "x"), "key")).replied(t, 204, ""); !r.Replayed {
			t.Error("a call did not join what a handler sent with the same key")
		}
	})
}

// A chain of sends through many partitions arrives once and in order, also when
// the node crashes in the middle, again and again.
func TestSendsAcrossCrashes(t *testing.T) {
	bubble(t, "crash", func(t *testing.T) {
		const chains, hops = 10, 30
		hop := ordered("hop", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			count, _, err := edda.Get[int](ctx, "count")
			if err != nil {
				return nil, err
			}
			if err := edda.Set(ctx, "count", count+1); err != nil {
				return nil, err
			}
			var left int
			if _, err := fmt.Sscan(string(m.Payload), &left); err != nil {
				return nil, err
			}
			if m.Type == "get" {
				return edda.TextReply(200, fmt.Sprint(count)), nil
			}
			time.Sleep(time.Millisecond)
			if left == 0 {
				return nil, nil
			}
			return nil, ctx.Send(msg(fmt.Sprintf("hop/%s-%d", m.CorrelationID, left-1), "m", fmt.Sprint(left-1)))
		})
		hop.Retry = edda.RetryPolicy{Max: -1, Delay: time.Millisecond, Jitter: -1}
		d := newDisk()
		o := node.Options{Partitions: 8, CheckpointBytes: 4 << 10}
		n := d.open(t, o, hop)
		for i := range chains {
			m := msg(fmt.Sprintf("hop/%d-%d", i, hops), "m", fmt.Sprint(hops))
			m.CorrelationID = fmt.Sprint(i)
			send(t, n, m)
		}
		for range 12 {
			time.Sleep(3 * time.Millisecond)
			d = d.crash()
			stop(t, n)
			n = d.open(t, o, hop)
		}
		time.Sleep(time.Minute)
		for i := range chains {
			for left := range hops + 1 {
				call(t, n, msg(fmt.Sprintf("hop/%d-%d", i, left), "get", "0")).replied(t, 200, "1")
			}
		}
		if items, _, err := n.Requests(t.Context(), node.RequestFilter{}, node.Page{}); err != nil || len(items) != 0 {
			t.Errorf("got %d unfinished requests, %v, want none", len(items), err)
		}
	})
}

// Partitions that send to each other with full inboxes and narrow limits never
// stop.
func TestPartitionsThatFloodEachOther(t *testing.T) {
	bubble(t, "flood", func(t *testing.T) {
		var ran atomic.Int32
		s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			ran.Add(1)
			if len(m.Payload) == 0 {
				return nil, nil
			}
			for i := range 10 {
				if err := ctx.Send(msg(fmt.Sprintf("s/%s%d", m.Payload[1:], i), "m", string(m.Payload[1:]))); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
		n := start(t, node.Options{Partitions: 4, Limits: node.Limits{
			PartitionRequests: 2, PartitionBytes: 1000, OutboxBytes: 500, NodeBytes: 10_000, KeyQueue: 3,
		}}, s)
		for i := range 8 {
			for {
				_, err := n.Client().Send(t.Context(), msg(fmt.Sprint("s/start", i), "m", "123"))
				if err == nil {
					break
				}
				overloaded(t, err, edda.Overloaded) // who comes from outside has to wait
				time.Sleep(10 * time.Millisecond)
			}
		}
		time.Sleep(time.Minute)
		if items, _, err := n.Requests(t.Context(), node.RequestFilter{}, node.Page{}); err != nil || len(items) != 0 {
			t.Errorf("got %d unfinished requests, %v, want none", len(items), err)
		}
		if got, want := ran.Load(), int32(8*1111); got != want {
			t.Errorf("%d handlers ran, want %d", got, want)
		}
		call(t, n, msg("s/after", "m", "")).replied(t, 204, "")
	})
}
