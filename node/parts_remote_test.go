package node_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/memlog"
	"github.com/edda-io/edda/node"
)

// remote is a worker elsewhere, whose attempts the test ends.
type remote struct{ attempts chan *node.Attempt }

func (r *remote) Start(a *node.Attempt)        { r.attempts <- a }
func (*remote) Fenced(*node.Attempt, error)    {}
func (*remote) Members(edda.Address, []string) {}
func (*remote) Drain(string, bool)             {}

// attachRemote attaches a worker for the ordered service s.
func attachRemote(t *testing.T, n *node.Node) *remote {
	t.Helper()
	r := &remote{make(chan *node.Attempt, 10)}
	if _, err := n.Attach(t.Context(), node.WorkerSpec{Services: []edda.ServiceSpec{{Name: "s", Kind: edda.Ordered}}}, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// A worker elsewhere is told how many of its parts are durable. One that hands an
// attempt back leaves its parts to be read until the next one yields some, which
// then have other numbers.
func TestPartsOfAWorkerElsewhere(t *testing.T) {
	bubble(t, "handed back", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attachRemote(t, n)
		ack := send(t, n, msg("s/k", "m", ""))
		r := reading(t, n, ack.ID, "")
		var j journal
		stored := func(number int, err error) { j.addf("%d:%v", number, err) }
		a := <-w.attempts
		for _, p := range []string{"a", "b"} {
			if err := a.Part("text/plain", []byte(p), stored); err != nil {
				t.Fatal(err)
			}
		}
		j.want(t, "1:<nil> 2:<nil>")
		a.HandBack()
		wantReason(t, a.Part("", nil, stored), edda.Fenced)
		synctest.Wait()
		again := <-w.attempts
		late := reading(t, n, ack.ID, "")
		late.want(t, "1.1=a 1.2=b")
		if d := again.Dispatch(); d.Attempt != 1 || d.Parts == nil {
			t.Errorf("got %+v, want attempt 1 again, which takes parts", d)
		}
		if err := again.Part("text/plain", []byte("c"), nil); err != nil {
			t.Fatal(err)
		}
		r.want(t, "1.1=a 1.2=b 1.3=reset 1.4=c")
		if err := again.Done(&edda.Outcome{Reply: &edda.Reply{}}); err != nil {
			t.Fatal(err)
		}
		r.end(t, "")
		late.want(t, "1.1=a 1.2=b 1.3=reset 1.4=c")
		knows := reading(t, n, ack.ID, "1.3")
		knows.want(t, "1.4=c")
	})
	bubble(t, "window", func(t *testing.T) {
		n := start(t, node.Options{})
		w := attachRemote(t, n)
		ack := send(t, n, msg("s/k", "m", ""))
		a := <-w.attempts
		release := node.Hold(n, ack.ID) // nothing becomes durable
		for i := range node.PartWindow {
			if err := a.Part("", fmt.Append(nil, i), nil); err != nil {
				t.Fatal(err)
			}
		}
		wantReason(t, a.Part("", nil, nil), edda.Overloaded)
		wrote := make(chan error, 3)
		for range cap(wrote) {
			go func() { wrote <- a.WritePart(t.Context(), "", nil) }() // waits
		}
		synctest.Wait()
		if len(wrote) > 0 {
			t.Fatalf("a part more than the window was taken: %v", <-wrote)
		}
		release()
		synctest.Wait()
		for range cap(wrote) {
			if err := <-wrote; err != nil {
				t.Error(err)
			}
		}
		wantReason(t, a.Part("", make([]byte, edda.MaxPartBytes+1), nil), edda.TooLarge)
		if err := a.Done(&edda.Outcome{Reply: &edda.Reply{}}); err != nil {
			t.Fatal(err)
		}
	})
	bubble(t, "the log fails", func(t *testing.T) {
		n := open(t, node.Options{})
		w := attachRemote(t, n)
		ack := send(t, n, msg("s/k", "m", ""))
		r := reading(t, n, ack.ID, "")
		a := <-w.attempts
		n.Memlog().Inject(engine.Partition(n.Home(ack.ID.Route())), memlog.Unavailable)
		var j journal
		if err := a.Part("", nil, func(number int, err error) { j.addf("%d:%s", number, edda.ReasonOf(err)) }); err != nil {
			t.Fatal(err)
		}
		j.want(t, "1:UNAVAILABLE")
		wantReason(t, a.Part("", nil, nil), edda.Unavailable)
		<-n.Done()
		r.end(t, edda.Unavailable)
	})
}
