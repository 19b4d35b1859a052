package bench

import (
	"context"
	"errors"
	"runtime/pprof"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// rounds is how often row and floor take turns. It is odd, for the median.
const rounds = 5

// driver is something that callers can load.
type driver struct {
	// op does one operation for one of the callers, numbered from 0, and returns
	// once it is done.
	op func(ctx context.Context, caller int) error
	// close lets go of everything.
	close func() error
}

// series is what the rounds of one row or floor gave.
type series struct {
	rates []float64
	hist  histogram
	ops   int64
	cpu   time.Duration
}

// rate is the median of the rounds, in operations a second.
func (s *series) rate() float64 { return median(s.rates) }

// p50 is the median latency of all rounds, in microseconds.
func (s *series) p50() float64 { return s.hist.quantile(0.5) }

// compare measures a row and its floor in turns.
func compare(ctx context.Context, e *env, s *spec) (r Result, err error) {
	row, err := s.open(ctx, e, s.inFlight)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, row.close()) }()
	var values, floors series
	if s.floor == "" {
		err = takeTurns(ctx, e, turn{s.inFlight, row, &values}, turn{})
		values.fill(&r)
		return r, err
	}
	fs := find(s.floor, s.floorInFlight)
	floor, err := fs.open(ctx, e, fs.inFlight)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, floor.close()) }()
	err = takeTurns(ctx, e, turn{s.inFlight, row, &values}, turn{fs.inFlight, floor, &floors})
	values.fill(&r)
	r.FloorName, r.Floor, r.Compares = s.floor, floors.rate(), "value"
	r.Ratio = quotient(r.Value, r.Floor)
	if s.byP50 {
		r.Floor, r.Compares = floors.p50(), "p50Micros"
		r.Ratio = quotient(r.P50Micros, r.Floor)
	}
	return r, err
}

// fill sets the figures that the rounds gave.
func (s *series) fill(r *Result) {
	r.Value = s.rate()
	r.P50Micros, r.P99Micros = s.p50(), s.hist.quantile(0.99)
	if s.ops > 0 {
		r.CPUMicros = float64(s.cpu.Microseconds()) / float64(s.ops)
	}
}

// turn is one side of a comparison.
type turn struct {
	inFlight int
	d        *driver
	into     *series
}

// takeTurns warms both sides up and then measures floor, row, floor, ..., floor.
// Each round of the floor takes half as long as one of the row.
func takeTurns(ctx context.Context, e *env, row, floor turn) error {
	round := e.Duration / rounds
	one := func(t turn, d time.Duration, warm bool) error {
		if t.d == nil {
			return nil
		}
		var discard series
		if warm {
			t.into = &discard
		}
		return t.run(ctx, d)
	}
	asFloor := func(f func() error) (err error) {
		pprof.Do(ctx, pprof.Labels("row", "floor"), func(context.Context) { err = f() })
		return err
	}
	warm := min(round, time.Second) / 2
	if err := one(row, warm, true); err != nil {
		return err
	}
	if err := asFloor(func() error { return one(floor, warm, true) }); err != nil {
		return err
	}
	for i := range rounds + 1 {
		if err := asFloor(func() error { return one(floor, round/2, false) }); err != nil || i == rounds {
			return err
		}
		if err := one(row, round, false); err != nil {
			return err
		}
	}
	return nil
}

// run lets the callers repeat the operation for d, each as soon as its last one
// is done, and adds the round to the series. An operation still running at the
// end is waited for and not counted.
func (t turn) run(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		wg   sync.WaitGroup
		over atomic.Bool
		ops  = make([]paddedCount, t.inFlight)
	)
	cpu, begin := processCPU(), time.Now()
	for c := range t.inFlight {
		wg.Go(func() {
			last := time.Now()
			for !over.Load() && ctx.Err() == nil {
				if err := t.d.op(ctx, c); err != nil {
					cancel(err)
					return
				}
				now := time.Now()
				if over.Load() {
					return
				}
				t.into.hist.add(c, now.Sub(last))
				ops[c].n++
				last = now
			}
		})
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	over.Store(true)
	elapsed, cpu := time.Since(begin), processCPU()-cpu
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var n int64
	for i := range ops {
		n += ops[i].n
	}
	t.into.rates = append(t.into.rates, float64(n)/elapsed.Seconds())
	t.into.ops += n
	t.into.cpu += cpu
	return nil
}

// paddedCount is a counter with a cache line to itself.
type paddedCount struct {
	n int64
	_ [56]byte
}

// median returns the middle value, the mean of the two middle ones for an even
// number, zero for none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	m := len(v) / 2
	if len(v)%2 == 1 {
		return v[m]
	}
	return (v[m-1] + v[m]) / 2
}

func quotient(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
