package request

import (
	"fmt"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// BenchmarkPair applies the two records of a request that finds its key idle and
// a worker free: accepted, completed.
func BenchmarkPair(b *testing.B) {
	for _, kind := range []edda.Kind{edda.Ordered, edda.Balanced} {
		for _, hint := range []bool{true, false} {
			for _, open := range []int{0, 10_000} {
				b.Run(fmt.Sprintf("%s/hint=%t/open=%d", kind, hint, open), func(b *testing.B) { benchmarkPair(b, kind, hint, open) })
			}
		}
	}
}

func benchmarkPair(b *testing.B, kind edda.Kind, hint bool, open int) {
	b.Helper()
	w := newWorld(b)
	key := ""
	for n := range open {
		accepted, _ := pair(n+1000, fmt.Sprint("waiting", n), 0)
		w.do(accepted)
	}
	w.log, w.said = nil, nil
	// Distinct ids and keys, and records that are written before the clock runs.
	const ring = 512
	accepted, hints, addrs := make([][]byte, ring), make([]*edda.Message, ring), make([]string, ring)
	for n := range ring {
		if kind == edda.Ordered {
			key = fmt.Sprint(n)
		}
		a, _ := pair(n, key, 0)
		a.time = 1 << 40
		accepted[n], hints[n], addrs[n] = a.encode(), a.msg, FlatAddress(a.msg.To)
	}
	_, completed := pair(0, key, 0)
	reply := completed.rec.(*record.Completed).Reply
	var rec []byte
	position := w.env.Position
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		if hint {
			w.req.Hint(hints[n%ring], addrs[n%ring])
		}
		position++
		if err := w.fold.Apply(position, accepted[n%ring]); err != nil {
			b.Fatal(err)
		}
		if e := w.req.Effects(); len(e) != 2 || e[1].Kind != Dispatch {
			b.Fatal(e)
		}
		c := record.Completed{Seq: position << seqBits, Fence: w.req.fence, Reply: reply}
		rec = c.AppendTo(rec[:0])
		position++
		if err := w.fold.Apply(position, rec); err != nil {
			b.Fatal(err)
		}
		if e := w.req.Effects(); len(e) != 1 || e[0].Kind != Ended {
			b.Fatal(e)
		}
		n++
	}
}

// BenchmarkCheckpoint writes what a second's load leaves behind.
func BenchmarkCheckpoint(b *testing.B) {
	for _, c := range []struct {
		name string
		keep int64
	}{{"forgotten", 0}, {"kept", 1 << 60}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				w := newWorld(b)
				for n := range 1000 {
					w.runPair(pair(n, "42", c.keep))
				}
				b.StartTimer()
				w.checkpoint()
			}
		})
	}
}
