package node_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// Whatever a handler does instead of returning a result is said of its step.
func TestSagaOddHandlers(t *testing.T) {
	for name, c := range map[string]struct {
		h    edda.HandlerFunc
		want edda.StepError // its message is a part of what it has to be
	}{
		"panics": {func(*edda.Context, *edda.Message) (*edda.Reply, error) { panic("oh no") }, edda.StepError{Reason: edda.Panicked, Message: "oh no"}},
		"hangs": {func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}, edda.StepError{Reason: edda.Timeout, Message: "took longer"}},
		"fails":    {fail, edda.StepError{Reason: edda.Failed, Message: errHandler.Error()}},
		"no JSON":  {func(*edda.Context, *edda.Message) (*edda.Reply, error) { return edda.TextReply(200, "hello"), nil }, edda.StepError{Reason: edda.Failed, Message: "not JSON", Status: 200}},
		"status":   {func(*edda.Context, *edda.Message) (*edda.Reply, error) { return edda.TextReply(409, "sold out"), nil }, edda.StepError{Reason: edda.Failed, Message: "sold out", Status: 409}},
		"no bytes": {func(*edda.Context, *edda.Message) (*edda.Reply, error) { return edda.TextReply(503, ""), nil }, edda.StepError{Reason: edda.Failed, Status: 503}},
	} {
		for _, to := range []string{"odd", "oddShelf/1"} {
			bubble(t, name+" "+to, func(t *testing.T) {
				odd, shelf := balanced("odd", c.h), ordered("oddShelf", c.h)
				for _, s := range []*edda.Service{odd, shelf} {
					s.Retry, s.AttemptTimeout = edda.RetryPolicy{Max: 2, Delay: time.Second}, time.Second
				}
				n := start(t, node.Options{Partitions: 8}, odd, shelf)
				s := endsAs(t, n, create(t, n, sagaOf("", ask("a", to, "", ""))), edda.SagaCompensated)
				e := s.Steps[0].Error
				if e == nil || e.Reason != c.want.Reason || e.Status != c.want.Status || !strings.Contains(e.Message, c.want.Message) {
					t.Errorf("got %+v, want %+v", e, c.want)
				}
				if !strings.Contains(s.Detail, `"a"`) || s.Reason != edda.SagaStepFailed {
					t.Errorf("got reason %s, %q", s.Reason, s.Detail)
				}
				noSlotIsLost(t, n, "odd", "oddShelf")
			})
		}
	}
}

// Large results are passed on, as far as a step may be sent so much.
func TestSagaLargeResults(t *testing.T) {
	bubble(t, "large", func(t *testing.T) {
		large := func(*edda.Context, *edda.StepInput) (any, error) { return strings.Repeat("x", 4<<20-100), nil }
		size := func(_ *edda.Context, in *edda.StepInput) (any, error) {
			sum := 0
			for _, d := range in.Dependencies {
				sum += len(d)
			}
			return sum, nil
		}
		n := start(t, node.Options{}, tool("large", large), shelf("largeShelf", large), tool("size", size), shelf("sizeShelf", size))
		s := endsAs(t, n, create(t, n, sagaOf("", ask("a", "large", "", ""), ask("b", "largeShelf/1", "", ""), ask("c", "size", "", "a"), ask("d", "sizeShelf/2", "", "b"))), edda.SagaSucceeded)
		for _, i := range []int{2, 3} {
			if got := string(s.Steps[i].Result); got != "4194206" {
				t.Errorf("step %d got %s bytes, want 4194206", i, got)
			}
		}
		s = endsAs(t, n, create(t, n, sagaOf("", ask("a", "large", "", ""), ask("b", "large", "", ""), ask("c", "size", "", "a b"))), edda.SagaCompensated)
		if e := s.Steps[2].Error; e == nil || e.Reason != edda.TooLarge {
			t.Errorf("got %+v, want TOO_LARGE", e)
		}
		id := create(t, n, sagaOf("", ask("a", "later", "", "")))
		finish(t, n, id, "a", edda.StepResult{Result: json.RawMessage(`"` + strings.Repeat("x", 4<<20-2) + `"`)}, true, edda.StepSucceeded)
		endsAs(t, n, id, edda.SagaSucceeded)
	})
}
