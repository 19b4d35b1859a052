package node

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

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

// TestStoppedStoreKillsNoRequest lets a handler fail while the disk has stopped the
// store, and the node does not know it yet: it was not the request's fault.
func TestStoppedStoreKillsNoRequest(t *testing.T) {
	svc := edda.NewOrdered("s")
	svc.Retry.Max = 1
	svc.HandleAny(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		_, _, err := ctx.Get("state")
		return nil, err
	})
	var broken atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && strings.HasPrefix(op.Path, "data/store") {
			return errorfs.ErrInjected
		}
		return nil
	}))
	n, err := Open(t.Context(), Options{Dir: "data", FS: fs, Partitions: 1, Services: []*edda.Service{svc}})
	if err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	n.started.Store(false) // keeps the node from hearing that the store stopped
	if err := n.writeCheckpoint(); err == nil {
		t.Fatal("the checkpoint worked on a broken disk")
	}
	a, err := n.Client().Send(t.Context(), &edda.Message{To: edda.Address{Name: "s", Key: "k"}, Type: "m"})
	if err != nil {
		t.Fatal(err)
	}
	for n.handlers.n.Load() == 0 {
		if r, err := n.Client().Request(t.Context(), a.ID); err != nil || r.State != edda.Accepted {
			break // it has been started
		}
	}
	if err := n.handlers.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.settle((*partition).quiet)
	if r, err := n.Client().Request(t.Context(), a.ID); err != nil || r.State.Ended() {
		t.Errorf("got request %+v, error %v; want one that has not ended", r, err)
	}
	n.started.Store(true)
	n.fail(errors.New("the store stopped"))
	<-n.Done()
}
