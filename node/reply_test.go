package node_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// A reply comes as the handler gave it, whatever its status (M5).
func TestReplies(t *testing.T) {
	tests := []struct {
		name   string
		reply  *edda.Reply
		status int
		body   string
	}{
		{"default", &edda.Reply{Payload: []byte("x")}, 200, "x"},
		{"created", &edda.Reply{Status: 201, Payload: []byte("x")}, 201, "x"},
		{"refusal of the service", &edda.Reply{Status: 403, Payload: []byte("forbidden")}, 403, "forbidden"},
		{"its own trouble", &edda.Reply{Status: 503}, 503, ""},
		{"nothing", nil, 204, ""},
		{"empty", &edda.Reply{}, 204, ""},
		{"empty but 200", &edda.Reply{Status: 200}, 200, ""},
		{"binary", &edda.Reply{Payload: []byte{0, 255, 10}}, 200, "\x00\xff\n"},
	}
	for _, tt := range tests {
		for _, kind := range []edda.Kind{edda.Ordered, edda.Balanced} {
			bubble(t, tt.name+"/"+string(kind), func(t *testing.T) {
				h := func(*edda.Context, *edda.Message) (*edda.Reply, error) { return tt.reply, nil }
				n := start(t, node.Options{}, ordered("ordered", h), balanced("balanced", h))
				to := "balanced"
				if kind == edda.Ordered {
					to = "ordered/k"
				}
				r := call(t, n, msg(to, "m", "")).replied(t, tt.status, tt.body)
				if r.Attempts != 1 || r.RequestID.IsZero() || r.Position == "" || r.Replayed {
					t.Errorf("got reply %+v, want attempt 1, an id, a position, not replayed", r)
				}
				// The same by asking later, and later still.
				ack := send(t, n, msg(to, "m", ""))
				synctest.Wait()
				for range 2 {
					r := answerOf(n.Client().Wait(t.Context(), ack.ID)).replied(t, tt.status, tt.body)
					if r.RequestID != ack.ID || r.Position != ack.Position || r.Attempts != 1 || r.Replayed {
						t.Errorf("got reply %+v, want that to %+v, not replayed", r, ack)
					}
				}
				q := inState(t, n, ack.ID, edda.StateSucceeded)
				if q.Reply == nil || q.Reply.Status != tt.status || q.Reply.Size != len(tt.body) || q.Error != nil {
					t.Errorf("got request with reply %+v and error %v, want %d and %d bytes, none", q.Reply, q.Error, tt.status, len(tt.body))
				}
			})
		}
	}
}

func answerOf(r *edda.Reply, err error) answer { return answer{r, err} }

// A reply that is no HTTP reply fails the request.
func TestBadReply(t *testing.T) {
	for _, status := range []int{1, 100, 600, -1} {
		bubble(t, fmt.Sprint(status), func(t *testing.T) {
			n := start(t, node.Options{}, balanced("s", func(*edda.Context, *edda.Message) (*edda.Reply, error) {
				return &edda.Reply{Status: status}, nil
			}))
			call(t, n, msg("s", "m", "")).refused(t, edda.Failed)
		})
	}
}

