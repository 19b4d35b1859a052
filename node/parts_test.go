package node_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// show is a part as tests write it: 2.7=payload, or 2.0=reset.
func show(p edda.Part) string {
	if p.Reset {
		return p.ID().String() + "=reset"
	}
	return p.ID().String() + "=" + string(p.Payload)
}

// reader reads the parts of a request in a goroutine of its own.
type reader struct {
	journal
	ended chan error
}

func reading(t *testing.T, n *node.Node, id edda.ID, after string) *reader {
	t.Helper()
	r := &reader{ended: make(chan error, 1)}
	from := partID(t, after)
	go func() {
		for p, err := range n.Client().Parts(t.Context(), id, from) {
			if err != nil {
				r.ended <- err
				return
			}
			r.addf("%s", show(p))
		}
		r.ended <- nil
	}()
	synctest.Wait()
	return r
}

func partID(t *testing.T, s string) edda.PartID {
	t.Helper()
	id, err := edda.ParsePartID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// end fails the test unless the reader is at the end, with the reason or none.
func (r *reader) end(t *testing.T, want edda.Reason) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-r.ended:
		if got := edda.ReasonOf(err); got != want {
			t.Errorf("reading parts ended with %v, want %q", err, want)
		}
	default:
		t.Errorf("reading parts goes on after %v, want it to end with %q", r.all(), want)
	}
}

// goesOn fails the test if the reader is at the end.
func (r *reader) goesOn(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-r.ended:
		t.Fatalf("reading parts ended with %v too early", err)
	default:
	}
}

// script is a handler that does as it is told: yields what it gets, and returns
// when it gets an error, or nil.
type script struct {
	steps chan any // string: a part; error: what to return; nil: reply
	did   chan error
}

func newScript() *script { return &script{steps: make(chan any), did: make(chan error, 1)} }

func (s *script) handle(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
	for step := range s.steps {
		switch step := step.(type) {
		case string:
			s.did <- ctx.Part("text/plain", []byte(step))
		case error:
			return nil, step
		default:
			return edda.TextReply(200, "reply"), nil
		}
	}
	return nil, errHandler // closed
}

// yield has the handler that runs yield parts.
func (s *script) yield(t *testing.T, parts ...string) {
	t.Helper()
	for _, p := range parts {
		s.steps <- p
		if err := <-s.did; err != nil {
			t.Fatalf("yield %q: %v", p, err)
		}
	}
	synctest.Wait()
}

// finish has it return, with a reply when the error is nil.
func (s *script) finish(err error) {
	if err == nil {
		s.steps <- struct{}{}
	} else {
		s.steps <- err
	}
	synctest.Wait()
}

