package request

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// pair makes the records of a request that is accepted, started and completed
// at once.
func pair(n int, key string, keepUntil int64) (accepted, completed op) {
	kind := edda.Ordered
	if key == "" {
		kind = edda.Balanced
	}
	msg := &edda.Message{
		ID: testID(n), Type: "m", To: edda.Address{Namespace: "default", Name: "users", Key: key}, Principal: edda.Anonymous,
		ContentType: "application/json", Payload: make([]byte, 256),
	}
	accepted = op{msg: msg, time: int64(n + 1), start: true, rec: &record.Accepted{Hash: home(testPartition), Kind: kind, Message: mustEncode(msg)}}
	completed = op{time: int64(n + 1), rec: &record.Completed{
		KeepUntil: keepUntil, Reply: encodeReply(&edda.Reply{ContentType: "application/json", Payload: make([]byte, 64)}),
	}}
	return accepted, completed
}

// runPair applies both.
func (w *world) runPair(accepted, completed op) {
	w.do(accepted)
	c := completed.rec.(*record.Completed)
	c.Seq, c.Fence = w.env.Position<<seqBits, w.req.fence
	w.do(completed)
}

// What has ended and is not kept is let go of at once, not at the next
// checkpoint, and the effects do not hold on to it either.
func TestEndedRequestsAreLetGo(t *testing.T) {
	w := newWorld(t)
	for n := range 200 {
		accepted, completed := pair(n, fmt.Sprint("k", n%5), 0)
		w.do(accepted)
		r := w.req.byID[testID(n)]
		c := completed.rec.(*record.Completed)
		c.Seq, c.Fence = r.Seq, r.Fence
		w.do(completed)
	}
	if m := w.req; len(m.dirty)+len(m.ended)+len(m.dropped)+len(m.open)+len(m.byID)+len(m.keys) != 0 {
		t.Errorf("left are %d dirty, %d ended, %d dropped, %d open, %d ids, %d keys", len(m.dirty), len(m.ended), len(m.dropped),
			len(m.open), len(m.byID), len(m.keys))
	}
	w.req.Effects()
	for _, e := range w.req.effects[:cap(w.req.effects)] {
		if e.Request != nil && e.Request.ID != testID(199) {
			t.Errorf("an effect holds on to %s", idName(e.Request.ID))
		}
	}
	w.checkpoint()
	if rows := w.rows(); len(rows) != 2 {
		t.Errorf("the table has %d rows, want those of fence and time alone: %v", len(rows), rows)
	}
}

// A checkpoint writes what is open or kept, once.
func TestCheckpointIsAsSmallAsWhatChanged(t *testing.T) {
	w := newWorld(t)
	for n := range 100 {
		accepted, completed := pair(n, "1", 1000)
		w.runPair(accepted, completed)
	}
	w.checkpoint()
	if m := w.req; len(m.byID)+len(m.ended) != 0 {
		t.Errorf("%d ids and %d ended requests after a checkpoint", len(m.byID), len(m.ended))
	}
	if got := w.changes(); got != 2 {
		t.Errorf("a checkpoint without records has %d changes, want those of fence and time alone", got)
	}
	accepted, completed := pair(100, "1", 1000)
	w.runPair(accepted, completed)
	if got := w.changes(); got != 5 {
		t.Errorf("a checkpoint after one request that is kept has %d changes, want 5: its outcome, its expiry, the bytes kept, fence, time", got)
	}
}

// A request is allocated for each call and kept while it waits; 512 bytes are a
// size class, one more byte costs 64.
func TestRequestFitsItsSizeClass(t *testing.T) {
	if got := unsafe.Sizeof(Request{}); got > 512 {
		t.Errorf("a request takes %d bytes, want at most 512", got)
	}
}
