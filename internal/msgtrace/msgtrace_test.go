package msgtrace_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/msgtrace"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	parent  = "00-" + traceID + "-b7ad6b7169203331-01"
)

// What a message brings about is under the span that was put into it, within the trace that
// it came with.
func TestTraceGoesOn(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	tracer := sdk.NewTracerProvider(sdk.WithSyncer(spans)).Tracer("test")
	m := &edda.Message{TraceParent: parent, TraceState: "a=b"}
	ctx, s := tracer.Start(msgtrace.Under(t.Context(), m), "accept")
	msgtrace.Put(ctx, m)
	msgtrace.Fail(s, edda.NotAllowed, "why")
	s.End()
	if want := "00-" + traceID + "-" + s.SpanContext().SpanID().String() + "-01"; m.TraceParent != want || m.TraceState != "a=b" {
		t.Errorf("got %q and %q, want %q in the same state", m.TraceParent, m.TraceState, want)
	}
	got := spans.GetSpans()[0]
	if got.Parent.SpanID().String() != parent[36:52] || got.Status != (sdk.Status{Code: codes.Error, Description: "why"}) {
		t.Errorf("got a span under %s with %+v", got.Parent.SpanID(), got.Status)
	}
	if len(got.Attributes) != 1 || string(got.Attributes[0].Key) != "error.type" || got.Attributes[0].Value.AsString() != string(edda.NotAllowed) {
		t.Errorf("got %v", got.Attributes)
	}
	msgtrace.Put(context.Background(), m)
	if msgtrace.Put(trace.ContextWithSpan(t.Context(), trace.SpanFromContext(context.Background())), m); m.TraceState != "a=b" {
		t.Error("where there is no span a message loses its own")
	}
}

// The state that a message came with belongs to its trace: one that is put into another
// has it no more.
func TestAnotherTrace(t *testing.T) {
	ctx, s := sdk.NewTracerProvider().Tracer("test").Start(t.Context(), "accept")
	defer s.End()
	m := &edda.Message{TraceParent: parent, TraceState: "a=b"}
	if msgtrace.Put(ctx, m); m.TraceParent[3:35] != s.SpanContext().TraceID().String() || m.TraceState != "" {
		t.Errorf("got %q and %q", m.TraceParent, m.TraceState)
	}
}

// A trace context that is none is passed over.
func TestBadTraceContext(t *testing.T) {
	for _, text := range []string{"", "no", parent[:20]} {
		ctx := msgtrace.Under(t.Context(), &edda.Message{TraceParent: text})
		if trace.SpanContextFromContext(ctx).IsValid() {
			t.Errorf("%q is the parent of something", text)
		}
	}
}

func TestAttributes(t *testing.T) {
	id := edda.NewID(0, time.Unix(1, 0))
	m := &edda.Message{To: edda.Address{Name: "s"}, Type: "m"}
	want := map[string]string{"messaging.system": "edda", "messaging.destination.name": "s", "edda.namespace": edda.DefaultNamespace, "edda.method": "m"}
	for range 2 {
		got := map[string]string{}
		for _, kv := range msgtrace.Attributes(m) {
			got[string(kv.Key)] = kv.Value.AsString()
		}
		if !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		m.ID, m.To.Key = id, "k"
		want["messaging.message.id"], want["edda.key"] = id.String(), "k"
	}
}