func TestPartsAreReadAsTheyCome(t *testing.T) {
	bubble(t, "two readers", func(t *testing.T) {
		s := newScript()
		n := start(t, node.Options{}, ordered("s", s.handle))
		ack := send(t, n, msg("s/k", "m", ""))
		early := reading(t, n, ack.ID, "")
		s.yield(t, "a", "b")
		early.want(t, "1.1=a 1.2=b")
		late := reading(t, n, ack.ID, "")
		late.want(t, "1.1=a 1.2=b")
		resumed := reading(t, n, ack.ID, "1.1")
		s.yield(t, "c")
		early.goesOn(t)
		s.finish(nil)
		for _, r := range []*reader{early, late} {
			r.want(t, "1.1=a 1.2=b 1.3=c")
			r.end(t, "")
		}
		resumed.want(t, "1.2=b 1.3=c")
		resumed.end(t, "")
		after := reading(t, n, ack.ID, "1.2")
		after.want(t, "1.3=c")
		after.end(t, "")
		answerOf(n.Client().Wait(t.Context(), ack.ID)).replied(t, 200, "reply")
		if r := request(t, n, ack.ID); r.Attempts != 1 || r.Reply.Size != 5 {
			t.Errorf("got %+v, want the reply alone as the outcome", r)
		}
		time.Sleep(25 * time.Hour) // parts are kept as long as the reply
		gone := reading(t, n, ack.ID, "")
		gone.end(t, edda.NoRequest)
	})
	bubble(t, "a slow reader holds up nobody", func(t *testing.T) {
		s := newScript()
		n := start(t, node.Options{CheckpointBytes: 10_000}, balanced("s", s.handle))
		ack := send(t, n, msg("s", "m", ""))
		next := make(chan struct{})
		var got []string
		slow := make(chan error, 1)
		go func() {
			for p, err := range n.Parts(t.Context(), "", ack.ID, edda.PartID{}) {
				if err != nil {
					slow <- err
					return
				}
				got = append(got, p.ID().String())
				if string(p.Payload) != strings.Repeat("x", 1000)+fmt.Sprint(p.Number) {
					slow <- fmt.Errorf("part %s has %d bytes", p.ID(), len(p.Payload))
					return
				}
				<-next
			}
			slow <- nil
		}()
		fast := reading(t, n, ack.ID, "")
		for i := range 600 { // more than a page, and through many checkpoints
			s.yield(t, strings.Repeat("x", 1000)+fmt.Sprint(i+1))
		}
		if all := fast.all(); len(all) != 600 {
			t.Errorf("the fast reader has %d parts, want 600", len(all))
		}
		s.finish(nil)
		fast.end(t, "")
		close(next)
		if err := <-slow; err != nil || len(got) != 600 || got[599] != "1.600" {
			t.Errorf("the slow reader has %d parts, %v, want 600", len(got), err)
		}
	})
	bubble(t, "typed", func(t *testing.T) {
		n := start(t, node.Options{}, balanced("s", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			return nil, errors.Join(edda.Yield(ctx, map[string]int{"n": 1}), ctx.Part("", nil), ctx.Part("text/plain", []byte("x")))
		}))
		ack := send(t, n, msg("s", "m", ""))
		synctest.Wait()
		page, ended, err := n.PartsPage(t.Context(), "", ack.ID, edda.PartID{}, 0, 0)
		if err != nil || !ended || len(page) != 3 {
			t.Fatalf("got %+v, ended %t, %v, want 3 parts", page, ended, err)
		}
		if p := page[0]; p.ContentType != "application/json" || string(p.Payload) != `{"n":1}` {
			t.Errorf("got %+v, want JSON", p)
		}
		if p := page[1]; p.ContentType != "" || len(p.Payload) != 0 {
			t.Errorf("got %+v, want an empty part without a type", p)
		}
	})
}

// A retry announces a reset, to whoever has read parts of an earlier attempt.
func TestRetryResetsParts(t *testing.T) {
	open := func(t *testing.T, s *script) (*node.Node, edda.ID) {
		t.Helper()
		svc := ordered("s", s.handle)
		svc.Retry = edda.RetryPolicy{Max: 2, Delay: time.Second, MaxDelay: time.Second, Backoff: 1, Jitter: -1}
		n := start(t, node.Options{}, svc)
		return n, send(t, n, msg("s/k", "m", "")).ID
	}
	bubble(t, "parts again", func(t *testing.T) {
		s := newScript()
		n, id := open(t, s)
		r := reading(t, n, id, "")
		s.yield(t, "a", "b")
		s.finish(errHandler)
		time.Sleep(time.Second)
		r.want(t, "1.1=a 1.2=b")
		s.yield(t, "c")
		r.want(t, "1.1=a 1.2=b 2.0=reset 2.1=c")
		late, resumed, knows := reading(t, n, id, ""), reading(t, n, id, "1.1"), reading(t, n, id, "2.0")
		s.finish(nil)
		late.want(t, "2.1=c")
		resumed.want(t, "2.0=reset 2.1=c")
		knows.want(t, "2.1=c")
		for _, r := range []*reader{r, late, resumed, knows} {
			r.end(t, "")
		}
	})
	bubble(t, "none again", func(t *testing.T) {
		s := newScript()
		n, id := open(t, s)
		r := reading(t, n, id, "")
		s.yield(t, "a")
		s.finish(errHandler)
		time.Sleep(time.Second)
		s.finish(nil)
		r.want(t, "1.1=a 2.0=reset")
		r.end(t, "")
	})
	bubble(t, "dead", func(t *testing.T) {
		s := newScript()
		n, id := open(t, s)
		r := reading(t, n, id, "")
		s.yield(t, "a")
		s.finish(errHandler)
		time.Sleep(time.Second)
		s.yield(t, "b")
		s.finish(errHandler)
		r.want(t, "1.1=a 2.0=reset 2.1=b")
		r.end(t, edda.Dead)
		if _, err := n.RetryDeadLetter(t.Context(), "", id); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		again := reading(t, n, id, "2.1")
		s.yield(t, "c")
		s.finish(nil)
		again.want(t, "3.0=reset 3.1=c")
		again.end(t, "")
	})
}

