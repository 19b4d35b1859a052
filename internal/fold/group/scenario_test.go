package group

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// A message that is appended while the group is caught up is a request in the same
// record. What is acknowledged is known by its being open no more, also after a restart.
func TestCaughtUpGroupTakesInWhatIsAppended(t *testing.T) {
	w := newWorld(t, setup{})
	w.expect(w.set("orders/billing", edda.FromEnd), "set orders/billing created\n")
	w.expect(w.append("orders", "a=1", "a=2", "3"),
		"accepted orders/billing:0\nready orders/billing:0\naccepted orders/billing:1\naccepted orders/billing:2\nready orders/billing:2\n")
	w.expect(w.where("orders/billing"), "{default:0} lag 3 open 3")
	w.ack("orders/billing:2")
	w.expect(w.where("orders/billing"), "{default:0} lag 2 open 2")
	w.expect(w.ack("orders/billing:0"), "ended orders/billing:0 succeeded\nready orders/billing:1\n")
	w.expect(w.where("orders/billing"), "{default:1} lag 1 open 1")
	w.check()
	w.reload()
	w.check()
	w.expect(w.where("orders/billing"), "{default:1} lag 1 open 1")
	w.ack("orders/billing:1")
	w.expect(w.where("orders/billing"), "{default:3} lag 0 open 0")
	w.expect(w.append("orders", "4"), "accepted orders/billing:3\nready orders/billing:3\n")
}

// The request has the message as it came, under the address and the id of its own.
func TestRequestOfAMessage(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("orders/billing", edda.FromEnd)
	made := time.Unix(5, 0).UTC()
	given := edda.StreamMessage{
		ID: "o-1", Type: "placed", Key: "42", Source: "shop", Principal: "bob", ContentType: "text/plain", Payload: []byte("x"),
		Headers: edda.Headers{{Name: "A", Value: "b"}}, ReplyTo: edda.Address{Name: "replies", Key: "eu"},
		CorrelationID: "story", TraceParent: "00-1", TraceState: "s", Time: made,
	}
	w.appendAll("orders/eu", nil, given, edda.StreamMessage{Payload: []byte("y")})
	first, second := w.must("orders/billing:eu/0"), w.must("orders/billing:eu/1")
	want := given.Envelope()
	want.ID, want.To = first.ID, edda.Address{Namespace: edda.DefaultNamespace, Name: "orders/billing", Key: "42"}
	if got := fmt.Sprintf("%+v", *first.Message); got != fmt.Sprintf("%+v", want) {
		t.Errorf("the request's message is\n%s\nwant\n%+v", got, want)
	}
	if d := first.Delivery; d.ID != "o-1" || d.Shard != "eu" || d.Stream != w.group("orders/billing").Stream.Serial || first.Kind != edda.Ordered {
		t.Errorf("the request is %s and the delivery %+v", first.Kind, d)
	}
	id := w.message("orders/eu", 1).ID
	m := second.Message
	if m.CorrelationID != id || second.Delivery.ID != id || m.Time != time.Unix(0, w.now).UTC() || second.Kind != edda.Balanced {
		t.Errorf("the request of %s is %s, of %s, part of %q, made at %s", id, second.Kind, second.Delivery.ID, m.CorrelationID, m.Time)
	}
	hash := edda.StreamHash(edda.DefaultNamespace, "orders")
	if first.ID == second.ID || first.ID[6]>>4 != 8 || first.ID[8]>>6 != 2 || first.ID.Route() != uint16(hash>>48) || first.Hash != hash {
		t.Errorf("the ids are %s and %s, the stream lives at %x", first.ID, second.ID, hash)
	}
}

