// Package msgtrace says in traces what happens to messages: it reads and writes the trace
// context that a message carries, and describes messages and failures to spans. It
// reports to whatever tracer made the spans, has no state, and is safe for concurrent use.
package msgtrace

import (
	"cmp"
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda"
)

// Under makes the trace context of a message, if it is valid, the parent of what
// begins in the context.
func Under(ctx context.Context, m *edda.Message) context.Context {
	return propagation.TraceContext{}.Extract(ctx, carrier{m})
}

// Put makes the context's span the parent of what the message brings about. The
// span of a provider that does nothing leaves the message's own.
func Put(ctx context.Context, m *edda.Message) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		m.TraceState = "" // the span's takes its place, or nothing
		propagation.TraceContext{}.Inject(ctx, carrier{m})
	}
}

// Fail notes that what the span is of has failed.
func Fail(s trace.Span, reason edda.Reason, why string) {
	s.SetAttributes(attribute.String("error.type", string(reason)))
	s.SetStatus(codes.Error, why)
}

// Attributes describes a message.
func Attributes(m *edda.Message) []attribute.KeyValue {
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
