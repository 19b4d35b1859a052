//nolint:thelper // the functions are tests, not helpers
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/edda-io/edda/engine"
)

// checkTrimmed demands that reading from kept on works, and that reading from
// below yields everything or ErrTrimmed, never a gap.
func checkTrimmed(t *testing.T, e engine.Engine, p engine.Partition, kept, next engine.Position) {
	t.Helper()
	var want []string
	for pos := kept; pos < next; pos++ {
		want = append(want, fmt.Sprintf("%d/%d", p, pos))
	}
	if got := records(mustRead(t, e, at(p, kept)...)); !slices.Equal(got, want) {
		t.Errorf("read of partition %d from %d: got %v, want %v", p, kept, got, want)
	}
	for pos := engine.Position(0); pos < kept; pos += 1 + kept/20 {
		got, err := read(t.Context(), t, e, at(p, pos)...)
		if errors.Is(err, engine.ErrTrimmed) {
			// It may have yielded nothing, for it did not know what is missing.
			if len(got) > 0 {
				t.Errorf("read of partition %d from %d: got %v before %v", p, pos, show(got), err)
			}
		} else if n := len(records(got)); err != nil || n != int(next-max(pos, 1)) {
			t.Errorf("read of partition %d from %d: got %d records, %v, want %d or %v", p, pos, n, err, next-max(pos, 1), engine.ErrTrimmed)
		}
	}
}

func testTrimNoGap(t *testing.T, h Harness) {
	ws := ownAll(t, h.Engine, 0, 1, 2)
	for _, w := range ws {
		w.fill(60) // 120 records
	}
	trim := func(e engine.Engine, from ...engine.Start) {
		t.Helper()
		if err := e.Trim(t.Context(), from...); err != nil {
			t.Fatalf("trim %v: %v", from, err)
		}
	}
	trim(h.Engine)
	trim(h.Engine, engine.Start{Partition: 0, Position: 0}, engine.Start{Partition: 1, Position: 1})
	for p := range engine.Partition(3) {
		checkTrimmed(t, h.Engine, p, 1, 121)
	}
	trim(h.Engine, engine.Start{Partition: 2, Position: 50}, engine.Start{Partition: 0, Position: 119})
	for _, w := range ws {
		w.append(fmt.Sprintf("%d/121", w.p))
	}
	beforeAndAfterReopen(t, h, func(e engine.Engine) {
		checkTrimmed(t, e, 0, 119, 122)
		checkTrimmed(t, e, 1, 1, 122)
		checkTrimmed(t, e, 2, 50, 122)
	})
}

func testTrimIdempotent(t *testing.T, h Harness) {
	own(t, h.Engine, 0).fill(60)
	for _, pos := range []engine.Position{80, 80, 30, 0, 80} {
		if err := h.Engine.Trim(t.Context(), at(0, pos)...); err != nil {
			t.Errorf("trim before %d: %v", pos, err)
		}
		checkTrimmed(t, h.Engine, 0, 80, 121)
	}
}

// testTrimEverything leaves no record behind: positions and epochs stay.
func testTrimEverything(t *testing.T, h Harness) {
	w := own(t, h.Engine, 0)
	w.fill(60)
	own(t, h.Engine, 1).append("1/1")
	for _, pos := range []engine.Position{121, 500} {
		if err := h.Engine.Trim(t.Context(), at(0, pos)...); err != nil {
			t.Fatalf("trim before %d: %v", pos, err)
		}
		checkTrimmed(t, h.Engine, 0, 121, 121)
	}
	e := h.Engine
	for range 3 {
		e = h.Reopen(t)
		checkTrimmed(t, e, 0, 121, 121)
		checkTrimmed(t, e, 1, 1, 2)
	}
	again := own(t, e, 0)
	if again.next != 121 || again.epoch <= w.epoch {
		t.Errorf("own after trimming everything: got epoch %d after %d, next %d, want a higher one and 121", again.epoch, w.epoch, again.next)
	}
	again.append("0/121")
	checkTrimmed(t, e, 0, 121, 122)
}

// testTrimWhileReading trims what an iteration has still to yield: it yields all
// of it, or ends with ErrTrimmed.
func testTrimWhileReading(t *testing.T, h Harness) {
	w := own(t, h.Engine, 0)
	w.fill(600)
	n, trimmed := 0, false
	for e, err := range h.Engine.Read(t.Context(), at(0, 1)...) {
		if errors.Is(err, engine.ErrTrimmed) {
			trimmed = true
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			if err := h.Engine.Trim(t.Context(), at(0, w.next)...); err != nil {
				t.Fatal(err)
			}
			w.append("more")
		}
		for i, r := range e.Records {
			if want := fmt.Sprintf("0/%d", n+1+i); string(r) != want {
				t.Fatalf("record: got %q, want %q", r, want)
			}
		}
		n += len(e.Records)
	}
	if !trimmed && n != 1200 {
		t.Errorf("records: got %d and no error, want 1200 or %v", n, engine.ErrTrimmed)
	}
}

func testTrimCancelled(t *testing.T, h Harness) {
	own(t, h.Engine, 0).fill(60)
	if err := h.Engine.Trim(cancelled(t), at(0, 50)...); !errors.Is(err, context.Canceled) {
		t.Errorf("trim with an ended context: got %v, want %v", err, context.Canceled)
	}
	checkTrimmed(t, h.Engine, 0, 50, 121)
}

func testSync(t *testing.T, h Harness) {
	if err := h.Engine.Sync(t.Context()); err != nil {
		t.Errorf("sync of an empty log: %v", err)
	}
	w := own(t, h.Engine, 0)
	w.fill(10)
	w.start("in flight")
	if err := h.Engine.Sync(t.Context()); err != nil {
		t.Errorf("sync: %v", err)
	}
	if err := h.Engine.Sync(cancelled(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("sync with an ended context: got %v, want %v", err, context.Canceled)
	}
	w.append("after")
}
