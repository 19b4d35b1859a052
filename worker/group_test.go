package worker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
	"github.com/edda-io/edda/worker"
)

// consumer returns the consumer of the group billing of the stream orders, whose
// every type is h.
func consumer(h edda.HandlerFunc) *edda.Service {
	s := edda.NewConsumer("orders", "billing")
	s.Group.From, s.Group.MinMembers, s.Group.MaxMembers = edda.FromStart, 2, 3
	s.Group.ProcessingTimeout, s.Group.IdleTimeout, s.Group.Retry.Max = time.Hour, time.Minute, 5
	s.HandleAny(h)
	return s
}

// delivered is an attempt at a message of the group.
func delivered(id uint64, method, key string) *eddav1.NodeFrame {
	f := dispatch(id, "orders", method, "")
	d := f.GetDispatch()
	d.Message.Service, d.Message.Key = "orders/billing", key
	d.Message.Source, d.Message.ReplyTo = "shop", &eddav1.Address{Namespace: "depot", Name: "answers", Key: "eu"}
	d.Delivery = &eddav1.DeliveryRef{Stream: "orders", Group: "billing", Shard: "eu", Offset: 7, Id: "o-1"}
	d.AttemptTimeout = int64(2 * time.Hour)
	if key != "" {
		d.State = &eddav1.State{Entries: []*eddav1.StateEntry{{Name: "n", Value: []byte("1")}}}
	}
	return f
}

// A consumer tells the node of its group, is told which message it has, and its appends
// travel with its outcome.
func TestConsumer(t *testing.T) {
	n := newFakeNode(t)
	gains := make(chan edda.Address, 10)
	o := worker.Options{DrainTimeout: -1, OnGain: func(key edda.Address) { gains <- key }}
	n.run(o, consumer(func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
		if *c.Delivery() != (edda.DeliveryRef{Stream: "orders", Group: "billing", Shard: "eu", Offset: 7, ID: "o-1"}) {
			return nil, edda.Final("WRONG", "the delivery is %+v", c.Delivery())
		}
		if m.Source != "shop" || m.ReplyTo != (edda.Address{Namespace: "depot", Name: "answers", Key: "eu"}) || worker.Owns(c, c.Key()) {
			return nil, edda.Final("WRONG", "the message is %+v", m)
		}
		if c.Progress(); m.Type == "placed ✓" {
			at, _ := c.Deadline()
			if time.Until(at) < time.Hour+time.Minute {
				return nil, edda.Final("WRONG", "the deadline is %v", at)
			}
		}
		if _, _, err := c.Get("n"); (err == nil) != (c.Key() != "") {
			return nil, edda.Final("WRONG", "of key %q the state is %v", c.Key(), err)
		}
		a := &edda.Append{Stream: "bills", Shard: "us", Messages: []edda.StreamMessage{{ID: "b", Type: "bill", Key: "k", Source: "\xff", Payload: []byte("x")}, {}}}
		conditional := &edda.Append{Stream: "bills", IfEmpty: true, Messages: []edda.StreamMessage{{}}}
		if c.Append(conditional) == nil {
			return nil, errors.New("a condition was taken")
		}
		return nil, errors.Join(c.Append(a), c.Append(&edda.Append{Namespace: "depot", Stream: "audit", Messages: []edda.StreamMessage{{}}}),
			c.Publish("floor", edda.StreamMessage{ID: "p"}))
	}))
	k, r := n.registered()
	want := &eddav1.GroupSpec{
		Stream: "orders", Name: "billing", From: "start", MinMembers: 2, MaxMembers: 3, ProcessingTimeout: int64(time.Hour), IdleTimeout: int64(time.Minute),
		Retry: &eddav1.Retry{Max: 5},
	}
	s := r.GetServices()[0]
	if s.GetName() != "orders/billing" || s.GetKind() != eddav1.Kind_KIND_ORDERED || !proto.Equal(s.GetGroup(), want) {
		t.Errorf("registered is %v", s)
	}
	for id, key := range []string{"", "k 1"} {
		k.send(delivered(uint64(id+1), "placed ✓", key))
		var out *eddav1.Outcome
		for out == nil {
			out = k.next().GetOutcome()
		}
		all := out.GetAppends()
		if out.GetFailure() != nil || len(all) != 3 {
			t.Fatalf("got %v", out)
		}
		m := all[0].GetMessages()
		if all[0].GetStream() != "bills" || all[0].GetNamespace() != "default" || all[0].GetShard() != "us" || len(m) != 2 || m[0].GetId() != "b" || m[0].GetKey() != "k" ||
			m[0].GetSource() != "\uFFFD" || m[1].GetType() != "message" || all[1].GetNamespace() != "depot" ||
			all[2].GetChannel() != "floor" || all[2].GetStream() != "" || all[2].GetMessages()[0].GetId() != "p" {
			t.Errorf("appended is %v", all)
		}
	}
	if len(gains) > 0 {
		t.Errorf("the worker has gained %v of a group", <-gains)
	}
}

// A type of messages that the consumer has no handler for fails for good.
func TestConsumerWithoutTheType(t *testing.T) {
	n := newFakeNode(t)
	s := edda.NewConsumer("orders", "billing")
	s.Add(edda.Method{Name: "placed", Handler: echo})
	n.run(worker.Options{}, s)
	k, r := n.registered()
	if m := r.GetServices()[0].GetMethods(); len(m) != 1 || m[0].GetName() != "placed" {
		t.Errorf("the methods are %v", m)
	}
	k.send(delivered(1, "lost", "k"))
	if f := k.outcome().GetFailure(); f.GetReason() != "NO_METHOD" || !f.GetFinal() || !strings.Contains(f.GetMessage(), "orders/billing") {
		t.Errorf("got %v", f)
	}
}
