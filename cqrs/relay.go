package cqrs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
)

// Waits of the relay.
const (
	// relayNote is how soon after its acknowledgement the place of an event is noted.
	relayNote = 100 * time.Millisecond
	// relayLast is how long the last note may take when the app is stopped.
	relayLast = 2 * time.Second
	// The wait after an error, which doubles with each.
	relayRetry, relayRetryMax = 100 * time.Millisecond, 5 * time.Second
)

// relay carries events from the database to the stream, each once and in order. It numbers
// them, 1, 2, 3, … in the order of their positions, so that whatever relay does it, and however
// often, the same event has the same number, and the stream passes over what it has had.
type relay struct {
	a      *App
	stream string
	name   string        // of its row
	woken  chan struct{} // has room for one
	ready  bool          // stream and channels are there
	failed atomic.Pointer[error]
	m      relayMetrics
}

// EventStream is the stream that the app's events are relayed to.
func (a *App) EventStream() string { return a.o.Name + ".events" }

func newRelay(a *App) *relay {
	return &relay{
		a: a, stream: a.EventStream(), name: a.o.Namespace + "/" + a.o.Name, woken: make(chan struct{}, 1), m: a.observer.relay,
	}
}

// wake implements component.
func (r *relay) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// run implements component.
func (r *relay) run(ctx context.Context) {
	wait := time.Duration(0)
	for {
		began := time.Now()
		err := r.begin(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 2*relayRetryMax {
			wait = 0 // it went well for a while
		}
		wait = min(max(2*wait, relayRetry), relayRetryMax)
		again := wait
		if e, ok := errors.AsType[*edda.Error](err); ok {
			again = max(again, e.RetryAfter)
		}
		again += rand.N(again/2 + 1) // so that many relays do not come back together
		r.m.failures.WithLabelValues(r.a.o.Name).Inc()
		if r.failed.Swap(&err) == nil || wait == relayRetryMax {
			r.a.log.ErrorContext(ctx, "events are not relayed", "app", r.a.o.Name, "stream", r.stream, "err", err, "again_in", again)
		}
		if !pause(ctx, again, nil) {
			return
		}
	}
}

// begin makes what there must be, and relays until something fails.
func (r *relay) begin(ctx context.Context) error {
	if !r.ready {
		if err := r.makeStream(ctx); err != nil {
			return err
		}
		if err := r.a.setChannels(ctx); err != nil {
			return err
		}
		r.ready = true
	}
	row, err := readyRelay(ctx, r.a.db, r.name)
	if err != nil {
		return err
	}
	return newRelaySession(r, row).run(ctx)
}

// goesOn is called when events are relayed.
func (r *relay) goesOn(ctx context.Context) {
	if r.failed.Load() != nil && r.failed.Swap(nil) != nil {
		r.a.log.InfoContext(ctx, "events are relayed again", "app", r.a.o.Name, "stream", r.stream)
	}
}

// makeStream makes the stream, unless it is there: then it is as somebody wants it.
func (r *relay) makeStream(ctx context.Context) error {
	_, err := r.a.backend.Stream(ctx, r.a.o.Namespace, r.stream)
	if edda.ReasonOf(err) != edda.NoStream {
		return err
	}
	_, _, err = r.a.backend.SetStream(ctx, edda.StreamSpec{Namespace: r.a.o.Namespace, Name: r.stream, Retention: r.a.o.Retention})
	return err
}

// relayMetrics are what there is to see of relays.
type relayMetrics struct {
	events     *prometheus.CounterVec
	failures   *prometheus.CounterVec
	lagEvents  *prometheus.GaugeVec
	lagSeconds *prometheus.GaugeVec
}

func newRelayMetrics(r prometheus.Registerer, errs *[]error) relayMetrics {
	app := []string{"app"}
	return relayMetrics{
		events: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edda_cqrs_relayed_events_total", Help: "Events that this process has brought to their stream.",
		}, app), errs),
		failures: register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edda_cqrs_relay_failures_total", Help: "How often the relay had to stop and begin again.",
		}, app), errs),
		lagEvents: register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "edda_cqrs_relay_lag_events", Help: "Events that are stored and not known to be in their stream; at most a million are counted.",
		}, app), errs),
		lagSeconds: register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "edda_cqrs_relay_lag_seconds", Help: "How old the first of them is.",
		}, app), errs),
	}
}

// restoredError says that the stream has what the database has not.
func (r *relay) restoredError(shard string, last edda.Numbered, has string) error {
	return &edda.Error{Op: "relay events of " + r.a.o.Name, Reason: edda.Conflict, Err: fmt.Errorf(
		"shard %s of stream %s has the event %s as number %d of this database, which has %s under that number: the database was restored from a backup, or has lost commits. "+
			"Nothing is relayed, or events would be lost: bring back the newer database, or let the events that it has now be new ones: UPDATE edda_relays SET producer = '%s' WHERE name = '%s'",
		shard, r.stream, last.ID, last.Number, cmp.Or(has, "no event"), edda.NewID(0, time.Now()), r.name)}
}
