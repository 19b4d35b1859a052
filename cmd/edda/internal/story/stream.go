package story

import (
	"context"
	"fmt"
	"time"

	"github.com/edda-io/edda"
)

// stream is an order that two members of a group share: one gives it back, the other
// does it.
func stream(t *teller) {
	billing := edda.GroupRef{Stream: "orders" + t.Suffix, Group: "billing"}
	path := "/v1/streams/" + billing.Stream
	_, created, err := t.Client.SetGroup(t.ctx, edda.GroupSpec{
		Stream: billing.Stream, Name: billing.Group, From: edda.FromStart, Retry: edda.RetryPolicy{Max: 3, Delay: time.Millisecond},
	})
	got := status(err, "200")
	if created {
		got = "201"
	}
	t.line("PUT  "+path+"/groups/billing", got, got == "201", "201")
	place(t, billing.Stream, "201 offset 0")
	place(t, billing.Stream, "200 offset 0 (replayed)")
	take(t, billing, "eve", t.Client.Reject, "order-7, attempt 1")
	t.sayf("eve has rejected it: the group's retry policy says when it comes again.")
	take(t, billing, "bob", t.Client.Ack, "order-7, attempt 2")
	t.sayf("bob has acknowledged it: for this group it is done with, and in the stream it stays.")
	g, err := t.Client.Group(t.ctx, billing.Stream, billing.Group)
	got = status(err, "")
	if err == nil {
		got = fmt.Sprintf("cursor %d, lag %d", g.Cursor[edda.DefaultShard], g.Lag)
	}
	t.line("GET  "+path+"/groups/billing", got, got == "cursor 1, lag 0", "cursor 1, lag 0")
}

// place appends the order.
func place(t *teller, stream, want string) {
	ack, err := t.Client.Append(t.ctx, &edda.Append{Stream: stream, Messages: []edda.StreamMessage{
		{ID: "order-7", Type: "placed", Key: "ada", ContentType: "application/json", Payload: []byte(`{"n":1}`)},
	}})
	got := status(err, "")
	switch {
	case err != nil:
	case ack.Items[0].Replayed:
		got = fmt.Sprintf("200 offset %d (replayed)", ack.Items[0].Offset)
	default:
		got = fmt.Sprintf("201 offset %d", ack.Items[0].Offset)
	}
	t.line("POST /v1/streams/"+stream+" {\"n\":1}  Edda-Id: order-7", got, got == want, want)
}

// take has a member read one message and say what becomes of it.
func take(t *teller, g edda.GroupRef, member string, settle func(context.Context, edda.Settle) (*edda.Settled, error), want string) {
	got := "nothing"
	ds, err := t.Client.ReadGroup(t.ctx, edda.GroupRead{GroupRef: g, Member: member, Max: 1, Wait: maxWait})
	if err == nil && len(ds) > 0 {
		got = fmt.Sprintf("%s, attempt %d", ds[0].ID, ds[0].Attempt)
		var s *edda.Settled
		if s, err = settle(t.ctx, edda.Settle{GroupRef: g, Leases: []string{ds[0].Lease}}); err == nil && s.Done != 1 {
			got += ", whose lease has ended"
		}
	}
	if err != nil {
		got = outcome(nil, err)
	}
	t.line(fmt.Sprintf("POST /v1/streams/%s/groups/%s/read {\"member\":%q}", g.Stream, g.Group, member), got, got == want, want)
}
