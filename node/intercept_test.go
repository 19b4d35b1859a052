package node_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// OnAccept may refuse and change what comes from outside, in the caller's
// goroutine (D9, A38).
func TestOnAccept(t *testing.T) {
	tests := []struct {
		name     string
		onAccept func(ctx context.Context, m *edda.Message) error
		want     edda.Reason // "" is a reply
		payload  string
		took     time.Duration
	}{
		{"lets pass", func(context.Context, *edda.Message) error { return nil }, "", "x", 0},
		{"changes", func(_ context.Context, m *edda.Message) error {
			m.Payload = append([]byte("changed "), m.Payload...)
			return nil
		}, "", "changed x", 0},
		{"redirects", func(_ context.Context, m *edda.Message) error { m.To.Key = "elsewhere"; return nil }, "", "x", 0},
		{"refuses", func(context.Context, *edda.Message) error { return errHandler }, edda.NotAllowed, "", 0},
		{"refuses for a reason", func(context.Context, *edda.Message) error {
			return fmt.Errorf("wrapped: %w", &edda.Error{Reason: edda.NoCredentials})
		}, edda.NoCredentials, "", 0},
		{"panics", func(context.Context, *edda.Message) error { panic("oh") }, edda.Panicked, "", 0},
		{"is slow", func(context.Context, *edda.Message) error { time.Sleep(900 * time.Millisecond); return nil }, "", "x", 900 * time.Millisecond},
		{"is too slow", func(ctx context.Context, _ *edda.Message) error { <-ctx.Done(); return ctx.Err() }, edda.NotAllowed, "", time.Second},
		{"is too slow and does not care", func(context.Context, *edda.Message) error { time.Sleep(3 * time.Second); return nil }, edda.NotAllowed, "", 3 * time.Second},
		{"makes the name bad", func(_ context.Context, m *edda.Message) error { m.To.Name = "a b"; return nil }, edda.BadName, "", 0},
		{"makes the key bad", func(_ context.Context, m *edda.Message) error { m.To.Key = ".."; return nil }, edda.BadName, "", 0},
		{"takes the principal away", func(_ context.Context, m *edda.Message) error { m.Principal = ""; return nil }, "", "x", 0},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			var j journal
			n := start(t, node.Options{OnAccept: tt.onAccept}, ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
				j.addf("%s/%s", ctx.Key(), m.Principal)
				return echo(ctx, m)
			}))
			begun := time.Now()
			a := call(t, n, msg("s/k", "m", "x"))
			if took := time.Since(begun); took != tt.took {
				t.Errorf("it took %v, want %v", took, tt.took)
			}
			switch {
			case tt.want != "":
				notStored(t, a.refused(t, tt.want))
				j.want(t, "")
			case tt.name == "redirects":
				a.replied(t, 200, "x")
				j.want(t, "elsewhere/anonymous")
			default:
				a.replied(t, 200, tt.payload)
				j.want(t, "k/anonymous")
			}
		})
	}
	bubble(t, "does not see what handlers send", func(t *testing.T) {
		var j journal
		n := start(t, node.Options{OnAccept: func(_ context.Context, m *edda.Message) error { j.addf("%s", m.Type); return nil }},
			ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
				if m.Type == "first" {
					return nil, ctx.Send(msg("s/other", "second", ""))
				}
				return nil, nil
			}))
		call(t, n, msg("s/k", "first", "")).replied(t, 204, "")
		j.want(t, "first")
	})
	bubble(t, "holds up nobody else", func(t *testing.T) {
		gate := make(chan struct{})
		n := start(t, node.Options{OnAccept: func(ctx context.Context, m *edda.Message) error {
			if m.Type == "slow" {
				select {
				case <-gate:
				case <-ctx.Done():
				}
			}
			return nil
		}}, ordered("s", echo))
		slow := calling(t, n, msg("s/k", "slow", "x"))
		call(t, n, msg("s/k", "m", "y")).replied(t, 200, "y")
		close(gate)
		now(t, slow).replied(t, 200, "x")
	})
}

