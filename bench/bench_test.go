package bench

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/pgtest"
)

// brief are options under which every row runs for a moment only.
func brief(tb testing.TB) Options {
	tb.Helper()
	return Options{
		Dir:        tb.TempDir(),
		Duration:   50 * time.Millisecond,
		Durability: edda.Fsync,
		Completed:  2000,
		Pending:    200,
		Child:      testChild,
	}
}

func TestRows(t *testing.T) {
	for _, s := range specs() {
		if !strings.HasSuffix(s.name, onPostgres) {
			t.Run(fmt.Sprintf("%s %d", s.name, s.inFlight), func(t *testing.T) {
				t.Parallel()
				testRow(t, &s, brief(t))
			})
		}
	}
}

func TestPostgresRows(t *testing.T) {
	o := brief(t)
	o.Postgres = pgtest.Open(t)
	for _, s := range specs() {
		if strings.HasSuffix(s.name, onPostgres) {
			testRow(t, &s, o)
		}
	}
}

func testRow(t *testing.T, s *spec, o Options) {
	t.Helper()
	o.Only, o.InFlight = []string{s.name}, []int{s.inFlight}
	var got []Result
	if err := Run(t.Context(), o, func(r Result) error { got = append(got, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 {
		t.Fatalf("%s with %d in flight: %d results, want 1", s.name, s.inFlight, len(got))
	}
	r := got[0]
	if r.Name != s.name || r.InFlight != s.inFlight || r.Unit != s.unit || r.Cores == 0 || r.Durability != edda.Fsync {
		t.Errorf("row is %+v, want name %s, %d in flight, unit %s", r, s.name, s.inFlight, s.unit)
	}
	// The handlers of group-start may start before the acknowledgements are heard of.
	measured := r.Value > 0 && r.P50Micros > 0 || s.name == "group-start" && r.Value >= 0 && r.P50Micros >= 0
	if !measured || r.P99Micros < r.P50Micros {
		t.Errorf("row %s with %d in flight has value %v, p50 %v, p99 %v", s.name, s.inFlight, r.Value, r.P50Micros, r.P99Micros)
	}
	if s.floor != "" && (r.Floor <= 0 || r.Ratio <= 0 || r.FloorName != s.floor) {
		t.Errorf("row %s with %d in flight: floor %q %v, ratio %v", s.name, s.inFlight, r.FloorName, r.Floor, r.Ratio)
	}
	if (r.OK != nil) != (len(s.targets) > 0) {
		t.Errorf("row %s with %d in flight: target %q, ok %v", s.name, s.inFlight, r.Target, r.OK)
	}
}

func TestRunRefuses(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"an unknown row":       func(o *Options) { o.Only = []string{"flush", "nothing"} },
		"no row left":          func(o *Options) { o.Only, o.InFlight = []string{"flush"}, []int{7} },
		"a negative duration":  func(o *Options) { o.Duration = -1 },
		"an odd durability":    func(o *Options) { o.Durability = "hope" },
		"no files":             func(o *Options) { o.Durability = edda.Memory },
		"too few requests":     func(o *Options) { o.Completed = -1 },
		"a directory in a way": func(o *Options) { o.Dir = "bench_test.go" },
	} {
		o := brief(t)
		change(&o)
		err := Run(t.Context(), o, func(Result) error { return nil })
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A directory that was made is removed with those above it, and one that was there stays.
func TestRunLeavesNothing(t *testing.T) {
	there := t.TempDir()
	for dir, left := range map[string]string{there: there, filepath.Join(there, "a", "b"): there} {
		o := brief(t)
		o.Dir, o.Only = dir, []string{"flush"}
		if err := Run(t.Context(), o, func(Result) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if names, err := os.ReadDir(left); err != nil || len(names) > 0 {
			t.Errorf("run in %s left %v, %v", dir, names, err)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("p50 of nothing is %v, want 0", got)
	}
	const n = 100_000
	for i := range n {
		h.add(i, time.Duration(i)*time.Microsecond)
	}
	for _, q := range []float64{0.01, 0.5, 0.99, 0.999} {
		want := q * n
		if got := h.quantile(q); math.Abs(got-want) > want*0.017 {
			t.Errorf("quantile %v is %v, want about %v", q, got, want)
		}
	}
	h = histogram{}
	h.add(0, -time.Second)
	h.add(0, time.Duration(math.MaxInt64))
	if lo, hi := h.quantile(0), h.quantile(0.99); lo != 0 || hi < 1e9 {
		t.Errorf("smallest and largest are %v and %v", lo, hi)
	}
}

func TestHistogramBuckets(t *testing.T) {
	last := -1
	for n := range uint64(1 << 20) {
		b := bucketOf(n)
		if b != last && b != last+1 {
			t.Fatalf("bucket of %d is %d after %d", n, b, last)
		}
		if mid := midOf(b); math.Abs(mid-float64(n)) > float64(n)/subBuckets+1 {
			t.Fatalf("middle of the bucket of %d is %v", n, mid)
		}
		last = b
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1, 3}, 3}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.in); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.in, got, c.want)
		}
	}
}
