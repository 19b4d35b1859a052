// Package relay carries events from their table to a stream, each once and in the order of their
// commits for each aggregate, whoever dies when and however many relays there are. How far they have
// come is in edda_relays.
//
// Run keeps its goroutines to itself and ends with its context; Wake may be called at any time. What
// cannot be carried is told and tried again, for ever: no event is passed over.
package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/internal/collector"
)

// Waits of the relay.
const (
	// noteAfter is how soon after its acknowledgement the place of an event is noted.
	noteAfter = 100 * time.Millisecond
	// lastNoteWithin is how long the last note may take when the app is stopped.
	lastNoteWithin = 2 * time.Second
	// lookEvery is how soon what another process has committed is seen.
	lookEvery = time.Second
	// lookSoon and lookLate bound the wait for events that are committed, and not settled yet.
	lookSoon, lookLate = time.Millisecond, 50 * time.Millisecond
	// The wait after an error, which doubles with each; while it is the same, the log has it
	// as often as the longest wait.
	retryFirst, retryMax = 100 * time.Millisecond, 5 * time.Second
)

// Options say from where to where events are carried. All are required but Payload and Retention.
type Options struct {
	DB driver.DB
	// Events reads events where it has a codec, and Payload writes their JSON then.
	Events  ledger.Events
	Payload func(e *ledger.Event) ([]byte, error)
	// Backend is the node, where Stream, which has Shards shards, is made if it is not there.
	Backend   edda.StreamBackend
	Namespace string
	Stream    string
	Shards    int
	Retention edda.Retention // that it is made with
	// Memory says that the node is known to keep its streams in memory alone.
	Memory bool
	// App is whose relay it is, for people.
	App string
	// Prepare is called before the first event is carried, until it succeeds.
	Prepare func(ctx context.Context) error
	Logger  *slog.Logger
	Metrics *Metrics
}

// Relay carries events from the database to the stream, each once and in order. It numbers
// them, 1, 2, 3, … in the order of their positions, so that whatever relay does it, and however
// often, the same event has the same number, and the stream passes over what it has had.
type Relay struct {
	o      Options
	name   string        // of its row
	woken  chan struct{} // has room for one
	ready  bool          // stream and channels are there
	failed atomic.Pointer[error]
}

// New returns a relay that does not run yet.
func New(o Options) *Relay {
	return &Relay{o: o, name: o.Namespace + "/" + o.App, woken: make(chan struct{}, 1)}
}

