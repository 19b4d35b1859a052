package request

import (
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// hinted returns the op of a message as its caller made it.
func hinted(msg *edda.Message) op {
	return op{msg: msg, time: 1, rec: &record.Accepted{Hash: home(testPartition), Kind: edda.Ordered, Message: mustEncode(msg)}}
}

// A hint saves time and changes nothing, not even where the caller's message
// leaves out what decoding fills in.
func TestHintChangesNothing(t *testing.T) {
	msg := &edda.Message{ID: testID(1), Type: "m", To: edda.Address{Name: "users", Key: "1"}, IdempotencyKey: "k"}
	o := hinted(msg)
	with, without := newWorld(t), newWorld(t)
	with.apply(o.encode(), msg)
	without.apply(o.encode(), nil)
	if got, want := *with.lookup(msg.ID), *without.lookup(msg.ID); got != want {
		t.Errorf("with hint\n%+v\nwithout\n%+v", got, want)
	}
	scope := Scope(msg.To, edda.Anonymous, "k")
	if r, err := with.req.ByScope(scope, 1); r == nil || err != nil {
		t.Errorf("by scope: %v, %v", r, err)
	}
}

// A hint holds for the next record alone: one that is not an accepted one, or
// that is a duplicate, uses it up.
func TestHintHoldsForOneRecord(t *testing.T) {
	w := newWorld(t)
	wrong := &edda.Message{ID: testID(9), Type: "wrong", To: edda.Address{Name: "users", Key: "1"}}
	owned := op{rec: &record.Due{Seq: 77}, time: 1}
	w.apply(owned.encode(), wrong)
	right := &edda.Message{ID: testID(1), Type: "right", To: edda.Address{Name: "users", Key: "1"}}
	o := hinted(right)
	w.apply(o.encode(), nil)
	if v := w.lookup(testID(1)); v == nil || v.Method != "right" {
		t.Errorf("got %+v, want the message of the record", v)
	}
}
