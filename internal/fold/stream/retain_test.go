package stream

import (
	"fmt"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// bySize appends a message whose encoding has the size.
func (w *world) bySize(t *testing.T, size int) {
	t.Helper()
	msg := encoded("", "", string(make([]byte, size)))
	msg = encoded("", "", string(make([]byte, size-(len(msg)-size))))
	if len(msg) != size {
		t.Fatalf("a message has %d bytes, want %d", len(msg), size)
	}
	a := appending("orders", "")
	a.Messages = [][]byte{msg}
	w.append(t, a)
}

func TestRetentionByCount(t *testing.T) {
	for _, every := range []int{1, 7, 1000} { // checkpoints
		w := newWorld(t)
		w.set(t, edda.StreamSpec{Name: "orders", Retention: edda.Retention{Count: 10}})
		for n := range 40 {
			w.put(t, "orders", "", "")
			wantOffsets(t, w, [2]uint64{uint64(max(0, 2*n-8)), uint64(2*n + 2)})
			if n%every == every-1 {
				w.checkpoint(t)
			}
		}
		w.put(t, "orders", make([]string, 25)...) // more at a time than are kept
		wantOffsets(t, w, [2]uint64{95, 105})
		w.set(t, edda.StreamSpec{Name: "orders", Retention: edda.Retention{Count: 3}})
		wantOffsets(t, w, [2]uint64{102, 105})
		w.checkpoint(t)
		if got := w.rows(rowMessage); got != 3 {
			t.Errorf("%d messages are in the table, want 3", got)
		}
	}
}

func TestRetentionByBytes(t *testing.T) {
	for _, every := range []int{1, 3, 1000} {
		w := newWorld(t)
		w.set(t, edda.StreamSpec{Name: "orders", Retention: edda.Retention{Bytes: 500}})
		for n, c := range []struct {
			size int
			want [2]uint64
		}{
			{100, [2]uint64{0, 1}}, {200, [2]uint64{0, 2}}, {200, [2]uint64{0, 3}}, {50, [2]uint64{1, 4}}, {100, [2]uint64{2, 5}},
			{400, [2]uint64{4, 6}}, {600, [2]uint64{6, 7}}, {50, [2]uint64{7, 8}}, {450, [2]uint64{7, 9}}, {700, [2]uint64{9, 10}},
		} {
			w.bySize(t, c.size)
			wantOffsets(t, w, c.want)
			if n%every == every-1 {
				w.checkpoint(t)
			}
		}
	}
}

// History that is much longer than what is looked at at a time is cut at the right place.
func TestRetentionOfALongHistory(t *testing.T) {
	w := newWorld(t)
	start := w.now
	for range 3000 {
		w.now = start + int64(w.env.Position)*int64(time.Second)
		w.bySize(t, 100)
		if w.env.Position%1000 == 0 {
			w.checkpoint(t)
		}
	}
	for range 500 { // in memory
		w.now = start + int64(w.env.Position)*int64(time.Second)
		w.bySize(t, 100)
	}
	for _, c := range []struct {
		keep  edda.Retention
		first uint64
	}{
		{edda.Retention{Count: 3490}, 10},
		{edda.Retention{Bytes: 340_050}, 100},
		{edda.Retention{Age: 3000 * time.Second}, 499},
		{edda.Retention{Count: 2000}, 1500},
		{edda.Retention{Bytes: 100_000}, 2500},
		{edda.Retention{Bytes: 50_000, Count: 500}, 3000},
		{edda.Retention{Age: 99 * time.Second}, 3400},
		{edda.Retention{Count: 1}, 3499},
	} {
		w.set(t, edda.StreamSpec{Name: "orders", Retention: c.keep})
		wantOffsets(t, w, [2]uint64{c.first, 3500})
		if at, err := w.m.OffsetAt(w.stream("orders"), w.stream("orders").Shard(edda.DefaultShard), start); at != c.first || err != nil {
			t.Errorf("the first offset is %d, %v, want %d", at, err, c.first)
		}
	}
	w.checkpoint(t)
	wantOffsets(t, w, [2]uint64{3499, 3500})
}

func TestRetentionByAge(t *testing.T) {
	for _, every := range []int{1, 2, 1000} {
		w := newWorld(t)
		w.set(t, edda.StreamSpec{Name: "orders", Retention: edda.Retention{Age: 10 * time.Second}})
		for n := range 30 {
			w.now += int64(4 * time.Second)
			w.put(t, "orders", "")
			wantOffsets(t, w, [2]uint64{uint64(max(0, n-2)), uint64(n + 1)})
			if n%every == every-1 {
				w.checkpoint(t)
			}
		}
	}
}

// What nobody appends to is looked at when something has become too old.
func TestExpired(t *testing.T) {
	w := newWorld(t)
	if at := w.m.NextExpiry(); at != 0 {
		t.Errorf("without streams something expires at %d", at)
	}
	start := w.now
	set := func(name string, age time.Duration) {
		w.set(t, edda.StreamSpec{Name: name, Retention: edda.Retention{Age: age}})
	}
	for i, name := range []string{"b", "a", "c"} {
		set(name, time.Hour)
		w.now = start + int64(i)*int64(time.Minute)
		w.put(t, name, "", "")
		w.append(t, appending(name, "eu", ""))
	}
	set("c", 0)
	w.checkpoint(t)
	w.load(t)
	at := w.m.NextExpiry()
	if late := start + int64(time.Hour+time.Minute); at <= start+int64(time.Hour) || at > late {
		t.Fatalf("the next expiry is %s after the start, want 1h to 1h1m", time.Duration(at-start))
	}
	if got := w.m.Expired(at - 1); len(got) != 0 {
		t.Errorf("too early %+v", got)
	}
	got := w.m.Expired(at)
	if len(got) != 1 || got[0] != (record.StreamTrimmed{Namespace: edda.DefaultNamespace, Name: "b", Time: at - int64(time.Hour)}) {
		t.Fatalf("expired is %+v", got)
	}
	if again := w.m.Expired(at); len(again) != 0 {
		t.Errorf("and at once again %+v", again)
	}
	if again := w.m.Expired(at + int64(retryExpiry)); len(again) != 1 || again[0].Name != "b" {
		t.Errorf("what nobody has proposed is %+v later", again)
	}
	w.now = at
	w.apply(t, got[0].AppendTo(nil))
	if sh := w.stream("b").Shard("eu"); sh.First != sh.End || w.offsets(t, "b", edda.DefaultShard) != [2]uint64{2, 2} {
		t.Errorf("what has expired is there: %+v", sh)
	}
	got = w.m.Expired(start + int64(2*time.Hour))
	if len(got) != 1 || got[0].Name != "a" {
		t.Errorf("then it is %+v", got)
	}
	w.apply(t, got[0].AppendTo(nil))
	if got := w.m.Expired(start + int64(1000*time.Hour)); len(got) != 0 || w.m.NextExpiry() != 0 {
		t.Errorf("at the end %+v, %d", got, w.m.NextExpiry())
	}
}

// What is a little younger than what has just gone follows soon.
func TestTheNextToExpireFollowsSoon(t *testing.T) {
	w := newWorld(t)
	w.set(t, edda.StreamSpec{Name: "orders", Retention: edda.Retention{Age: 2 * time.Second}})
	w.put(t, "orders", "")
	w.now += int64(time.Second)
	w.put(t, "orders", "")
	w.now = w.m.NextExpiry()
	for _, r := range w.m.Expired(w.now) {
		w.apply(t, r.AppendTo(nil))
	}
	wantOffsets(t, w, [2]uint64{1, 2})
	if at := w.m.NextExpiry() - w.now; at > int64(time.Second) {
		t.Errorf("the next one goes in %s", time.Duration(at))
	}
}

// Streams that are removed, emptied or changed are not looked at.
func TestExpiryEnds(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"removed": func(w *world) { w.remove(t, "orders") },
		"changed": func(w *world) { w.set(t, edda.StreamSpec{Name: "orders"}) },
		"emptied": func(w *world) { w.trim(t, record.StreamTrimmed{Name: "orders", Offset: 9}) },
	} {
		w := newWorld(t)
		w.set(t, edda.StreamSpec{Name: "orders", Retention: edda.Retention{Age: time.Hour}})
		for i := range 3 {
			w.append(t, appending("orders", fmt.Sprint(i), ""))
		}
		end(w)
		if got := w.m.Expired(w.now + int64(1000*time.Hour)); len(got) != 0 || w.m.NextExpiry() != 0 {
			t.Errorf("%s: %+v, %d", name, got, w.m.NextExpiry())
		}
	}
}
