//nolint:thelper // the functions are tests, not helpers
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda/engine"
)

func testReadStarts(t *testing.T, h Harness) {
	w := own(t, h.Engine, 1)
	w.append("a", "b", "c", "d")
	w.append("e")
	w.append("f", "g")
	beforeAndAfterReopen(t, h, func(e engine.Engine) {
		wantRead(t, e, at(1, 0), "1@1: a b c d", "1@5: e", "1@6: f g")
		wantRead(t, e, at(1, 1), "1@1: a b c d", "1@5: e", "1@6: f g")
		wantRead(t, e, at(1, 2), "1@2: b c d", "1@5: e", "1@6: f g")
		wantRead(t, e, at(1, 4), "1@4: d", "1@5: e", "1@6: f g")
		wantRead(t, e, at(1, 5), "1@5: e", "1@6: f g")
		wantRead(t, e, at(1, 7), "1@7: g")
		wantRead(t, e, at(1, 8))
		wantRead(t, e, at(1, 1000))
		wantRead(t, e, at(2, 1)) // never written to
		wantRead(t, e, nil)
	})
}

// testReadLogOrder appends to several partitions by turns, each when the one
// before is durable, so that there is one right order.
func testReadLogOrder(t *testing.T, h Harness) {
	ws := ownAll(t, h.Engine, 0, 1, 2, 63)
	var all, without1 []string
	for i := range 40 {
		w := ws[i*7%4]
		line := fmt.Sprintf("%d@%d: %d", w.p, w.next, i)
		all = append(all, line)
		if w.p != 1 {
			without1 = append(without1, line)
		}
		w.append(fmt.Sprint(i))
	}
	beforeAndAfterReopen(t, h, func(e engine.Engine) {
		wantRead(t, e, []engine.Start{{Partition: 63, Position: 1}, {Partition: 2}, {Partition: 0, Position: 1}}, without1...)
		from := []engine.Start{{Partition: 0, Position: 1}, {Partition: 1, Position: 1}, {Partition: 2, Position: 1}, {Partition: 63, Position: 1}}
		wantRead(t, e, from, all...)
		for i := range from {
			from[i].Position = 10 // the last of ten
		}
		wantRead(t, e, from, all[36:]...)
	})
}

// testReadAsOfTheCall appends between the call of Read and the iteration.
func testReadAsOfTheCall(t *testing.T, h Harness) {
	w := own(t, h.Engine, 0)
	w.append("a")
	w.append("b")
	seq := h.Engine.Read(t.Context(), at(0, 1)...)
	w.append("c")
	var got []engine.Entry
	for e, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		w.append("later")
		got = append(got, e)
	}
	if diff := cmp.Diff([]string{"0@1: a", "0@2: b"}, show(got)); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
}

func testReadWhileAppending(t *testing.T, h Harness) {
	ws := ownAll(t, h.Engine, 0, 1)
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			before := 0
			for ctx.Err() == nil {
				got, err := read(t.Context(), t, h.Engine, append(at(0, 1), at(1, 1)...)...)
				if err != nil || len(got) < before {
					t.Errorf("read: got %d entries after %d, %v", len(got), before, err)
				}
				before = len(got)
				for _, e := range got {
					for i, r := range e.Records {
						if want := fmt.Sprintf("%d/%d", e.Partition, int(e.First)+i); string(r) != want {
							t.Errorf("record: got %q, want %q", r, want)
						}
					}
				}
			}
		})
	}
	var writers sync.WaitGroup
	for _, w := range ws {
		writers.Go(func() {
			for range 20 {
				w.fill(10)
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
}

func testReadBreakOff(t *testing.T, h Harness) {
	w := own(t, h.Engine, 0)
	w.fill(50)
	for n := range 1000 {
		for _, err := range h.Engine.Read(t.Context(), at(0, 1)...) {
			if n--; err != nil || n < 0 || n > 20 {
				break
			}
		}
	}
	h.Engine.Read(t.Context(), at(0, 1)...) // never iterated
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of a reader was swallowed")
			}
		}()
		for _, err := range h.Engine.Read(t.Context(), at(0, 1)...) {
			panic(fmt.Sprint("reader ", err))
		}
	}()
	w.append("still works")
}

// testReadCallsWithin calls the engine while it yields: no lock may be held.
func testReadCallsWithin(t *testing.T, h Harness) {
	own(t, h.Engine, 0).fill(5)
	n := 0
	for e, err := range h.Engine.Read(t.Context(), at(0, 1)...) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		for _, w := range ownAll(t, h.Engine, 0, 1) {
			w.append("x")
		}
		if err := errors.Join(
			h.Engine.Snapshot(t.Context(), 0, e.First, text("s")),
			h.Engine.Sync(t.Context()),
			h.Engine.Trim(t.Context(), at(1, 1)...),
		); err != nil {
			t.Error(err)
		}
		mustRead(t, h.Engine, at(0, e.First)...)
	}
	if n != 5 {
		t.Errorf("entries: got %d, want 5", n)
	}
}

// testReadCallerOwns writes over everything that Read yields.
func testReadCallerOwns(t *testing.T, h Harness) {
	w := own(t, h.Engine, 0)
	w.append("one", "two", "three")
	w.append("four")
	w.append("five", filler(70_000))
	for _, start := range []engine.Position{1, 2} {
		for e, err := range h.Engine.Read(t.Context(), at(0, start)...) {
			if err != nil {
				t.Fatal(err)
			}
			before := records([]engine.Entry{e})
			for i, r := range e.Records {
				if string(r) != before[i] {
					t.Error("appending to a record ran into the next")
				}
				clear(r)
				_ = append(r, "scribble"...)
				e.Records[i] = nil
			}
		}
	}
	kept := mustRead(t, h.Engine, at(0, 1)...)
	w.append("more")
	want := []string{"0@1: one two three", "0@4: four", "0@5: five 70000 bytes"}
	if diff := cmp.Diff(want, show(kept)); diff != "" {
		t.Errorf("kept entries (-want +got):\n%s", diff)
	}
}

func testReadCancelled(t *testing.T, h Harness) {
	w := own(t, h.Engine, 0)
	for range 20 {
		w.fill(100)
	}
	if got, err := read(cancelled(t), t, h.Engine, at(0, 1)...); !errors.Is(err, context.Canceled) || len(got) > 0 {
		t.Errorf("read with an ended context: got %d entries, %v, want %v", len(got), err, context.Canceled)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range h.Engine.Read(ctx, at(0, 1)...) {
		if n++; n == 3 {
			cancel()
		}
		last = err
	}
	if !errors.Is(last, context.Canceled) || n == 2001 {
		t.Errorf("read whose context ends: got %v after %d pairs, want %v before the end", last, n, context.Canceled)
	}
}
