//nolint:thelper // the functions are tests, not helpers
package enginetest

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/edda-io/edda/engine"
)

// wantSnapshot demands what Restore opens.
func wantSnapshot(t *testing.T, e engine.Engine, p engine.Partition, pos engine.Position, want string) {
	t.Helper()
	at, r, err := e.Restore(t.Context(), p)
	if err != nil {
		t.Errorf("restore partition %d: %v", p, err)
		return
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Errorf("read snapshot of partition %d: %v", p, err)
	}
	if at != pos || string(got) != want {
		t.Errorf("snapshot of partition %d: got %d bytes at %d, want %d at %d", p, len(got), at, len(want), pos)
	}
}

func wantNoSnapshot(t *testing.T, e engine.Engine, p engine.Partition) {
	t.Helper()
	if _, _, err := e.Restore(t.Context(), p); !errors.Is(err, engine.ErrNoSnapshot) {
		t.Errorf("restore partition %d: got %v, want %v", p, err, engine.ErrNoSnapshot)
	}
}

func snap(t *testing.T, e engine.Engine, p engine.Partition, pos engine.Position, state string) {
	t.Helper()
	if err := e.Snapshot(t.Context(), p, pos, text(state)); err != nil {
		t.Fatalf("snapshot of partition %d at %d: %v", p, pos, err)
	}
}

func testSnapshotNone(t *testing.T, h Harness) {
	own(t, h.Engine, 0).append("a")
	snap(t, h.Engine, 1, 0, "of another partition")
	beforeAndAfterReopen(t, h, func(e engine.Engine) {
		wantNoSnapshot(t, e, 0)
		wantSnapshot(t, e, 1, 0, "of another partition")
	})
}

func testSnapshotReplaces(t *testing.T, h Harness) {
	w := own(t, h.Engine, 0)
	w.fill(10)
	states := []string{"first", "", filler(5<<20 + 7), "last"}
	for i, state := range states {
		pos := engine.Position(2 * i)
		snap(t, h.Engine, 0, pos, state)
		wantSnapshot(t, h.Engine, 0, pos, state)
	}
	if err := h.Engine.Trim(t.Context(), at(0, w.next)...); err != nil {
		t.Fatal(err)
	}
	snap(t, h.Engine, 63, 1<<40, filler(3<<20))
	beforeAndAfterReopen(t, h, func(e engine.Engine) {
		wantSnapshot(t, e, 0, 6, "last")
		wantSnapshot(t, e, 63, 1<<40, filler(3<<20))
	})
}

// failingState writes some of a state and then fails.
type failingState struct {
	wrote int
	err   error
}

func (f failingState) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, filler(f.wrote))
	return int64(n), errors.Join(err, f.err)
}

func testSnapshotFailure(t *testing.T, h Harness) {
	broken := errors.New("broken source")
	fail := func(p engine.Partition) {
		for _, n := range []int{0, 10, 3 << 20} {
			if err := h.Engine.Snapshot(t.Context(), p, 9, failingState{n, broken}); !errors.Is(err, broken) {
				t.Errorf("snapshot whose source fails: got %v, want %v", err, broken)
			}
		}
		if err := h.Engine.Snapshot(cancelled(t), p, 9, text("late")); !errors.Is(err, context.Canceled) {
			t.Errorf("snapshot with an ended context: got %v, want %v", err, context.Canceled)
		}
	}
	fail(0)
	wantNoSnapshot(t, h.Engine, 0)
	snap(t, h.Engine, 1, 5, "good")
	fail(1)
	if _, _, err := h.Engine.Restore(cancelled(t), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("restore with an ended context: got %v, want %v", err, context.Canceled)
	}
	beforeAndAfterReopen(t, h, func(e engine.Engine) {
		wantNoSnapshot(t, e, 0)
		wantSnapshot(t, e, 1, 5, "good")
	})
}

// testSnapshotOpenReader replaces a snapshot while it is read.
func testSnapshotOpenReader(t *testing.T, h Harness) {
	old := filler(2 << 20)
	snap(t, h.Engine, 0, 1, old)
	_, r, err := h.Engine.Restore(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	begin := make([]byte, 10)
	if _, err := io.ReadFull(r, begin); err != nil {
		t.Fatal(err)
	}
	snap(t, h.Engine, 0, 2, "new")
	rest, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || string(begin)+string(rest) != old {
		t.Errorf("snapshot that was replaced while it was read: got %d bytes, %v, want %d", len(begin)+len(rest), err, len(old))
	}
	wantSnapshot(t, h.Engine, 0, 2, "new")
}
