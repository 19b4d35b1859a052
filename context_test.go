package edda_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

// TestMaxSends: the message above the limit is refused, and those below are sent.
func TestMaxSends(t *testing.T) {
	var kept *edda.Context
	to := edda.Address{Name: "users", Key: "42"}
	s := edda.NewBalanced("s")
	s.HandleAny(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		kept = ctx
		for i := range edda.MaxSends {
			if err := ctx.Send(&edda.Message{To: to, Type: strconv.Itoa(i)}); err != nil {
				t.Fatalf("message %d: %v", i+1, err)
			}
		}
		for range 2 {
			const want = "message 1001 of one invocation, at most 1000 are allowed"
			if err := ctx.Send(&edda.Message{To: to, Type: "m"}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("one more: %v, want %q", err, want)
			}
		}
		return nil, nil
	})
	out := s.Invoke(t.Context(), &edda.Dispatch{Message: &edda.Message{Type: "m"}})
	if out.Err != nil || len(out.Sends) != edda.MaxSends || out.Sends[edda.MaxSends-1].Type != "999" {
		t.Errorf("%d messages are sent, %v, want the first %d", len(out.Sends), out.Err, edda.MaxSends)
	}
	if err := kept.Send(&edda.Message{To: to, Type: "m"}); err == nil || !strings.Contains(err.Error(), "is over") {
		t.Errorf("after the invocation: %v", err)
	}
}
