package node_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// typedService has one method whose payload has a schema.
func typedService() *edda.Service {
	type in struct {
		N int64 `json:"n"`
	}
	s := edda.NewOrdered("typed")
	edda.Handle(s, "add", func(_ *edda.Context, in in) (in, error) { return in, nil })
	s.Add(edda.Method{
		Name: "checked", Handler: echo,
		Check: func(contentType string, payload []byte) error {
			switch string(payload) {
			case "bad":
				return errors.New("it is bad")
			case "panic":
				panic("in a check")
			}
			return nil
		},
	})
	return s
}

// What can be refused is refused before the log: nothing is stored, nothing runs
// (M7, D8).
func TestRefusals(t *testing.T) {
	json := func(m *edda.Message) { m.ContentType = "application/json" }
	tests := []struct {
		name   string
		m      *edda.Message
		change func(*edda.Message)
		want   edda.Reason
	}{
		{"ordered without a key", msg("s", "m", ""), nil, edda.WrongKind},
		{"balanced with a key", msg("b/k", "m", ""), nil, edda.WrongKind},
		{"bad name", &edda.Message{To: edda.Address{Name: "a b"}, Type: "m"}, nil, edda.BadName},
		{"reserved name", &edda.Message{To: edda.Address{Name: "edda.x"}, Type: "m"}, nil, edda.BadName},
		{"bad namespace", msg("b", "m", ""), func(m *edda.Message) { m.To.Namespace = "a/b" }, edda.BadName},
		{"bad key", &edda.Message{To: edda.Address{Name: "s", Key: ".."}, Type: "m"}, nil, edda.BadName},
		{"long key", &edda.Message{To: edda.Address{Name: "s", Key: strings.Repeat("k", 513)}, Type: "m"}, nil, edda.BadName},
		{"bad method", msg("s/k", "a b", ""), nil, edda.BadName},
		{"no method", msg("s/k", "", ""), nil, edda.BadName},
		{"unknown method", msg("typed/k", "sub", ""), json, edda.NoMethod},
		{"another type", msg("typed/k", "add", `{"n":"1"}`), json, edda.BadSchema},
		{"a missing member", msg("typed/k", "add", `{}`), json, edda.BadSchema},
		{"no JSON", msg("typed/k", "add", `{"n":1`), json, edda.BadSchema},
		{"a number out of range", msg("typed/k", "add", `{"n":99999999999999999999}`), json, edda.BadSchema},
		{"a number with a fraction", msg("typed/k", "add", `{"n":1.0}`), json, edda.BadSchema},
		{"two values", msg("typed/k", "add", `{"n":1}{"n":1}`), json, edda.BadSchema},
		{"another media type", msg("typed/k", "add", `{"n":1}`), nil, edda.BadMediaType},
		{"own check", msg("typed/k", "checked", "bad"), nil, edda.BadSchema},
		{"own check panics", msg("typed/k", "checked", "panic"), nil, edda.Panicked},
		{"too large", msg("s/k", "m", strings.Repeat("x", 1001)), nil, edda.TooLarge},
		{"too large with frames", msg("s/k", "m", strings.Repeat("x", 999)), func(m *edda.Message) { m.Frames = [][]byte{{1}, {2}} }, edda.TooLarge},
		{"large headers", msg("s/k", "m", ""), func(m *edda.Message) {
			m.Headers = edda.Headers{{Name: "a", Value: strings.Repeat("x", 64<<10)}}
		}, edda.TooLarge},
		{"long idempotency key", keyed(msg("s/k", "m", ""), strings.Repeat("k", 256)), nil, edda.BadValue},
		{"past deadline", msg("s/k", "m", ""), func(m *edda.Message) { m.Deadline = time.Now() }, edda.DeadlineExceeded},
		{"unknown service", msg("nobody/k", "m", ""), nil, edda.NoService},
		{"unknown namespace", msg("s/k", "m", ""), func(m *edda.Message) { m.To.Namespace = "elsewhere" }, edda.NoService},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			var j journal
			h := func(*edda.Context, *edda.Message) (*edda.Reply, error) { j.addf("ran"); return nil, nil }
			n := start(t, node.Options{Limits: node.Limits{PayloadBytes: 1000}}, ordered("s", h), balanced("b", h), typedService())
			if tt.change != nil {
				tt.change(tt.m)
			}
			begun := time.Now()
			notStored(t, call(t, n, tt.m).refused(t, tt.want))
			want := time.Duration(0)
			if tt.want == edda.NoService {
				want = 2 * time.Second // a bounded wait
			}
			if took := time.Since(begun); took != want {
				t.Errorf("it took %v, want %v", took, want)
			}
			_, err := n.Client().Send(t.Context(), tt.m)
			notStored(t, wantReason(t, err, tt.want))
			j.want(t, "")
			if items, _, err := n.Requests(t.Context(), node.RequestFilter{}, node.Page{}); err != nil || len(items) != 0 {
				t.Errorf("got requests %v, %v, want none", items, err)
			}
		})
	}
}