// What is in the envelope reaches the handler, and nothing is lost on the way
// back (M1, M4).
func TestEnvelopeReachesHandler(t *testing.T) {
	bubble(t, "envelope", func(t *testing.T) {
		var got edda.Message
		n := start(t, node.Options{}, ordered("s", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
			got = *m
			return &edda.Reply{
				Status: 299, ContentType: "a/b", Payload: []byte("out"),
				Headers: edda.Headers{{Name: "X-A", Value: "1"}, {Name: "x-a", Value: "2"}},
			}, nil
		}))
		at := time.Now()
		m := &edda.Message{
			To: edda.Address{Name: "s", Key: "kéy/with?anything"}, Type: "Method.v1-x_y", ContentType: "text/csv", Payload: []byte("in"),
			Frames: [][]byte{[]byte("one"), {}, []byte("three")}, ReplyTo: edda.Address{Name: "replies"}, Source: "device-7",
			Headers:       edda.Headers{{Name: "X-Zed", Value: "1"}, {Name: "X-Zed", Value: "2"}, {Name: "A", Value: ""}},
			CorrelationID: "story", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", TraceState: "a=b",
			Deadline: at.Add(time.Hour),
		}
		r := call(t, n, m).replied(t, 299, "out")
		if want := (edda.Headers{{Name: "X-A", Value: "1"}, {Name: "x-a", Value: "2"}}); !slices.Equal(r.Headers, want) || r.ContentType != "a/b" {
			t.Errorf("got headers %v and type %s, want %v and a/b", r.Headers, r.ContentType, want)
		}
		if got.ID != r.RequestID || got.Type != m.Type || got.To.Key != m.To.Key || got.To.Namespace != "default" ||
			string(got.Payload) != "in" || got.ContentType != m.ContentType || got.Source != m.Source || got.ReplyTo != m.ReplyTo ||
			got.CorrelationID != "story" || got.TraceParent != m.TraceParent || got.TraceState != "a=b" ||
			!got.Deadline.Equal(m.Deadline) || got.Principal != edda.Anonymous {
			t.Errorf("handler got %+v, want what was sent: %+v", got, *m)
		}
		if !slices.Equal(got.Headers, m.Headers) {
			t.Errorf("handler got headers %v, want %v", got.Headers, m.Headers)
		}
		if !slices.EqualFunc(got.Frames, m.Frames, func(a, b []byte) bool { return string(a) == string(b) }) {
			t.Errorf("handler got frames %q, want %q", got.Frames, m.Frames)
		}
		if !got.Time.Equal(at) {
			t.Errorf("handler got time %v, want that of acceptance, %v", got.Time, at)
		}
	})
}

// The id is assigned on acceptance and stays the same for every attempt (M2,
// M3, A25-A27).
func TestIDIsStableAcrossAttempts(t *testing.T) {
	bubble(t, "attempts", func(t *testing.T) {
		var j journal
		s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			j.addf("%s/%d/%t/%s", ctx.RequestID(), ctx.Attempt(), ctx.Redelivered(), m.ID)
			if ctx.Attempt() < 3 {
				return nil, errHandler
			}
			return nil, nil
		})
		n := start(t, node.Options{}, s)
		ack := send(t, n, msg("s/k", "m", ""))
		r := answerOf(n.Client().Wait(t.Context(), ack.ID)).replied(t, 204, "")
		if r.Attempts != 3 {
			t.Errorf("got %d attempts, want 3", r.Attempts)
		}
		id := ack.ID.String()
		j.want(t, fmt.Sprintf("%[1]s/1/false/%[1]s %[1]s/2/true/%[1]s %[1]s/3/true/%[1]s", id))
	})
}

// A caller who names an id gets it, and joins it the second time (M2, A26).
func TestCallersOwnID(t *testing.T) {
	bubble(t, "own id", func(t *testing.T) {
		gate := make(chan struct{})
		var j journal
		h := func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			j.addf("%s", m.To.Name)
			return waitFor(gate)(ctx, m)
		}
		n := start(t, node.Options{}, ordered("s", h), balanced("b", h), ordered("other", h))
		for _, to := range []string{"s/k", "b"} {
			m := msg(to, "m", "x")
			m.ID = edda.NewID(m.To.Hash(), time.Now())
			ack := send(t, n, m)
			again := send(t, n, m)
			if ack.ID != m.ID || ack.Joined || again.ID != m.ID || !again.Joined || again.Position != ack.Position {
				t.Errorf("got %+v, then %+v, want id %s twice, the second joined", ack, again, m.ID)
			}
			synctest.Wait() // its handler has begun before the next one's may
		}
		j.want(t, "s b")
		m := msg("s/k", "m", "x")
		first := send(t, n, m)
		// An id is good for its own address alone, and tells nobody anything.
		for key := range 1000 {
			other := msg(fmt.Sprint("other/", key), "m", "")
			other.ID = first.ID
			a := answerOf(n.Client().Call(ended(t), other))
			if a.err == nil {
				t.Fatalf("got reply %q to an id of another address", a.reply.Payload)
			}
			if r := edda.ReasonOf(a.err); r != edda.BadValue && r != edda.IdempotencyMismatch && r != edda.OutcomeUnknown {
				t.Fatalf("got %v, want a refusal", a.err)
			}
		}
		synctest.Wait()
		if got := len(j.all()); got != 2 {
			t.Errorf("%d handlers were started, want 2", got)
		}
		close(gate)
	})
}