// OnReply sees each outcome before the caller does; whatever it does changes
// nothing and holds up no key (D9, A40, D-A5).
func TestOnReply(t *testing.T) {
	tests := []struct {
		name    string
		onReply func(ctx context.Context, r *edda.Request, reply *edda.Reply) error
		took    time.Duration
		warns   bool
	}{
		{"nothing", func(context.Context, *edda.Request, *edda.Reply) error { return nil }, 0, false},
		{"fails", func(context.Context, *edda.Request, *edda.Reply) error { return errHandler }, 0, true},
		{"panics", func(context.Context, *edda.Request, *edda.Reply) error { panic("oh") }, 0, true},
		{"is slow", func(context.Context, *edda.Request, *edda.Reply) error { time.Sleep(time.Second / 2); return nil }, time.Second / 2, false},
		{"is too slow", func(ctx context.Context, _ *edda.Request, _ *edda.Reply) error { <-ctx.Done(); return ctx.Err() }, time.Second, true},
		{"does not care", func(context.Context, *edda.Request, *edda.Reply) error { time.Sleep(time.Minute); return nil }, time.Second, true},
		{"changes the reply", func(_ context.Context, _ *edda.Request, r *edda.Reply) error { clear(r.Payload); return nil }, 0, false},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			logged := new(journalHandler)
			n := start(t, node.Options{OnReply: tt.onReply, Logger: slog.New(logged)}, ordered("s", echo))
			begun := time.Now()
			var all []<-chan answer
			for range 10 { // of one key, and none waits for another's interceptor
				all = append(all, calling(t, n, keyed(msg("s/k", "m", "x"), fmt.Sprint(len(all)))))
			}
			for _, c := range all {
				(<-c).replied(t, 200, "x")
			}
			if took := time.Since(begun); took != tt.took {
				t.Errorf("it took %v, want %v", took, tt.took)
			}
			call(t, n, keyed(msg("s/k", "m", "x"), "0")).replied(t, 200, "x")
			if warned := len(logged.all()) > 0; warned != tt.warns {
				t.Errorf("logged %v, want a warning: %t", logged.all(), tt.warns)
			}
			time.Sleep(time.Minute)
		})
	}
	bubble(t, "sees everything", func(t *testing.T) {
		var j journal
		h := func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			switch m.Type {
			case "fail":
				return nil, edda.Final("NO", "no")
			case "die":
				return nil, errHandler
			case "wait":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return echo(ctx, m)
		}
		s := ordered("s", h)
		s.Retry = once
		n := start(t, node.Options{OnReply: func(_ context.Context, r *edda.Request, reply *edda.Reply) error {
			status := 0
			if reply != nil {
				status = reply.EffectiveStatus()
			}
			j.addf("%s/%s/%d", r.Method, r.State, status)
			return nil
		}}, s)
		send(t, n, msg("s/k", "succeed", "x"))
		synctest.Wait()
		send(t, n, msg("s/k", "fail", ""))
		synctest.Wait()
		send(t, n, msg("s/k", "die", ""))
		synctest.Wait()
		id := send(t, n, msg("s/k", "wait", "")).ID
		synctest.Wait()
		if _, err := n.Client().Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		j.want(t, "succeed/succeeded/200 fail/failed/0 die/dead/0 wait/cancelled/0")
	})
}

// Calls of OnReply that never return are bounded; who waits for a reply gets it, and
// once they do return outcomes are shown again.
func TestOnReplyThatNeverReturns(t *testing.T) {
	bubble(t, "bounded", func(t *testing.T) {
		var running, seen atomic.Int64
		gate := make(chan struct{})
		logged := new(journalHandler)
		n := start(t, node.Options{Logger: slog.New(logged), OnReply: func(context.Context, *edda.Request, *edda.Reply) error {
			seen.Add(1)
			running.Add(1)
			<-gate
			running.Add(-1)
			return nil
		}}, ordered("s", echo))
		const bound = 1024
		for i := range bound + 100 {
			send(t, n, msg(fmt.Sprintf("s/%d", i), "m", "x"))
		}
		time.Sleep(time.Minute)
		if seen.Load() != bound || running.Load() != bound {
			t.Fatalf("%d calls of OnReply, %d still run; want %d of both", seen.Load(), running.Load(), bound)
		}
		begun := time.Now()
		call(t, n, msg("s/k", "m", "x")).replied(t, 200, "x")
		if took := time.Since(begun); took != time.Second {
			t.Errorf("the reply came after %v, want the interceptor's timeout of 1s", took)
		}
		lines := logged.all()
		if last := lines[len(lines)-1]; !strings.Contains(last, "it was not called: 1024 calls of it have not returned") {
			t.Errorf("logged %q, want it to say that it was not called", last)
		}
		close(gate)
		synctest.Wait()
		call(t, n, msg("s/k", "m", "x")).replied(t, 200, "x")
		if seen.Load() != bound+1 || running.Load() != 0 {
			t.Errorf("%d calls of OnReply, %d still run; want %d and none", seen.Load(), running.Load(), bound+1)
		}
	})
}

// journalHandler keeps the messages of warnings and errors.
type journalHandler struct{ journal }

func (h *journalHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (h *journalHandler) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h *journalHandler) WithGroup(string) slog.Handler                { return h }

func (h *journalHandler) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	h.addf("%s", line)
	return nil
}
