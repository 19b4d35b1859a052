package rpcgw_test

import (
	"context"
	"testing"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// A node that stops says so, waits for what workers have, and ends their streams
// when they have handed it in.
func TestStopWaitsForWorkers(t *testing.T) {
	s := serve(t, options{})
	w := s.join(t, "w1", balanced("echo"))
	got := s.call(t, "echo", "say", "")
	d := w.dispatch()
	w.send(taken(d.GetAttemptId()))
	watch, err := healthv1.NewHealthClient(s.dial(t)).Watch(within(t), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if h, err := watch.Recv(); err != nil || h.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("health: %v, %v", h, err)
	}
	stopped := make(chan error, 1)
	s.rpc.Drain()
	if h, err := watch.Recv(); err != nil || h.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health: %v, %v", h, err)
	}
	ctx := within(t)
	go func() { stopped <- s.node.Stop(ctx) }()
	if f := w.next("Drain", func(f *eddav1.NodeFrame) bool { return f.GetDrain() != nil }); !f.GetDrain().GetStopping() {
		t.Errorf("%v does not say that the node stops", f)
	}
	select {
	case err := <-stopped:
		t.Fatalf("the node did not wait: %v", err)
	default:
	}
	w.send(reply(d.GetAttemptId(), "in time"))
	if text := (<-got).text(t); text != "in time" {
		t.Errorf("reply %q", text)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	go s.rpc.Close(context.WithoutCancel(ctx))
	if e, _ := w.ends(); e.GetReason() != "DRAINING" {
		t.Errorf("the stream ended with %v", e)
	}
}
