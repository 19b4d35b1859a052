package rpcgw

import (
	cmpor "cmp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/internal/rpcconn"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// What a client and a worker write is what the node reads.
func TestAppendIsRead(t *testing.T) {
	f := oneOrder()
	c := serveStreams(t, f, Options{})
	for _, want := range []*edda.Append{
		{Namespace: "shop", Stream: "orders", Shard: "eu", Messages: []edda.StreamMessage{placed(), {Type: "message"}}, IfLast: new(uint64(5))},
		{Stream: "orders", Messages: []edda.StreamMessage{{Type: "t"}}},
		{Stream: "orders", Producer: "relay", Messages: []edda.StreamMessage{{Type: "t", Number: 7}, {Type: "t", Number: 1 << 40}}},
		{Namespace: "shop", Channel: "floor", Messages: []edda.StreamMessage{placed()}},
	} {
		b, err := rpcconn.AppendAppend(nil, 5, want)
		if err != nil {
			t.Fatal(err)
		}
		r := new(eddav1.BatchRequest)
		if err := proto.Unmarshal(b, r); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Append(as(t, ""), r.GetAppend()); err != nil {
			t.Fatal(err)
		}
		want.Principal = edda.Anonymous
		m := &want.Messages[0]
		m.Principal, m.Shard, m.Offset = "", "", 0 // which are not the producer's to say
		if diff := cmp.Diff(want, f.append); diff != "" {
			t.Errorf("-sent +got:\n%s", diff)
		}
	}
}

// What is written by hand is what protobuf writes.
func TestDeliveryIsOfTheProtocol(t *testing.T) {
	for _, d := range []edda.DeliveryRef{{}, {Stream: "orders", Group: "billing", Shard: "eu", Offset: 7, ID: "o-1"}} {
		got := new(eddav1.Dispatch)
		if err := proto.Unmarshal(appendDelivery(nil, &d), got); err != nil {
			t.Fatal(err)
		}
		want := &eddav1.Dispatch{Delivery: &eddav1.DeliveryRef{Stream: d.Stream, Group: d.Group, Shard: d.Shard, Offset: d.Offset, Id: d.ID}}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// What a worker says of a group is what the node gets, and who consumes one needs the
// right to read its stream.
func TestRegisterOfAGroup(t *testing.T) {
	g := oneOrder().group.GroupSpec
	b := rpcconn.AppendGroup(nil, 9, &g)
	s := new(eddav1.Service)
	if err := proto.Unmarshal(b, s); err != nil {
		t.Fatal(err)
	}
	s.Namespace, s.Name, s.Kind = "shop", "orders/billing", eddav1.Kind_KIND_ORDERED
	got, err := serviceOf(s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&g, got.Group); diff != "" || got.Validate() != nil {
		t.Errorf("%v (-sent +got):\n%s", got.Validate(), diff)
	}
	for _, tc := range []struct {
		rights auth.Rights
		may    bool
	}{
		{auth.Rights{Host: []auth.Pattern{"*:*"}, Manage: true, Append: []auth.Pattern{"*:*"}}, false},
		{auth.Rights{Read: []auth.Pattern{"shop:orders"}}, true}, {auth.Rights{Read: []auth.Pattern{"orders"}}, false},
	} {
		if err := mayHost(&auth.Grant{Rights: tc.rights}, &got); (err == nil) != tc.may {
			t.Errorf("with %+v: %v", tc.rights, err)
		}
	}
}

func TestAppendsOfAnOutcome(t *testing.T) {
	reply := &eddav1.Outcome_Reply{Reply: &eddav1.Reply{}}
	out, err := outcomeOf(&eddav1.Outcome{Result: reply, Appends: []*eddav1.AppendRequest{
		{Stream: "bills", Shard: "eu", Messages: []*eddav1.StreamMessage{placedView()}}, {Stream: "audit", Expect: &eddav1.AppendRequest_IfEmpty{IfEmpty: true}}, {Channel: "floor"},
	}})
	if err != nil || len(out.Appends) != 3 || out.Appends[2].Channel != "floor" || out.Appends[0].Shard != "eu" || out.Appends[0].Messages[0].ID != "o-1" || !out.Appends[1].IfEmpty {
		t.Errorf("got %+v, %v", out, err)
	}
	_, err = outcomeOf(&eddav1.Outcome{AttemptId: 3, Result: reply, Appends: []*eddav1.AppendRequest{
		{Stream: "a"}, {Stream: "bills", Messages: []*eddav1.StreamMessage{{CausationId: []byte("x")}}},
	}})
	if edda.ReasonOf(err) != edda.BadFrame || !strings.Contains(err.Error(), "attempt 3: appends[1]") {
		t.Errorf("got %v", err)
	}
}

// FuzzAppend reads whatever a client may send, and writes and reads it again.
func FuzzAppend(f *testing.F) {
	b, err := rpcconn.AppendAppend(nil, 5, &edda.Append{Stream: "orders", Messages: []edda.StreamMessage{placed(), {}}, IfLast: new(uint64(0))})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{42, 2, 34, 0})
	if b, err = rpcconn.AppendAppend(nil, 5, &edda.Append{Channel: "floor", Messages: []edda.StreamMessage{placed()}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := new(eddav1.BatchRequest)
		if proto.Unmarshal(b, r) != nil {
			return
		}
		a, err := appendOf(r.GetAppend())
		if err != nil || a.Validate() != nil {
			return
		}
		again, err := rpcconn.AppendAppend(nil, 5, a)
		if err != nil {
			t.Fatal(err)
		}
		r2 := new(eddav1.BatchRequest)
		if err := proto.Unmarshal(again, r2); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		for i := range a.Messages {
			a.Messages[i].Type = cmpor.Or(a.Messages[i].Type, edda.DefaultMessageType)
		}
		got, err := appendOf(r2.GetAppend())
		if diff := cmp.Diff(a, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v (-read +read again):\n%s", err, diff)
		}
	})
}
