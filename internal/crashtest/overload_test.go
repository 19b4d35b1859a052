package crashtest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
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

// TestFaultOverload sends a node ten times what it can take, once because its disk
// is slow and once because its handlers are. It refuses early, with
// resource_exhausted and a time to come back; its memory stays bounded; and when
// that is over it takes requests at once.
func TestFaultOverload(t *testing.T) {
	const payload = 4 << 10
	for _, c := range []struct {
		name string
		disk time.Duration // of each sync of the log
		work time.Duration // of each handler
		max  node.Limits
		// room is what the node may keep of unfinished requests.
		room int
		keys int
	}{
		// 4 partitions with 64 requests each in 2 ms.
		{"disk", 2 * time.Millisecond, 0, node.Limits{PartitionRequests: 64, NodeBytes: 64 << 20}, 64 << 20, 2000},
		{"handlers", 0, 2 * time.Millisecond, node.Limits{NodeBytes: 2 << 20}, 2<<20 + 4*1024*payload, 16},
		{"keys", 0, 2 * time.Millisecond, node.Limits{KeyQueue: 20}, 16*20*payload + 4*1024*payload, 16},
	} {
		t.Run(c.name, func(t *testing.T) {
			svc := edda.NewOrdered("s")
			svc.Concurrency = 6
			svc.HandleAny(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
				if c.work > 0 {
					pause(ctx, c.work)
				}
				return nil, nil
			})
			// The real disk, because one in memory would count as memory.
			dir := t.TempDir()
			slow := hooked(vfs.Default, func(op errorfs.Op) error {
				if c.disk > 0 && op.Kind == errorfs.OpFileSyncData && strings.HasPrefix(op.Path, filepath.Join(dir, "log")) {
					pause(context.Background(), c.disk)
				}
				return nil
			})
			n := mustOpen(t, node.Options{Dir: dir, FS: slow, Partitions: 4, SegmentBytes: 4 << 20, Limits: c.max, Services: []*edda.Service{svc}})
			f := flood{n: n, payload: make([]byte, payload), senders: 2560, keys: c.keys}
			f.run(t, either(300*time.Millisecond, 4*time.Second))
			if f.refused == 0 {
				t.Fatal("nothing was refused; the load is too light to tell anything")
			}
			usual, late := quantiles(f.refusals)
			usualWake, lateWake := quantiles(f.wakes)
			t.Logf("%d accepted, %d refused; a refusal takes %v (median), %v (p99); senders wake %v (median), %v (p99) late; heap grows by at most %d MiB",
				f.accepted, f.refused, usual, late, usualWake, lateWake, f.grown>>20)
			// As many senders at a time wait for a processor, too, some for several turns.
			if usual > 50*time.Millisecond+10*usualWake || late > time.Second+5*lateWake {
				t.Errorf("refusals take %v (median), %v (p99), while senders wake %v, %v late: that is not early", usual, late, usualWake, lateWake)
			}
			// The senders themselves hold their messages, and the collector is behind.
			if bound := 3 * (c.room + f.senders*payload + 48<<20); f.grown > bound {
				t.Errorf("the heap grew by %d MiB, more than %d", f.grown>>20, bound>>20)
			}
			f.recovers(t)
		})
	}
}

// quantiles returns the median and the 99th percentile.
func quantiles(ds []time.Duration) (median, p99 time.Duration) {
	slices.Sort(ds)
	return ds[len(ds)/2], ds[len(ds)*99/100]
}

// flood is many senders at once.
type flood struct {
	n       *node.Node
	payload []byte
	senders int
	keys    int

	mu       sync.Mutex // guards what follows
	accepted int
	refused  int
	ids      []edda.ID
	refusals []time.Duration // of the first many
	wakes    []time.Duration // how late senders go on after them
	grown    int
}

// run sends for a while, and until enough is refused.
func (f *flood) run(t *testing.T, d time.Duration) {
	t.Helper()
	const enough = 1000
	const room = 1 << 18
	f.refusals, f.wakes = make([]time.Duration, 0, room), make([]time.Duration, 0, room)
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	ctx, cancel := context.WithTimeout(t.Context(), d+stopBound/3)
	defer cancel()
	begin := time.Now()
	var wg sync.WaitGroup
	var wrong atomic.Pointer[error]
	for i := range f.senders {
		wg.Go(func() {
			for j := 0; ctx.Err() == nil; j++ {
				if err := f.send(fmt.Sprintf("k%d", (i+j)%f.keys)); err != nil {
					wrong.Store(&err)
					return
				}
			}
		})
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			runtime.ReadMemStats(&now)
			f.grown = max(f.grown, int(now.HeapAlloc)-int(before.HeapAlloc))
			f.mu.Lock()
			if time.Since(begin) >= d && f.refused >= enough {
				cancel()
			}
			f.mu.Unlock()
		case <-ctx.Done():
		}
	}
	wg.Wait()
	if err := wrong.Load(); err != nil {
		t.Fatal(*err)
	}
}

func (f *flood) send(key string) error {
	begin := time.Now()
	a, err := f.n.Client().Send(context.Background(), &edda.Message{To: edda.Address{Name: "s", Key: key}, Type: "m", Payload: f.payload})
	took := time.Since(begin)
	f.mu.Lock()
	if err == nil {
		f.accepted++
		f.ids = append(f.ids, a.ID)
		f.mu.Unlock()
		return nil
	}
	f.refused++
	if len(f.refusals) < cap(f.refusals) {
		f.refusals = append(f.refusals, took)
	}
	f.mu.Unlock()
	e, ok := errors.AsType[*edda.Error](err)
	if !ok || e.Code() != edda.CodeResourceExhausted || e.RetryAfter <= 0 || e.Position != "" {
		return fmt.Errorf("a request too many is answered with reason %s: %w", edda.ReasonOf(err), err)
	}
	// Whoever is refused does not come back in the same instant, but ten times as
	// often as there is room.
	rest := time.Now()
	pause(context.Background(), time.Millisecond)
	woke := time.Since(rest) - time.Millisecond
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.wakes) < cap(f.wakes) {
		f.wakes = append(f.wakes, woke)
	}
	return nil
}

// recovers checks that the node takes requests once the flood is over, and has
// handled everything it accepted.
func (f *flood) recovers(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), stopBound)
	defer cancel()
	for _, id := range f.ids {
		if _, err := f.n.Client().Wait(ctx, id); err != nil {
			t.Fatalf("a request that was accepted: %v", err)
		}
	}
	calls := make([]time.Duration, 100)
	for i := range calls {
		begin := time.Now()
		if err := f.call(ctx, i); err != nil {
			t.Fatalf("call %d after the flood: %v", i, err)
		}
		calls[i] = time.Since(begin)
	}
	// One of them may have waited for a processor.
	if usual, late := quantiles(calls); usual > time.Second {
		t.Errorf("calls after the flood take %v (median), %v (p99)", usual, late)
	}
}

func (f *flood) call(ctx context.Context, i int) error {
	_, err := f.n.Client().Call(ctx, &edda.Message{To: edda.Address{Name: "s", Key: fmt.Sprintf("k%d", i%16)}, Type: "m", Payload: f.payload})
	return err
}
