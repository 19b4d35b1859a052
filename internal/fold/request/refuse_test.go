package request

import (
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// More sends than a Seq can tell apart would take the numbers of the requests of
// the next record.
func TestTooManySendsAreRefused(t *testing.T) {
	for _, n := range []int{edda.MaxSends, edda.MaxSends + 1} {
		w := newWorld(t)
		accepted, completed := pair(0, "1", 0)
		w.do(accepted)
		c := completed.rec.(*record.Completed)
		c.Seq, c.Fence = 1<<seqBits, 1
		msg := mustEncode(&edda.Message{Type: "m", To: edda.Address{Name: "w"}})
		for range n {
			c.Sends = append(c.Sends, record.Accepted{Hash: home(2), Kind: edda.Balanced, Message: msg})
		}
		err := w.fold.Apply(2, completed.encode())
		if refused := err != nil; refused != (n > edda.MaxSends) {
			t.Errorf("%d sends: %v", n, err)
		}
	}
}

// What the log cannot hold is an error that names record and partition, never a
// panic.
func TestApplyRefuses(t *testing.T) {
	due := (&record.Due{Seq: 1}).AppendTo(nil)
	unknown := append([]byte{200, 1}, due[2:]...)
	for _, c := range []struct {
		name     string
		position uint64
		rec      []byte
		want     string
	}{
		{"gap", 2, due, "the last one was 0"},
		{"short", 1, due[:5], "record of 5 bytes"},
		{"unknown", 1, unknown, "later release"},
		{"malformed", 1, append(slices.Clip(due), 0xff), "due record"},
		{"owned", 1, append(record.AppendHeader(nil, record.TypeOwned), 0xff), "owned record"},
		{"ack of nothing", 1, (&record.OutboxAcked{To: 2, Number: 1}).AppendTo(nil), "the last one sent was 0"},
		{"message", 1, (&record.Accepted{Kind: edda.Ordered, Message: []byte{0xff}}).AppendTo(nil), "message"},
	} {
		w := newWorld(t)
		err := w.fold.Apply(c.position, c.rec)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "partition 1") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
