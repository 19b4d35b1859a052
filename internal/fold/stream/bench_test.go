package stream

import (
	"fmt"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// BenchmarkAppend applies records of one message of 256 bytes. What is in memory is let
// go of now and then, as checkpoints do.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name string
		ids  bool
		keep edda.Retention
	}{
		{name: "plain"},
		{name: "ids", ids: true},
		{name: "count", keep: edda.Retention{Count: 1000}},
		{name: "bytes", keep: edda.Retention{Bytes: 300_000}},
		{name: "age", keep: edda.Retention{Age: time.Millisecond}},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkAppend(b, c.ids, c.keep) })
	}
}

func benchmarkAppend(b *testing.B, ids bool, keep edda.Retention) {
	b.Helper()
	w := newWorld(b)
	w.m.rowBytes = rowBytes
	set := &record.StreamSet{StreamSpec: edda.StreamSpec{Namespace: edda.DefaultNamespace, Name: "orders", Retention: keep}}
	w.apply(b, set.AppendTo(nil))
	const round = 1 << 15
	records := make([][]byte, round)
	payload := string(make([]byte, 256))
	for n := range records {
		id := ""
		if ids {
			id = fmt.Sprint("order-", n)
		}
		a := &record.StreamAppended{Namespace: edda.DefaultNamespace, Stream: "orders", Shard: edda.DefaultShard}
		a.Messages = [][]byte{encoded(id, "key", payload)}
		records[n] = a.AppendTo(nil)
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		if n == round {
			b.StopTimer()
			if w.checkpoint(b); ids {
				w.now += int64(2 * edda.DefaultDedupe) // the same ids are new ones
			}
			n = 0
			b.StartTimer()
		}
		w.now += 1000
		record.Stamp(records[n], 0, w.now)
		if err := w.fold.Apply(w.env.Position+1, records[n]); err != nil {
			b.Fatal(err)
		}
		if e := w.m.Effects(); len(e) != 2 || e[1].Kind != Answered || e[1].Items[0].Replayed {
			b.Fatal(e)
		}
		n++
	}
}