// The parts of an attempt that was lost with its node are there until the next
// attempt yields its own, and a reader goes on where it was.
func TestPartsAfterARestart(t *testing.T) {
	s := newScript()
	restarts(t, func(t *testing.T, n *node.Node, restart func(*node.Node) *node.Node) {
		s = newScript()
		ack := send(t, n, keyed(msg("s/k", "m", ""), "key"))
		done := send(t, n, msg("done", "m", ""))
		first := reading(t, n, ack.ID, "")
		s.yield(t, "a", "b")
		first.want(t, "1.1=a 1.2=b")
		steps := s.steps
		go func() { // the old handler ends when its node does
			time.Sleep(time.Second)
			close(steps)
		}()
		s.steps = make(chan any)
		n = restart(n)
		if err := <-first.ended; err == nil {
			t.Error("the reader's end is success, want an error: the node stopped")
		}
		again := reading(t, n, ack.ID, "1.2")
		all := reading(t, n, ack.ID, "")
		again.want(t, "")
		all.want(t, "1.1=a 1.2=b")
		time.Sleep(2 * time.Second)
		s.yield(t, "c")
		s.finish(nil)
		attempt := request(t, n, ack.ID).Attempts
		again.want(t, fmt.Sprintf("%d.0=reset %[1]d.1=c", attempt))
		again.end(t, "")
		all.want(t, fmt.Sprintf("1.1=a 1.2=b %d.0=reset %[1]d.1=c", attempt))
		all.end(t, "")
		kept := reading(t, n, done.ID, "")
		kept.want(t, "1.1=p1 1.2=p2 1.3=p3")
		kept.end(t, "")
	}, func() []*edda.Service {
		svc := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) { return s.handle(ctx, m) })
		svc.Retry = everySecond
		return []*edda.Service{svc, balanced("done", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			for i := range 3 {
				if err := ctx.Part("text/plain", fmt.Appendf(nil, "p%d", i+1)); err != nil {
					return nil, err
				}
			}
			return &edda.Reply{}, nil
		})}
	})
}

