//nolint:thelper // the functions are tests, not helpers
package enginetest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda/engine"
)

func testInfo(t *testing.T, h Harness) {
	want := engine.Info{Durability: h.Durability, Partitions: Partitions}
	check := func(when string, e engine.Engine) {
		if got := e.Info(); got != want {
			t.Errorf("info %s: got %+v, want %+v", when, got, want)
		}
	}
	check("of a new log", h.Engine)
	own(t, h.Engine, 1).append("a")
	check("after an append", h.Engine)
	e := h.Reopen(t)
	check("after reopening", e)
	check("of a closed engine", h.Engine)
}

func testUnknownPartition(t *testing.T, h Harness) {
	const p = Partitions
	e, ctx := h.Engine, t.Context()
	_, ownErr := e.Own(ctx, 0, p)
	_, readErr := read(ctx, t, e, at(p, 1)...)
	_, _, restoreErr := e.Restore(ctx, p)
	for op, err := range map[string]error{
		"own": ownErr, "read": readErr, "restore": restoreErr,
		"trim": e.Trim(ctx, at(p, 1)...), "snapshot": e.Snapshot(ctx, p, 1, text("x")),
	} {
		if err == nil {
			t.Errorf("%s of partition %d of %d: got no error", op, p, Partitions)
		}
	}
	b := engine.Batch{Partition: p, Epoch: 1, First: 1, Records: [][]byte{[]byte("a")}}
	submit(t, e, b, nil).want(engine.Fenced, engine.Unavailable)
	own(t, e, 0).append("still works")
}

func testAppendRead(t *testing.T, h Harness) {
	w := own(t, h.Engine, 3)
	if w.next != 1 {
		t.Fatalf("next of an empty log: got %d, want 1", w.next)
	}
	w.append("a")
	w.append("b", "c", "\x00\xff")
	w.append(filler(100_000))
	entries := mustRead(t, h.Engine, at(3, 1)...)
	if diff := cmp.Diff([]string{"3@1: a", "3@2: b c \x00\xff", "3@5: 100000 bytes"}, show(entries)); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	for _, e := range entries {
		if e.Epoch != w.epoch {
			t.Errorf("epoch of the entry at %d: got %d, want %d", e.First, e.Epoch, w.epoch)
		}
	}
	if got := string(entries[2].Records[0]); got != filler(100_000) {
		t.Error("the long record came back otherwise")
	}
}

func testPipelined(t *testing.T, h Harness) {
	w := own(t, h.Engine, 0)
	var calls []*call
	var want []string
	for i := range 300 {
		r := []string{fmt.Sprint(i), "x"}
		calls = append(calls, w.start(r...))
		want = append(want, r...)
	}
	for _, c := range calls {
		c.want(engine.Durable)
	}
	if diff := cmp.Diff(want, records(mustRead(t, h.Engine, at(0, 1)...))); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
}

