package bench

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/edda-io/edda"
)

// BenchmarkRow runs the operation of each row that has one, for benchstat and
// for profiles of a single row. Ratios to floors are Run's business.
func BenchmarkRow(b *testing.B) {
	e, _, err := newEnv(Options{Dir: b.TempDir(), Durability: edda.Fsync})
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range specs() {
		if s.open == nil {
			continue
		}
		b.Run(fmt.Sprintf("%s/%d", s.name, s.inFlight), func(b *testing.B) {
			callers := max(s.inFlight, runtime.GOMAXPROCS(0))
			d, err := s.open(b.Context(), e, callers)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			if s.inFlight == 1 {
				alone(b, d)
			} else {
				together(b, d, callers)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
			if err := d.close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func alone(b *testing.B, d *driver) {
	b.Helper()
	for b.Loop() {
		if err := d.op(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
	}
}

func together(b *testing.B, d *driver, callers int) {
	b.Helper()
	var started atomic.Int64
	b.SetParallelism(callers / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		caller := int(started.Add(1) - 1)
		for pb.Next() {
			if err := d.op(b.Context(), caller); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
