//nolint:thelper // the functions are tests, not helpers
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edda-io/edda/engine"
)

func testOwnSeveral(t *testing.T, h Harness) {
	if owned, err := h.Engine.Own(t.Context()); len(owned) != 0 || err != nil {
		t.Errorf("own nothing: got %v, %v", owned, err)
	}
	own(t, h.Engine, 6).append("a", "b")
	other := own(t, h.Engine, 8)
	other.append("x")
	before := ownAll(t, h.Engine, 63, 6, 0)
	for i, want := range []engine.Position{1, 3, 1} {
		if before[i].next != want {
			t.Errorf("next of partition %d: got %d, want %d", before[i].p, before[i].next, want)
		}
	}
	after := ownAll(t, h.Engine, 0, 63, 6)
	for i, old := range []*writer{before[2], before[0], before[1]} {
		if after[i].epoch <= old.epoch {
			t.Errorf("epoch of partition %d: got %d after %d", old.p, after[i].epoch, old.epoch)
		}
		old.start("stale").want(engine.Fenced)
		after[i].append("new")
	}
	other.append("y") // nobody took that one
}

// testOwnInFlight takes a partition from an owner that appends without waiting.
// When Own returns, it is settled what is in the log below Next: what the old
// owner is told afterwards agrees with it.
func testOwnInFlight(t *testing.T, h Harness) {
	for range 20 {
		old := own(t, h.Engine, 0)
		begun := make(chan struct{})
		var calls []*call
		var appends sync.WaitGroup
		appends.Go(func() {
			for i := range 50 {
				calls = append(calls, old.start(fmt.Sprintf("%d/%d", old.epoch, i)))
				if i == 10 {
					close(begun)
				}
			}
		})
		<-begun
		w := own(t, h.Engine, 0)
		settled := show(mustRead(t, h.Engine, at(0, 1)...))
		first := w.next
		w.append("new owner")
		appends.Wait()
		present := map[string]bool{}
		entries := mustRead(t, h.Engine, at(0, 1)...)
		if len(entries) != len(settled)+1 {
			t.Fatalf("entries: %d were settled when the partition was owned, then there were %d", len(settled), len(entries))
		}
		for _, r := range records(entries) {
			present[r] = true
		}
		for _, c := range calls {
			c.want(engine.Durable, engine.Fenced)
			if durable := c.wait().Outcome == engine.Durable; durable != present[string(c.batch.Records[0])] {
				t.Errorf("batch at %d: durable is %v, in the log is %v", c.batch.First, durable, !durable)
			} else if durable && c.batch.First >= first {
				t.Errorf("batch at %d is durable, but next was %d", c.batch.First, first)
			}
		}
	}
}

// testOwnRivals has several owners take the same partition from each other. What
// each was told is durable is in the log, once, and nothing else.
func testOwnRivals(t *testing.T, h Harness) {
	var wg sync.WaitGroup
	var mu sync.Mutex // guards durable
	durable := map[string]bool{}
	for rival := range 4 {
		wg.Go(func() {
			for round := range 15 {
				owned, err := h.Engine.Own(t.Context(), 11)
				if err != nil {
					t.Error(err)
					return
				}
				w := &writer{t, h.Engine, 11, owned[0].Epoch, owned[0].Next}
				var calls []*call
				for i := range 5 {
					calls = append(calls, w.start(fmt.Sprintf("%d/%d/%d", rival, round, i)))
				}
				for _, c := range calls {
					c.want(engine.Durable, engine.Fenced)
					if c.wait().Outcome == engine.Durable {
						mu.Lock()
						durable[string(c.batch.Records[0])] = true
						mu.Unlock()
					}
				}
			}
		})
	}
	wg.Wait()
	var epoch engine.Epoch
	for _, e := range mustRead(t, h.Engine, at(11, 1)...) {
		if e.Epoch < epoch {
			t.Errorf("epoch %d came after %d", e.Epoch, epoch)
		}
		epoch = e.Epoch
		r := string(e.Records[0])
		if !durable[r] {
			t.Errorf("%q is in the log twice, or was refused", r)
		}
		delete(durable, r)
	}
	if len(durable) > 0 {
		t.Errorf("%d durable records are missing", len(durable))
	}
}

func testOwnCancelled(t *testing.T, h Harness) {
	own(t, h.Engine, 0).append("a")
	if _, err := h.Engine.Own(cancelled(t), 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("own with an ended context: got %v, want %v", err, context.Canceled)
	}
	for _, w := range ownAll(t, h.Engine, 0, 1) {
		w.append("b")
	}
}

// testStress does everything at once, for the race detector and for deadlocks.
func testStress(t *testing.T, h Harness) {
	const writers, rounds = 8, 20
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	e := h.Engine
	var work, around sync.WaitGroup
	var kept [writers]atomic.Uint64 // what is not trimmed begins here, or later
	for i := range writers {
		p := engine.Partition(i)
		work.Go(func() {
			for round := range rounds {
				owned, err := e.Own(ctx, p)
				if err != nil {
					t.Error(err)
					return
				}
				w := &writer{t, e, p, owned[0].Epoch, owned[0].Next}
				w.fill(20)
				switch round % 4 {
				case 1:
					if err := e.Trim(ctx, at(p, w.next-10)...); err != nil {
						t.Error(err)
					}
					kept[p].Store(uint64(w.next - 10))
				case 2:
					if err := e.Snapshot(ctx, p, w.next-1, text(fmt.Sprint(w.next))); err != nil {
						t.Error(err)
					}
				case 3:
					if err := e.Sync(ctx); err != nil {
						t.Error(err)
					}
				}
			}
		})
		around.Go(func() {
			for ctx.Err() == nil {
				from := engine.Position(max(kept[p].Load(), 1))
				_, err := read(ctx, t, e, append(at(p, from), at(engine.Partition(writers), 1)...)...)
				if err != nil && !errors.Is(err, engine.ErrTrimmed) && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				pos, r, err := e.Restore(ctx, p)
				if err == nil {
					b := make([]byte, 20)
					n, _ := r.Read(b)
					if got := string(b[:n]); got != fmt.Sprint(pos+1) {
						t.Errorf("snapshot at %d: got %q", pos, got)
					}
					if err := r.Close(); err != nil {
						t.Error(err)
					}
				} else if !errors.Is(err, engine.ErrNoSnapshot) && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	stop()
	around.Wait()
	for p := range engine.Partition(writers) {
		if w := own(t, e, p); w.next != 1+rounds*39 {
			t.Errorf("next of partition %d: got %d, want %d", p, w.next, 1+rounds*39)
		}
	}
}
