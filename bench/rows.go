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
	open opener
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

func ratioAtMost(most float64) target {
	return target{fmt.Sprintf("ratio ≤ %.1f", most), func(r *Result) bool { return r.Ratio > 0 && r.Ratio <= most }}
}

func valueAtLeast(least float64) target {
	return target{"≥ " + figure(least), func(r *Result) bool { return r.Value >= least }}
}

func valueAtMost(most float64) target {
	return target{"≤ " + figure(most), func(r *Result) bool { return r.Value > 0 && r.Value <= most }}
}

func residentAtMost(megabytes int64) target {
	return target{fmt.Sprintf("≤ %d MB resident", megabytes),
		func(r *Result) bool { return r.ResidentBytes > 0 && r.ResidentBytes <= megabytes*1e6 }}
}

// specs returns all rows in the order they run.
func specs() []spec {
	loop := func(name string, inFlight int, open opener, change ...func(*spec)) spec {
		s := spec{name: name, inFlight: inFlight, unit: perSecond, open: open, measure: compare}
		for _, f := range change {
			f(&s)
		}
		return s
	}
	return []spec{
		loop("flush", 1, openFlush),
		loop("append-floor", 64, openAppendFloor),
		loop("append-floor", 1024, openAppendFloor),
		loop("append", 64, openAppend, against("append-floor", 64), reach(ratioAtLeast(0.8))),
		loop("append", 1024, openAppend, against("append-floor", 1024), reach(ratioAtLeast(0.8))),
		loop("call", 1, openCall, against("flush", 1), byP50, reach(ratioAtMost(3))),
		loop("call", 64, openCall, against("flush", 1), byP50, reach(ratioAtMost(6), valueAtLeast(40_000))),
		loop("call", 256, openCall),
		loop("call", 1024, openCall, against("append-floor", 1024), reach(ratioAtLeast(0.2), valueAtLeast(100_000))),
		loop("accept", 1, openAccept, against("flush", 1), byP50, reach(ratioAtMost(1.6))),
		loop("hot-key", 64, openHotKey, against("flush", 1), reach(ratioAtLeast(0.7))),
		loop("http-floor", 64, openHTTPFloor),
		loop("http-floor", 512, openHTTPFloor),
		loop("http", 1, openHTTP),
		loop("http", 64, openHTTP, against("http-floor", 64), reach(ratioAtLeast(0.4))),
		loop("http", 512, openHTTP, against("http-floor", 512), reach(ratioAtLeast(0.5))),
		loop("route", 64, openRoute, against("http", 64), reach(ratioAtLeast(0.9))),
		loop("route-stream", 64, openRouteStream, against("http-floor", 64), reach(ratioAtLeast(0.25))),
		loop("live-call", 1, openLiveCall, against("http", 1), reach(ratioAtLeast(1))),
		loop("live-call", 64, openLiveCall, against("http", 64), reach(ratioAtLeast(1))),
		{name: "live-fanout", inFlight: liveListeners, unit: "ms", measure: measureFanout, targets: []target{valueAtMost(100)}},
		{name: "live-idle", inFlight: idleSockets, unit: "s", measure: measureIdleSockets, targets: []target{residentAtMost(400)}},
		loop("rpc-floor", 1, openRPCFloor),
		{name: "worker", inFlight: 1, unit: perSecond, measure: remoteLatency, targets: []target{ratioAtMost(1.3)}},
		loop("worker", 64, openWorkers(1), against("call", 64), reach(ratioAtLeast(0.5))),
		loop("worker", 1024, openWorkers(1), against("call", 1024), reach(ratioAtLeast(0.5))),
		loop("ten-workers", 1024, openWorkers(10), against("worker", 1024), reach(ratioAtLeast(1))),
		loop("proxy-floor", 64, openProxyFloor),
		loop("endpoint", 64, openEndpoint, against("proxy-floor", 64), reach(ratioAtLeast(0.4))),
		{name: "join", inFlight: 64, unit: "of keys", measure: measureJoin, targets: []target{
			valueAtLeast(0.7 / 11), valueAtMost(1.3 / 11), ratioAtMost(3),
		}},
		{name: "jobs", inFlight: jobs, unit: "s", measure: measureJobs, targets: []target{valueAtMost(1.5)}},
		{name: "idle-workers", inFlight: idleWorkers, unit: "s", measure: measureIdleWorkers, targets: []target{residentAtMost(200)}},
		loop("saga", 1, openSaga(balancedTask), against("flush", 1), byP50, reach(ratioAtMost(5))),
		loop("saga", 256, openSaga(balancedTask), against("call", 256), reach(ratioAtLeast(0.1), valueAtLeast(5_000))),
		loop("saga-keyed", 1, openSaga(keyedTask), against("flush", 1), byP50, reach(ratioAtMost(8))),
		loop("saga-chain", 1, openSagaChain, against("flush", 1), byP50),
		loop("saga-undo", 256, openSagaUndo, against("saga", 256), reach(ratioAtLeast(0.6))),
		{name: "saga-wide", inFlight: 100, unit: "s", measure: measureSagaWide, targets: []target{valueAtMost(3), ratioAtMost(1.5)}},
		{name: "saga-waiting", inFlight: 1, unit: "s", measure: measureStart, targets: []target{valueAtMost(3), residentAtMost(200)}},
		loop("stream-append", 64, openStreamAppend, against("append-floor", 64)),
		loop("stream-append", 1024, openStreamAppend, against("append-floor", 1024), reach(ratioAtLeast(0.35))),
		loop("group", 1024, openGroup, reach(valueAtLeast(60_000))),
		{name: "group-start", inFlight: 1, unit: "us", measure: measureGroupStart, targets: []target{valueAtMost(200)}},
		{name: "stream-read", inFlight: 1, unit: perSecond, measure: measureStreamRead, targets: []target{valueAtLeast(1_000_000)}},
		{name: "group-behind", inFlight: 1024, unit: perSecond, measure: measureGroupBehind, targets: []target{ratioAtLeast(0.9)}},
		{name: "stream-bytes", inFlight: 1024, unit: "B", measure: measureStreamBytes, targets: []target{valueAtMost(128)}},
		{name: "start-streams", inFlight: 1, unit: "s", measure: measureStart, targets: []target{valueAtMost(3)}},
		loop("sql", 1, openSQLFloor(openSQLite)),
		loop("sql", sqlCallers, openSQLFloor(openSQLite)),
		loop("cqrs", 1, openCQRS(openSQLite), against("sql", 1), reach(ratioAtLeast(0.8))),
		loop("cqrs", sqlCallers, openCQRS(openSQLite), against("sql", sqlCallers), reach(ratioAtLeast(0.6))),
		loop("cqrs-service", 1, openCQRSService(openSQLite), against("sql", 1), reach(ratioAtLeast(0.4))),
		loop("sql-pg", 1, openSQLFloor(openPostgres)),
		loop("sql-pg", sqlCallers, openSQLFloor(openPostgres)),
		loop("cqrs-pg", 1, openCQRS(openPostgres), against("sql-pg", 1), reach(ratioAtLeast(0.8))),
		loop("cqrs-pg", sqlCallers, openCQRS(openPostgres), against("sql-pg", sqlCallers), reach(ratioAtLeast(0.6))),
		loop("cqrs-service-pg", 1, openCQRSService(openPostgres), against("sql-pg", 1), reach(ratioAtLeast(0.4))),
		{name: "cqrs-events", inFlight: 1, unit: perSecond, measure: measureEvents(openSQLite), targets: []target{valueAtLeast(40_000)}},
		{name: "cqrs-events-pg", inFlight: 1, unit: perSecond, measure: measureEvents(openPostgres), targets: []target{valueAtLeast(20_000)}},
		{name: "cqrs-rebuild", inFlight: 1, unit: perSecond, measure: measureRebuild(openSQLite), targets: []target{valueAtLeast(200_000)}},
		{name: "cqrs-rebuild-pg", inFlight: 1, unit: perSecond, measure: measureRebuild(openPostgres), targets: []target{valueAtLeast(200_000)}},
		{name: "log-bytes", inFlight: 64, unit: "B", measure: measureLogBytes, targets: []target{valueAtMost(220)}},
		{name: "start-empty", inFlight: 1, unit: "s", measure: measureStart, targets: []target{valueAtMost(0.3), residentAtMost(60)}},
		{name: "start-loaded", inFlight: 1, unit: "s", measure: measureStart, targets: []target{valueAtMost(3), residentAtMost(300)}},
	}
}

// opener readies what a row drives.
type opener func(ctx context.Context, e *env, inFlight int) (*driver, error)

// against names the row that another is compared with.
func against(name string, inFlight int) func(*spec) {
	return func(s *spec) { s.floor, s.floorInFlight = name, inFlight }
}

// byP50 makes the comparison one of latencies.
func byP50(s *spec) { s.byP50 = true }

func reach(ts ...target) func(*spec) { return func(s *spec) { s.targets = ts } }

// find returns the row that another is compared with.
func find(name string, inFlight int) *spec {
	for _, s := range specs() {
		if s.name == name && s.inFlight == inFlight {
			return &s
		}
	}
	panic("bench: no row " + name)
}
