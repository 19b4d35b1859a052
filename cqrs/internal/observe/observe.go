// Package observe keeps what there is to see of what takes its time: commands, hooks, calls and
// handlers are metrics, spans, and lines in the log when they are slow. All of it is safe for
// concurrent use.
package observe

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
	"github.com/edda-io/edda/internal/collector"
)

// tracerName is the instrumentation scope of the spans.
const tracerName = "github.com/edda-io/edda/cqrs"

// What is something that takes its time: a command, a hook, a call, a handler.
type What struct {
	// Kind is that of the handler, or one of those below.
	Kind string
	// Broadcaster has the command or the handler. Name is the handler's, the call's, or the
	// command's as it was registered: never what a caller makes up.
	Broadcaster, Name string
	// Type is that of the command or event that it is about, and Command and Event their ids;
	// Event is zero where there is none.
	Type           string
	Command, Event edda.ID
}

// Kinds of what is observed that are no handlers.
const (
	Command = "command"
	Call    = "call"
	Undo    = "undo"
)

// Observer keeps what there is to see of an app's work. It is safe for concurrent use.
type Observer struct {
	app      string
	slow     time.Duration
	log      *slog.Logger
	tracer   trace.Tracer // nil for no spans
	seconds  *prometheus.HistogramVec
	commands *prometheus.HistogramVec
}

// Options of an observer.
type Options struct {
	// App is whose work it is.
	App string
	// Slow is from when on something is logged as slow.
	Slow   time.Duration
	Logger *slog.Logger
	// Registerer takes the metrics, and TracerProvider the spans; nil for none.
	Registerer     prometheus.Registerer
	TracerProvider trace.TracerProvider
}

// New registers the metrics. Apps of one process may share a registry.
func New(o Options) (*Observer, error) {
	buckets := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 10, 30}
	var errs []error
	v := &Observer{app: o.App, slow: o.Slow, log: o.Logger}
	v.seconds = collector.Register(o.Registerer, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "edda_cqrs_handler_seconds", Help: "How long hooks, calls and handlers of events ran, each attempt.", Buckets: buckets,
	}, []string{"app", "broadcaster", "kind", "handler", "result"}), &errs)
	v.commands = collector.Register(o.Registerer, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "edda_cqrs_command_seconds", Help: "How long commands took, all of their parts included.", Buckets: buckets,
	}, []string{"app", "broadcaster", "command", "result"}), &errs)
	if o.TracerProvider != nil {
		v.tracer = o.TracerProvider.Tracer(tracerName)
	}
	return v, errors.Join(errs...)
}

// Watch runs f and returns its error. What it took is a metric and a span, whose context f gets,
// and a line in the log if it was slow.
func (v *Observer) Watch(ctx context.Context, what What, f func(ctx context.Context) error) error {
	var span trace.Span
	if v.tracer != nil {
		ctx, span = v.tracer.Start(ctx, what.spanName(), trace.WithAttributes(what.attributes(v.app)...))
	}
	err := error(errPanicked) // until f has returned
	began := time.Now()
	defer func() { v.ended(ctx, &what, span, time.Since(began), err) }()
	err = f(ctx)
	return err
}

// errPanicked stands for the error of what did not return.
var errPanicked = &edda.Error{Reason: edda.Panicked, Err: errors.New("it panicked")}

// ended says what something took.
func (v *Observer) ended(ctx context.Context, what *What, span trace.Span, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	if what.Kind == Command {
		v.commands.WithLabelValues(v.app, what.Broadcaster, what.Name, result).Observe(took.Seconds())
	} else {
		v.seconds.WithLabelValues(v.app, what.Broadcaster, what.Kind, what.Name, result).Observe(took.Seconds())
	}
	if took >= v.slow {
		v.log.WarnContext(ctx, "slow "+what.Kind, what.logged(v.app, took)...)
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
func (what *What) spanName() string { return what.Kind + " " + what.Name }

func (what *What) attributes(app string) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("edda.app", app), attribute.String("edda.broadcaster", what.Broadcaster), attribute.String("edda.type", what.Type),
	}
	if !what.Command.IsZero() {
		all = append(all, attribute.String("edda.command.id", what.Command.String()))
	}
	if !what.Event.IsZero() {
		all = append(all, attribute.String("edda.event.id", what.Event.String()))
	}
	return all
}

func (what *What) logged(app string, took time.Duration) []any {
	all := []any{"app", app, "broadcaster", what.Broadcaster, "name", what.Name, "type", what.Type}
	if !what.Command.IsZero() {
		all = append(all, "command", what.Command.String())
	}
	if !what.Event.IsZero() {
		all = append(all, "event", what.Event.String())
	}
	return append(all, "duration", took)
}

// WithTraceParent makes a W3C trace context the parent of what begins in ctx, unless ctx
// has a span.
func WithTraceParent(ctx context.Context, parent string) context.Context {
	if parent == "" || trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
}

// TraceParentOf is the W3C trace context of the context's span; "" when there is none.
func TraceParentOf(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}