func TestPartLimits(t *testing.T) {
	yields := func(t *testing.T, l node.Limits, yield func(ctx *edda.Context) error) []string {
		t.Helper()
		var failed error
		n := start(t, node.Options{Limits: l}, balanced("s", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			failed = yield(ctx)
			return &edda.Reply{}, nil
		}))
		ack := send(t, n, msg("s", "m", ""))
		r := reading(t, n, ack.ID, "")
		r.end(t, "")
		wantReason(t, failed, edda.TooLarge)
		return r.all()
	}
	bubble(t, "count", func(t *testing.T) {
		if got := yields(t, node.Limits{RequestParts: 3}, func(ctx *edda.Context) error {
			for i := range 3 {
				if err := ctx.Part("", nil); err != nil {
					t.Errorf("part %d: %v", i+1, err)
				}
			}
			return ctx.Part("", nil)
		}); len(got) != 3 {
			t.Errorf("got %v, want 3 parts", got)
		}
	})
	bubble(t, "bytes", func(t *testing.T) {
		if got := yields(t, node.Limits{RequestPartBytes: 10}, func(ctx *edda.Context) error {
			if err := ctx.Part("", []byte("0123456789")); err != nil {
				t.Error(err)
			}
			err := ctx.Part("", []byte("0"))
			if again := ctx.Part("", nil); again == nil {
				t.Error("a part after one that was refused is taken")
			}
			return err
		}); len(got) != 1 {
			t.Errorf("got %v, want 1 part", got)
		}
	})
	bubble(t, "one part", func(t *testing.T) {
		if got := yields(t, node.Limits{}, func(ctx *edda.Context) error {
			if err := ctx.Part("", make([]byte, edda.MaxPartBytes)); err != nil {
				t.Error(err)
			}
			return ctx.Part("x", make([]byte, edda.MaxPartBytes))
		}); len(got) != 1 {
			t.Errorf("got %d parts, want 1", len(got))
		}
	})
	bubble(t, "negative", func(t *testing.T) {
		for _, l := range []node.Limits{{RequestParts: -1}, {RequestPartBytes: -1}} {
			if _, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Limits: l}); edda.ReasonOf(err) != edda.BadValue {
				t.Errorf("%+v: got %v, want BAD_VALUE", l, err)
			}
		}
	})
}

// Whoever is not the running attempt any more yields nothing.
func TestPartsOfAFencedAttempt(t *testing.T) {
	bubble(t, "cancelled", func(t *testing.T) {
		s := newScript()
		n := start(t, node.Options{}, ordered("s", s.handle))
		ack := send(t, n, msg("s/k", "m", ""))
		r := reading(t, n, ack.ID, "")
		s.yield(t, "a")
		if _, err := n.Client().Cancel(t.Context(), ack.ID); err != nil {
			t.Fatal(err)
		}
		r.want(t, "1.1=a")
		r.end(t, edda.Cancelled)
		s.steps <- "b"
		wantReason(t, <-s.did, edda.Fenced)
		s.finish(nil)
		again := reading(t, n, ack.ID, "")
		again.want(t, "1.1=a")
		again.end(t, edda.Cancelled)
	})
	bubble(t, "timed out", func(t *testing.T) {
		first, second := newScript(), newScript()
		svc := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			if ctx.Attempt() == 1 {
				return first.handle(ctx, m)
			}
			return second.handle(ctx, m)
		})
		svc.AttemptTimeout, svc.Retry = time.Second, everySecond
		n := start(t, node.Options{}, svc)
		ack := send(t, n, msg("s/k", "m", ""))
		r := reading(t, n, ack.ID, "")
		first.yield(t, "a")
		time.Sleep(2 * time.Second)
		second.yield(t, "b")
		first.steps <- "late"
		wantReason(t, <-first.did, edda.Fenced)
		second.yield(t, "c")
		second.finish(nil)
		first.finish(nil)
		r.want(t, "1.1=a 2.0=reset 2.1=b 2.2=c")
		r.end(t, "")
	})
	bubble(t, "over", func(t *testing.T) {
		var kept *edda.Context
		n := start(t, node.Options{}, balanced("s", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			kept = ctx
			return &edda.Reply{}, nil
		}))
		call(t, n, msg("s", "m", "")).replied(t, 204, "")
		if err := kept.Part("", nil); err == nil {
			t.Error("a part is taken after the handler has returned")
		}
	})
}

