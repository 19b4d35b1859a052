package httpio

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Names of the trace context's headers, as they stand in a carrier.
const (
	traceParentKey = "traceparent"
	traceStateKey  = "tracestate"
)

// StartSpan begins the span of a request, under the trace context of its headers. It
// returns the request with the span, and the trace context of what the request brings
// about, "" when nobody traces.
func StartSpan(t trace.Tracer, r *http.Request, route string, attributes ...attribute.KeyValue) (_ *http.Request, _ trace.Span, parent, state string) {
	carrier := propagation.MapCarrier{}
	if parents := r.Header["Traceparent"]; len(parents) == 1 && ValidTraceParent(parents[0]) {
		carrier[traceParentKey] = parents[0]
		carrier[traceStateKey] = TraceState(r.Header["Tracestate"])
	}
	var w3c propagation.TraceContext
	ctx, span := t.Start(w3c.Extract(r.Context(), carrier), r.Method+" "+route,
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...), trace.WithAttributes(
			attribute.String("http.request.method", r.Method), attribute.String("http.route", route),
		))
	r = r.WithContext(ctx)
	if !span.SpanContext().IsValid() {
		return r, span, "", ""
	}
	carrier = propagation.MapCarrier{}
	w3c.Inject(ctx, carrier)
	return r, span, carrier[traceParentKey], carrier[traceStateKey]
}

// EndSpan ends the span of a request with the status that was answered. There need be
// none.
func EndSpan(span trace.Span, status int) {
	if span == nil {
		return
	}
	span.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= 500 {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}
