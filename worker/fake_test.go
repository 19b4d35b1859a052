package worker_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
	"github.com/edda-io/edda/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lifetime is how long a fake node waits for a worker: longer than one takes to connect
// again, where the machine is not busy.
const lifetime = time.Second / 2

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// fakeNode is a node as a worker sees it. A test plays the node: it takes each
// conversation with next, and speaks for itself.
type fakeNode struct {
	eddav1.UnimplementedWorkerServiceServer
	t        *testing.T
	url      string
	server   *grpc.Server
	streams  chan *talk
	lifetime time.Duration // of who registers from now on
}

// talk is one conversation with a worker.
type talk struct {
	t      *testing.T
	stream eddav1.WorkerService_WorkServer
	frames chan *eddav1.WorkerFrame // closed when the worker has ended its side, or is gone
	end    chan error
	deaf   atomic.Bool // the worker's end does not end it
}

func newFakeNode(t *testing.T) *fakeNode {
	t.Helper()
	return newFakeNodeAt(t, "127.0.0.1:0")
}

func newFakeNodeAt(t *testing.T, addr string) *fakeNode {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	n := &fakeNode{t: t, url: "http://" + l.Addr().String(), server: grpc.NewServer(grpc.MaxRecvMsgSize(8 << 20)), streams: make(chan *talk, 16), lifetime: lifetime}
	eddav1.RegisterWorkerServiceServer(n.server, n)
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

// Work is one conversation.
func (n *fakeNode) Work(stream eddav1.WorkerService_WorkServer) error {
	k := &talk{t: n.t, stream: stream, frames: make(chan *eddav1.WorkerFrame, 1<<16), end: make(chan error, 1)}
	n.streams <- k
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(k.frames)
		for {
			in, err := stream.Recv()
			if err != nil {
				if errors.Is(err, io.EOF) && !k.deaf.Load() {
					k.stop(nil)
				}
				return
			}
			for _, f := range in.GetFrames() {
				k.frames <- f
			}
		}
	}()
	var err error
	select {
	case err = <-k.end:
	case <-stream.Context().Done():
		<-read
	}
	return err
}

// stop ends the conversation; nil is the orderly end.
func (k *talk) stop(err error) {
	select {
	case k.end <- err:
	default:
	}
}

// next is the next conversation.
func (n *fakeNode) next() *talk {
	n.t.Helper()
	select {
	case k := <-n.streams:
		return k
	case <-time.After(patience):
		n.t.Fatal("no worker has connected")
		return nil
	}
}

// registered is the next conversation, after Register was taken and answered.
func (n *fakeNode) registered() (*talk, *eddav1.Register) {
	n.t.Helper()
	k := n.next()
	r := k.next().GetRegister()
	if r == nil {
		n.t.Fatal("the first frame is not Register")
	}
	k.send(&eddav1.NodeFrame{Frame: &eddav1.NodeFrame_Registered{Registered: &eddav1.Registered{
		WorkerId: r.GetWorkerId(), Heartbeat: int64(20 * time.Millisecond), Lifetime: int64(n.lifetime), NodeId: "node-1", NodeVersion: "1.2.3",
	}}})
	return k, r
}

// send sends frames together.
func (k *talk) send(frames ...*eddav1.NodeFrame) {
	k.t.Helper()
	if err := k.stream.Send(&eddav1.NodeFrames{Frames: frames}); err != nil {
		k.t.Fatalf("send to the worker: %v", err)
	}
}

// next is the next frame that is neither a heartbeat without progress nor a taken.
func (k *talk) next() *eddav1.WorkerFrame {
	k.t.Helper()
	for {
		f := k.any()
		if f == nil {
			k.t.Fatal("the worker has ended the conversation")
		}
		if h := f.GetHeartbeat(); f.GetTaken() == nil && (h == nil || len(h.GetProgress()) > 0) {
			return f
		}
	}
}

// any is the next frame, nil at the end.
func (k *talk) any() *eddav1.WorkerFrame {
	k.t.Helper()
	select {
	case f := <-k.frames:
		return f
	case <-time.After(patience):
		k.t.Fatal("the worker says nothing")
		return nil
	}
}

// outcome is the next frame, which has to be an outcome.
func (k *talk) outcome() *eddav1.Outcome {
	k.t.Helper()
	f := k.next()
	if f.GetOutcome() == nil {
		k.t.Fatalf("got %v, want an outcome", f)
	}
	return f.GetOutcome()
}

// dispatch is an attempt at a message to an address such as "users/42".
func dispatch(id uint64, to, method, payload string, change ...func(*eddav1.Dispatch)) *eddav1.NodeFrame {
	a, err := edda.ParseAddress(to)
	if err != nil {
		panic(err)
	}
	mid := edda.NewID(a.Hash(), time.Now())
	d := &eddav1.Dispatch{
		AttemptId: id, Attempt: 1, Fence: 7, Deadline: time.Now().Add(time.Minute).UnixNano(),
		Message: &eddav1.Message{Id: mid[:], Type: method, Service: a.Name, Key: a.Key, ContentType: "text/plain", Payload: []byte(payload)},
	}
	if a.Key != "" {
		d.State = &eddav1.State{}
	}
	for _, c := range change {
		c(d)
	}
	return &eddav1.NodeFrame{Frame: &eddav1.NodeFrame_Dispatch{Dispatch: d}}
}

func fenced(id uint64) *eddav1.NodeFrame {
	return &eddav1.NodeFrame{Frame: &eddav1.NodeFrame_Fenced{Fenced: &eddav1.Fenced{
		AttemptId: id, Error: &eddav1.Error{Reason: "FENCED", Message: "it took too long"},
	}}}
}

func members(service string, ids ...string) *eddav1.NodeFrame {
	return &eddav1.NodeFrame{Frame: &eddav1.NodeFrame_Members{Members: &eddav1.Members{Service: service, WorkerIds: ids}}}
}

// running is a call of Run.
type running struct {
	t      *testing.T
	cancel context.CancelFunc
	err    chan error
	over   bool
}

// run runs a worker until the test ends it, or ends.
func (n *fakeNode) run(o worker.Options, services ...*edda.Service) *running {
	n.t.Helper()
	return runAt(n.t, n.url, o, services...)
}

func runAt(t *testing.T, url string, o worker.Options, services ...*edda.Service) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), valueKey{}, "value"))
	r := &running{t: t, cancel: cancel, err: make(chan error, 1)}
	go func() { r.err <- o.Run(ctx, url, services...) }()
	t.Cleanup(func() {
		cancel()
		if !r.over {
			r.ended()
		}
	})
	return r
}

type valueKey struct{}

// ended is what Run returned.
func (r *running) ended() error {
	r.t.Helper()
	select {
	case err := <-r.err:
		r.over = true
		return err
	case <-time.After(patience):
		r.t.Fatal("Run does not return")
		return nil
	}
}

// ordered returns an ordered service whose every method is h.
func ordered(name string, h edda.HandlerFunc) *edda.Service {
	s := edda.NewOrdered(name)
	s.HandleAny(h)
	return s
}

// balanced returns a balanced service whose every method is h.
func balanced(name string, h edda.HandlerFunc) *edda.Service {
	s := edda.NewBalanced(name)
	s.HandleAny(h)
	return s
}

// echo replies with what it was sent.
func echo(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
	return &edda.Reply{ContentType: m.ContentType, Payload: m.Payload}, nil
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
