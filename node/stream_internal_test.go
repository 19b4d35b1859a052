package node

import (
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/record"
)

// TestFailedSaveAnswersOnce has a hot stream's save fail in the round in which its append
// was applied, a look-up came in and another append was proposed: everybody is answered,
// and once.
func TestFailedSaveAnswersOnce(t *testing.T) {
	n, err := Open(t.Context(), Options{Durability: edda.Memory, Partitions: 1, CheckpointBytes: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	p := n.parts[0]
	var first engine.Position
	if err := n.inPartition(t.Context(), p, "look", func() { first = engine.Position(p.env.Position) + 1 }); err != nil {
		t.Fatal(err)
	}
	appended := func() *streamAppend {
		w := n.newStreamAppend()
		a := &edda.Append{Stream: "s", Messages: []edda.StreamMessage{{Payload: make([]byte, 6_000)}}}
		w.stream, w.ack = "s", newAck(1, edda.DefaultShard)
		w.rec = record.EncodeAppend(nil, a, 0, time.Now(), w.ack.Items)
		w.size = len(w.rec)
		return w
	}
	durable, proposed := appended(), appended()
	record.Stamp(durable.rec, 0, time.Now().UnixNano())
	b := &batch{p: p, proposals: []proposal{{stream: &durable.part}}, result: engine.Result{Outcome: engine.Durable}}
	b.Done, b.First, b.Records = b.done, first, [][]byte{durable.rec}
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	looks := make(chan struct{}, 2)
	in := p.in
	in.mu.Lock()
	in.mail.batches = append(in.mail.batches, b)
	in.mail.funcs = append(in.mail.funcs, func() { looks <- struct{}{} })
	in.mail.streams = append(in.mail.streams, proposed)
	in.signal()
	in.mu.Unlock()
	<-n.Done()
	if len(looks) != 1 {
		t.Errorf("the look-up was answered %d times", len(looks))
	}
	for name, w := range map[string]*streamAppend{"durable": durable, "proposed": proposed} {
		if len(w.done) != 1 {
			t.Errorf("the %s append was answered %d times", name, len(w.done))
		}
	}
	if durable.err != nil || proposed.err == nil {
		t.Errorf("got %v and %v, want an answer and an error", durable.err, proposed.err)
	}
}