// What just fits is taken.
func TestWhatJustFitsIsTaken(t *testing.T) {
	bubble(t, "fits", func(t *testing.T) {
		n := start(t, node.Options{Limits: node.Limits{PayloadBytes: 1000}}, ordered("s", echo), typedService())
		call(t, n, msg("s/"+strings.Repeat("k", 512), "m", strings.Repeat("x", 1000))).replied(t, 200, strings.Repeat("x", 1000))
		call(t, n, keyed(msg("s/k", "m", "x"), strings.Repeat("k", 255))).replied(t, 200, "x")
		for _, contentType := range []string{"application/json; charset=utf-8", "application/vnd.x+json", ""} {
			m := msg("typed/k", "add", `{"n":1,"more":true}`)
			m.ContentType = contentType
			call(t, n, m).replied(t, 200, `{"n":1}`)
		}
		call(t, n, msg("typed/k", "checked", "good")).replied(t, 200, "good")
	})
}

// A service that an earlier start has hosted, and this one does not, is known: its
// requests are stored and wait for a worker.
func TestNoWorker(t *testing.T) {
	bubble(t, "no worker", func(t *testing.T) {
		d := newDisk()
		stop(t, d.open(t, node.Options{}, ordered("s", echo), balanced("b", echo)))
		n := d.open(t, node.Options{})
		var ids []edda.ID
		for _, to := range []string{"s/k", "b"} {
			begun := time.Now()
			ids = append(ids, stored(t, call(t, n, msg(to, "m", "x")).refused(t, edda.NoWorker)))
			if took := time.Since(begun); took != 2*time.Second {
				t.Errorf("NO_WORKER took %v, want 2s", took)
			}
			ids = append(ids, send(t, n, msg(to, "m", "x")).ID)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := n.Client().Call(ctx, msg("s/k", "m", "x"))
		stored(t, wantReason(t, err, edda.Timeout)) // a shorter wait ends earlier
		for _, id := range ids {
			inState(t, n, id, edda.Accepted)
		}
		s, err := n.Service(t.Context(), "", "s")
		if err != nil || s.Workers != 0 || s.Queued != 3 || s.Kind != edda.Ordered {
			t.Errorf("got %+v, %v, want an ordered service without workers, 3 queued", s, err)
		}
		stop(t, n)
		n = d.open(t, node.Options{}, ordered("s", echo), balanced("b", echo))
		defer stop(t, n)
		for _, id := range ids {
			answerOf(n.Client().Wait(t.Context(), id)).replied(t, 200, "x")
		}
	})
}

// A handler that calls a key one of its callers holds is refused at once,
// directly and round a corner; sending to it is fine (CYCLE).
func TestCycle(t *testing.T) {
	bubble(t, "cycle", func(t *testing.T) {
		var n *node.Node
		h := func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			if len(m.Payload) == 0 {
				return nil, nil
			}
			next, rest, _ := strings.Cut(string(m.Payload), " ")
			if to, async := strings.CutPrefix(next, "!"); async {
				_, err := n.Client().Send(ctx, msg(to, "m", rest))
				return nil, err
			}
			r, err := n.Client().Call(ctx, msg(next, "m", rest))
			if reason := edda.ReasonOf(err); reason != "" {
				return edda.TextReply(200, string(reason)), nil
			}
			return r, nil
		}
		n = start(t, node.Options{}, ordered("s", h), ordered("s2", h), balanced("b", h))
		tests := []struct{ to, path, want string }{
			{"s/a", "s/a", "CYCLE"},
			{"s/a", "s/b s/a", "CYCLE"},
			{"s/a", "b s/a", "CYCLE"},
			{"s/a", "b b s2/x s/a", "CYCLE"},
			{"s/a", "s/b s/b", "CYCLE"},
			{"s/a", "s/b s2/a s2/b b", ""},
			{"b", "b b b", ""},
			{"s/a", "!s/a", ""},
			{"s/a", "s/b !s/a s/b", ""},
		}
		for _, tt := range tests {
			begun := time.Now()
			r := call(t, n, msg(tt.to, "m", tt.path))
			if r.err != nil || string(r.reply.Payload) != tt.want || time.Since(begun) != 0 {
				t.Errorf("%s -> %s: got %v, %v after %v, want %q at once", tt.to, tt.path, r.reply, r.err, time.Since(begun), tt.want)
			}
			synctest.Wait()
		}
	})
}
