package httpgw

import (
	"errors"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/google/go-cmp/cmp"
)

// TestStreamClient checks that the command's client and the gateway mean the same.
func TestStreamClient(t *testing.T) {
	f, fg := &fakeStreams{}, &fakeGroups{names: []string{"a", "mail"}}
	s := httptest.NewServer(streamsOf(t, f, fg, Options{}))
	defer s.Close()
	c, err := eddahttp.New(s.URL, eddahttp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	spec := edda.StreamSpec{
		Namespace: "default", Name: "orders", Shards: []string{"default", "eu"}, Dedupe: time.Hour, Retention: edda.Retention{Age: time.Minute, Bytes: 9},
	}
	st, created, err := c.SetStream(ctx, spec)
	if err != nil || !created || !reflect.DeepEqual(st.StreamSpec, spec) || !reflect.DeepEqual(f.spec, spec) {
		t.Errorf("set: got %+v, %v, %v", st, created, err)
	}
	one := edda.StreamMessage{
		ID: "x", Type: "placed", Key: "a/ö b", Source: "till", ReplyTo: edda.Address{Namespace: "shop", Name: "r", Key: "eu"},
		Headers: edda.Headers{{Name: "A-B", Value: "1"}}, ContentType: "text/plain", Payload: []byte("hi\n"), CorrelationID: "story", Time: at(1).UTC(),
	}
	two := one
	two.ID, two.Type, two.Headers, two.Payload = "größe", "größe", edda.Headers{{Name: "ce-x", Value: " 1"}}, []byte("\xff")
	kept := edda.StreamMessage{ID: "kept", Type: "t", ContentType: "application/cloudevents+json", Payload: []byte(`{"not":"an event"}`), Time: at(1).UTC()}
	ack, err := c.Append(ctx, &edda.Append{Stream: "orders", IfEmpty: true, Messages: []edda.StreamMessage{one}})
	want := &edda.AppendAck{Items: []edda.Appended{{ID: "x", Shard: "default"}}, Position: "3-9", Durability: edda.Fsync}
	if diff := cmp.Diff(want, ack); diff != "" || err != nil {
		t.Errorf("append: %v, want - and got +:\n%s", err, diff)
	}
	ack, err = c.Append(ctx, &edda.Append{Stream: "orders", IfLast: new(uint64), Messages: []edda.StreamMessage{two, one}})
	want.Items = []edda.Appended{{ID: "größe", Shard: "default", Offset: 1}, {ID: "x", Shard: "default", Replayed: true}}
	if diff := cmp.Diff(want, ack); diff != "" || err != nil {
		t.Errorf("append a batch: %v, want - and got +:\n%s", err, diff)
	}
	if ack, err = c.Append(ctx, &edda.Append{Stream: "orders", Messages: []edda.StreamMessage{one}}); err != nil || !ack.Items[0].Replayed {
		t.Errorf("append again: got %+v, %v", ack, err)
	}
	_, err = c.Append(ctx, &edda.Append{Stream: "orders", IfEmpty: true, Messages: []edda.StreamMessage{{}}})
	if last, ok := errors.AsType[*edda.OffsetError](err); !ok || last.Last != 1 || edda.ReasonOf(err) != edda.ExpectedOffset {
		t.Errorf("append elsewhere: got %v", err)
	}

	if _, err = c.Append(ctx, &edda.Append{Stream: "orders", Messages: []edda.StreamMessage{kept}}); err != nil {
		t.Errorf("append what would be an event: got %v", err)
	}

	kept.Shard, kept.Principal, kept.Offset = "default", edda.Anonymous, 2
	one.Shard, one.Principal = "default", edda.Anonymous
	two.Shard, two.Principal, two.Offset = "default", edda.Anonymous, 1
	all := []edda.StreamMessage{one, two, kept}
	page, err := c.ReadStream(ctx, edda.Read{Stream: "orders"})
	if diff := cmp.Diff(&edda.StreamPage{Messages: all, Next: 3, End: 3}, page); diff != "" || err != nil {
		t.Errorf("read: %v, want - and got +:\n%s", err, diff)
	}
	got, err := c.AwaitMessage(ctx, "orders", "größe", time.Second)
	if diff := cmp.Diff(&two, got); diff != "" || err != nil {
		t.Errorf("await: %v, want - and got +:\n%s", err, diff)
	}
	var tailed []edda.StreamMessage
	for m, err := range c.TailStream(ctx, edda.Read{Stream: "orders", From: edda.FromStart}) {
		if err != nil {
			t.Fatal(err)
		}
		if tailed = append(tailed, m); len(tailed) == 3 {
			break
		}
	}
	if diff := cmp.Diff(all, tailed); diff != "" {
		t.Errorf("tail: want - and got +:\n%s", diff)
	}
	if st, err = c.TrimStream(ctx, "orders", "eu", edda.FromOffset(1)); err != nil || st.Offsets["default"].End != 3 || f.trimmed != "eu 1" {
		t.Errorf("trim: got %+v, %v", st, err)
	}
	if p, err := c.Streams(ctx, 5, ""); err != nil || len(p.Items) != 1 || p.Next != "more" || p.Items[0].Name != "orders" {
		t.Errorf("list: got %+v, %v", p, err)
	}
	if st, err = c.Stream(ctx, "orders"); err != nil || !st.CreatedAt.Equal(at(1)) {
		t.Errorf("show: got %+v, %v", st, err)
	}
	if err := c.DeleteStream(ctx, "orders"); err != nil || len(f.streams) > 0 {
		t.Errorf("remove: got %v", err)
	}
	checkGroupClient(t, c, fg)
}

func checkGroupClient(t *testing.T, c *eddahttp.Client, f *fakeGroups) {
	t.Helper()
	ctx := t.Context()
	ref := edda.GroupRef{Namespace: "default", Stream: "orders", Group: "mail"}
	spec := edda.GroupSpec{
		Namespace: "default", Stream: "orders", Name: "mail", From: edda.FromStart, MinMembers: 2, IdleTimeout: time.Minute,
		Retry: edda.RetryPolicy{Max: 3, Delay: time.Second, MaxDelay: time.Minute, Backoff: 1, Jitter: -1},
	}
	if _, created, err := c.SetGroup(ctx, spec); err != nil || created || f.spec != spec {
		t.Errorf("set: got %+v, %v", f.spec, err)
	}
	gr, err := c.Group(ctx, "orders", "mail")
	if err != nil || gr.Lag != 3 || gr.Cursor["default"] != 4 || gr.Members[0].Name != "m1" || gr.MaxMembers != 5 {
		t.Errorf("show: got %+v, %v", gr, err)
	}
	if p, err := c.Groups(ctx, "orders", 1, "a"); err != nil || len(p.Items) != 1 || p.Items[0].Name != "mail" || p.Next != "" {
		t.Errorf("list: got %+v, %v", p, err)
	}
	if _, err := c.ResetGroup(ctx, "orders", "mail", "eu", edda.FromEnd); err != nil || f.reset != "eu end" {
		t.Errorf("reset: got %q, %v", f.reset, err)
	}
	read := edda.GroupRead{GroupRef: ref, Member: "m", Max: 2, Wait: time.Second}
	ds, err := c.ReadGroup(ctx, read)
	if err != nil || f.read != read || len(ds) != 1 || ds[0].Lease != "l-1" || string(ds[0].Payload) != "hi" {
		t.Errorf("read: got %+v, %v", ds, err)
	}
	s := edda.Settle{GroupRef: ref, Leases: []string{"a", "b"}, Error: "no", For: time.Second}
	settled, err := c.Reject(ctx, s)
	if err != nil || settled.Done != 1 || settled.Stale[0] != "b" || !reflect.DeepEqual(f.settle, s) {
		t.Errorf("reject: got %+v, %v", settled, err)
	}
	_, acked := c.Ack(ctx, s)
	_, extended := c.Extend(ctx, s)
	if err := errors.Join(acked, extended, c.DeleteGroup(ctx, "orders", "mail")); err != nil {
		t.Error(err)
	}
}
