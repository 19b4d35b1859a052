package bench

import (
	"context"
	"fmt"
)

// spec describes one row.
type spec struct {
	name     string
	inFlight int
	unit     string
	// open readies what the row drives, for rows measured by compare.
	open func(ctx context.Context, e *env, inFlight int) (*driver, error)
	// floor is the name of the row that this one is compared with, "" for none, and
	// floorInFlight its variant.
	floor         string
	floorInFlight int
	// byP50 compares latencies instead of values.
	byP50   bool
	targets []target
	// measure takes the figures.
	measure func(ctx context.Context, e *env, s *spec) (Result, error)
}

// target is one thing that a row must reach.
type target struct {
	text string
	met  func(*Result) bool
}

const perSecond = "1/s"

func ratioAtLeast(least float64) target {
	return target{fmt.Sprintf("ratio ≥ %.2f", least), func(r *Result) bool { return r.Ratio >= least }}
}

// specs returns all rows in the order they run.
func specs() []spec {
	return []spec{
		{name: "flush", inFlight: 1, unit: perSecond, open: openFlush, measure: compare},
		{name: "append-floor", inFlight: 64, unit: perSecond, open: openAppendFloor, measure: compare},
		{name: "append-floor", inFlight: 1024, unit: perSecond, open: openAppendFloor, measure: compare},
		{name: "append", inFlight: 64, unit: perSecond, open: openAppend, measure: compare,
			floor: "append-floor", floorInFlight: 64, targets: []target{ratioAtLeast(0.8)}},
		{name: "append", inFlight: 1024, unit: perSecond, open: openAppend, measure: compare,
			floor: "append-floor", floorInFlight: 1024, targets: []target{ratioAtLeast(0.8)}},
		{name: "http-floor", inFlight: 64, unit: perSecond, open: openHTTPFloor, measure: compare},
		{name: "http-floor", inFlight: 512, unit: perSecond, open: openHTTPFloor, measure: compare},
	}
}

// find returns the row that another is compared with.
func find(name string, inFlight int) *spec {
	for _, s := range specs() {
		if s.name == name && s.inFlight == inFlight {
			return &s
		}
	}
	panic("bench: no row " + name)
}
