package rpcgw

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/edda-io/edda"
)

// tracerName is the instrumentation scope of the gateway's spans.
const tracerName = "github.com/edda-io/edda/gateway/rpcgw"

// Names of the trace context, in a carrier and in the metadata of a call.
const (
	traceParentKey = "traceparent"
	traceStateKey  = "tracestate"
)

// traceCall begins the span of a call, which becomes the parent of what its message
// brings about. The function it returns ends the span.
func (g *Gateway) traceCall(ctx context.Context, method string, m *edda.Message) (context.Context, func(error)) {
	if g.tracer == nil {
		return ctx, func(error) {}
	}
	return g.trace(ctx, method, &m.TraceParent, &m.TraceState, attribute.String("edda.namespace", m.To.Namespace),
		attribute.String("edda.service", m.To.Name), attribute.String("edda.method", m.Type))
}

// trace begins the span of a call under the trace context that it carries, or else
// under that of its metadata, and puts its own in place of the first.
func (g *Gateway) trace(ctx context.Context, method string, parent, state *string, attributes ...attribute.KeyValue) (context.Context, func(error)) {
	if g.tracer == nil {
		return ctx, func(error) {}
	}
	carrier := propagation.MapCarrier{traceParentKey: *parent, traceStateKey: *state}
	if md, _ := metadata.FromIncomingContext(ctx); *parent == "" && len(md[traceParentKey]) == 1 {
		carrier[traceParentKey] = md[traceParentKey][0]
		if states := md[traceStateKey]; len(states) == 1 {
			carrier[traceStateKey] = states[0]
		}
	}
	var w3c propagation.TraceContext
	ctx, span := g.tracer.Start(w3c.Extract(ctx, carrier), method[1:],
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...),
		trace.WithAttributes(attribute.String("rpc.system.name", "grpc"), attribute.String("rpc.method", method[1:])))
	if span.SpanContext().IsValid() {
		carrier = propagation.MapCarrier{}
		w3c.Inject(ctx, carrier)
		*parent, *state = carrier[traceParentKey], carrier[traceStateKey]
	}
	return ctx, func(err error) {
		code := codeOf(err)
		span.SetAttributes(attribute.String("rpc.response.status_code", code.String()))
		if serverFault(code) {
			span.SetStatus(otelcodes.Error, "")
		}
		span.End()
	}
}

// serverFault reports whether a code is for the node to answer for, as a status from 500
// on is over HTTP.
func serverFault(c codes.Code) bool {
	switch c {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		return true
	default:
		return false
	}
}
