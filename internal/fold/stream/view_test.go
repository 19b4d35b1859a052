package stream

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

func TestReadIsBounded(t *testing.T) {
	w := newWorld(t)
	var sizes []int
	for _, n := range []int{10, 20_000, 10, slabBytes, 3 * slabBytes, 5, 17_000, 17_000, 17_000, 17_000} {
		a := appending("orders", "")
		a.Messages = [][]byte{encoded("", "", strings.Repeat("x", n))}
		sizes = append(sizes, len(a.Messages[0]))
		w.append(t, a)
	}
	read := func(from uint64, n, bytes int) []int {
		t.Helper()
		v := w.m.View(w.stream("orders"), w.stream("orders").Shard(edda.DefaultShard))
		entries, next, err := v.Read(w.tree, from, n, bytes)
		if err != nil || next != from+uint64(len(entries)) {
			t.Fatalf("read %d messages from %d on, next is %d, %v", len(entries), from, next, err)
		}
		got := []int{}
		for i, e := range entries {
			if e.Offset != from+uint64(i) || cap(e.Message) != len(e.Message) {
				t.Errorf("message %d has the offset %d, room for %d bytes", i, e.Offset, cap(e.Message)-len(e.Message))
			}
			got = append(got, len(e.Message))
		}
		return got
	}
	for i := range 3 { // in memory, half and half, in the table
		for _, c := range []struct {
			from     uint64
			n, bytes int
			want     []int
		}{
			{0, 100, 1 << 30, sizes},
			{0, 3, 1 << 30, sizes[:3]},
			{8, 1, 1, sizes[8:9]},
			{3, 100, 1, sizes[3:4]}, // one in any case
			{0, 100, sizes[0] + sizes[1], sizes[:2]},
			{0, 100, sizes[0] + sizes[1] + sizes[2] - 1, sizes[:2]},
			{10, 100, 100, []int{}},
			{10_000, 100, 100, []int{}},
		} {
			if got := read(c.from, c.n, c.bytes); !slices.Equal(got, c.want) {
				t.Errorf("%d: from %d, %d messages, %d bytes: %v, want %v", i, c.from, c.n, c.bytes, got, c.want)
			}
		}
		if i == 0 {
			w.checkpoint(t)
			w.load(t)
			w.put(t, "orders", "")
			sizes = append(sizes, len(encoded("", "", "payload of ")))
			w.trim(t, record.StreamTrimmed{Name: "orders"}) // nothing
			if got := read(9, 5, 1<<20); !slices.Equal(got, sizes[9:]) {
				t.Errorf("over the edge: %v", got)
			}
			sizes = sizes[:10]
			w.crashTo(t)
		}
	}
	if v := w.m.View(w.stream("orders"), nil); v.First != 0 || v.End != 0 {
		t.Errorf("a shard without a message has %+v", v)
	}
}

// crashTo loses what has come since the last checkpoint for good.
func (w *world) crashTo(t *testing.T) {
	t.Helper()
	w.since = nil
	w.load(t)
}

// A view of a stream that is gone returns nothing but what it holds itself.
func TestViewOfARemovedStream(t *testing.T) {
	w := newWorld(t)
	w.put(t, "orders", "", "", "")
	w.checkpoint(t)
	w.put(t, "orders", "", "")
	s := w.stream("orders")
	v := w.m.View(s, s.Shard(edda.DefaultShard))
	w.remove(t, "orders")
	w.checkpoint(t)
	w.put(t, "orders", "", "", "", "", "")
	entries, next, err := v.Read(w.tree, 0, 100, 1<<20)
	if err != nil || len(entries) != 2 || entries[0].Offset != 3 || next != 5 {
		t.Errorf("read %+v, %d, %v", entries, next, err)
	}
	w.checkpoint(t)
	if at, err := v.OffsetAt(w.tree, 0); at != 3 || err != nil {
		t.Errorf("the first one is %d, %v", at, err)
	}
}

