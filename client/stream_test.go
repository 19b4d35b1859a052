package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// streamCall is a method about streams, groups or channels, called.
type streamCall struct {
	name   string
	call   func(context.Context, *client.Conn) error
	answer proto.Message
	again  bool // the call is made again after a broken connection
	asks   bool // it changes nothing
}

func streamCalls() []streamCall {
	stream := &eddav1.Stream{Spec: &eddav1.StreamSpec{Name: "s"}}
	group := &eddav1.Group{Spec: &eddav1.GroupSpec{Stream: "orders", Name: "billing"}}
	settled := &eddav1.Settled{Done: 1}
	lease := edda.Settle{GroupRef: billing, Leases: []string{"l"}}
	return []streamCall{
		{"set", func(ctx context.Context, c *client.Conn) error {
			_, _, err := c.SetStream(ctx, edda.StreamSpec{Name: "s"})
			return err
		}, &eddav1.SetStreamResponse{Stream: stream}, true, false},
		{"get", func(ctx context.Context, c *client.Conn) error { _, err := c.Stream(ctx, "", "s"); return err }, stream, true, true},
		{"list", func(ctx context.Context, c *client.Conn) error { _, _, err := c.Streams(ctx, "", 0, ""); return err }, &eddav1.ListStreamsResponse{}, true, true},
		{"delete", func(ctx context.Context, c *client.Conn) error { return c.DeleteStream(ctx, "", "s") }, &eddav1.DeleteStreamResponse{}, false, false},
		{"trim", func(ctx context.Context, c *client.Conn) error {
			_, err := c.TrimStream(ctx, "", "s", "", "1")
			return err
		}, stream, true, false},
		{"read", func(ctx context.Context, c *client.Conn) error {
			_, err := c.ReadStream(ctx, edda.Read{Stream: "s", Wait: time.Second})
			return err
		}, &eddav1.StreamPage{}, true, true},
		{"await", func(ctx context.Context, c *client.Conn) error {
			_, err := c.AwaitMessage(ctx, "", "s", "x", time.Second)
			return err
		}, &eddav1.StreamMessage{}, true, true},
		{"set group", func(ctx context.Context, c *client.Conn) error {
			_, _, err := c.SetGroup(ctx, edda.GroupSpec{Stream: "orders", Name: "billing"})
			return err
		}, &eddav1.SetGroupResponse{Group: group}, true, false},
		{"get group", func(ctx context.Context, c *client.Conn) error { _, err := c.Group(ctx, billing); return err }, group, true, true},
		{"list groups", func(ctx context.Context, c *client.Conn) error {
			_, err := c.Groups(ctx, "", "orders")
			return err
		}, &eddav1.ListGroupsResponse{}, true, true},
		{"delete group", func(ctx context.Context, c *client.Conn) error { return c.DeleteGroup(ctx, billing) }, &eddav1.DeleteGroupResponse{}, false, false},
		{"reset", func(ctx context.Context, c *client.Conn) error {
			_, err := c.ResetGroup(ctx, billing, "", edda.FromEnd)
			return err
		}, group, false, false},
		{"read group", func(ctx context.Context, c *client.Conn) error {
			_, err := c.ReadGroup(ctx, edda.GroupRead{GroupRef: billing, Member: "m"})
			return err
		}, &eddav1.Deliveries{}, true, true},
		{"ack", func(ctx context.Context, c *client.Conn) error { _, err := c.Ack(ctx, lease); return err }, settled, true, false},
		{"reject", func(ctx context.Context, c *client.Conn) error { _, err := c.Reject(ctx, lease); return err }, settled, true, false},
		{"extend", func(ctx context.Context, c *client.Conn) error { _, err := c.Extend(ctx, lease); return err }, settled, true, false},
	}
}

