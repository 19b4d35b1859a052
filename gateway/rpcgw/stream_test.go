package rpcgw

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// placed has a value in every field.
func placed() edda.StreamMessage {
	return edda.StreamMessage{
		ID: "o-1", Shard: "eu", Offset: 3, Type: "placed", Key: "k", Source: "shop", Principal: "ada",
		ReplyTo: edda.Address{Namespace: "shop", Name: "answers", Key: "us"}, Headers: edda.Headers{{Name: "A", Value: "1"}}, ContentType: "text/plain",
		Payload: []byte("x"), CorrelationID: "story", CausationID: edda.ID{7}, TraceParent: "tp", TraceState: "ts", Time: time.Unix(1, 5).UTC(),
	}
}

// placedView is placed as it travels.
func placedView() *eddav1.StreamMessage {
	cause := edda.ID{7}
	return &eddav1.StreamMessage{
		Id: "o-1", Shard: "eu", Offset: 3, Type: "placed", Key: "k", Source: "shop", Principal: "ada",
		ReplyTo: &eddav1.Address{Namespace: "shop", Name: "answers", Key: "us"}, Headers: []*eddav1.Header{{Name: "A", Value: "1"}}, ContentType: "text/plain",
		Payload: []byte("x"), CorrelationId: "story", CausationId: cause[:], Traceparent: "tp", Tracestate: "ts", Time: 1e9 + 5,
	}
}

func oneOrder() *fakeStreams {
	return &fakeStreams{
		stream: &edda.Stream{
			StreamSpec: edda.StreamSpec{Namespace: "shop", Name: "orders", Shards: []string{"eu", "us"}, Retention: edda.Retention{Age: 1, Count: 2, Bytes: 3}, Dedupe: 4},
			CreatedAt:  time.Unix(2, 0).UTC(), Offsets: map[string]edda.Offsets{"us": {First: 1, End: 2, Bytes: 3}, "eu": {End: 4}}, Groups: []string{"billing"},
		},
		group: &edda.Group{
			GroupSpec: edda.GroupSpec{
				Namespace: "shop", Stream: "orders", Name: "billing", From: "end", MinMembers: 1, MaxMembers: 2, ProcessingTimeout: 3, IdleTimeout: 4,
				Retry: edda.RetryPolicy{Max: -1, Delay: 2, MaxDelay: 3, Backoff: 4, Jitter: 0.5},
			},
			CreatedAt: time.Unix(2, 0).UTC(), Cursor: map[string]uint64{"us": 1, "eu": 2}, Lag: 5, Pending: 6,
			Members: []edda.Member{{Name: "a", Leases: 1, LastSeen: time.Unix(3, 0)}, {Name: "b"}},
		},
		page: &edda.StreamPage{Messages: []edda.StreamMessage{placed()}, First: 1, Next: 4, End: 9},
	}
}

func orderStream() *eddav1.Stream {
	return &eddav1.Stream{
		Spec: &eddav1.StreamSpec{
			Namespace: "shop", Name: "orders", Shards: []string{"eu", "us"}, Retention: &eddav1.Retention{Age: 1, Count: 2, Bytes: 3}, Dedupe: 4,
		},
		CreatedAt: 2e9, Groups: []string{"billing"}, Shards: []*eddav1.ShardOffsets{{Shard: "eu", End: 4}, {Shard: "us", First: 1, End: 2, Bytes: 3}},
	}
}

func orderGroup() *eddav1.Group {
	return &eddav1.Group{
		Spec: &eddav1.GroupSpec{
			Namespace: "shop", Stream: "orders", Name: "billing", From: "end", MinMembers: 1, MaxMembers: 2, ProcessingTimeout: 3, IdleTimeout: 4,
			Retry: &eddav1.Retry{Max: -1, Delay: 2, MaxDelay: 3, Backoff: 4, Jitter: 0.5},
		},
		CreatedAt: 2e9, Cursor: []*eddav1.ShardCursor{{Shard: "eu", Offset: 2}, {Shard: "us", Offset: 1}}, Lag: 5, Pending: 6,
		Members: []*eddav1.GroupMember{{Name: "a", Leases: 1, LastSeen: 3e9}, {Name: "b"}},
	}
}

func serveStreams(t *testing.T, f *fakeStreams, o Options) eddav1.StreamServiceClient {
	t.Helper()
	return eddav1.NewStreamServiceClient(serveOnly(t, backends{streams: f, groups: f}, o))
}

// streamCall is a method, called of the stream that there is.
type streamCall struct {
	name string
	call func(context.Context, eddav1.StreamServiceClient) (proto.Message, error)
	want proto.Message
	asks string
	may  []string // with streamTokens
}

