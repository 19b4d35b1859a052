package node

import "testing"

// What comes in later is added to what was taken, and wakes nobody twice.
func TestMore(t *testing.T) {
	in := newInbox()
	var m mail
	in.ack(ack{1, 1})
	in.take(&m)
	if in.more(&m) {
		t.Error("there is more of nothing")
	}
	in.ack(ack{1, 2})
	in.delivery(delivery{})
	in.outcome(&Attempt{})
	in.mail.streams = append(in.mail.streams, &streamAppend{})
	if !in.more(&m) || len(m.acks) != 2 || m.acks[1].number != 2 || len(m.deliveries) != 1 || len(m.outcomes) != 1 || len(m.streams) != 1 {
		t.Errorf("got %+v", m)
	}
	if in.more(&m) || len(in.wake) != 0 {
		t.Error("it came twice")
	}
	in.ring()
	in.take(&m)
	if len(m.acks)+len(m.deliveries)+len(m.outcomes) != 0 {
		t.Errorf("got %+v again", m)
	}
}
