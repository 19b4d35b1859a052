package httpgw

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda"
)

// tracerName is the instrumentation scope of the gateway's spans.
const tracerName = "github.com/edda-io/edda/gateway/httpgw"

// Names of the trace context's headers, as they stand in a carrier.
const (
	traceParentKey = "traceparent"
	traceStateKey  = "tracestate"
)

// traceCall begins the span of a call, and makes it the parent of what the message
// brings about.
func (g *Gateway) traceCall(x *exchange, m *edda.Message) {
	parent, state := g.trace(x, attribute.String("edda.namespace", m.To.Namespace), attribute.String("edda.service", m.To.Name),
		attribute.String("edda.method", m.Type))
	if parent != "" {
		m.TraceParent, m.TraceState = parent, state
	}
}

// trace begins the span of a request, under the trace context of its headers. It
// returns the context of what the request brings about, none when nobody traces.
func (g *Gateway) trace(x *exchange, attributes ...attribute.KeyValue) (parent, state string) {
	if g.tracer == nil {
		return "", ""
	}
	carrier := propagation.MapCarrier{}
	if parents := x.r.Header["Traceparent"]; len(parents) == 1 && validTraceParent(parents[0]) {
		carrier[traceParentKey] = parents[0]
		carrier[traceStateKey] = traceState(x.r.Header["Tracestate"])
	}
	var w3c propagation.TraceContext
	ctx, span := g.tracer.Start(w3c.Extract(x.r.Context(), carrier), x.r.Method+" "+x.route.template,
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...), trace.WithAttributes(
			attribute.String("http.request.method", x.r.Method), attribute.String("http.route", x.route.template),
		))
	x.span, x.r = span, x.r.WithContext(ctx)
	if !span.SpanContext().IsValid() {
		return "", ""
	}
	carrier = propagation.MapCarrier{}
	w3c.Inject(ctx, carrier)
	return carrier[traceParentKey], carrier[traceStateKey]
}

// traced ends the span of a request with the status that was answered.
func (x *exchange) traced(status int) {
	if x.span == nil {
		return
	}
	x.span.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= 500 {
		x.span.SetStatus(codes.Error, "")
	}
	x.span.End()
}