// of makes a call without its types.
func of[Req any, Res proto.Message](m func(eddav1.StreamServiceClient, context.Context, Req, ...grpc.CallOption) (Res, error), r Req) func(context.Context, eddav1.StreamServiceClient) (proto.Message, error) {
	return func(ctx context.Context, c eddav1.StreamServiceClient) (proto.Message, error) { return m(c, ctx, r) }
}

func streamCalls() []streamCall {
	type client = eddav1.StreamServiceClient
	group := &eddav1.GroupRef{Namespace: "shop", Stream: "orders", Group: "billing"}
	settle := &eddav1.SettleRequest{Group: group, Leases: []string{"x", "y"}, Error: "no", Duration: 5}
	settled := &eddav1.Settled{Done: 1, Stale: []string{"old"}}
	page := &eddav1.StreamPage{Messages: []*eddav1.StreamMessage{placedView()}, First: 1, Next: 4, End: 9}
	manage, see, read, consume := []string{"ops"}, []string{"ops", "producer", "reader"}, []string{"ops", "reader"}, []string{"reader"}
	return []streamCall{
		{"set", of(client.SetStream, &eddav1.SetStreamRequest{Stream: orderStream().GetSpec()}), &eddav1.SetStreamResponse{Stream: orderStream(), Created: true}, "set stream", manage},
		{"get", of(client.GetStream, &eddav1.GetStreamRequest{Namespace: "shop", Stream: "orders"}), orderStream(), "stream shop:orders", see},
		{"delete", of(client.DeleteStream, &eddav1.StreamRef{Namespace: "shop", Stream: "orders"}), new(eddav1.DeleteStreamResponse), "delete stream shop:orders", manage},
		{
			"append", of(client.Append, &eddav1.AppendRequest{Namespace: "shop", Stream: "orders", Messages: []*eddav1.StreamMessage{{}}}),
			&eddav1.AppendResponse{Items: []*eddav1.Appended{{Id: "a", Shard: "eu", Offset: 3, Replayed: true}}, Position: "p", Durability: "fsync"}, "append", []string{"producer"},
		},
		{
			"append with a reply elsewhere", of(client.Append, &eddav1.AppendRequest{Namespace: "shop", Stream: "orders", Messages: []*eddav1.StreamMessage{{}, {ReplyTo: &eddav1.Address{Name: "other"}}}}),
			nil, "append", nil,
		},
		{
			"publish", of(client.Append, &eddav1.AppendRequest{Namespace: "shop", Channel: "floor", Messages: []*eddav1.StreamMessage{{}}}),
			nil, "append", []string{"publisher"},
		},
		{
			"publish with a reply elsewhere", of(client.Append, &eddav1.AppendRequest{Namespace: "shop", Channel: "floor", Messages: []*eddav1.StreamMessage{{ReplyTo: &eddav1.Address{Name: "other"}}}}),
			nil, "append", nil,
		},
		{"read", of(client.ReadStream, &eddav1.ReadStreamRequest{Namespace: "shop", Stream: "orders", From: "1", Wait: 5}), page, "read 1, wait 5ns", read},
		{"await", of(client.AwaitMessage, &eddav1.AwaitMessageRequest{Namespace: "shop", Stream: "orders", Id: "a", Wait: 5}), placedView(), "await shop:orders a for 5ns", read},
		{"trim", of(client.TrimStream, &eddav1.TrimStreamRequest{Namespace: "shop", Stream: "orders", Shard: "eu", Before: "4"}), orderStream(), "trim shop:orders eu before 4", manage},
		{"set group", of(client.SetGroup, &eddav1.SetGroupRequest{Group: orderGroup().GetSpec()}), &eddav1.SetGroupResponse{Group: orderGroup(), Created: true}, "set group", manage},
		{"get group", of(client.GetGroup, &eddav1.GetGroupRequest{Group: group}), orderGroup(), "group shop:orders/billing", see},
		{"list groups", of(client.ListGroups, &eddav1.ListGroupsRequest{Namespace: "shop", Stream: "orders", After: "e"}), new(eddav1.ListGroupsResponse), "groups shop:orders", see},
		{"delete group", of(client.DeleteGroup, group), new(eddav1.DeleteGroupResponse), "delete group shop:orders/billing", manage},
		{"reset", of(client.ResetGroup, &eddav1.ResetGroupRequest{Group: group, Shard: "eu", To: "end"}), orderGroup(), "reset shop:orders/billing eu to end", manage},
		{
			"read group", of(client.ReadGroup, &eddav1.ReadGroupRequest{Group: group, Member: "m", Max: 7, Wait: 5}),
			&eddav1.Deliveries{Items: []*eddav1.Delivery{{Message: placedView(), Lease: "l", Attempt: 2}}}, "read group shop:orders/billing as m, 7 for 5ns", consume,
		},
		{"ack", of(client.Ack, settle), settled, "ack x+y", consume},
		{"reject", of(client.Reject, settle), settled, "reject x+y", consume},
		{"extend", of(client.Extend, settle), settled, "extend x+y", consume},
	}
}

