package node

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
)

// What is read again at a start counts towards the next checkpoint.
func TestReplayCountsTowardsTheCheckpoint(t *testing.T) {
	fs := vfs.NewCrashableMem()
	o := Options{Dir: "data", FS: fs, Partitions: 1, gather: -1}
	start := func() *Node {
		t.Helper()
		n, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Stop(context.Background()) })
		return n
	}
	s := edda.NewBalanced("echo")
	s.HandleAny(func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{Payload: m.Payload}, nil
	})
	o.Services = []*edda.Service{s}
	n := start()
	const size = 10_000
	if _, err := n.Client().Call(t.Context(), &edda.Message{To: edda.Address{Name: "echo"}, Type: "m", Payload: make([]byte, size)}); err != nil {
		t.Fatal(err)
	}
	o.FS = fs.CrashClone(vfs.CrashCloneCfg{})
	if got := start().logBytes.Load(); got < 2*size {
		t.Errorf("after a crash %d bytes count towards the next checkpoint, want the %d of a request and its reply at least", got, 2*size)
	}
}
