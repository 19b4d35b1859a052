package stream

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// A stream in which nothing happens costs some hundred bytes, whatever it holds.
func TestIdleStreamsAreSmall(t *testing.T) {
	w := newWorld(t)
	const n = 2000
	for i := range n {
		w.put(t, fmt.Sprint("orders-", i), make([]string, 20)...)
	}
	w.checkpoint(t)
	w.m, w.fold, w.box = nil, nil, nil
	before := heap()
	w.load(t)
	if each := (int64(heap()) - int64(before)) / n; each > 1000 {
		t.Errorf("an idle stream takes %d bytes", each)
	}
	if w.m.Len() != n {
		t.Errorf("there are %d streams", w.m.Len())
	}
}

// An append costs no memory but the room for its messages.
func TestAppendAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	w.set(t, edda.StreamSpec{Name: "orders", Retention: edda.Retention{Count: 10}})
	rec := appending("orders", "", "").AppendTo(nil)
	record.Stamp(rec, 0, w.now)
	apply := func() {
		if err := w.fold.Apply(w.env.Position+1, rec); err != nil {
			t.Fatal(err)
		}
		w.m.Effects()
	}
	if n := testing.AllocsPerRun(2000, apply); n >= 1 {
		t.Errorf("an append allocates %v times", n)
	}
	if want := 10 * (len(encoded("", "", "payload of ")) + messageOverhead); w.m.Bytes() != want {
		t.Errorf("%d bytes are in memory, want %d", w.m.Bytes(), want)
	}
}

// A stream may have so many shards and no more.
func TestMostShards(t *testing.T) {
	w := newWorld(t)
	for i := range edda.MaxShards {
		w.append(t, appending("orders", fmt.Sprint("s", i), ""))
		w.since = nil
	}
	wantRefused(t, w.append(t, appending("orders", "more", "")), edda.NoShard, "has 65536 shards, which is the most")
	if got := items(t, w.append(t, appending("orders", "s65535", ""))); got[0].Shard != 65535 || got[0].Offset != 1 {
		t.Errorf("in the last shard a message is %+v", got)
	}
	w.checkpoint(t)
	w.load(t)
	if n := len(w.stream("orders").Shards()); n != edda.MaxShards {
		t.Errorf("there are %d shards", n)
	}
}