// Wake says that there may be events. It does not block.
func (r *Relay) Wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// Run carries events until ctx ends.
func (r *Relay) Run(ctx context.Context) {
	wait := time.Duration(0)
	var told time.Time
	for {
		began := time.Now()
		err := r.begin(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 2*retryMax {
			wait = 0 // it went well for a while
		}
		wait = min(max(2*wait, retryFirst), retryMax)
		again := wait
		switch e, ok := errors.AsType[*edda.Error](err); {
		case ok && e.Reason == edda.Conflict: // somebody mends it, and looks whether it helps
			again = min(again, lookEvery)
		case ok:
			again = max(again, e.RetryAfter)
		}
		again += rand.N(again/2 + 1) // so that many relays do not come back together
		r.o.Metrics.failures.WithLabelValues(r.o.App).Inc()
		last := r.failed.Swap(&err)
		if last == nil || edda.ReasonOf(*last) != edda.ReasonOf(err) || time.Since(told) > retryMax {
			told = time.Now()
			r.o.Logger.ErrorContext(ctx, "events are not relayed", "app", r.o.App, "stream", r.o.Stream, "err", err, "again_in", again)
		}
		if !r.pause(ctx, again) {
			return
		}
	}
}

// begin makes what there must be, and relays until something fails.
func (r *Relay) begin(ctx context.Context) error {
	at, empty, err := r.makeStream(ctx)
	if err != nil {
		return err
	}
	if !r.ready {
		if err := r.o.Prepare(ctx); err != nil {
			return err
		}
		r.ready = true
	}
	row, err := readyProgress(ctx, r.o.DB, r.name, at, r.o.Memory)
	if err == nil && row.StreamAt != at && row.Memory && empty {
		row, err = r.beginAnew(ctx, row, at)
	}
	switch {
	case err != nil:
		return err
	case row.StreamAt != at:
		return r.elsewhereError(row, at)
	}
	return newSession(r, row).run(ctx)
}

// goesOn is called when events are relayed.
func (r *Relay) goesOn(ctx context.Context) {
	if r.failed.Load() != nil && r.failed.Swap(nil) != nil {
		r.o.Logger.InfoContext(ctx, "events are relayed again", "app", r.o.App, "stream", r.o.Stream)
	}
}

// makeStream makes the stream, unless it is there: then it is as somebody wants it. It returns
// when the stream was created, as progress has it, and whether it has never had a message.
func (r *Relay) makeStream(ctx context.Context) (at int64, empty bool, err error) {
	st, err := r.o.Backend.Stream(ctx, r.o.Namespace, r.o.Stream)
	if edda.ReasonOf(err) == edda.NoStream {
		st, _, err = r.o.Backend.SetStream(ctx, edda.StreamSpec{Namespace: r.o.Namespace, Name: r.o.Stream, Retention: r.o.Retention})
	}
	if err != nil {
		return 0, false, err
	}
	return st.CreatedAt.UnixMicro(), len(st.Offsets) == 0, nil
}

// beginAnew has a stream that is empty take the place of one that was in the memory of a node, and so
// is gone with everything that has read it there: it gets all events. Where another relay has done so,
// its row is returned.
func (r *Relay) beginAnew(ctx context.Context, row *progress, at int64) (*progress, error) {
	if err := resetProgress(ctx, r.o.DB, row, at); err != nil {
		return nil, err
	}
	r.o.Logger.WarnContext(ctx, "all events are relayed anew: the stream that had them was in the memory of a node", "app", r.o.App, "stream", r.o.Stream)
	return readyProgress(ctx, r.o.DB, r.name, at, r.o.Memory)
}

// Metrics are what there is to see of relays. Make them with NewMetrics.
type Metrics struct {
	events     *prometheus.CounterVec
	failures   *prometheus.CounterVec
	lagEvents  *prometheus.GaugeVec
	lagSeconds *prometheus.GaugeVec
	kept       bool // somewhere
}

// NewMetrics registers the metrics. Apps of one process may share a registry.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	var errs []error
	app := []string{"app"}
	m := &Metrics{
		kept: r != nil,
		events: collector.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edda_cqrs_relayed_events_total", Help: "Events that this process has brought to their stream.",
		}, app), &errs),
		failures: collector.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edda_cqrs_relay_failures_total", Help: "How often the relay had to stop and begin again.",
		}, app), &errs),
		lagEvents: collector.Register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "edda_cqrs_relay_lag_events", Help: "Events that are stored and not known to be in their stream; at most a million are counted.",
		}, app), &errs),
		lagSeconds: collector.Register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "edda_cqrs_relay_lag_seconds", Help: "How old the first of them is.",
		}, app), &errs),
	}
	return m, errors.Join(errs...)
}

// pause waits, and reports whether ctx goes on.
func (r *Relay) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return ctx.Err() == nil
	}
}

// elsewhereError says that the events have come to another stream so far. Were they to come to
// this one from here on, each would lack what the other has.
func (r *Relay) elsewhereError(row *progress, at int64) error {
	made := func(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) }
	return &edda.Error{Op: "relay events of " + r.o.App, Reason: edda.Conflict, Err: fmt.Errorf(
		"stream %s of this node was created at %s, and the events of this database have come to one created at %s so far: at another node, or before it was deleted or the node's directory lost, or the node had none. "+
			"Nothing is relayed here, or each would lack events of the other. All processes of an app use one node; an app with a node of its own needs Options.Name of its own. "+
			"If this stream takes the place of the other, have it all events: UPDATE edda_relays SET stream_at = %d, producer = '%s', tx = 0, seq = 0, number = 0 WHERE name = '%s'; "+
			"or those from here on: UPDATE edda_relays SET stream_at = %d WHERE name = '%s'",
		r.o.Stream, made(at), made(row.StreamAt), at, edda.NewID(0, time.Now()), r.name, at, r.name)}
}

// restoredError says that the stream has what the database has not.
func (r *Relay) restoredError(shard string, last edda.Numbered, has string) error {
	return &edda.Error{Op: "relay events of " + r.o.App, Reason: edda.Conflict, Err: fmt.Errorf(
		"shard %s of stream %s has the event %s as number %d of this database, which has %s under that number: the database was restored from a backup, or has lost commits. "+
			"Nothing is relayed, or events would be lost: bring back the newer database, or let the events that it has now be new ones: UPDATE edda_relays SET producer = '%s' WHERE name = '%s'",
		shard, r.o.Stream, last.ID, last.Number, cmp.Or(has, "no event"), edda.NewID(0, time.Now()), r.name)}
}
