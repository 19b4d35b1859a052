//nolint:thelper // the functions are tests, not helpers
package enginetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda/engine"
)

// testCloseInFlight closes under load. When Close has returned, every batch has
// ended; what is in the log is a beginning of what was appended, with all that is
// durable and nothing that is unavailable.
func testCloseInFlight(t *testing.T, h Harness) {
	ws := ownAll(t, h.Engine, 0, 1)
	begun := make(chan struct{}, len(ws))
	var appends sync.WaitGroup
	calls := make([][]*call, len(ws))
	for i, w := range ws {
		appends.Go(func() {
			for n := range 400 {
				calls[i] = append(calls[i], w.start(fmt.Sprint(n)))
				if n == 100 {
					begun <- struct{}{}
				}
			}
		})
	}
	<-begun
	last := ownAll(t, h.Engine, 2)[0].start("before the close")
	if err := h.Engine.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	select {
	case r := <-last.ended:
		last.ended <- r
	default:
		t.Error("close returned before a batch in flight had ended")
	}
	appends.Wait()
	e := h.Reopen(t)
	for i := range calls {
		present := len(mustRead(t, e, at(engine.Partition(i), 1)...))
		for n, c := range calls[i] {
			c.want(engine.Durable, engine.Unknown, engine.Unavailable)
			switch o := c.wait().Outcome; {
			case o == engine.Durable && n >= present:
				t.Errorf("batch %d is durable but not in the log", n)
			case o == engine.Unavailable && n < present:
				t.Errorf("batch %d is unavailable but in the log", n)
			}
		}
		if next := own(t, e, engine.Partition(i)).next; next != engine.Position(present+1) {
			t.Errorf("next: got %d, want %d", next, present+1)
		}
	}
}

func testCloseTwice(t *testing.T, h Harness) {
	own(t, h.Engine, 0).append("a")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := h.Engine.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	wg.Wait()
	if err := h.Engine.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}

func testUseAfterClose(t *testing.T, h Harness) {
	w := own(t, h.Engine, 0)
	w.append("a")
	snap(t, h.Engine, 0, 1, "state")
	unread := h.Engine.Read(t.Context(), at(0, 1)...)
	if err := h.Engine.Close(); err != nil {
		t.Fatal(err)
	}
	e, ctx := h.Engine, t.Context()
	_, ownErr := e.Own(ctx, 0)
	_, readErr := read(ctx, t, e, at(0, 1)...)
	_, _, restoreErr := e.Restore(ctx, 0)
	var unreadErr error
	for _, err := range unread {
		unreadErr = err
	}
	for op, err := range map[string]error{
		"own": ownErr, "read": readErr, "read called before": unreadErr, "restore": restoreErr,
		"trim": e.Trim(ctx, at(0, 1)...), "sync": e.Sync(ctx), "snapshot": e.Snapshot(ctx, 0, 1, text("late")),
	} {
		if !errors.Is(err, engine.ErrClosed) {
			t.Errorf("%s after close: got %v, want %v", op, err, engine.ErrClosed)
		}
	}
	w.start("b").want(engine.Unavailable)
	submit(t, e, engine.Batch{Partition: 1, Epoch: 1, First: 1, Records: [][]byte{{1}}}, nil).want(engine.Unavailable)
	again := h.Reopen(t)
	wantRead(t, again, at(0, 1), "0@1: a")
	wantSnapshot(t, again, 0, 1, "state")
}

// testCloseWhileReading closes from within an iteration: it ends, with all or with
// ErrClosed.
func testCloseWhileReading(t *testing.T, h Harness) {
	w := own(t, h.Engine, 0)
	for range 10 {
		w.fill(100)
	}
	n := 0
	var last error
	for _, err := range h.Engine.Read(t.Context(), at(0, 1)...) {
		if last = err; err != nil {
			continue
		}
		if n++; n == 1 {
			if err := h.Engine.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	}
	if n != 1000 && !errors.Is(last, engine.ErrClosed) {
		t.Errorf("read that the engine was closed under: got %d entries, then %v, want 1000 or %v", n, last, engine.ErrClosed)
	}
}

func testReopenEmpty(t *testing.T, h Harness) {
	for range 3 {
		e := h.Reopen(t)
		wantRead(t, e, at(0, 1))
		wantNoSnapshot(t, e, 0)
	}
	e := h.Reopen(t)
	if w := own(t, e, 0); w.next != 1 {
		t.Errorf("next: got %d, want 1", w.next)
	}
}

func testReopenKeeps(t *testing.T, h Harness) {
	e := h.Engine
	want := []string{}
	var from []engine.Start
	for round := range 4 {
		p := engine.Partition(round * 21)
		from = append(from, at(p, 1)...)
		if round > 0 {
			own(t, e, 0).append("again", fmt.Sprint(round))
			want = append(want, fmt.Sprintf("0@%d: again %d", 2*round, round))
		}
		w := own(t, e, p)
		want = append(want, fmt.Sprintf("%d@%d: round%d", p, w.next, round))
		w.append(fmt.Sprint("round", round))
		snap(t, e, p, w.next-1, fmt.Sprint("state", round))
		before := mustRead(t, e, from...)
		e = h.Reopen(t)
		if diff := cmp.Diff(before, mustRead(t, e, from...)); diff != "" {
			t.Errorf("entries after reopening (-before +after):\n%s", diff)
		}
		wantRead(t, e, from, want...)
		for r := range round + 1 {
			wantSnapshot(t, e, engine.Partition(r*21), 1, fmt.Sprint("state", r))
		}
	}
}

func testReopenEpochs(t *testing.T, h Harness) {
	e := h.Engine
	var old *writer
	for round := range 5 {
		w := own(t, e, 4)
		if old != nil {
			if w.epoch <= old.epoch {
				t.Errorf("epoch after reopening: got %d after %d", w.epoch, old.epoch)
			}
			stale := &writer{t, e, 4, old.epoch, w.next}
			stale.start("stale").want(engine.Fenced)
		}
		if round%2 == 0 {
			w.append("a") // an epoch under which nothing was appended counts as well
		}
		old = w
		e = h.Reopen(t)
	}
}
