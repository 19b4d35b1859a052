package client_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// fakeNode is a node as a client sees it. A test sets what it does.
type fakeNode struct {
	eddav1.UnimplementedEddaServiceServer
	fakeSagas
	streamsOf  fakeStreams
	channelsOf fakeChannels
	url        string
	server     *grpc.Server

	mu      sync.Mutex // guards what follows
	streams int        // of Batch, so far
	tokens  []string   // shown with each stream and question
	// batch answers a request of a Batch by calling answer, or does not. An error ends
	// the stream.
	batch func(r *eddav1.BatchRequest, answer func(*eddav1.BatchResponse)) error
	get   func(method string, id []byte) (any, error)
	parts func(after string, send func(*eddav1.PartsResponse) error) error
}

func newFakeNode(t *testing.T) *fakeNode {
	t.Helper()
	return newFakeNodeAt(t, "127.0.0.1:0")
}

func newFakeNodeAt(t *testing.T, addr string, o ...grpc.ServerOption) *fakeNode {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	n := &fakeNode{url: "http://" + l.Addr().String(), server: grpc.NewServer(append(o, grpc.MaxRecvMsgSize(8<<20))...)}
	eddav1.RegisterEddaServiceServer(n.server, n)
	eddav1.RegisterSagaServiceServer(n.server, &n.fakeSagas)
	n.streamsOf.fakeSagas = &n.fakeSagas
	eddav1.RegisterStreamServiceServer(n.server, &n.streamsOf)
	n.channelsOf.fakeSagas = &n.fakeSagas
	eddav1.RegisterChannelServiceServer(n.server, &n.channelsOf)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = n.server.Serve(l)
	}()
	t.Cleanup(func() {
		n.server.Stop()
		<-served
	})
	return n
}

// on sets what the node does with requests of a Batch.
func (n *fakeNode) on(f func(*eddav1.BatchRequest, func(*eddav1.BatchResponse)) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.batch = f
}

func (n *fakeNode) Batch(s eddav1.EddaService_BatchServer) error {
	n.mu.Lock()
	n.streams++
	n.mu.Unlock()
	n.shown(s.Context())
	var sending sync.Mutex
	answer := func(r *eddav1.BatchResponse) {
		sending.Lock()
		defer sending.Unlock()
		_ = s.Send(&eddav1.BatchResponses{Responses: []*eddav1.BatchResponse{r}})
	}
	for {
		in, err := s.Recv()
		if err != nil {
			return err
		}
		n.mu.Lock()
		batch := n.batch
		n.mu.Unlock()
		for _, r := range in.GetRequests() {
			if err := batch(r, answer); err != nil {
				return err
			}
		}
	}
}

func (n *fakeNode) ask(method string, id []byte) (any, error) {
	n.mu.Lock()
	get := n.get
	n.mu.Unlock()
	return get(method, id)
}

func (n *fakeNode) Wait(_ context.Context, r *eddav1.WaitRequest) (*eddav1.CallResponse, error) {
	v, err := n.ask("wait", r.GetId())
	if err != nil {
		return nil, err
	}
	return v.(*eddav1.CallResponse), nil
}

func (n *fakeNode) shown(ctx context.Context) {
	md, _ := metadata.FromIncomingContext(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tokens = append(n.tokens, md["authorization"]...)
}

func (n *fakeNode) Get(ctx context.Context, r *eddav1.GetRequest) (*eddav1.RequestInfo, error) {
	n.shown(ctx)
	return info(n.ask("get", r.GetId()))
}

func (n *fakeNode) Cancel(_ context.Context, r *eddav1.GetRequest) (*eddav1.RequestInfo, error) {
	return info(n.ask("cancel", r.GetId()))
}

func info(v any, err error) (*eddav1.RequestInfo, error) {
	if err != nil {
		return nil, err
	}
	return v.(*eddav1.RequestInfo), nil
}

func (n *fakeNode) Parts(r *eddav1.PartsRequest, s eddav1.EddaService_PartsServer) error {
	return n.parts(r.GetAfter(), s.Send)
}

// echo answers a call with its payload, and a send with an acknowledgement.
func echo(r *eddav1.BatchRequest, answer func(*eddav1.BatchResponse)) error {
	switch q := r.GetRequest().(type) {
	case *eddav1.BatchRequest_Call:
		answer(reply(r, string(q.Call.GetPayload())))
	case *eddav1.BatchRequest_Send:
		id := edda.ID{1}
		answer(&eddav1.BatchResponse{Ref: r.GetRef(), Response: &eddav1.BatchResponse_Ack{Ack: &eddav1.Ack{
			Id: id[:], Position: "p1", Durability: "fsync", AcceptedAt: int64(time.Hour), Joined: true, Done: true,
		}}})
	}
	return nil
}

func reply(r *eddav1.BatchRequest, payload string) *eddav1.BatchResponse {
	id := edda.ID{2}
	return &eddav1.BatchResponse{Ref: r.GetRef(), Response: &eddav1.BatchResponse_Reply{Reply: &eddav1.CallResponse{
		Reply:     &eddav1.Reply{Status: 201, ContentType: "text/plain", Headers: []*eddav1.Header{{Name: "X", Value: "y"}}, Payload: []byte(payload)},
		RequestId: id[:], Position: "p2", Attempts: 3, Replayed: true,
	}}}
}

func failure(r *eddav1.BatchRequest, e *eddav1.Error) *eddav1.BatchResponse {
	return &eddav1.BatchResponse{Ref: r.GetRef(), Response: &eddav1.BatchResponse_Error{Error: e}}
}

// refuse is a status with an Error.
func refuse(e *eddav1.Error) error {
	st, err := status.New(9, "some text").WithDetails(protoadapt.MessageV1Of(e))
	if err != nil {
		panic(err)
	}
	return st.Err()
}

// dial connects to the node until the test ends.
func (n *fakeNode) dial(t *testing.T, o client.Options) *client.Conn {
	t.Helper()
	return dial(t, n.url, o)
}

func dial(t *testing.T, url string, o client.Options) *client.Conn {
	t.Helper()
	c, err := client.Dial(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// msg returns a message to an address such as "users/42".
func msg(to, method, payload string) *edda.Message {
	a, err := edda.ParseAddress(to)
	if err != nil {
		panic(err)
	}
	return &edda.Message{To: a, Type: method, ContentType: "text/plain", Payload: []byte(payload)}
}

// keyed returns the message with an idempotency key.
func keyed(m *edda.Message) *edda.Message {
	m.IdempotencyKey = "key"
	return m
}

func wantReason(t *testing.T, err error, want edda.Reason) {
	t.Helper()
	if edda.ReasonOf(err) != want {
		t.Errorf("the error is %s (%v), want %s", edda.ReasonOf(err), err, want)
	}
}

// recv takes from a channel what has to come.
func recv[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing has come")
		panic("unreachable")
	}
}