// testDoneInOrder appends to several partitions at once: in each, Done is called
// in the order of the appends, one call at a time, and what it reports can be
// read by then.
func testDoneInOrder(t *testing.T, h Harness) {
	ws := ownAll(t, h.Engine, 0, 1, 2, 3)
	var wg sync.WaitGroup
	for _, w := range ws {
		wg.Go(func() {
			var last engine.Position // Done writes it, in order, so that this needs no lock
			var calls []*call
			for range 200 {
				b := w.batch("a", "b")
				w.next += 2
				calls = append(calls, submit(t, h.Engine, b, func(engine.Result) {
					if b.First != last+1 {
						t.Errorf("done of the batch at %d came after %d", b.First, last)
					}
					last = b.First + 1
				}))
			}
			for _, c := range calls {
				c.want(engine.Durable)
				if c.batch.First%40 == 1 {
					if got, err := read(t.Context(), t, h.Engine, at(w.p, c.batch.First)...); len(got) == 0 || err != nil {
						t.Errorf("the batch at %d is durable but cannot be read: %v", c.batch.First, err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func testNeverOwned(t *testing.T, h Harness) {
	for _, epoch := range []engine.Epoch{0, 1} {
		b := engine.Batch{Partition: 5, Epoch: epoch, First: 1, Records: [][]byte{[]byte("a")}}
		submit(t, h.Engine, b, nil).want(engine.Fenced)
	}
	wantRead(t, h.Engine, at(5, 1))
	if w := own(t, h.Engine, 5); w.next != 1 {
		t.Errorf("next after refused appends: got %d, want 1", w.next)
	}
}

func testFencedByEpoch(t *testing.T, h Harness) {
	old := own(t, h.Engine, 2)
	old.append("a")
	w := own(t, h.Engine, 2)
	if w.epoch <= old.epoch || w.next != 2 {
		t.Errorf("second owner: got epoch %d after %d, next %d, want a higher one and 2", w.epoch, old.epoch, w.next)
	}
	old.start("stale").want(engine.Fenced)
	w.append("b")
	old.next = w.next
	old.start("stale").want(engine.Fenced)
	wantRead(t, h.Engine, at(2, 1), "2@1: a", "2@2: b")
}

func testFencedByPosition(t *testing.T, h Harness) {
	own(t, h.Engine, 2).append("a", "b")
	for _, first := range []engine.Position{0, 1, 2, 4, 1 << 40} {
		w := own(t, h.Engine, 2)
		if w.next != 3 {
			t.Fatalf("next: got %d, want 3", w.next)
		}
		w.next = first
		w.start("misplaced").want(engine.Fenced)
	}
	own(t, h.Engine, 2).append("c")
	wantRead(t, h.Engine, at(2, 1), "2@1: a b", "2@3: c")
}

// testNothingAfterAFailure pipelines good batches behind a misplaced one, and
// submits one when all have ended: none is durable, until the partition is owned
// again.
func testNothingAfterAFailure(t *testing.T, h Harness) {
	w := own(t, h.Engine, 7)
	good := w.start("a")
	bad := w.batch("gap")
	bad.First++
	failed := submit(t, h.Engine, bad, nil)
	later := []*call{w.start("b"), w.start("c")}
	good.want(engine.Durable)
	failed.want(engine.Fenced)
	for _, c := range later {
		c.want(engine.Fenced, engine.Unavailable)
	}
	w.next = 2
	w.start("d").want(engine.Fenced, engine.Unavailable)
	wantRead(t, h.Engine, at(7, 1), "7@1: a")
	w = own(t, h.Engine, 7)
	if w.next != 2 {
		t.Errorf("next: got %d, want 2", w.next)
	}
	w.append("e")
	wantRead(t, h.Engine, at(7, 1), "7@1: a", "7@2: e")
}

// testFailureOfAnotherEpoch lets a stale owner fail: the owner goes on.
func testFailureOfAnotherEpoch(t *testing.T, h Harness) {
	old := own(t, h.Engine, 1)
	w := own(t, h.Engine, 1)
	var calls []*call
	for i := range 50 {
		calls = append(calls, w.start(fmt.Sprint(i)))
		submit(t, h.Engine, engine.Batch{Partition: 1, Epoch: old.epoch, First: w.next, Records: [][]byte{{1}}}, nil).want(engine.Fenced)
		submit(t, h.Engine, engine.Batch{Partition: 1, Epoch: w.epoch + 1, First: w.next, Records: [][]byte{{1}}}, nil).want(engine.Fenced)
	}
	for _, c := range calls {
		c.want(engine.Durable)
	}
	if got := len(mustRead(t, h.Engine, at(1, 1)...)); got != 50 {
		t.Errorf("entries: got %d, want 50", got)
	}
}

// testRestsOn appends batches that rest on records of another partition: they end
// after those, and are refused when one is not in the log.
func testRestsOn(t *testing.T, h Harness) {
	ws := ownAll(t, h.Engine, 1, 2)
	a, b := ws[0], ws[1]
	b.append("first")
	for i := range 200 {
		var before atomic.Bool
		on := engine.Place{Partition: 1, Epoch: a.epoch, Position: a.next}
		first := submit(t, h.Engine, a.batch("on"), func(engine.Result) { before.Store(true) })
		rests := b.batch("rests")
		rests.After = []engine.Place{on, {Partition: 2, Epoch: b.epoch, Position: 1}}
		second := submit(t, h.Engine, rests, func(engine.Result) {
			if !before.Load() {
				t.Errorf("batch %d ended before what it rests on", i)
			}
		})
		first.want(engine.Durable)
		second.want(engine.Durable)
		a.next++
		b.next++
	}
	bad := a.batch("gap")
	bad.First++
	failed := submit(t, h.Engine, bad, nil)
	rests := b.batch("rests on a gap")
	rests.After = []engine.Place{{Partition: 1, Epoch: a.epoch, Position: bad.First}}
	refused, later := submit(t, h.Engine, rests, nil), b.start("later")
	failed.want(engine.Fenced)
	refused.want(engine.Fenced)
	later.want(engine.Fenced, engine.Unavailable)
	none := own(t, h.Engine, 2)
	rests = none.batch("rests on a partition that there is not")
	rests.After = []engine.Place{{Partition: Partitions, Epoch: 1, Position: 1}}
	submit(t, h.Engine, rests, nil).want(engine.Fenced)
	if got := len(mustRead(t, h.Engine, at(2, 1)...)); got != 201 {
		t.Errorf("entries: got %d, want 201", got)
	}
}

// testRestsOnAnotherEpoch appends batches that rest on a record which its owner lost the
// partition before it was appended: that another owner has one at the same position does not help.
func testRestsOnAnotherEpoch(t *testing.T, h Harness) {
	stale, b := own(t, h.Engine, 1), own(t, h.Engine, 2)
	a := own(t, h.Engine, 1)
	for i := range 20 {
		at := a.next
		theirs := a.start("theirs")
		lost := submit(t, h.Engine, engine.Batch{Partition: 1, Epoch: stale.epoch, First: at, Records: [][]byte{{1}}}, nil)
		rests := b.batch("rests on what is lost")
		rests.After = []engine.Place{{Partition: 1, Epoch: stale.epoch, Position: at}}
		refused := submit(t, h.Engine, rests, nil)
		theirs.want(engine.Durable)
		lost.want(engine.Fenced)
		refused.want(engine.Fenced)
		b = own(t, h.Engine, 2)
		for _, epoch := range []engine.Epoch{0, stale.epoch, a.epoch + 1} {
			rests = b.batch("again")
			rests.After = []engine.Place{{Partition: 1, Epoch: epoch, Position: at}}
			submit(t, h.Engine, rests, nil).want(engine.Fenced)
			b = own(t, h.Engine, 2)
		}
		rests = b.batch("rests on theirs")
		rests.After = []engine.Place{{Partition: 1, Epoch: a.epoch, Position: at}}
		submit(t, h.Engine, rests, nil).want(engine.Durable)
		b = own(t, h.Engine, 2)
		if b.next != engine.Position(i+2) {
			t.Fatalf("next: got %d, want %d", b.next, i+2)
		}
	}
}

func testMalformed(t *testing.T, h Harness) {
	for name, rs := range map[string][][]byte{
		"no records": {}, "nil": nil, "an empty record": {[]byte("a"), {}, []byte("b")}, "a nil record": {nil},
	} {
		w := own(t, h.Engine, 4)
		b := w.batch()
		b.Records = rs
		if r := submit(t, h.Engine, b, nil).wait(); r.Outcome != engine.Fenced && r.Outcome != engine.Unavailable {
			t.Errorf("batch with %s: got %v, want a refusal", name, r.Outcome)
		}
		w.start("later").want(engine.Fenced, engine.Unavailable)
	}
	wantRead(t, h.Engine, at(4, 1))
	own(t, h.Engine, 4).append("works again")
}

func testOversized(t *testing.T, h Harness) {
	w := own(t, h.Engine, 0)
	w.append("before")
	if h.MaxBatchBytes == 0 {
		w.append(filler(16<<20), filler(16<<20))
		wantRead(t, h.Engine, at(0, 1), "0@1: before", "0@2: 16777216 bytes 16777216 bytes")
		return
	}
	w.start(filler(h.MaxBatchBytes), "x").want(engine.Fenced, engine.Unavailable)
	w = own(t, h.Engine, 0)
	w.append(filler(h.MaxBatchBytes-1), "x")
	wantRead(t, h.Engine, at(0, 1), "0@1: before", fmt.Sprintf("0@2: %d bytes x", h.MaxBatchBytes-1))
}

func testBigRecords(t *testing.T, h Harness) {
	w := own(t, h.Engine, 9)
	want := []string{"small", filler(4<<20 + 1), "x", filler(3 << 20), filler(1), filler(5 << 20)}
	calls := []*call{w.start(want[0]), w.start(want[1]), w.start(want[2:5]...), w.start(want[5])}
	for _, c := range calls {
		c.want(engine.Durable)
	}
	beforeAndAfterReopen(t, h, func(e engine.Engine) {
		if got := records(mustRead(t, e, at(9, 1)...)); !slices.Equal(got, want) {
			t.Errorf("big records came back otherwise: %d of %d", len(got), len(want))
		}
	})
}

func testManyRecords(t *testing.T, h Harness) {
	w := own(t, h.Engine, 9)
	var want []string
	for i := range 20_000 {
		want = append(want, fmt.Sprint(i))
	}
	w.append(want...)
	w.append("next")
	if got := records(mustRead(t, h.Engine, at(9, 1)...)); !slices.Equal(got, append(want, "next")) {
		t.Errorf("many records came back otherwise: %d of %d", len(got), len(want)+1)
	}
	wantRead(t, h.Engine, at(9, 20_000), "9@20000: 19999", "9@20001: next")
}

// testLeavesSlicesAlone reads the records while they are appended, so that the
// race detector sees a write, and writes to them when they were.
func testLeavesSlicesAlone(t *testing.T, h Harness) {
	w := own(t, h.Engine, 0)
	buf := []byte(filler(5000))
	b := w.batch()
	for i := range 5 {
		b.Records = append(b.Records, buf[i*1000:(i+1)*1000]) // with capacity beyond the record
	}
	c := submit(t, h.Engine, b, nil)
	if string(buf) != filler(5000) {
		t.Error("records were changed by append")
	}
	c.want(engine.Durable)
	if string(buf) != filler(5000) || len(b.Records) != 5 {
		t.Error("records were changed by the time of done")
	}
	clear(buf)
	w.next += 5
	w.append("after")
	want := filler(5000)
	if got := records(mustRead(t, h.Engine, at(0, 1)...)); len(got) != 6 || got[0]+got[1]+got[2]+got[3]+got[4] != want {
		t.Error("writing to the records after done changed the log")
	}
}

func testAllPartitions(t *testing.T, h Harness) {
	var ps []engine.Partition
	var from []engine.Start
	for p := range engine.Partition(Partitions) {
		ps = append(ps, p)
		from = append(from, at(p, 1)...)
	}
	ws := ownAll(t, h.Engine, ps...)
	var calls []*call
	for i := range 10 {
		for _, w := range ws {
			calls = append(calls, w.start(fmt.Sprint(w.p, "-", i)))
		}
	}
	for _, c := range calls {
		c.want(engine.Durable)
	}
	beforeAndAfterReopen(t, h, func(e engine.Engine) {
		if got := len(mustRead(t, e, from...)); got != len(calls) {
			t.Errorf("entries of all partitions: got %d, want %d", got, len(calls))
		}
		for _, p := range ps {
			got := mustRead(t, e, at(p, 10)...)
			if len(got) != 1 || string(got[0].Records[0]) != fmt.Sprint(p, "-", 9) {
				t.Errorf("end of partition %d: got %v", p, show(got))
			}
		}
	})
}
