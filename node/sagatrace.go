package node

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/msgtrace"
)

// traceSaga begins the span of a saga that comes in, and makes it the parent of the
// attempts at its steps. Its own parent is the trace context of the spec, else the
// caller's span. The function ends it.
func (n *Node) traceSaga(ctx context.Context, s *edda.SagaSpec) func(*edda.SagaAck, error) {
	m := &edda.Message{TraceParent: s.TraceParent, TraceState: s.TraceState}
	ctx, span := n.tracer.Start(msgtrace.Under(ctx, m), "create saga "+s.Name, trace.WithSpanKind(trace.SpanKindProducer)) //nolint:spancheck // whoever gets the function ends it
	msgtrace.Put(ctx, m)
	s.TraceParent, s.TraceState = m.TraceParent, m.TraceState
	return func(ack *edda.SagaAck, err error) { //nolint:spancheck // it ends the span
		if !span.IsRecording() {
			return
		}
		span.SetAttributes(attribute.String("messaging.system", "edda"), attribute.String("edda.namespace", s.Namespace), attribute.Int("edda.saga.steps", len(s.Steps)))
		if err != nil {
			msgtrace.Fail(span, edda.ReasonOf(err), err.Error())
		} else {
			span.SetAttributes(attribute.String("edda.saga.id", ack.ID), attribute.Bool("edda.joined", ack.Joined))
		}
		span.End()
	}
}
