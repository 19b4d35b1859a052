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

// turns is how often row and floor take turns. It is odd, for the median.
const turns = 5

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
	var floor *driver
	asFloor(ctx, func(ctx context.Context) { floor, err = fs.open(ctx, e, fs.inFlight) })
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
	round := e.Duration / turns
	err := errors.Join(row.warm(ctx, round), floor.warm(ctx, round))
	for i := 0; err == nil; i++ {
		asFloor(ctx, func(ctx context.Context) { err = floor.run(ctx, round/2) })
		if err != nil || i == turns {
			break
		}
		err = row.run(ctx, round)
	}
	return err
}

// asFloor marks in profiles what f does as none of a row's.
func asFloor(ctx context.Context, f func(context.Context)) {
	pprof.Do(ctx, pprof.Labels("row", "floor"), f)
}

// warm runs for a moment and forgets the figures.
func (t turn) warm(ctx context.Context, round time.Duration) error {
	t.into = new(series)
	return t.run(ctx, min(round, time.Second)/2)
}

// run lets the callers repeat the operation for d, longer if none is done by
// then, and adds the round to the series. An operation still running at the end
// is waited for and not counted. Without a driver it does nothing.
func (t turn) run(ctx context.Context, d time.Duration) error {
	if t.d == nil {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := round{turn: t, cancel: cancel, some: make(chan struct{}), ops: make([]paddedCount, t.inFlight)}
	var wg sync.WaitGroup
	cpu, begin := processCPU(), time.Now()
	for c := range t.inFlight {
		wg.Go(func() { r.repeat(ctx, c) })
	}
	sleep(ctx, d)
	wait(ctx, r.some)
	r.over.Store(true)
	elapsed, cpu := time.Since(begin), processCPU()-cpu
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	var n int64
	for i := range r.ops {
		n += r.ops[i].n
	}
	t.into.rates = append(t.into.rates, float64(n)/elapsed.Seconds())
	t.into.ops += n
	t.into.cpu += cpu
	return nil
}

// round is one run of a turn.
type round struct {
	turn
	cancel context.CancelCauseFunc
	over   atomic.Bool
	first  sync.Once
	some   chan struct{} // closed when an operation was done
	ops    []paddedCount // of each caller
}

// repeat is one caller. It has a context of its own, so that callers do not meet
// at its lock.
func (r *round) repeat(ctx context.Context, caller int) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	last := time.Now()
	for !r.over.Load() && ctx.Err() == nil {
		if err := r.d.op(ctx, caller); err != nil {
			r.cancel(err)
			return
		}
		now := time.Now()
		if r.over.Load() {
			return
		}
		r.into.hist.add(caller, now.Sub(last))
		if r.ops[caller].n++; r.ops[caller].n == 1 {
			r.first.Do(func() { close(r.some) })
		}
		last = now
	}
}

// wait returns when the channel is closed or ctx has ended.
func wait(ctx context.Context, closed <-chan struct{}) {
	select {
	case <-closed:
	case <-ctx.Done():
	}
}

// sleep returns after d or when ctx has ended.
func sleep(ctx context.Context, d time.Duration) {
	ctx, stop := context.WithTimeout(ctx, d)
	defer stop()
	<-ctx.Done()
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