// ended returns a context that has ended.
func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// Correlation and causation follow the story (M3).
func TestCorrelationAndCausation(t *testing.T) {
	bubble(t, "story", func(t *testing.T) {
		type seen struct {
			id, causation edda.ID
			correlation   string
			trace         string
			principal     edda.Principal
		}
		var mu sync.Mutex // guards got while handlers run
		got := map[string]seen{}
		note := func(m *edda.Message) {
			mu.Lock()
			defer mu.Unlock()
			got[m.Type] = seen{m.ID, m.CausationID, m.Correlation(), m.TraceParent, m.Principal}
		}
		var n *node.Node
		var fromInside edda.ID
		s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			note(m)
			if m.Type != "first" {
				return nil, nil
			}
			ack, err := n.Client().Send(ctx, msg("s/inside", "inside", ""))
			if err != nil {
				return nil, err
			}
			fromInside = ack.ID
			return nil, ctx.Send(msg("s/next", "next", ""))
		})
		n = start(t, node.Options{}, s)
		m := msg("s/k", "first", "")
		m.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		r, err := n.Client().As("ann").Call(t.Context(), m)
		answer{r, err}.replied(t, 204, "")
		synctest.Wait()
		id := r.RequestID
		if f := got["first"]; f.id != id || f.correlation != id.String() || !f.causation.IsZero() || f.principal != "ann" {
			t.Errorf("got first %+v, want id %s, itself as correlation, no causation", f, id)
		}
		for _, name := range []string{"inside", "next"} {
			if f := got[name]; f.causation != id || f.correlation != id.String() || f.trace != m.TraceParent {
				t.Errorf("got %s %+v, want causation and correlation %s and the trace", name, f, id)
			}
		}
		if got["next"].principal != "ann" {
			t.Errorf("got principal %q of what the handler sent, want ann", got["next"].principal)
		}
		if q := request(t, n, fromInside); q.CausationID != id || q.CorrelationID != id.String() {
			t.Errorf("got request %+v, want causation and correlation %s", q, id)
		}
	})
}

// A caller may give up; the request goes on, and its reply can be fetched by id
// (D7, A31).
func TestLateReplyCanBeFetched(t *testing.T) {
	bubble(t, "late", func(t *testing.T) {
		gate := make(chan struct{})
		n := start(t, node.Options{}, ordered("s", waitFor(gate)))
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begun := time.Now()
		r, err := n.Client().Call(ctx, msg("s/k", "m", "x"))
		e := answer{r, err}.refused(t, edda.Timeout)
		id := stored(t, e)
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("got the timeout after %v, want 3s", took)
		}
		inState(t, n, id, edda.Taken)
		c := waiting(t, n, id)
		pending(t, c)
		close(gate)
		now(t, c).replied(t, 200, "x")
		// The caller left: the reply is kept for a minute.
		time.Sleep(59 * time.Second)
		answerOf(n.Client().Wait(t.Context(), id)).replied(t, 200, "x")
		time.Sleep(2 * time.Second)
		unknown(t, n, id)
	})
}

