package group

import (
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// BenchmarkDeliver appends messages of 256 bytes one by one, and has each handled by a
// group that is caught up.
func BenchmarkDeliver(b *testing.B) {
	w := newWorld(b, setup{})
	w.set("s/g", edda.FromEnd)
	serial := w.group("s/g").Serial
	benchmark(b, w, []record.GroupStart{{Group: serial}})
}

// BenchmarkBehind is BenchmarkDeliver for a hundred groups that are behind, and so are
// no work.
func BenchmarkBehind(b *testing.B) {
	w := newWorld(b, setup{window: window{1, 1 << 20, 16}})
	for i := range 100 {
		w.set("s/g"+string(rune('A'+i)), edda.FromEnd)
	}
	w.append("s", "0", "1")
	benchmark(b, w, nil)
}

func benchmark(b *testing.B, w *world, starts []record.GroupStart) {
	b.Helper()
	a := appended("s", starts, edda.StreamMessage{Key: "k", Type: "placed", Payload: make([]byte, 256)})
	rec := a.AppendTo(nil)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := w.fold.Apply(w.env.Position+1, rec); err != nil {
			b.Fatal(err)
		}
		for _, e := range w.req.Effects() {
			if r := e.Request; e.Fence != 0 {
				c := record.Completed{Seq: r.Seq, Fence: e.Fence}
				if err := w.fold.Apply(w.env.Position+1, c.AppendTo(nil)); err != nil {
					b.Fatal(err)
				}
			}
		}
		w.req.Effects()
		w.streams.Effects()
		w.m.Effects()
		if n++; n%10_000 == 0 {
			b.StopTimer()
			w.log = make([][]byte, w.env.Position)
			w.checkpoint()
			b.StartTimer()
		}
	}
}