// When the connection breaks before the answer has come, a call is made again if a
// second time changes nothing; of any other one the outcome is not known.
func TestStreamCallsWhenTheConnectionBreaks(t *testing.T) {
	n := newFakeNode(t)
	w := newWire(t, n.url)
	c := dial(t, w.url(), client.Options{})
	for _, tc := range slices.Concat(streamCalls(), channelCalls()) {
		n.onSagas(func(ctx context.Context, _ proto.Message, times int) (proto.Message, error) {
			if times == 1 {
				w.cut()
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return tc.answer, nil
		})
		err := tc.call(t.Context(), c)
		calls := n.requests()
		switch {
		case !tc.again:
			wantReason(t, err, edda.OutcomeUnknown)
			if len(calls) != 1 {
				t.Errorf("%s: made %d times, want once", tc.name, len(calls))
			}
		case err != nil || len(calls) != 2 || !proto.Equal(calls[0], calls[1]):
			t.Errorf("%s: got %v, made %d times, want twice the same: %v", tc.name, err, len(calls), calls)
		}
	}
}

// What the node says comes through, without a connection nothing was done, and who waits
// no longer is told whether the call may have come through.
func TestStreamCallErrors(t *testing.T) {
	n := newFakeNode(t)
	c := n.dial(t, client.Options{ConnectTimeout: 30 * time.Millisecond})
	for _, tc := range slices.Concat(streamCalls(), channelCalls()) {
		n.onSagas(func(context.Context, proto.Message, int) (proto.Message, error) {
			return nil, refuse(&eddav1.Error{Reason: "NO_STREAM", Message: "there is none"})
		})
		err := tc.call(t.Context(), c)
		wantReason(t, err, edda.NoStream)
		if !strings.HasSuffix(err.Error(), ": there is none") || len(n.requests()) != 1 {
			t.Errorf("%s: got %q after %d calls", tc.name, err, len(n.requests()))
		}
		ctx, cancel := context.WithCancel(t.Context())
		n.onSagas(func(ctx context.Context, _ proto.Message, _ int) (proto.Message, error) {
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		})
		want := edda.OutcomeUnknown
		if tc.asks {
			want = edda.Timeout
		}
		if err := tc.call(ctx, c); edda.ReasonOf(err) != want {
			t.Errorf("%s, given up: got %v, want %s", tc.name, err, want)
		}
	}
	n.server.Stop()
	c = n.dial(t, client.Options{ConnectTimeout: 30 * time.Millisecond})
	for _, tc := range slices.Concat(streamCalls(), channelCalls()) {
		if err := tc.call(t.Context(), c); edda.ReasonOf(err) != edda.Unavailable {
			t.Errorf("%s without a connection: got %v", tc.name, err)
		}
	}
}

// Nobody can tell what has ended leases that are found stale by a second try.
func TestAckTwice(t *testing.T) {
	n := newFakeNode(t)
	w := newWire(t, n.url)
	c := dial(t, w.url(), client.Options{})
	s := edda.Settle{GroupRef: billing, Leases: []string{"l", "m"}}
	stale := &eddav1.Settled{Done: 1, Stale: []string{"m"}}
	n.onSagas(always(stale))
	if got, err := c.Ack(t.Context(), s); err != nil || got.Done != 1 || len(got.Stale) != 1 {
		t.Errorf("the first try: got %+v, %v", got, err)
	}
	for what, settle := range map[string]func(context.Context, edda.Settle) (*edda.Settled, error){"ack": c.Ack, "reject": c.Reject, "extend": c.Extend} {
		n.onSagas(func(ctx context.Context, _ proto.Message, times int) (proto.Message, error) {
			if times == 1 {
				w.cut()
				<-ctx.Done()
			}
			return stale, nil
		})
		want := edda.OutcomeUnknown
		if what == "extend" { // which has no end to have brought about
			want = ""
		}
		if _, err := settle(t.Context(), s); edda.ReasonOf(err) != want {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
	}
}

// A read from the end that waits does not miss what comes while the connection is broken.
func TestReadFromTheEndWhileTheConnectionBreaks(t *testing.T) {
	n := newFakeNode(t)
	w := newWire(t, n.url)
	c := dial(t, w.url(), client.Options{})
	n.onSagas(func(ctx context.Context, m proto.Message, times int) (proto.Message, error) {
		r := m.(*eddav1.ReadStreamRequest)
		switch {
		case times == 1:
			if r.GetFrom() != "end" || r.GetWait() != 0 {
				t.Errorf("asked for %v", r)
			}
			return &eddav1.StreamPage{Next: 7, End: 7}, nil
		case times == 2:
			w.cut()
			<-ctx.Done()
			return nil, ctx.Err()
		case r.GetFrom() != "7" || r.GetWait() == 0:
			t.Errorf("asked again for %v", r)
		}
		return &eddav1.StreamPage{Messages: []*eddav1.StreamMessage{{Id: "x", Offset: 7}}, Next: 8, End: 9}, nil
	})
	page, err := c.ReadStream(t.Context(), edda.Read{Stream: "s", From: edda.FromEnd, Wait: time.Hour})
	if err != nil || len(page.Messages) != 1 || page.Messages[0].ID != "x" || page.Next != 8 {
		t.Errorf("got %+v, %v", page, err)
	}
}

// Streams and groups that do not fit into one message come in pages.
func TestStreamsInPages(t *testing.T) {
	n := newFakeNode(t)
	c := n.dial(t, client.Options{})
	stream := func(shard string, more bool) *eddav1.Stream {
		return &eddav1.Stream{Spec: &eddav1.StreamSpec{Name: "s"}, Shards: []*eddav1.ShardOffsets{{Shard: shard, End: 1}}, MoreShards: more}
	}
	group := &eddav1.Group{Spec: &eddav1.GroupSpec{Stream: "orders", Name: "billing"}, Cursor: []*eddav1.ShardCursor{{Shard: "a"}, {Shard: "b"}}, More: true}
	n.onSagas(func(_ context.Context, m proto.Message, _ int) (proto.Message, error) {
		switch r := m.(type) {
		case *eddav1.GetStreamRequest:
			switch r.GetAfterShard() {
			case "":
				return stream("a", true), nil
			case "a":
				return stream("b", true), nil
			}
			return stream("c", false), nil
		case *eddav1.SetStreamRequest:
			return &eddav1.SetStreamResponse{Stream: stream("a", true), Created: true}, nil
		case *eddav1.ListStreamsRequest:
			return &eddav1.ListStreamsResponse{Streams: []*eddav1.Stream{stream("a", true)}, Next: "s"}, nil
		case *eddav1.ListGroupsRequest:
			if r.GetAfter() == "" {
				return &eddav1.ListGroupsResponse{Groups: []*eddav1.Group{group}, Next: "billing"}, nil
			}
			return &eddav1.ListGroupsResponse{Groups: []*eddav1.Group{{Spec: &eddav1.GroupSpec{Name: "last"}}}}, nil
		case *eddav1.GetGroupRequest:
			switch r.GetAfterShard() + "," + r.GetAfterMember() {
			case ",":
				return group, nil
			case "b,":
				return &eddav1.Group{Spec: group.GetSpec(), Cursor: []*eddav1.ShardCursor{{Shard: "c"}}, Members: []*eddav1.GroupMember{{Name: "m"}}, More: true}, nil
			case "c,m":
				return &eddav1.Group{Spec: group.GetSpec(), Members: []*eddav1.GroupMember{{Name: "n"}}, Lag: 3}, nil
			}
		}
		return nil, fmt.Errorf("asked for %v", m)
	})
	look := func(s *edda.Stream, err error) {
		t.Helper()
		if err != nil || len(s.Offsets) != 3 {
			t.Errorf("got %+v, %v", s, err)
		}
	}
	look(c.Stream(t.Context(), "", "s"))
	s, created, err := c.SetStream(t.Context(), edda.StreamSpec{Name: "s"})
	if look(s, err); !created {
		t.Error("it was not created")
	}
	page, next, err := c.Streams(t.Context(), "", 0, "")
	if err != nil || len(page) != 1 || next != "s" || len(page[0].Offsets) != 3 {
		t.Errorf("got %+v, %q, %v", page, next, err)
	}
	g, err := c.Group(t.Context(), billing)
	if err != nil || len(g.Cursor) != 3 || len(g.Members) != 2 || g.Members[1].Name != "n" || g.Lag != 3 {
		t.Errorf("got %+v, %v", g, err)
	}
	all, err := c.Groups(t.Context(), "", "orders")
	if err != nil || len(all) != 2 || len(all[0].Cursor) != 3 || all[1].Name != "last" {
		t.Errorf("got %+v, %v", all, err)
	}
}

// An append whose messages have ids is sent again when the connection breaks; any other
// one is not.
func TestAppendWhenTheConnectionBreaks(t *testing.T) {
	n := newFakeNode(t)
	w := newWire(t, n.url)
	c := dial(t, w.url(), client.Options{})
	var mu sync.Mutex
	times := 0
	n.on(func(r *eddav1.BatchRequest, answer func(*eddav1.BatchResponse)) error {
		mu.Lock()
		defer mu.Unlock()
		if times++; times%2 == 1 {
			w.cut()
			return nil
		}
		answer(&eddav1.BatchResponse{Ref: r.GetRef(), Response: &eddav1.BatchResponse_Appended{Appended: &eddav1.AppendResponse{
			Items: []*eddav1.Appended{{Id: r.GetAppend().GetMessages()[0].GetId(), Shard: "default", Offset: 3}}, Position: "p", Durability: "os",
		}}})
		return nil
	})
	ack, err := c.Append(t.Context(), one("s", "a"))
	if err != nil || len(ack.Items) != 1 || ack.Items[0] != (edda.Appended{ID: "a", Shard: "default", Offset: 3}) || ack.Position != "p" || ack.Durability != edda.OS || times != 2 {
		t.Errorf("got %+v, %v, sent %d times", ack, err, times)
	}
	_, err = c.Append(t.Context(), one("s", ""))
	wantReason(t, err, edda.OutcomeUnknown)
	if !strings.HasPrefix(err.Error(), "append to s: ") || !strings.HasSuffix(err.Error(), "repeat it with the same ids") {
		t.Errorf("the error is %q", err)
	}
}

func TestAppendIsRefused(t *testing.T) {
	n := newFakeNode(t)
	c := n.dial(t, client.Options{})
	n.on(func(r *eddav1.BatchRequest, answer func(*eddav1.BatchResponse)) error {
		answer(failure(r, &eddav1.Error{Reason: "EXPECTED_OFFSET", Message: "no", LastOffset: &eddav1.LastOffset{Offset: 41}}))
		return nil
	})
	_, err := c.Append(t.Context(), one("s", "a"))
	wantReason(t, err, edda.ExpectedOffset)
	if last, ok := errors.AsType[*edda.OffsetError](err); !ok || last.Last != 41 || last.Empty {
		t.Errorf("the error is %+v", err)
	}
	n.on(func(r *eddav1.BatchRequest, answer func(*eddav1.BatchResponse)) error {
		answer(reply(r, "what?"))
		return nil
	})
	_, err = c.Append(t.Context(), one("s", "a"))
	wantReason(t, err, edda.OutcomeUnknown)
}

// A tail goes on after the last message that was read, whatever breaks, and ends with what
// the node says.
func TestTail(t *testing.T) {
	n := newFakeNode(t)
	c := n.dial(t, client.Options{})
	asked := make(chan *eddav1.TailRequest, 10)
	page := func(at uint64) *eddav1.StreamPage {
		return &eddav1.StreamPage{Messages: []*eddav1.StreamMessage{{Id: fmt.Sprint(at), Shard: "eu", Offset: at}}, First: 1, Next: at + 1, End: 9}
	}
	n.streamsOf.tail = func(r *eddav1.TailRequest, send func(*eddav1.StreamPage) error) error {
		asked <- r
		switch r.GetFrom() {
		case "end":
			return errors.Join(send(&eddav1.StreamPage{Next: 5, End: 5}), send(page(5)))
		case "6":
			return send(page(6)) // and it ends for no reason
		case "7":
			_ = send(page(7))
			return refuse(&eddav1.Error{Reason: "NO_STREAM", Message: "it is gone"})
		}
		return refuse(&eddav1.Error{Reason: "INTERNAL", Message: "from " + r.GetFrom()})
	}
	var got []string
	var last error
	for p, err := range c.Tail(t.Context(), edda.Read{Stream: "s", Shard: "eu", From: edda.FromEnd}) {
		if last = err; err != nil {
			break
		}
		for i := range p.Messages {
			got = append(got, p.Messages[i].ID+p.Messages[i].Shard)
		}
	}
	wantReason(t, last, edda.NoStream)
	if strings.Join(got, " ") != "5eu 6eu 7eu" {
		t.Errorf("got %q", got)
	}
	if r := <-asked; r.GetLimit() != 1000 || r.GetBytes() != 1<<20 || r.GetShard() != "eu" {
		t.Errorf("asked for %v", r)
	}
	for range c.Tail(t.Context(), edda.Read{Stream: "s", From: edda.FromEnd}) {
		break // which ends it
	}
	for _, err := range c.Tail(t.Context(), edda.Read{Stream: "a b"}) {
		wantReason(t, err, edda.BadName)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range c.Tail(ctx, edda.Read{Stream: "s"}) {
		wantReason(t, err, edda.Timeout)
	}
}

// A tail of a node hands out every message once, in order, while connections break.
func TestTailWhileConnectionsBreak(t *testing.T) {
	n := open(t)
	w := newWire(t, serve(t, n))
	c := dial(t, w.url(), client.Options{})
	const many = 500
	var producing sync.WaitGroup
	producing.Go(func() {
		for i := range many {
			if _, err := n.Append(t.Context(), one("s", fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
			if i%50 == 0 {
				w.cut()
			}
		}
	})
	if _, err := n.AwaitMessage(t.Context(), "", "s", "0", patience); err != nil {
		t.Fatal(err)
	}
	next := 0
	for p, err := range c.Tail(t.Context(), edda.Read{Stream: "s"}) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Messages {
			if m := &p.Messages[i]; m.ID != fmt.Sprint(next) || m.Offset != uint64(next) {
				t.Fatalf("got %s at %d, want %d", m.ID, m.Offset, next)
			}
			next++
		}
		if next == many {
			break
		}
	}
	producing.Wait()
}
