package httpgw

import (
	"go.opentelemetry.io/otel/attribute"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// tracerName is the instrumentation scope of the gateway's spans.
const tracerName = "github.com/edda-io/edda/gateway/httpgw"

// traceCall begins the span of a call, and makes it the parent of what the message
// brings about.
func (g *Gateway) traceCall(x *exchange, m *edda.Message) {
	if g.tracer == nil {
		return
	}
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
	x.r, x.span, parent, state = httpio.StartSpan(g.tracer, x.r, x.route.template, attributes...)
	return parent, state
}
