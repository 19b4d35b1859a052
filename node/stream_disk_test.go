package node_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// The store's disk fails under a hot stream, whose partition writes to the store by
// itself: the node stops, everybody is answered, and what was acknowledged is there
// afterwards.
func TestStreamStoreFails(t *testing.T) {
	bubble(t, "disk", func(t *testing.T) {
		mem := vfs.NewCrashableMem()
		var broken atomic.Bool
		fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if broken.Load() && strings.HasPrefix(op.Path, "data/store") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return errorfs.ErrInjected
			}
			return nil
		}))
		o := node.WithoutGather(node.Options{Dir: "data", FS: fs, Durability: edda.Fsync, Partitions: 2, CheckpointBytes: 8_000, SegmentBytes: 1 << 20})
		n, err := node.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		put(t, n, "s", "first")
		var wg sync.WaitGroup
		var mu sync.Mutex
		var acked []string
		for c := range 10 {
			wg.Go(func() {
				for i := 0; ; i++ {
					id := fmt.Sprint(c, "-", i)
					_, err := n.Append(t.Context(), &edda.Append{Stream: "s", Messages: messages(id + "=" + strings.Repeat("x", 100))})
					if err != nil {
						if r := edda.ReasonOf(err); r != edda.Unavailable && r != edda.OutcomeUnknown {
							t.Error(err)
						}
						return
					}
					mu.Lock()
					acked = append(acked, id)
					mu.Unlock()
					if _, err := n.Stream(t.Context(), "", "s"); err != nil && edda.ReasonOf(err) != edda.Unavailable {
						t.Error(err)
					}
					time.Sleep(time.Microsecond)
				}
			})
		}
		time.Sleep(100 * time.Microsecond)
		broken.Store(true)
		wg.Wait()
		<-n.Done()
		if n.Err() == nil {
			t.Error("the node stopped without saying why")
		}
		o.FS = mem.CrashClone(vfs.CrashCloneCfg{})
		n, err = node.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range acked {
			if _, err := n.AwaitMessage(t.Context(), "", "s", id, 0); err != nil {
				t.Errorf("message %s was acknowledged: %v", id, err)
			}
		}
		stop(t, n)
	})
}
