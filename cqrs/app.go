package cqrs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/eventual"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/observe"
	"github.com/edda-io/edda/cqrs/internal/relay"
)

// Defaults of Options.
const (
	DefaultName           = "cqrs"
	DefaultHandlerTimeout = 30 * time.Second
	DefaultSlowAfter      = time.Second
)

// Options of an App. The zero value works.
type Options struct {
	// Name is the app's; DefaultName when empty. The balanced service cqrs.NAME makes
	// its reversible calls and answers `edda cqrs`; NAME.events is its stream.
	Name string
	// Namespace is edda.DefaultNamespace when empty.
	Namespace string
	// AppVersion goes into events.
	AppVersion string
	// Profile names the broadcasters that this process serves: whose commands it takes from
	// services and whose eventual handlers it runs. All when empty. App.Do runs the commands
	// of any.
	Profile []string
	// Wiring adds routes to handlers by name. A name that is no handler's is an error.
	Wiring *Wiring
	// Shards is over how many shards of the stream the events are spread by aggregate. One
	// when zero, which keeps all events in one order.
	// An event about a list goes with its first item. Stop all relays before it is changed.
	Shards int
	// Retention is that of the stream when the relay creates it; the zero value keeps
	// everything. A stream that is there is left as it is.
	Retention edda.Retention
	// NoRelay runs neither relay nor eventual handlers here: another process does.
	NoRelay bool
	// NoMigrations says that the tables are there already: Start makes none, and fails without them.
	NoMigrations bool
	// Isolation is that of the commands' transactions; see driver.TxOptions.
	Isolation Isolation
	// Codec encrypts the data of events where they are stored; they are not when it is zero.
	Codec Codec
	// SlowAfter is from when on a handler is logged as slow. DefaultSlowAfter when zero.
	SlowAfter time.Duration
	// Logger is slog.Default when nil. Registerer takes the metrics, which are kept nowhere when
	// it is nil; apps may share it. TracerProvider gets the spans; there are none when it is nil.
	Logger         *slog.Logger
	Registerer     prometheus.Registerer
	TracerProvider trace.TracerProvider
}

// Isolation is the isolation of transactions.
type Isolation string

// The isolations. Serializable is the default.
const (
	Serializable   Isolation = "serializable"
	RepeatableRead Isolation = "repeatable-read"
)

// App runs broadcasters over a database and a node. Make it with New, let a node or a worker
// host its Services, then Start it. All methods are safe for concurrent use.
type App struct {
	db    driver.DB
	o     Options
	table *table
	log   *slog.Logger

	observer *observe.Observer
	relayed  *relay.Metrics

	life    *lifecycle
	callers callers
	rows    eventRows
	backend Backend         // set by Start
	parts   []component     // set by Start
	late    *eventual.Lanes // set by Start
}

// New returns an app that is not started. Its error is a *edda.Error that says everything that is
// wrong with the broadcasters and options, BadName and BadValue. The database is the caller's, who
// closes it after Stop.
func New(db driver.DB, o Options, bs ...*Broadcaster) (*App, error) {
	if db == nil {
		return nil, badValue("make app", "there is no database")
	}
	o = o.withDefaults()
	t, err := newTable(bs, o.Wiring)
	if err := errors.Join(err, o.validate(bs), checkChannels(bs)); err != nil {
		return nil, &edda.Error{Op: "make app " + o.Name, Reason: edda.ReasonOf(err), Err: err}
	}
	v, err := observe.New(observe.Options{
		App: o.Name, Slow: o.SlowAfter, Logger: o.Logger, Registerer: o.Registerer, TracerProvider: o.TracerProvider,
	})
	metrics, wrong := relay.NewMetrics(o.Registerer)
	err = errors.Join(err, wrong)
	if err != nil {
		return nil, &edda.Error{Op: "make app " + o.Name + ": register its metrics", Reason: edda.BadValue, Err: err}
	}
	return &App{db: db, o: o, rows: newEventRows(o.Codec), table: t, log: o.Logger, observer: v, relayed: metrics, life: newLifecycle()}, nil
}