// Of a request whose outcome nobody wants kept the parts go with it, once those
// who read them have them.
func TestPartsOfACall(t *testing.T) {
	bubble(t, "nobody reads", func(t *testing.T) {
		s := newScript()
		n := start(t, node.Options{}, ordered("s", s.handle))
		a := calling(t, n, msg("s/k", "m", ""))
		s.yield(t, "a")
		s.finish(nil)
		id := now(t, a).replied(t, 200, "reply").RequestID
		gone := reading(t, n, id, "")
		gone.end(t, edda.ReplyExpired)
		has := reading(t, n, id, "1.1")
		has.end(t, "")
	})
	bubble(t, "somebody reads", func(t *testing.T) {
		s := newScript()
		n := start(t, node.Options{}, ordered("s", s.handle))
		a := calling(t, n, msg("s/k", "m", ""))
		rs, _, err := n.Requests(t.Context(), node.RequestFilter{}, node.Page{})
		if err != nil || len(rs) != 1 {
			t.Fatal(rs, err)
		}
		next := make(chan struct{})
		var got []string
		done := make(chan error, 1)
		go func() {
			for p, err := range n.Parts(t.Context(), "", rs[0].ID, edda.PartID{}) {
				if err != nil {
					done <- err
					return
				}
				got = append(got, show(p))
				<-next
			}
			done <- nil
		}()
		s.yield(t, "a", "b", "c")
		s.finish(nil)
		now(t, a).replied(t, 200, "reply")
		close(next)
		if err := <-done; err != nil || strings.Join(got, " ") != "1.1=a 1.2=b 1.3=c" {
			t.Errorf("got %v, %v, want all three", got, err)
		}
		time.Sleep(2 * time.Minute)
		unknown(t, n, rs[0].ID)
	})
}

func TestReadersLeave(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := newScript()
		n := start(t, node.Options{}, ordered("s", s.handle))
		ack := send(t, n, msg("s/k", "m", ""))
		s.yield(t, "a")
		for p, err := range n.Client().Parts(t.Context(), ack.ID, edda.PartID{}) {
			if err != nil || show(p) != "1.1=a" {
				t.Fatal(p, err)
			}
			break
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for p, err := range n.Client().Parts(ctx, ack.ID, edda.PartID{Attempt: 1, Number: 1}) {
			if e := wantReason(t, err, edda.Timeout); e.RequestID != ack.ID || e.Position != ack.Position {
				t.Errorf("got %+v and %+v, want a timeout of %s at %s", p, e, ack.ID, ack.Position)
			}
		}
		for _, err := range n.Client().In("other").Parts(t.Context(), ack.ID, edda.PartID{}) {
			wantReason(t, err, edda.NoRequest)
		}
		if got, err := node.PartReaders(n, ack.ID); err != nil || got != 0 {
			t.Errorf("%d readers are left, %v, want none", got, err)
		}
		s.finish(nil)
	})
	bubble(t, "node stops", func(t *testing.T) {
		s := newScript()
		n := open(t, node.Options{}, ordered("s", s.handle))
		r := reading(t, n, send(t, n, msg("s/k", "m", "")).ID, "")
		s.yield(t, "a")
		close(s.steps)
		stop(t, n)
		r.end(t, edda.Draining)
	})
}

func TestPartsPage(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := newScript()
		n := start(t, node.Options{}, ordered("s", s.handle))
		ack := send(t, n, msg("s/k", "m", ""))
		page := func(after string, limit int, wait time.Duration) string {
			t.Helper()
			parts, ended, err := n.PartsPage(t.Context(), "", ack.ID, partID(t, after), limit, wait)
			if err != nil {
				t.Fatal(err)
			}
			words := []string{}
			for _, p := range parts {
				words = append(words, show(p))
			}
			if ended {
				words = append(words, "end")
			}
			return strings.Join(words, " ")
		}
		want := func(got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		want(page("", 0, 0), "")
		begin := time.Now()
		want(page("", 0, 10*time.Second), "")
		want(since(begin), "10s")
		go func() {
			time.Sleep(time.Second)
			s.steps <- "a"
		}()
		want(page("", 0, 10*time.Second), "1.1=a")
		want(since(begin), "11s")
		<-s.did
		s.yield(t, "b", "c")
		want(page("", 2, 0), "1.1=a 1.2=b")
		want(page("1.2", 2, time.Second), "1.3=c")
		s.finish(nil)
		want(page("1.1", 2, 0), "1.2=b 1.3=c end")
		want(page("1.1", 1, 0), "1.2=b")
		want(page("1.3", 1, 0), "end")
		_, _, err := n.PartsPage(t.Context(), "", ack.ID, edda.PartID{}, 1001, 0)
		wantReason(t, err, edda.BadValue)
	})
}
