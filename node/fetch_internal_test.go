package node

import (
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
)

// silentRunner runs nothing.
type silentRunner struct{}

func (silentRunner) Start(*Attempt)                 {}
func (silentRunner) Fenced(*Attempt, error)         {}
func (silentRunner) Members(edda.Address, []string) {}
func (silentRunner) Drain(string, bool)             {}

// A request may be cancelled, and its message removed, before the message is read for
// a worker elsewhere. No slot is lost with it.
func TestAttemptGivenUpBeforeItsMessageIsRead(t *testing.T) {
	n, err := Open(t.Context(), Options{Durability: edda.Memory, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	spec := WorkerSpec{ID: "w", Services: []edda.ServiceSpec{{Name: "s", Kind: edda.Balanced, Concurrency: 1}}}
	w, err := n.Attach(t.Context(), spec, silentRunner{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Detach()
	h := w.hosts[0].svc.acquire(0, "")
	n.handlers.add()
	a := &Attempt{p: n.parts[0], req: &request.Request{}, svc: h.svc, host: h, seq: 1 << 40}
	a.giveUp()
	a.fetch()
	if l := h.slot.Load(); l.Busy != 0 || l.Lingering != 0 {
		t.Errorf("%d slots are taken and %d handlers linger, want none", l.Busy, l.Lingering)
	}
}
