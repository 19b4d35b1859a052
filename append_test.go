package edda_test

import (
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

func appendOne(stream string) *edda.Append {
	return &edda.Append{Stream: stream, Messages: []edda.StreamMessage{{Type: "t", Payload: []byte("x")}}}
}

// The same rules hold for what a handler here appends and for what one elsewhere says
// it appends.
func TestAppendsOutcome(t *testing.T) {
	large := appendOne("s")
	large.Messages[0].Payload = make([]byte, edda.MaxOutcomeBytes)
	conditional, onlyFirst := appendOne("s"), appendOne("s")
	conditional.IfLast, onlyFirst.IfEmpty = new(uint64(1)), true
	broken := appendOne("s")
	broken.Messages = append(broken.Messages, edda.StreamMessage{ID: "\n"})
	many := func(n int) (all []*edda.Append) {
		for range n {
			all = append(all, appendOne("s"))
		}
		return all
	}
	for _, c := range []struct {
		name    string
		appends []*edda.Append
		want    string
	}{
		{"one", many(1), ""},
		{"as many as there may be", many(edda.MaxSends), ""},
		{"too many", many(edda.MaxSends + 1), "at most 1000 are allowed"},
		{"a condition", []*edda.Append{conditional}, "IfLast and IfEmpty are for producers"},
		{"only when empty", []*edda.Append{onlyFirst}, "IfLast and IfEmpty are for producers"},
		{"a malformed message", []*edda.Append{broken}, "messages[1]: id"},
		{"no stream", []*edda.Append{appendOne("")}, "stream is empty"},
		{"too much", []*edda.Append{large}, "at most 6291456 are allowed"},
	} {
		d := &edda.Dispatch{Message: &edda.Message{Type: "m"}}
		s := edda.NewBalanced("s")
		var refused error
		edda.Handle(s, "m", func(ctx *edda.Context, _ []byte) (string, error) {
			for _, a := range c.appends {
				if err := ctx.Append(a); err != nil {
					refused = err
				}
			}
			return "ok", nil
		})
		here := s.Invoke(t.Context(), d)
		elsewhere := edda.Outcome{Appends: c.appends}
		d.Admit(&elsewhere)
		if c.want == "" {
			if refused != nil || here.Err != nil || elsewhere.Err != nil || len(here.Appends) != len(c.appends) {
				t.Errorf("%s: %v, %v, %v, %d of %d appends", c.name, refused, here.Err, elsewhere.Err, len(here.Appends), len(c.appends))
			}
			continue
		}
		for _, err := range []error{refused, elsewhere.Err} {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", c.name, err, c.want)
			}
		}
	}
}

// What is appended says of itself what the message that was handled says, and not
// more; the handler keeps what it appended.
func TestAppendCompletes(t *testing.T) {
	d := &edda.Dispatch{
		Message: &edda.Message{
			ID: edda.ID{1}, Type: "m", To: edda.Address{Namespace: "shop", Name: "a"}, Principal: "ada", CorrelationID: "story", TraceParent: "t", TraceState: "s",
		},
		Delivery: &edda.DeliveryRef{Stream: "orders", Group: "billing", Shard: "eu", Offset: 7, ID: "o-1"},
	}
	mine := &edda.Append{Stream: "s", Principal: "root", Messages: []edda.StreamMessage{
		{Principal: "root", CausationID: edda.ID{9}}, {CorrelationID: "other", TraceParent: "mine", TraceState: "too"},
	}}
	there := &edda.Append{Namespace: "depot", Stream: "s", Messages: []edda.StreamMessage{{}}}
	s := edda.NewBalanced("s")
	var kept *edda.Context
	edda.Handle(s, "m", func(ctx *edda.Context, _ []byte) (string, error) {
		kept = ctx
		if ctx.Delivery() != d.Delivery {
			t.Errorf("the delivery is %+v", ctx.Delivery())
		}
		if err := ctx.Append(mine); err != nil {
			t.Error(err)
		}
		if err := ctx.Append(there); err != nil {
			t.Error(err)
		}
		return "ok", nil
	})
	out := s.Invoke(t.Context(), d)
	if out.Err != nil || len(out.Appends) != 2 {
		t.Fatalf("%d appends, %v", len(out.Appends), out.Err)
	}
	a := out.Appends[0]
	first, second := a.Messages[0], a.Messages[1]
	if a.Namespace != "shop" || a.Principal != "ada" || out.Appends[1].Namespace != "depot" {
		t.Errorf("appended %+v, %+v", a, out.Appends[1])
	}
	if first.Principal != "ada" || first.CausationID != d.Message.ID || first.CorrelationID != "story" || first.TraceParent != "t" || first.TraceState != "s" {
		t.Errorf("the first is %+v", first)
	}
	if second.CorrelationID != "other" || second.TraceParent != "mine" || second.TraceState != "too" {
		t.Errorf("the second is %+v", second)
	}
	if mine.Principal != "root" || mine.Messages[0].Principal != "root" {
		t.Errorf("the handler's own has become %+v", mine)
	}
	if err := kept.Append(there); err == nil || !strings.Contains(err.Error(), "is over") {
		t.Errorf("after the invocation: %v", err)
	}
}
