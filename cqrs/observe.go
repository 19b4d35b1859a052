package cqrs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda"
)

// tracerName is the instrumentation scope of the spans.
const tracerName = "github.com/edda-io/edda/cqrs"

// observation is something that takes its time: a command, a hook, a call, a handler.
type observation struct {
	// Kind is that of the handler, or one of those below.
	kind Kind
	// Broadcaster has the command or the handler. Name is the handler's, the call's, or the
	// command's as it was registered: never what a caller makes up.
	broadcaster, name string
	// Type is that of the command or event that it is about, and Command and Event their ids;
	// Event is zero where there is none.
	typ            string
	command, event edda.ID
}

// Kinds of what is observed that are no handlers.
const (
	kindCommand Kind = "command"
	kindCall    Kind = "call"
	kindUndo    Kind = "undo"
)

// observer keeps what there is to see of an app's work. It is safe for concurrent use.
type observer struct {
	app      string
	slow     time.Duration
	log      *slog.Logger
	tracer   trace.Tracer // nil for no spans
	seconds  *prometheus.HistogramVec
	commands *prometheus.HistogramVec
	relay    relayMetrics
}

// newObserver registers the metrics. Apps of one process may share a registry.
func newObserver(o *Options) (*observer, error) {
	buckets := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 10, 30}
	var errs []error
	v := &observer{app: o.Name, slow: o.SlowAfter, log: o.Logger}
	v.seconds = register(o.Registerer, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "edda_cqrs_handler_seconds", Help: "How long hooks, calls and handlers of events ran, each attempt.", Buckets: buckets,
	}, []string{"app", "broadcaster", "kind", "handler", "result"}), &errs)
	v.commands = register(o.Registerer, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "edda_cqrs_command_seconds", Help: "How long commands took, all of their parts included.", Buckets: buckets,
	}, []string{"app", "broadcaster", "command", "result"}), &errs)
	v.relay = newRelayMetrics(o.Registerer, &errs)
	if o.TracerProvider != nil {
		v.tracer = o.TracerProvider.Tracer(tracerName)
	}
	return v, errors.Join(errs...)
}

// register registers a collector, or returns the one that another app of the process
// registered before.
func register[C prometheus.Collector](r prometheus.Registerer, c C, errs *[]error) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if old, same := there.ExistingCollector.(C); same {
			return old
		}
	}
	*errs = append(*errs, err)
	return c
}

// observed runs f and returns its error. What it took is a metric and a span, whose context f
// gets, and a line in the log if it was slow.
func (a *App) observed(ctx context.Context, what observation, f func(ctx context.Context) error) error {
	return a.observer.watch(ctx, &what, f)
}

func (v *observer) watch(ctx context.Context, what *observation, f func(ctx context.Context) error) error {
	var span trace.Span
	if v.tracer != nil {
		ctx, span = v.tracer.Start(ctx, what.spanName(), trace.WithAttributes(what.attributes(v.app)...))
	}
	err := error(errPanicked) // until f has returned
	began := time.Now()
	defer func() { v.ended(ctx, what, span, time.Since(began), err) }()
	err = f(ctx)
	return err
}

// errPanicked stands for the error of what did not return.
var errPanicked = &edda.Error{Reason: edda.Panicked, Err: errors.New("it panicked")}

// ended says what something took.
func (v *observer) ended(ctx context.Context, what *observation, span trace.Span, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	if what.kind == kindCommand {
		v.commands.WithLabelValues(v.app, what.broadcaster, what.name, result).Observe(took.Seconds())
	} else {
		v.seconds.WithLabelValues(v.app, what.broadcaster, string(what.kind), what.name, result).Observe(took.Seconds())
	}
	if took >= v.slow {
		v.log.WarnContext(ctx, "slow "+string(what.kind), what.logged(v.app, took)...)
	}
	if span == nil {
		return
	}
	if err != nil {
		span.SetAttributes(attribute.String("error.type", string(edda.ReasonOf(err))))
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// spanName is what the span says: "hook Users.isUnique", "command create.user".
func (what *observation) spanName() string { return string(what.kind) + " " + what.name }

func (what *observation) attributes(app string) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("edda.app", app), attribute.String("edda.broadcaster", what.broadcaster), attribute.String("edda.type", what.typ),
	}
	if !what.command.IsZero() {
		all = append(all, attribute.String("edda.command.id", what.command.String()))
	}
	if !what.event.IsZero() {
		all = append(all, attribute.String("edda.event.id", what.event.String()))
	}
	return all
}

func (what *observation) logged(app string, took time.Duration) []any {
	all := []any{"app", app, "broadcaster", what.broadcaster, "name", what.name, "type", what.typ}
	if !what.command.IsZero() {
		all = append(all, "command", what.command.String())
	}
	if !what.event.IsZero() {
		all = append(all, "event", what.event.String())
	}
	return append(all, "duration", took)
}

// withTraceParent makes a W3C trace context the parent of what begins in ctx, unless ctx
// has a span.
func withTraceParent(ctx context.Context, parent string) context.Context {
	if parent == "" || trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
}

// traceParentOf is the W3C trace context of the context's span; "" when there is none.
func traceParentOf(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}