func TestScan(t *testing.T) {
	w := newWorld(t)
	n := 3*scanEntries + 7
	for i := range n {
		if w.put(t, "orders", ""); i == n-20 {
			w.checkpoint(t)
		}
	}
	w.trim(t, record.StreamTrimmed{Name: "orders", Offset: 5})
	s := w.stream("orders")
	sh := s.Shard(edda.DefaultShard)
	for _, from := range []uint64{0, 5, 100, uint64(n) - 3, uint64(n), uint64(n) + 5} {
		at := max(from, 5)
		for e, err := range w.m.Scan(s, sh, from) {
			if err != nil || e.Offset != at {
				t.Fatalf("from %d on: offset %d, %v, want %d", from, e.Offset, err, at)
			}
			if at++; at == 300 { // what is appended meanwhile does not come
				w.put(t, "orders", "")
				n++
			}
		}
		if at < sh.End-1 {
			t.Errorf("from %d on it ends at %d of %d", from, at, sh.End)
		}
	}
	for range w.m.Scan(s, sh, 0) {
		break
	}
	for range w.m.Scan(s, nil, 0) {
		t.Error("a shard without a message has one")
	}
}

// A hole in the table is no reason to go on as if nothing were.
func TestHoles(t *testing.T) {
	w := newWorld(t)
	w.put(t, "orders", "", "", "", "", "")
	w.checkpoint(t)
	s := w.stream("orders")
	sh := s.Shard(edda.DefaultShard)
	b := w.batch(t)
	b.Delete(messageRow(s.Serial, 0, 2))
	if err := w.tree.Commit(b, w.tree.Applied()); err != nil {
		t.Fatal(err)
	}
	v := w.m.View(s, sh)
	if entries, _, err := v.Read(w.tree, 0, 100, 1<<20); err == nil || len(entries) != 2 {
		t.Errorf("read %d messages, %v", len(entries), err)
	}
	for _, err := range w.m.Scan(s, sh, 0) {
		if err != nil && !strings.Contains(err.Error(), "has no message 2") {
			t.Error(err)
		}
	}
	end := View{First: 0, End: 3, serial: v.serial} // to which the hole is the end
	if _, _, err := end.Read(w.tree, 0, 100, 1<<20); err == nil {
		t.Error("a hole at the end is not noticed")
	}
	if err := w.m.trimTo(sh, 3); err != nil {
		t.Errorf("trim behind the hole: %v", err)
	}
	sh.First = 0
	sh.head = nil
	if err := w.m.trimTo(sh, 1); err == nil {
		t.Error("a hole is not noticed")
	}
}

// Readers anywhere read views while the fold goes on: appends, trims, checkpoints.
func TestViewsAreReadAnywhere(t *testing.T) {
	w := newWorld(t)
	w.set(t, edda.StreamSpec{Name: "orders", Retention: edda.Retention{Count: 200}})
	const readers, rounds = 3, 1500
	var wg sync.WaitGroup
	views := make([]chan View, readers)
	for i := range views {
		views[i] = make(chan View, 4)
		wg.Go(func() {
			at := uint64(0)
			for v := range views[i] {
				for more := true; more; {
					entries, next, err := v.Read(w.tree, at, 1+i*20, 1<<20)
					if err != nil || next < at || next > v.End || len(entries) > 0 && entries[0].Offset < at {
						t.Errorf("from %d on %d messages, next is %d, %v", at, len(entries), next, err)
						more = false
					}
					for k, e := range entries {
						want := fmt.Sprint("order-", e.Offset)
						var names record.MessageNames
						if err := names.Read(e.Message); err != nil || e.Offset != entries[0].Offset+uint64(k) || string(names.Given) != want {
							t.Errorf("message %d is %q, %v", e.Offset, names.Given, err)
						}
					}
					more = more && next < v.End
					at = next
				}
			}
		})
	}
	n := 0
	for round := range rounds {
		a := appending("orders", "")
		for range 1 + round%5 {
			a.Messages = append(a.Messages, encoded(fmt.Sprint("order-", n), "", "payload"))
			n++
		}
		w.append(t, a)
		s := w.stream("orders")
		v := w.m.View(s, s.Shard(edda.DefaultShard))
		for i := range views {
			if round%(i+1) == 0 {
				views[i] <- v
			}
		}
		switch {
		case round%37 == 0:
			w.checkpoint(t)
		case round%101 == 0:
			w.trim(t, record.StreamTrimmed{Name: "orders", Offset: uint64(n - 20)})
		}
	}
	for i := range views {
		close(views[i])
	}
	wg.Wait()
}