// Slots that the record names start messages with it, unless their key has others.
func TestSlotsOfAnAppend(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("orders/a", edda.FromEnd)
	w.set("orders/b", edda.FromEnd)
	a, b := w.group("orders/a").Serial, w.group("orders/b").Serial
	got := w.appendAll("orders", []record.GroupStart{{Group: a, Index: 0}, {Group: b, Index: 1}, {Group: a, Index: 2}, {Group: 99, Index: 0}},
		msg("1"), msg("k=2"), msg("k=3"))
	w.expect(got, "accepted orders/a:0\ndispatch orders/a:0\naccepted orders/b:0\nready orders/b:0\naccepted orders/a:1\nready orders/a:1\n"+
		"accepted orders/b:1\ndispatch orders/b:1\naccepted orders/a:2\nspare -\naccepted orders/b:2\n")
	var starts []record.GroupStart
	var msgs []edda.StreamMessage
	for i := range 40 {
		msgs = append(msgs, msg("x"))
		if i%2 == 0 {
			starts = append(starts, record.GroupStart{Group: a, Index: uint32(i)})
		}
	}
	got = w.appendAll("orders", starts, msgs...)
	if n := strings.Count(got, "dispatch orders/a:"); n != 20 || strings.Contains(got, "dispatch orders/b") {
		t.Errorf("%d messages of a are started, want 20:\n%s", n, got)
	}
}

// Groups do not know of each other.
func TestGroupsAreIndependent(t *testing.T) {
	w := newWorld(t, setup{})
	w.set("s/a", edda.FromEnd)
	w.set("s/b", edda.FromEnd)
	w.append("s", "k=0", "k=1")
	if w.must("s/a:0").ID == w.must("s/b:0").ID {
		t.Error("the requests of two groups have one id")
	}
	w.ack("s/a:0", "s/a:1")
	w.expect(w.where("s/a"), "{default:2} lag 0 open 0")
	w.expect(w.where("s/b"), "{default:0} lag 2 open 2")
	w.remove("s/a")
	w.check()
	w.expect(w.open(), "s/b:0 s/b:1")
	w.ack("s/b:0")
	w.append("s", "2")
	w.expect(w.open(), "s/b:1 s/b:2")
}

// What a handler appends is taken in with its acknowledgement.
func TestHandlerAppends(t *testing.T) {
	w := newWorld(t, setup{window: window{1, 1 << 20, 16}})
	w.set("s/g", edda.FromEnd)
	w.append("s", "0")
	r := w.start("s/g:0")
	c := record.Completed{Seq: r.Seq, Fence: r.Fence, Appends: []record.StreamAppended{*appended("s", nil, msg("1"))}}
	w.expect(w.apply(c.AppendTo(nil)), "ended s/g:0 succeeded\naccepted s/g:1\nready s/g:1\n")
	w.check()
}

// Whether a message would be taken in at once is known beforehand.
func TestCaught(t *testing.T) {
	w := newWorld(t, setup{window: window{2, 1 << 20, 16}})
	w.set("s/g", edda.FromEnd)
	w.set("s/late", edda.FromOffset(2))
	g, late := w.group("s/g"), w.group("s/late")
	if !g.Caught(nil) || late.Caught(nil) {
		t.Error("before there is a shard")
	}
	w.append("s", "0")
	sh := g.Stream.Shard(edda.DefaultShard)
	if !g.Caught(sh) || late.Caught(sh) {
		t.Error("with one message")
	}
	w.append("s", "1")
	if g.Caught(sh) || !late.Caught(sh) || g.Caught(nil) {
		t.Error("with a full window")
	}
	w.ack("s/g:0")
	if !g.Caught(sh) {
		t.Error("with room again")
	}
	w.append("s", "2", "3")
	if g.Caught(sh) {
		t.Error("behind")
	}
}

// A restart applies again what the table does not have, and comes to the same.
func TestCrashBeforeACheckpoint(t *testing.T) {
	w := newWorld(t, setup{window: window{3, 1 << 20, 16}})
	w.set("s/g", edda.FromEnd)
	w.append("s", "k=0", "k=1", "k=2", "3", "4")
	w.checkpoint()
	w.ack("s/g:0")
	w.die("s/g:1")
	w.reset("s/g", "", edda.FromOffset(1))
	w.ack("s/g:1")
	where := w.where("s/g")
	w.crash()
	w.check()
	w.expect(w.where("s/g"), where)
}