func (o Options) withDefaults() Options {
	o.Name = cmp.Or(o.Name, DefaultName)
	o.Namespace = cmp.Or(o.Namespace, edda.DefaultNamespace)
	o.Shards = cmp.Or(o.Shards, 1)
	o.Isolation = cmp.Or(o.Isolation, Serializable)
	o.SlowAfter = cmp.Or(o.SlowAfter, DefaultSlowAfter)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// validate says all that is wrong.
func (o *Options) validate(bs []*Broadcaster) error {
	var all []error
	all = append(all, edda.CheckName("name", o.Name), edda.CheckName("namespace", o.Namespace))
	if o.Shards < 1 || o.Shards > edda.MaxShards {
		all = append(all, badValue("check options", "Shards is %d, must be 1 to %d", o.Shards, edda.MaxShards))
	}
	if o.Isolation != Serializable && o.Isolation != RepeatableRead {
		all = append(all, badValue("check options", "Isolation is %q, must be %q or %q", o.Isolation, Serializable, RepeatableRead))
	}
	if (o.Codec.Encode == nil) != (o.Codec.Decode == nil) {
		all = append(all, badValue("check options", "Codec has one of Encode and Decode, must have both or neither"))
	}
	if o.SlowAfter < 0 {
		all = append(all, badValue("check options", "SlowAfter is %v, must be positive", o.SlowAfter))
	}
	for _, name := range o.Profile {
		if !slices.ContainsFunc(bs, func(b *Broadcaster) bool { return b != nil && b.name == name }) {
			all = append(all, badValue("check options", "Profile names the broadcaster %q, which there is not", name))
		}
	}
	return errors.Join(all...)
}

func badValue(op, format string, args ...any) error {
	return &edda.Error{Op: op, Reason: edda.BadValue, Err: fmt.Errorf(format, args...)}
}

// serves reports whether this process serves the broadcaster.
func (a *App) serves(broadcaster string) bool {
	return len(a.o.Profile) == 0 || slices.Contains(a.o.Profile, broadcaster)
}

// ownMethods add the methods of cqrs.NAME.
func (a *App) ownMethods() []func(*edda.Service) {
	return []func(*edda.Service){a.callMethods, a.controlMethods}
}

// component runs beside the commands, from Start to Stop.
type component interface {
	// Run returns soon after ctx has ended.
	Run(ctx context.Context)
	// Wake says that events were committed. It does not block.
	Wake()
}

// components are what Start runs. Relay and eventual handlers are not there with Options.NoRelay.
func (a *App) components() []component {
	var served []string
	if !a.o.NoRelay {
		served = slices.DeleteFunc(slices.Clone(a.table.names), func(b string) bool { return !a.serves(b) })
	}
	a.late = a.newLanes(served)
	if a.o.NoRelay {
		return []component{a.late}
	}
	return []component{a.late, a.newRelay()}
}

// Start checks the database, or brings it to the newest form, and starts what runs beside
// commands: relay and eventual handlers, until Stop. The backend may be nil with
// Options.NoRelay, if no command has calls. ctx bounds Start alone. An app is started once:
// Conflict after that.
func (a *App) Start(ctx context.Context, backend Backend) error {
	op := "start app " + a.o.Name
	if backend == nil && !a.o.NoRelay {
		return badValue(op, "there is no node to relay events to: hand one over, or set Options.NoRelay")
	}
	if !a.o.NoMigrations {
		if err := a.db.Migrate(ctx); err != nil {
			return &edda.Error{Op: op, Reason: edda.Unavailable, Err: err}
		}
	}
	if err := a.db.Transact(ctx, a.txOptions(), func(ctx context.Context, tx *Tx) error {
		rows, err := handlerRows(a.Handlers())
		if err != nil {
			return err
		}
		if _, err := ledger.SelectCommand(ctx, tx, edda.NewID(0, time.Now())); err != nil { // which knows the newest column
			return err
		}
		return ledger.WriteHandlers(ctx, tx, a.o.Name, rows, time.Now())
	}); err != nil {
		if a.o.NoMigrations {
			err = fmt.Errorf("the tables must be there, with NoMigrations somebody else makes them: %w", err)
		}
		return &edda.Error{Op: op, Reason: edda.Unavailable, Err: err}
	}
	return a.life.start(op, func(ctx context.Context, wg *sync.WaitGroup) {
		a.rows.stored.Numbered = a.db.Dialect().Settled == ""
		a.backend = backend
		a.parts = a.components()
		for _, c := range a.parts {
			wg.Go(func() { c.Run(ctx) })
		}
	})
}

// Stop takes no more commands, waits for those that run, and then ends what runs beside them.
// When ctx ends first, it returns ctx's error with relay and eventual handlers ended and
// commands still running, whose own contexts end them. It may be called again, and
// before Start, which then fails.
func (a *App) Stop(ctx context.Context) error { return a.life.stop(ctx) }

// committed wakes what waits for events.
func (a *App) committed() {
	for _, c := range a.parts {
		c.Wake()
	}
}