// A caller who leaves just as the outcome becomes durable has it, or can fetch
// it: it is never lost in between.
func TestReplyIsNotLostWhenCallerLeavesAtTheSameTime(t *testing.T) {
	bubble(t, "race", func(t *testing.T) {
		n := start(t, node.Options{}, balanced("s", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
			time.Sleep(time.Second)
			return echo(nil, m)
		}))
		for range 200 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			r, err := n.Client().Call(ctx, msg("s", "m", "x"))
			cancel()
			if err == nil {
				answer{r, err}.replied(t, 200, "x")
				continue
			}
			id := stored(t, answer{r, err}.refused(t, edda.Timeout))
			answerOf(n.Client().Wait(t.Context(), id)).replied(t, 200, "x")
		}
	})
}

// A reply is the caller's: what it does to it changes nobody else's.
func TestCallerOwnsReply(t *testing.T) {
	bubble(t, "own", func(t *testing.T) {
		gate := make(chan struct{})
		n := start(t, node.Options{}, ordered("s", waitFor(gate)))
		waiters := []<-chan answer{calling(t, n, keyed(msg("s/k", "m", "xyz"), "key"))}
		for range 3 {
			waiters = append(waiters, waiting(t, n, stateOf(t, n, edda.Taken)))
		}
		close(gate)
		for _, c := range append(waiters, calling(t, n, keyed(msg("s/k", "m", "xyz"), "key")), calling(t, n, keyed(msg("s/k", "m", "xyz"), "key"))) {
			r := now(t, c).replied(t, 200, "xyz")
			clear(r.Payload)
			_ = append(r.Payload, "more"...)
		}
	})
}

// How long an outcome is kept depends on what the caller asked for.
func TestHowLongOutcomesAreKept(t *testing.T) {
	bubble(t, "kept", func(t *testing.T) {
		n := start(t, node.Options{}, ordered("s", echo))
		called := call(t, n, msg("s/a", "m", "x")).replied(t, 200, "x").RequestID
		noReply(t, n, called) // delivered
		sent := send(t, n, msg("s/b", "m", "x")).ID
		again := call(t, n, keyed(msg("s/c", "m", "x"), "key")).replied(t, 200, "x").RequestID
		time.Sleep(24*time.Hour - time.Second)
		inState(t, n, sent, edda.StateSucceeded)
		inState(t, n, again, edda.StateSucceeded)
		time.Sleep(2 * time.Second)
		unknown(t, n, sent)
		unknown(t, n, again)
		r := call(t, n, keyed(msg("s/c", "m", "x"), "key")).replied(t, 200, "x")
		if r.Replayed || r.RequestID == again {
			t.Error("an idempotency key was replayed after 24 hours")
		}
	})
}

// noReply fails the test unless the reply to a request is not kept any more.
func noReply(t *testing.T, n *node.Node, id edda.ID) {
	t.Helper()
	r, err := n.Client().Wait(t.Context(), id)
	if reason := edda.ReasonOf(err); reason != edda.NoRequest {
		answer{r, err}.refused(t, edda.ReplyExpired)
	}
}

