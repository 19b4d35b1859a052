package httpgw

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/edda-io/edda"
)

// A call has a span under the caller's, which is the parent of the message's.
func TestSpanOfCall(t *testing.T) {
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	const parent = "00-" + traceID + "-b7ad6b7169203331-01"
	for name, c := range map[string]struct {
		headers []string // traceparent, then tracestate
		body    string
		call    edda.Reason
		under   bool
		status  int64
		failed  bool
	}{
		"under the caller's":   {headers: []string{parent, "vendor=1,other=2"}, under: true, status: 204},
		"begins a trace":       {status: 204},
		"not a trace":          {headers: []string{"00-zz"}, status: 204},
		"refused":              {headers: []string{parent}, call: edda.WrongKind, under: true, status: 400},
		"failed":               {headers: []string{parent}, call: edda.OutcomeUnknown, under: true, status: 503, failed: true},
		"body that is too big": {headers: []string{parent}, body: strings.Repeat("x", 20), under: true, status: 413},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := tracetest.NewSpanRecorder()
			f := &fake{}
			if c.call != "" {
				f.call = func(context.Context, *edda.Message) (*edda.Reply, error) {
					return nil, &edda.Error{Reason: c.call, Err: errors.New("no")}
				}
			}
			g := gatewayOf(t, f, Options{MaxBody: 10, TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))})
			r := httptest.NewRequest(http.MethodPost, "http://localhost/v1/call/users/42/login", strings.NewReader(c.body))
			for i, h := range c.headers {
				r.Header.Add([]string{"Traceparent", "Tracestate"}[i], h)
			}
			g.ServeHTTP(httptest.NewRecorder(), r)

			ended := recorder.Ended()
			if len(ended) != 1 {
				t.Fatalf("got %d spans, want one", len(ended))
			}
			span := ended[0]
			if got := span.SpanContext().TraceID().String() == traceID && span.Parent().SpanID().String() == "b7ad6b7169203331"; got != c.under {
				t.Errorf("span is under the caller's: %t, want %t", got, c.under)
			}
			if span.Name() != "POST /v1/call/{service}/{key}/{method}" || span.SpanKind() != trace.SpanKindServer {
				t.Errorf("got span %q of kind %v, want the route's, of a server", span.Name(), span.SpanKind())
			}
			status := int64(0)
			for _, a := range span.Attributes() {
				if a.Key == "http.response.status_code" {
					status = a.Value.AsInt64()
				}
			}
			if failed := span.Status().Code == codes.Error; status != c.status || failed != c.failed {
				t.Errorf("got status %d, failed: %t; want %d, %t", status, failed, c.status, c.failed)
			}
			if c.body != "" {
				return
			}
			if m := f.message; !strings.Contains(m.TraceParent, span.SpanContext().SpanID().String()) || m.TraceState != span.SpanContext().TraceState().String() {
				t.Errorf("the message has trace context %q, %q; want that of span %v", m.TraceParent, m.TraceState, span.SpanContext())
			}
			if len(c.headers) > 1 && f.message.TraceState != c.headers[1] {
				t.Errorf("the message has trace state %q, want the caller's", f.message.TraceState)
			}
		})
	}
	t.Run("provider that does nothing", func(t *testing.T) {
		f := &fake{}
		g := gatewayOf(t, f, Options{TracerProvider: noop.NewTracerProvider()})
		r := httptest.NewRequest(http.MethodPost, "http://localhost/v1/call/users/42/login", nil)
		r.Header.Set("Traceparent", parent)
		g.ServeHTTP(httptest.NewRecorder(), r)
		if !strings.Contains(f.message.TraceParent, traceID) {
			t.Errorf("the message has trace context %q, want the caller's trace", f.message.TraceParent)
		}
	})
}
