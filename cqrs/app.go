package cqrs

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda/cqrs/driver"
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
	Shards int
	// NoRelay runs neither relay nor eventual handlers here: another process does.
	NoRelay bool
	// NoMigrations says that the tables are there already: Start checks them only.
	NoMigrations bool
	// Isolation is that of the commands' transactions; see driver.TxOptions.
	Isolation Isolation
	// SlowAfter is from when on a handler is logged as slow. DefaultSlowAfter when zero.
	SlowAfter time.Duration
	// Logger is slog.Default when nil. Registerer takes the metrics; none when nil.
	// Tracer makes the spans; the global provider's when nil.
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Tracer     trace.TracerProvider
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
	db driver.DB
	o  Options
}
