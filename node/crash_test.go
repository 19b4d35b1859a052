package node

import (
	"errors"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
)

// TestFailedAppendAnswersEverybody has an append fail in the same round in which
// a call and a look-up come in: both are answered, and so are those whose batches
// come back later.
func TestFailedAppendAnswersEverybody(t *testing.T) {
	n, err := Open(t.Context(), Options{Durability: edda.Memory, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	newCallTo := func(key string) *call {
		c := newCall(true)
		c.msg = &edda.Message{To: edda.Address{Name: "s", Key: key}}
		return c
	}
	flying := func(key string, o engine.Outcome) (*batch, *call) {
		b, c := &batch{p: n.parts[0], result: engine.Result{Outcome: o, Err: errors.New("disk")}}, newCallTo(key)
		b.Records, b.proposals = [][]byte{{0}}, []proposal{{call: c}}
		return b, c
	}
	first, unknown := flying("unknown", engine.Unknown)
	second, unavailable := flying("unavailable", engine.Unavailable)
	waiting := newCallTo("waiting")
	looked := make(chan struct{})
	in := n.parts[0].in
	in.mu.Lock()
	in.mail.batches = append(in.mail.batches, first, second)
	in.mail.calls = append(in.mail.calls, waiting)
	in.mail.funcs = append(in.mail.funcs, func() { close(looked) })
	in.signal()
	in.mu.Unlock()
	<-n.Done()
	select {
	case <-looked:
	default:
		t.Error("the look-up was not answered")
	}
	for _, c := range []struct {
		call *call
		want edda.Reason
	}{{unknown, edda.OutcomeUnknown}, {unavailable, edda.Unavailable}, {waiting, edda.Unavailable}} {
		select {
		case <-c.call.done:
			if got := edda.ReasonOf(c.call.error()); got != c.want {
				t.Errorf("call %s ended with reason %q, want %q", c.call.msg.To.Key, got, c.want)
			}
		default:
			t.Errorf("call %s was not answered", c.call.msg.To.Key)
		}
	}
	if err := n.Stop(t.Context()); err == nil {
		t.Error("the node stopped without saying why")
	}
}
