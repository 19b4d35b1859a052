package rpcgw_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// echo answers with what it got; fail fails for good; wait waits until it is
// cancelled.
func echo() *edda.Service {
	s := edda.NewBalanced("echo")
	s.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		switch m.Type {
		case "fail":
			return nil, edda.Final("NO_FUNDS", "the account is empty")
		case "wait":
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return &edda.Reply{Status: 201, ContentType: m.ContentType, Headers: m.Headers, Payload: m.Payload}, nil
	})
	return s
}

func message(method, payload string) *eddav1.Message {
	return &eddav1.Message{Type: method, Service: "echo", ContentType: "text/plain", Payload: []byte(payload)}
}

func TestClientCalls(t *testing.T) {
	s := serve(t, options{services: []*edda.Service{echo()}})
	c, ctx := s.client(t), within(t)
	m := message("say", "hello")
	m.Headers = []*eddav1.Header{{Name: "X-A", Value: "1"}}
	r, err := c.Call(ctx, &eddav1.CallRequest{Message: m})
	if err != nil {
		t.Fatal(err)
	}
	if p := r.GetReply(); p.GetStatus() != 201 || string(p.GetPayload()) != "hello" || p.GetContentType() != "text/plain" || p.GetHeaders()[0].GetValue() != "1" ||
		len(r.GetRequestId()) != 16 || r.GetPosition() == "" || r.GetAttempts() != 1 {
		t.Errorf("got %v", r)
	}
	keyed := message("say", "twice")
	keyed.IdempotencyKey = "k"
	if _, err = c.Call(ctx, &eddav1.CallRequest{Message: keyed}); err != nil {
		t.Fatal(err)
	}
	if r, err = c.Call(ctx, &eddav1.CallRequest{Message: keyed}); err != nil || !r.GetReplayed() {
		t.Errorf("the second time: %v, %v", r, err)
	}
}

func TestClientSendsAndWaits(t *testing.T) {
	s := serve(t, options{services: []*edda.Service{echo()}})
	c, ctx := s.client(t), within(t)
	ack, err := c.Send(ctx, &eddav1.SendRequest{Message: message("say", "later")})
	if err != nil || len(ack.GetId()) != 16 || ack.GetPosition() == "" || ack.GetDurability() != "memory" || ack.GetAcceptedAt() == 0 {
		t.Fatalf("got %v, %v", ack, err)
	}
	r, err := c.Wait(ctx, &eddav1.WaitRequest{Id: ack.GetId()})
	if err != nil || string(r.GetReply().GetPayload()) != "later" {
		t.Errorf("got %v, %v", r, err)
	}
	info, err := c.Get(ctx, &eddav1.GetRequest{Id: ack.GetId()})
	if err != nil || info.GetState() != "succeeded" || info.GetService() != "echo" || info.GetMethod() != "say" || info.GetReplyStatus() != 201 ||
		info.GetReplySize() != 5 || !info.GetHasReply() || info.GetCompletedAt() < info.GetAcceptedAt() || info.GetPrincipal() != "anonymous" {
		t.Errorf("got %v, %v", info, err)
	}
	running, err := c.Send(ctx, &eddav1.SendRequest{Message: message("wait", "")})
	if err != nil {
		t.Fatal(err)
	}
	info, err = c.Cancel(ctx, &eddav1.GetRequest{Id: running.GetId()})
	if err != nil || info.GetState() != "cancelled" || info.GetError().GetReason() != "CANCELLED" {
		t.Errorf("cancelled: %v, %v", info, err)
	}
}

// wantStatus checks a call's error, and returns its detail.
func wantStatus(t *testing.T, what string, err error, code codes.Code, reason edda.Reason) *eddav1.Error {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
	for _, d := range st.Details() {
		if e, ok := d.(*eddav1.Error); ok {
			if e.GetReason() != string(reason) {
				t.Errorf("%s: reason %s (%s), want %s", what, e.GetReason(), e.GetMessage(), reason)
			}
			return e
		}
	}
	t.Errorf("%s: %v has no detail", what, err)
	return nil
}

