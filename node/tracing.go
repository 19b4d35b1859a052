package node

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/msgtrace"
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
	ctx, c.span.Span = n.tracer.Start(msgtrace.Under(ctx, m), "accept "+m.To.Name+"."+m.Type, trace.WithSpanKind(trace.SpanKindProducer)) //nolint:spancheck // tracedAccept ends it
	msgtrace.Put(ctx, m)
	return ctx
}

// tracedAccept ends the span of a call that was accepted or refused.
func (c *call) tracedAccept(err error) {
	if !c.span.IsRecording() {
		return
	}
	c.span.SetAttributes(msgtrace.Attributes(c.msg)...)
	if c.wasAccepted(err) {
		c.span.SetAttributes(attribute.String("edda.position", c.place.position()), attribute.Bool("edda.joined", c.place.joined))
		c.span.End(trace.WithTimestamp(c.span.durable)) // what became of it later is told by its attempts
		return
	}
	if err != nil {
		msgtrace.Fail(c.span, edda.ReasonOf(err), err.Error())
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
	ctx, span := t.Start(msgtrace.Under(context.Background(), a.msg), "attempt "+a.msg.To.Name+"."+a.msg.Type, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(a.started))
	if span.IsRecording() {
		span.SetAttributes(msgtrace.Attributes(a.msg)...)
		span.SetAttributes(attribute.Int("edda.attempt", a.number), attribute.String("edda.worker", a.host.w.spec.ID))
		if a.step != nil {
			span.SetAttributes(attribute.String("edda.saga.id", a.step.Saga))
		}
	}
	m := *a.msg // the request's own stays as it was accepted
	msgtrace.Put(ctx, &m)
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
		msgtrace.Fail(span, edda.Fenced, errFenced.Error())
	case a.handedBack:
		span.SetAttributes(attribute.Bool("edda.handed_back", true))
	case a.failure.Reason != "":
		msgtrace.Fail(span, a.failure.Reason, a.failure.Message)
	}
	span.End()
}