func TestStreamMethods(t *testing.T) {
	f := oneOrder()
	c := serveStreams(t, f, Options{})
	for _, tc := range streamCalls() {
		f.asked = nil
		got, err := tc.call(as(t, ""), c)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if diff := cmp.Diff(tc.want, got, protocmp.Transform()); tc.want != nil && diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
		if asked := strings.Join(f.asked, ", "); asked != tc.asks {
			t.Errorf("%s: the backend is asked to %q, want %q", tc.name, asked, tc.asks)
		}
		switch tc.name {
		case "set":
			if diff := cmp.Diff(f.stream.StreamSpec, f.spec); diff != "" {
				t.Errorf("the stream (-sent +got):\n%s", diff)
			}
		case "set group":
			if diff := cmp.Diff(f.group.GroupSpec, f.spec); diff != "" {
				t.Errorf("the group (-sent +got):\n%s", diff)
			}
		}
	}
	want := edda.Settle{GroupRef: edda.GroupRef{Namespace: "shop", Stream: "orders", Group: "billing"}, Leases: []string{"x", "y"}, Error: "no", For: 5}
	if diff := cmp.Diff(want, f.settle); diff != "" {
		t.Errorf("the leases (-sent +got):\n%s", diff)
	}
}

// streamTokens are the credentials of the tests.
func streamTokens(t *testing.T) auth.Authenticator {
	t.Helper()
	var tokens []auth.Token
	orders := []auth.Pattern{"shop:orders*"}
	for p, r := range map[edda.Principal]auth.Rights{
		"producer": {Append: orders}, "publisher": {Publish: []auth.Pattern{"shop:floor"}}, "reader": {Read: orders}, "ops": {Manage: true}, "caller": {Call: []auth.Pattern{"*:*"}, Host: []auth.Pattern{"*:*"}},
	} {
		hash, err := auth.HashToken(string(p))
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, auth.Token{Principal: p, SHA256: hash, Rights: r})
	}
	a, err := auth.NewTokens(tokens...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestStreamRights(t *testing.T) {
	f := oneOrder()
	c := serveStreams(t, f, Options{Authenticator: streamTokens(t)})
	calls := append(streamCalls(), streamCall{
		name: "tail", may: []string{"ops", "reader"},
		call: func(ctx context.Context, c eddav1.StreamServiceClient) (proto.Message, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			s, err := c.Tail(ctx, &eddav1.TailRequest{Namespace: "shop", Stream: "orders"})
			if err != nil {
				return nil, err
			}
			return s.Recv()
		},
	})
	for _, tc := range calls {
		for _, who := range []string{"", "producer", "publisher", "reader", "ops", "caller", "stranger"} {
			f.mu.Lock()
			f.asked = nil
			f.mu.Unlock()
			want := edda.NotAllowed
			switch {
			case slices.Contains(tc.may, who):
				want = ""
			case who == "" || who == "stranger":
				want = edda.NoCredentials
			}
			_, err := tc.call(as(t, who), c)
			if r, text := reasonOf(err); r != want {
				t.Errorf("%s by %q: got %s (%s), want %q", tc.name, who, r, text, want)
			}
			f.mu.Lock()
			if want != "" && len(f.asked) > 0 {
				t.Errorf("%s by %q: refused, but the backend was asked to %q", tc.name, who, f.asked)
			}
			f.mu.Unlock()
		}
	}
	if f.append.Principal != "publisher" || f.append.Channel != "floor" || f.append.Stream != "" {
		t.Errorf("the last append is %+v", f.append)
	}
	for who, want := range map[string]int{"reader": 2, "producer": 2, "ops": 3, "caller": 0} {
		got, err := c.ListStreams(as(t, who), &eddav1.ListStreamsRequest{Namespace: "shop", Limit: 3})
		if err != nil || len(got.GetStreams()) != want || got.GetNext() != "orders2" {
			t.Errorf("%s sees %d streams, %v, want %d and that there are more", who, len(got.GetStreams()), err, want)
		}
	}
}

func TestExpectedOffset(t *testing.T) {
	c := serveStreams(t, oneOrder(), Options{})
	for _, tc := range []struct {
		r    *eddav1.AppendRequest
		want *eddav1.LastOffset
	}{
		{&eddav1.AppendRequest{Expect: &eddav1.AppendRequest_IfLast{}}, &eddav1.LastOffset{Offset: 41}},
		{&eddav1.AppendRequest{Expect: &eddav1.AppendRequest_IfEmpty{IfEmpty: true}}, &eddav1.LastOffset{Empty: true}},
	} {
		_, err := c.Append(as(t, ""), tc.r)
		details := status.Convert(err).Details()
		if len(details) != 1 || !proto.Equal(details[0].(*eddav1.Error).GetLastOffset(), tc.want) {
			t.Errorf("got %v %v, want %v", err, details, tc.want)
		}
	}
}

func TestRefusedStreamCalls(t *testing.T) {
	f := oneOrder()
	c := serveStreams(t, f, Options{})
	for name, call := range map[string]func(context.Context) error{
		"long read": func(ctx context.Context) error {
			_, err := c.ReadStream(ctx, &eddav1.ReadStreamRequest{Wait: int64(time.Hour)})
			return err
		},
		"negative read": func(ctx context.Context) error {
			_, err := c.ReadStream(ctx, &eddav1.ReadStreamRequest{Wait: -1})
			return err
		},
		"long await": func(ctx context.Context) error {
			_, err := c.AwaitMessage(ctx, &eddav1.AwaitMessageRequest{Wait: int64(time.Hour)})
			return err
		},
		"long group read": func(ctx context.Context) error {
			_, err := c.ReadGroup(ctx, &eddav1.ReadGroupRequest{Wait: int64(time.Hour)})
			return err
		},
		"many groups": func(ctx context.Context) error {
			_, err := c.ListGroups(ctx, &eddav1.ListGroupsRequest{Limit: 1001})
			return err
		},
		"a short cause": func(ctx context.Context) error {
			_, err := c.Append(ctx, &eddav1.AppendRequest{Messages: []*eddav1.StreamMessage{{}, {CausationId: []byte{1}}}})
			return err
		},
	} {
		err := call(as(t, ""))
		if r, _ := reasonOf(err); r != edda.BadValue || len(f.asked) > 0 {
			t.Errorf("%s: got %v, and the backend was asked to %q", name, err, f.asked)
		}
	}
}

// What does not fit into one message comes in several.
func TestLargeViews(t *testing.T) {
	f := oneOrder()
	c := serveStreams(t, f, Options{})
	name := func(i int) string { return fmt.Sprintf("%05d-%s", i, strings.Repeat("x", 100)) }
	const many = 30_000 // some 4 MiB
	f.group.Members = nil
	for i := range many {
		f.stream.Offsets[name(i)] = edda.Offsets{First: 1 << 40, End: 1 << 41, Bytes: 1 << 42}
		f.group.Cursor[name(i)] = uint64(i)
		f.group.Members = append(f.group.Members, edda.Member{Name: name(i)})
	}
	pages, shards, after := 0, 0, ""
	for more := true; more; pages++ {
		s, err := c.GetStream(as(t, ""), &eddav1.GetStreamRequest{AfterShard: after})
		if err != nil || proto.Size(s) > maxViewBytes+1000 {
			t.Fatalf("%v, %d bytes", err, proto.Size(s))
		}
		more = s.GetMoreShards()
		shards += len(s.GetShards())
		after = s.GetShards()[len(s.GetShards())-1].GetShard()
	}
	if shards != many+2 || pages < 2 {
		t.Errorf("got %d shards in %d pages, want %d in some", shards, pages, many+2)
	}
	pages, cursor, members, r := 0, 0, 0, &eddav1.GetGroupRequest{}
	for more := true; more; pages++ {
		g, err := c.GetGroup(as(t, ""), r)
		if err != nil || proto.Size(g) > maxViewBytes+1000 {
			t.Fatalf("%v, %d bytes", err, proto.Size(g))
		}
		more = g.GetMore()
		cursor, members = cursor+len(g.GetCursor()), members+len(g.GetMembers())
		for _, c := range g.GetCursor() {
			r.AfterShard = c.GetShard()
		}
		for _, m := range g.GetMembers() {
			r.AfterMember = m.GetName()
		}
	}
	if cursor != many+2 || members != many || pages < 3 {
		t.Errorf("got a cursor of %d and %d members in %d pages", cursor, members, pages)
	}
	listed, next := 0, ""
	for first := true; first || next != ""; first = false {
		l, err := c.ListGroups(as(t, ""), &eddav1.ListGroupsRequest{After: next})
		if err != nil || len(l.GetGroups()) == 0 || proto.Size(l) > 2*maxViewBytes {
			t.Fatalf("%v, %d groups, %d bytes", err, len(l.GetGroups()), proto.Size(l))
		}
		listed, next = listed+len(l.GetGroups()), l.GetNext()
	}
	if listed != 5 {
		t.Errorf("%d groups are listed, want 5", listed)
	}
	l, err := c.ListStreams(as(t, ""), &eddav1.ListStreamsRequest{Limit: 10})
	if err != nil || len(l.GetStreams()) != 1 || l.GetNext() != "orders0" || f.asked[len(f.asked)-1] != `list , 1 after ""` {
		t.Errorf("got %d streams and %q, %v, want the first alone, and how to go on after it", len(l.GetStreams()), l.GetNext(), err)
	}
}
