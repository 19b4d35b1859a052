package edda_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

// What a handler publishes is part of its outcome: who listens to the channel gets it if
// the handler returns a reply.
func ExampleContext_Publish() {
	s := edda.NewOrdered("orders")
	edda.Handle(s, "ship", func(ctx *edda.Context, to string) (string, error) {
		err := ctx.Publish("floor", edda.StreamMessage{Type: "order.shipped", Key: ctx.Key(), Payload: edda.JSON(to)})
		return "shipped", err
	})
	m := &edda.Message{To: edda.Address{Namespace: "shop", Name: "orders", Key: "42"}, Type: "ship", Payload: edda.JSON("Oslo")}
	out := s.Invoke(context.Background(), &edda.Dispatch{Message: m, Attempt: 1})
	for _, a := range out.Appends {
		fmt.Println("publishes", a.Messages[0].Type, string(a.Messages[0].Payload), "to", a.Channel, "of", a.Namespace)
	}
	// Output: publishes order.shipped "Oslo" to floor of shop
}

// The same rules hold for what a handler here publishes and for what one elsewhere says
// it publishes.
func TestPublishOutcome(t *testing.T) {
	message := []edda.StreamMessage{{Type: "t"}}
	for want, a := range map[string]*edda.Append{
		"reserved":                          {Channel: "edda.x", Messages: message},
		"it has no messages":                {Channel: "c"},
		"a channel has no shards":           {Channel: "c", Shard: "eu", Messages: message},
		"must name one of them":             {Channel: "c", Stream: "s", Messages: message},
		"IfLast and IfEmpty are for":        {Channel: "c", IfEmpty: true, Messages: message},
		`messages[1]: type "\n" has`:        {Channel: "c", Messages: []edda.StreamMessage{{}, {Type: "\n"}}},
		"at most 6291456 are allowed":       {Channel: "c", Messages: []edda.StreamMessage{{Payload: make([]byte, edda.MaxOutcomeBytes)}}},
		"reply to: stream \"edda.channel.c": {Channel: "c", Messages: []edda.StreamMessage{{ReplyTo: edda.Address{Name: edda.ChannelStream("c")}}}},
	} {
		d := &edda.Dispatch{Message: &edda.Message{Type: "m"}}
		s := edda.NewBalanced("s")
		var refused error
		edda.Handle(s, "m", func(ctx *edda.Context, _ []byte) (string, error) {
			refused = ctx.Append(a)
			return "ok", nil
		})
		here := s.Invoke(t.Context(), d)
		elsewhere := edda.Outcome{Appends: []*edda.Append{a}}
		d.Admit(&elsewhere)
		for _, err := range []error{refused, elsewhere.Err} {
			if err == nil || !strings.Contains(err.Error(), want) || len(here.Appends) > 0 {
				t.Errorf("got %v and %d appends, want %q", err, len(here.Appends), want)
			}
		}
	}
}

// What is published says of itself what the message that was handled says; the handler
// keeps what it has published.
func TestPublishCompletes(t *testing.T) {
	d := &edda.Dispatch{Message: &edda.Message{ID: edda.ID{1}, Type: "m", To: edda.Address{Namespace: "shop", Name: "a"}, Principal: "ada", CorrelationID: "story"}}
	mine := []edda.StreamMessage{{ID: "x", Principal: "root"}, {}}
	s := edda.NewBalanced("a")
	edda.Handle(s, "m", func(ctx *edda.Context, _ []byte) (string, error) {
		if err := ctx.Publish("", mine...); edda.ReasonOf(err) != edda.BadName {
			t.Errorf("without a channel: got %v", err)
		}
		return "ok", ctx.Publish("floor", mine...)
	})
	out := s.Invoke(t.Context(), d)
	if out.Err != nil || len(out.Appends) != 1 {
		t.Fatalf("got %+v", out)
	}
	a := out.Appends[0]
	m := &a.Messages[0]
	if a.Namespace != "shop" || a.Channel != "floor" || a.Stream != "" || a.Principal != "ada" || len(a.Messages) != 2 ||
		m.ID != "x" || m.Principal != "ada" || m.CorrelationID != "story" || m.CausationID != d.Message.ID {
		t.Errorf("got %+v", a)
	}
	if mine[0].Principal != "root" || mine[1].CorrelationID != "" {
		t.Errorf("the handler's own are %+v", mine)
	}
}
