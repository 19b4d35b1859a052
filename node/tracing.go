package node

import (
	"cmp"
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda"
)

// tracerName is the instrumentation scope of the node's spans.
const tracerName = "github.com/edda-io/edda/node"

// newTracer returns nil for no provider, so that tracing which is off costs a look at
// a pointer.
func newTracer(o *Options) trace.Tracer {
	if o.TracerProvider == nil {
		return nil
	}
	return o.TracerProvider.Tracer(tracerName, trace.WithInstrumentationVersion(o.Version))
}

// acceptSpan is the span of a call on its way in.
type acceptSpan struct {
	trace.Span
	durable time.Time // set before the call's stage is stageAccepted
}

// traceAccept begins the span of a message that comes in, and makes it the parent of
// what follows. Its own parent is the message's trace context, else the caller's span.
func (n *Node) traceAccept(ctx context.Context, m *edda.Message, c *call) context.Context {
	c.span = &acceptSpan{}
	ctx, c.span.Span = n.tracer.Start(withTraceOf(ctx, m), "accept "+m.To.Name+"."+m.Type, trace.WithSpanKind(trace.SpanKindProducer)) //nolint:spancheck // tracedAccept ends it
	putTrace(ctx, m)
	return ctx
}

// tracedAccept ends the span of a call that was accepted or refused.
func (c *call) tracedAccept(err error) {
	if !c.span.IsRecording() {
		return
	}
	c.span.SetAttributes(attributesOf(c.msg)...)
	if c.wasAccepted(err) {
		c.span.SetAttributes(attribute.String("edda.position", c.place.position()), attribute.Bool("edda.joined", c.place.joined))
		c.span.End(trace.WithTimestamp(c.span.durable)) // what became of it later is told by its attempts
		return
	}
	if err != nil {
		failSpan(c.span, edda.ReasonOf(err), err.Error())
	}
	c.span.End()
}

// wasAccepted reports whether the caller knows that the call was accepted. One who
// left before that must not look at its place, which may be written just now.
func (c *call) wasAccepted(err error) bool {
	switch c.stage.Load() {
	case stageAccepted, stageClaimed:
		return true
	case stageGone:
		e, ok := errors.AsType[*edda.Error](err)
		return ok && e.Position != ""
	default:
		return false
	}
}

// trace begins the span of an attempt whose message is loaded, and makes it the
// parent of what the handler sends.
func (a *Attempt) trace() {
	t := a.p.n.tracer
	if t == nil {
		return
	}
	ctx, span := t.Start(withTraceOf(context.Background(), a.msg), "attempt "+a.msg.To.Name+"."+a.msg.Type, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(a.started))
	if span.IsRecording() {
		span.SetAttributes(attributesOf(a.msg)...)
		span.SetAttributes(attribute.Int("edda.attempt", a.number), attribute.String("edda.worker", a.host.w.spec.ID))
		if a.step != nil {
			span.SetAttributes(attribute.String("edda.saga.id", a.step.Saga))
		}
	}
	m := *a.msg // the request's own stays as it was accepted
	putTrace(ctx, &m)
	a.msg = &m
	a.span.Store(&span)
	if a.settled.Load() { // its worker went away meanwhile, and found no span to end
		a.traced(true)
	}
}

// traced ends the span of an attempt. Whoever ends the attempt calls it before
// letting go of it.
func (a *Attempt) traced(fenced bool) {
	p := a.span.Load()
	if p == nil || !a.span.CompareAndSwap(p, nil) {
		return
	}
	span := *p
	switch {
	case fenced:
		failSpan(span, edda.Fenced, errFenced.Error())
	case a.handedBack:
		span.SetAttributes(attribute.Bool("edda.handed_back", true))
	case a.failure.Reason != "":
		failSpan(span, a.failure.Reason, a.failure.Message)
	}
	span.End()
}

func failSpan(span trace.Span, reason edda.Reason, why string) {
	span.SetAttributes(attribute.String("error.type", string(reason)))
	span.SetStatus(codes.Error, why)
}

// attributesOf describes a message.
func attributesOf(m *edda.Message) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("messaging.system", "edda"), attribute.String("messaging.destination.name", m.To.Name),
		attribute.String("edda.namespace", cmp.Or(m.To.Namespace, edda.DefaultNamespace)), attribute.String("edda.method", m.Type),
	}
	if m.To.Key != "" {
		all = append(all, attribute.String("edda.key", m.To.Key))
	}
	if !m.ID.IsZero() {
		all = append(all, attribute.String("messaging.message.id", m.ID.String()))
	}
	return all
}

// carrier is a message as what carries its trace context.
type carrier struct{ *edda.Message }

// The names that W3C gives the trace context's parts.
const (
	traceParent = "traceparent"
	traceState  = "tracestate"
)

// Get returns a part of the trace context, "" for anything else.
func (c carrier) Get(key string) string {
	switch key {
	case traceParent:
		return c.TraceParent
	case traceState:
		return c.TraceState
	default:
		return ""
	}
}

// Set sets a part of the trace context.
func (c carrier) Set(key, value string) {
	switch key {
	case traceParent:
		c.TraceParent = value
	case traceState:
		c.TraceState = value
	}
}

// Keys returns the names of the parts.
func (c carrier) Keys() []string { return []string{traceParent, traceState} }

// withTraceOf makes the trace context of a message, if it is valid, the parent of what
// begins in the context.
func withTraceOf(ctx context.Context, m *edda.Message) context.Context {
	return propagation.TraceContext{}.Extract(ctx, carrier{m})
}

// putTrace makes the context's span the parent of what the message brings about. The
// span of a provider that does nothing leaves the message's own.
func putTrace(ctx context.Context, m *edda.Message) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		m.TraceState = "" // the span's takes its place, or nothing
		propagation.TraceContext{}.Inject(ctx, carrier{m})
	}
}