// Everybody who waits gets the outcome, nobody else does (D12, D-A12), and
// WaitRequest answers with what then holds.
func TestWaiting(t *testing.T) {
	bubble(t, "waiting", func(t *testing.T) {
		gate := make(chan struct{})
		n := start(t, node.Options{}, ordered("s", waitFor(gate)))
		a := send(t, n, msg("s/k", "m", "x"))
		other := waiting(t, n, send(t, n, with(msg("s/other", "m", "y"), func(m *edda.Message) { m.Due = time.Now().Add(time.Hour) })).ID)
		waiters := []<-chan answer{waiting(t, n, a.ID), waiting(t, n, a.ID)}
		q, err := n.WaitRequest(t.Context(), "", a.ID, 5*time.Second)
		if err != nil || q.State != edda.Taken {
			t.Errorf("got %v, %v, want what holds after 5s: taken", q, err)
		}
		seen := make(chan *edda.Request, 1)
		go func() {
			q, err := n.WaitRequest(t.Context(), "", a.ID, time.Hour)
			if err != nil {
				t.Error(err)
			}
			seen <- q
		}()
		synctest.Wait()
		close(gate)
		for _, c := range waiters {
			now(t, c).replied(t, 200, "x")
		}
		if q := <-seen; q.State != edda.StateSucceeded || q.Reply.Size != 1 || q.CompletedAt.IsZero() || q.StartedAt.IsZero() {
			t.Errorf("got %+v, want succeeded with its times", q)
		}
		pending(t, other)
		if q, err := n.WaitRequest(t.Context(), "", a.ID, time.Hour); err != nil || q.State != edda.StateSucceeded {
			t.Errorf("got %v, %v, want succeeded at once", q, err)
		}
		if _, err := n.Client().Cancel(t.Context(), stateOf(t, n, edda.Accepted)); err != nil {
			t.Fatal(err)
		}
		now(t, other).refused(t, edda.Cancelled)
	})
}

// stateOf returns the id of the only request in the state.
func stateOf(t *testing.T, n *node.Node, s edda.State) edda.ID {
	t.Helper()
	items, _, err := n.Requests(t.Context(), node.RequestFilter{State: s}, node.Page{})
	if err != nil || len(items) != 1 {
		t.Fatalf("got %d requests in state %s, %v; want one", len(items), s, err)
	}
	return items[0].ID
}

// The stages of a request are told apart (D3).
func TestStages(t *testing.T) {
	bubble(t, "stages", func(t *testing.T) {
		gate := make(chan struct{})
		s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			if ctx.Attempt() == 1 {
				return nil, errHandler
			}
			return waitFor(gate)(ctx, m)
		})
		s.Retry = everySecond
		n := start(t, node.Options{}, s)
		at := time.Now()
		a := send(t, n, with(msg("s/k", "m", "x"), func(m *edda.Message) { m.Due = at.Add(time.Second) }))
		if !a.AcceptedAt.Equal(at) || a.Durability != edda.Memory {
			t.Errorf("got %+v, want accepted at %v in memory", a, at)
		}
		if q := inState(t, n, a.ID, edda.Accepted); !q.NextAttemptAt.Equal(at.Add(time.Second)) || q.Attempts != 0 || !q.StartedAt.IsZero() {
			t.Errorf("got %+v, want the next attempt at %v", q, at.Add(time.Second))
		}
		time.Sleep(time.Second)
		q := inState(t, n, a.ID, edda.Retrying)
		if !q.NextAttemptAt.Equal(at.Add(2*time.Second)) || q.Attempts != 1 || !q.StartedAt.Equal(at.Add(time.Second)) ||
			q.Error == nil || q.Error.Reason != edda.Failed || q.Error.Message != errHandler.Error() {
			t.Errorf("got %+v, error %+v; want the next attempt at %v and the error", q, q.Error, at.Add(2*time.Second))
		}
		time.Sleep(time.Second)
		if q := inState(t, n, a.ID, edda.Taken); q.Attempts != 2 || !q.NextAttemptAt.IsZero() {
			t.Errorf("got %+v, want attempt 2 and no next one", q)
		}
		waited := send(t, n, msg("s/k", "m", "x"))
		if q := inState(t, n, waited.ID, edda.Accepted); !q.NextAttemptAt.IsZero() {
			t.Errorf("got next attempt at %v for one that waits for its turn, want none", q.NextAttemptAt)
		}
		close(gate)
		if q := inState(t, n, a.ID, edda.StateSucceeded); !q.CompletedAt.Equal(at.Add(2*time.Second)) || q.Error != nil {
			t.Errorf("got %+v, want completed at %v without an error", q, at.Add(2*time.Second))
		}
	})
}
