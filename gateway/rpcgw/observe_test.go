package rpcgw_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/rpcgw"
	"github.com/edda-io/edda/node"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// until waits until a condition holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	ctx := within(t)
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(what)
		}
	}
}

// Calls are counted by method and code, those in a Batch one by one; streams while
// they are open; frames of workers both ways.
func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := serve(t, options{Options: rpcgw.Options{Registerer: reg}, services: []*edda.Service{echo()}})
	c, ctx := s.client(t), within(t)
	if _, err := c.Call(ctx, &eddav1.CallRequest{Message: message("say", "x")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(ctx, &eddav1.GetRequest{Id: make([]byte, 16)}); err == nil {
		t.Fatal("a request that there is not was found")
	}
	b, err := c.Batch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for ref, m := range []*eddav1.Message{message("say", "a"), message("fail", "")} {
		if err := b.Send(&eddav1.BatchRequests{Requests: []*eddav1.BatchRequest{{Ref: uint64(ref), Request: &eddav1.BatchRequest_Call{Call: m}}}}); err != nil {
			t.Fatal(err)
		}
	}
	for answers := 0; answers < 2; {
		r, err := b.Recv()
		if err != nil {
			t.Fatal(err)
		}
		answers += len(r.GetResponses())
	}
	w := s.join(t, "w1", balanced("far"))
	got := s.call(t, "far", "say", "x")
	w.send(reply(w.dispatch().GetAttemptId(), "ok"))
	<-got

	counted := func(what string, want map[string]float64) {
		t.Helper()
		var got map[string]float64
		defer func() {
			if t.Failed() {
				t.Logf("%s: got %v\nwant %v", what, got, want)
			}
		}()
		until(t, what, func() bool {
			got = scrape(t, reg)
			for name, n := range want {
				if got[name] != n {
					return false
				}
			}
			return true
		})
	}
	counted("calls, and streams that are open", map[string]float64{
		"edda_grpc_streams_open edda.v1.EddaService/Batch":                  1,
		"edda_grpc_streams_open edda.v1.WorkerService/Work":                 1,
		"edda_grpc_requests_total Aborted edda.v1.EddaService/Batch.call":   1,
		"edda_grpc_requests_total OK edda.v1.EddaService/Batch.call":        1,
		"edda_grpc_requests_total OK edda.v1.EddaService/Call":              1,
		"edda_grpc_requests_total NotFound edda.v1.EddaService/Get":         1,
		"edda_grpc_request_duration_seconds edda.v1.EddaService/Call":       1,
		"edda_grpc_request_duration_seconds edda.v1.EddaService/Batch.call": 2,
	})
	// Register and an outcome; Registered and a dispatch.
	for name, n := range scrape(t, reg) {
		if strings.HasPrefix(name, "edda_grpc_worker_") && n < 2 {
			t.Errorf("%s is %v, want at least 2", name, n)
		}
	}
	if err := b.CloseSend(); err != nil {
		t.Fatal(err)
	}
	counted("the end of a stream", map[string]float64{
		"edda_grpc_streams_open edda.v1.EddaService/Batch":      0,
		"edda_grpc_requests_total OK edda.v1.EddaService/Batch": 1,
	})
}

// scrape returns the values of all metrics, and how many were observed, by name and
// labels.
func scrape(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			out[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}

// A call has a span under the caller's, alone and in a Batch, which is the parent of
// what the message brings about.
func TestSpans(t *testing.T) {
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	const parent = "00-" + traceID + "-b7ad6b7169203331-01"
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	s := serve(t, options{
		Options: rpcgw.Options{TracerProvider: provider}, node: node.Options{TracerProvider: provider}, services: []*edda.Service{echo()},
	})
	c := s.client(t)
	carried := message("say", "x")
	carried.Traceparent, carried.Tracestate = parent, "vendor=1"
	calls := map[string]func(context.Context) error{
		"edda.v1.EddaService/Call": func(ctx context.Context) error {
			_, err := c.Call(ctx, &eddav1.CallRequest{Message: carried})
			return err
		},
		"edda.v1.EddaService/Send": func(ctx context.Context) error { // by the metadata
			_, err := c.Send(metadata.AppendToOutgoingContext(ctx, "traceparent", parent), &eddav1.SendRequest{Message: message("say", "x")})
			return err
		},
		"edda.v1.EddaService/Batch.call": func(ctx context.Context) error {
			b, err := c.Batch(ctx)
			if err != nil {
				return err
			}
			if err := b.Send(&eddav1.BatchRequests{Requests: []*eddav1.BatchRequest{{Ref: 1, Request: &eddav1.BatchRequest_Call{Call: carried}}}}); err != nil {
				return err
			}
			_, err = b.Recv()
			return err
		},
		"edda.v1.SagaService/CreateSaga": func(ctx context.Context) error {
			_, err := eddav1.NewSagaServiceClient(s.dial(t)).CreateSaga(ctx, &eddav1.CreateSagaRequest{Saga: &eddav1.SagaSpec{
				Traceparent: parent, Steps: []*eddav1.StepSpec{{Id: "a", Task: &eddav1.Task{Service: "echo", Method: "say"}}},
			}})
			return err
		},
	}
	for name, do := range calls {
		if err := do(within(t)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		span := ended(t, recorder, name)
		if span.SpanKind() != trace.SpanKindServer || span.SpanContext().TraceID().String() != traceID || span.Parent().SpanID().String() != "b7ad6b7169203331" {
			t.Errorf("%s: the span is %v under %v, want a server's under the caller's", name, span.SpanKind(), span.Parent())
		}
	}
	below := false
	call := ended(t, recorder, "edda.v1.EddaService/Call")
	for _, span := range recorder.Ended() {
		below = below || span.Name() == "accept echo.say" && span.Parent().SpanID() == call.SpanContext().SpanID()
	}
	if !below {
		t.Error("the node's span is not under that of the call")
	}
	unknown := message("say", "x")
	unknown.Service = "nowhere"
	if _, err := c.Call(within(t), &eddav1.CallRequest{Message: unknown}); err == nil {
		t.Fatal("a service that there is not was called")
	}
	var status string
	for _, a := range last(t, recorder, "edda.v1.EddaService/Call").Attributes() {
		if a.Key == "rpc.response.status_code" {
			status = a.Value.AsString()
		}
	}
	if span := last(t, recorder, "edda.v1.EddaService/Call"); status != "Unavailable" || span.Status().Code != codes.Error {
		t.Errorf("the span of a call that failed has status %s, %v", status, span.Status())
	}
}

// ended returns the first span of a name that has ended.
func ended(t *testing.T, r *tracetest.SpanRecorder, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	var found sdktrace.ReadOnlySpan
	until(t, "there is no span "+name, func() bool {
		for _, s := range r.Ended() {
			if s.Name() == name {
				found = s
				return true
			}
		}
		return false
	})
	return found
}

// last returns the last span of a name, of those that have ended.
func last(t *testing.T, r *tracetest.SpanRecorder, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	var found sdktrace.ReadOnlySpan
	for _, s := range r.Ended() {
		if s.Name() == name {
			found = s
		}
	}
	return found
}