func TestErrors(t *testing.T) {
	s := serve(t, options{services: []*edda.Service{echo()}})
	c, ctx := s.client(t), within(t)
	call := func(m *eddav1.Message) error {
		_, err := c.Call(ctx, &eddav1.CallRequest{Message: m})
		return err
	}
	e := wantStatus(t, "a final failure", call(message("fail", "")), codes.Aborted, edda.Failed)
	if len(e.GetRequestId()) != 16 || e.GetPosition() == "" || e.GetAttempts() != 1 || !strings.Contains(e.GetMessage(), "NO_FUNDS") {
		t.Errorf("the detail is %v", e)
	}
	keyed := message("say", "")
	keyed.Key = "1"
	wantStatus(t, "a key too many", call(keyed), codes.InvalidArgument, edda.WrongKind)
	wantStatus(t, "no message", call(nil), codes.InvalidArgument, edda.BadValue)
	short := message("say", "")
	short.Id = []byte{1}
	e = wantStatus(t, "a short id", call(short), codes.InvalidArgument, edda.BadValue)
	if e.GetRequestId() != nil || e.GetPosition() != "" {
		t.Errorf("nothing is stored, but %v", e)
	}
	_, err := c.Get(ctx, &eddav1.GetRequest{Id: bytes.Repeat([]byte{1}, 16)})
	wantStatus(t, "no such request", err, codes.NotFound, edda.NoRequest)
	_, err = c.Wait(ctx, &eddav1.WaitRequest{Id: []byte("short")})
	wantStatus(t, "a short id to wait for", err, codes.InvalidArgument, edda.BadValue)
	_, err = c.Cancel(ctx, &eddav1.GetRequest{})
	wantStatus(t, "no id to cancel", err, codes.NotFound, edda.NoRequest)
	parts, err := c.Parts(ctx, &eddav1.PartsRequest{After: "x"})
	if err == nil {
		_, err = parts.Recv()
	}
	wantStatus(t, "after no part", err, codes.InvalidArgument, edda.BadValue)
	large := message("say", strings.Repeat("x", 4<<20+1))
	wantStatus(t, "too large a payload", call(large), codes.ResourceExhausted, edda.TooLarge)
	brief, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancel()
	_, err = c.Call(brief, &eddav1.CallRequest{Message: message("wait", "")})
	if status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the call's deadline: %v", err)
	}
}

func TestBatch(t *testing.T) {
	s := serve(t, options{services: []*edda.Service{echo()}})
	b, err := s.client(t).Batch(within(t))
	if err != nil {
		t.Fatal(err)
	}
	send := func(rs ...*eddav1.BatchRequest) {
		if err := b.Send(&eddav1.BatchRequests{Requests: rs}); err != nil {
			t.Fatal(err)
		}
	}
	call := func(ref uint64, method, payload string) *eddav1.BatchRequest {
		return &eddav1.BatchRequest{Ref: ref, Request: &eddav1.BatchRequest_Call{Call: message(method, payload)}}
	}
	send(
		call(1, "say", "one"), call(2, "fail", ""), call(3, "wait", ""),
		&eddav1.BatchRequest{Ref: 4, Request: &eddav1.BatchRequest_Send{Send: message("say", "four")}},
		&eddav1.BatchRequest{Ref: 3, Request: &eddav1.BatchRequest_Forget{Forget: true}},
	)
	got := map[uint64]*eddav1.BatchResponse{}
	collect := func(n int) {
		for len(got) < n {
			in, err := b.Recv()
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range in.GetResponses() {
				if got[r.GetRef()] != nil {
					t.Errorf("a second answer to %d", r.GetRef())
				}
				got[r.GetRef()] = r
			}
		}
	}
	collect(4)
	if string(got[1].GetReply().GetReply().GetPayload()) != "one" ||
		got[2].GetError().GetReason() != "FAILED" || len(got[4].GetAck().GetId()) != 16 {
		t.Errorf("got %v", got)
	}
	// The one whose wait is over is answered too, with what is known of it.
	if e := got[3].GetError(); len(e.GetRequestId()) != 16 || e.GetReason() != "TIMEOUT" && e.GetReason() != "OUTCOME_UNKNOWN" {
		t.Errorf("got %v", got[3])
	}
	send(call(3, "say", "three")) // the ref is free again
	delete(got, 3)
	collect(4)
	if string(got[3].GetReply().GetReply().GetPayload()) != "three" {
		t.Errorf("got %v", got[3])
	}
	send(call(5, "wait", ""))
	send(call(5, "say", ""))
	_, err = b.Recv()
	wantStatus(t, "a ref in use", err, codes.InvalidArgument, edda.BadValue)
}

// A thousand calls at a time over one batch, then the end in good order.
func TestBatchOfMany(t *testing.T) {
	s := serve(t, options{services: []*edda.Service{echo()}})
	b, err := s.client(t).Batch(within(t))
	if err != nil {
		t.Fatal(err)
	}
	const n = 5000
	go func() {
		for i := range uint64(n) {
			_ = b.Send(&eddav1.BatchRequests{Requests: []*eddav1.BatchRequest{{Ref: i, Request: &eddav1.BatchRequest_Call{Call: message("say", "x")}}}})
		}
		_ = b.CloseSend()
	}()
	answered := 0
	for {
		in, err := b.Recv()
		if err != nil {
			break
		}
		for _, r := range in.GetResponses() {
			if r.GetReply() == nil {
				t.Fatalf("got %v", r)
			}
			answered++
		}
	}
	if answered != n {
		t.Errorf("%d answers, want %d", answered, n)
	}
}

func TestHealthAndReflection(t *testing.T) {
	s := serve(t, options{})
	conn := s.dial(t)
	h, err := healthv1.NewHealthClient(conn).Check(within(t), &healthv1.HealthCheckRequest{Service: "edda.v1.WorkerService"})
	if err != nil || h.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", h, err)
	}
	r, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	answer, err := r.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range answer.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, want := range []string{"edda.v1.EddaService", "edda.v1.WorkerService", "grpc.health.v1.Health"} {
		if !strings.Contains(strings.Join(names, " "), want) {
			t.Errorf("reflection lists %v, without %s", names, want)
		}
	}
}
