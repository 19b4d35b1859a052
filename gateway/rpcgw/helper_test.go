package rpcgw_test

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/gateway/oneport"
	"github.com/edda-io/edda/gateway/rpcgw"
	"github.com/edda-io/edda/node"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// served is a node on a port.
type served struct {
	node *node.Node
	rpc  *rpcgw.Gateway
	addr string
	tls  *tls.Config // of clients; nil without TLS
}

type options struct {
	rpcgw.Options
	node     node.Options
	tls      *tls.Config // of the server
	client   *tls.Config
	services []*edda.Service
}

// serve runs a node with both its gateways on one port until the test ends.
func serve(t *testing.T, o options) *served {
	t.Helper()
	o.node.Durability, o.node.Partitions = edda.Memory, 4
	o.node.Services = o.services
	n, err := node.Open(t.Context(), o.node)
	if err != nil {
		t.Fatal(err)
	}
	s, shutdown := listen(t, n, o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.rpc.Drain()
		brief, cancel := context.WithTimeout(ctx, 100*time.Millisecond) // for handlers that wait
		defer cancel()
		if err := n.Stop(brief); err != nil {
			t.Errorf("stop node: %v", err)
		}
		shutdown()
	})
	return s
}

// also serves the node on a port more, by gateways of their own.
func (s *served) also(t *testing.T) *served {
	t.Helper()
	more, shutdown := listen(t, s.node, options{})
	t.Cleanup(func() {
		more.rpc.Drain()
		shutdown()
	})
	return more
}

// listen serves a node on a port until shutdown.
func listen(t *testing.T, n *node.Node, o options) (s *served, shutdown func()) {
	t.Helper()
	// Most workers of tests do not beat, and are not to be given up when a machine is busy.
	o.Lifetime = cmp.Or(o.Lifetime, max(time.Minute, 3*o.Heartbeat))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web, err := httpgw.New(n, httpgw.Options{Authenticator: o.Authenticator, Listen: []string{listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	rpc, err := rpcgw.New(n, o.Options)
	if err != nil {
		t.Fatal(err)
	}
	server := oneport.New(oneport.Options{HTTP: httpgw.NewServer(web, nil), RPC: rpc, TLS: o.tls})
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	return &served{node: n, rpc: rpc, addr: listener.Addr().String(), tls: o.client}, func() {
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		server.Shutdown(short)
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	}
}

// dial returns a connection of its own.
func (s *served) dial(t *testing.T, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	creds := insecure.NewCredentials()
	if s.tls != nil {
		creds = credentials.NewTLS(s.tls)
	}
	c, err := grpc.NewClient("passthrough:"+s.addr, append([]grpc.DialOption{grpc.WithTransportCredentials(creds)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *served) client(t *testing.T) eddav1.EddaServiceClient {
	t.Helper()
	return eddav1.NewEddaServiceClient(s.dial(t))
}

// within is a context that ends when a test has waited long enough.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// link is the stream of a worker as a test plays it.
type link struct {
	t      *testing.T
	stream eddav1.WorkerService_WorkClient
	waits  []*eddav1.NodeFrame // received, not asked for yet
	coming chan received       // what the stream is being read for; nil when it is not
	id     string

	sending sync.Mutex
}

// received is what one look at the stream gave.
type received struct {
	in  *eddav1.NodeFrames
	err error
}

// open opens a stream without registering.
func (s *served) open(t *testing.T, opts ...grpc.DialOption) *link {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	codec := grpc.ForceCodecV2(rawCodec{encoding.GetCodecV2("proto")})
	stream, err := eddav1.NewWorkerServiceClient(s.dial(t, opts...)).Work(ctx, codec)
	if err != nil {
		t.Fatal(err)
	}
	return &link{t: t, stream: stream}
}

// join opens a stream and registers.
func (s *served) join(t *testing.T, id string, services ...*eddav1.Service) *link {
	t.Helper()
	l := s.open(t)
	l.send(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Register{Register: &eddav1.Register{WorkerId: id, Services: services}}})
	r := l.next("Registered", func(f *eddav1.NodeFrame) bool { return f.GetRegistered() != nil }).GetRegistered()
	if id != "" && r.GetWorkerId() != id || r.GetNodeId() == "" || r.GetHeartbeat() <= 0 || r.GetLifetime() < r.GetHeartbeat() {
		t.Errorf("registered as %v", r)
	}
	l.id = r.GetWorkerId()
	return l
}

func ordered(name string) *eddav1.Service {
	return &eddav1.Service{Name: name, Kind: eddav1.Kind_KIND_ORDERED, Concurrency: 100}
}

func balanced(name string) *eddav1.Service {
	return &eddav1.Service{Name: name, Kind: eddav1.Kind_KIND_BALANCED, Concurrency: 100}
}

func (l *link) send(fs ...*eddav1.WorkerFrame) {
	l.t.Helper()
	if err := l.trySend(fs...); err != nil {
		for err = nil; err == nil; { // the reason
			err = l.receive()
		}
		l.t.Fatalf("send: %v", err)
	}
}

// trySend may be called in the background.
func (l *link) trySend(fs ...*eddav1.WorkerFrame) error {
	l.sending.Lock()
	defer l.sending.Unlock()
	return l.stream.Send(&eddav1.WorkerFrames{Frames: fs})
}

// beats has the worker beat for as long as the test runs.
func (l *link) beats() {
	stop := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if l.trySend(beat()) != nil {
					return
				}
			case <-stop:
				return
			}
		}
	})
	l.t.Cleanup(func() {
		close(stop)
		beating.Wait()
	})
}

// next returns the first frame that fits, and passes over the others.
func (l *link) next(what string, fits func(*eddav1.NodeFrame) bool) *eddav1.NodeFrame {
	l.t.Helper()
	for {
		for len(l.waits) > 0 {
			f := l.waits[0]
			l.waits = l.waits[1:]
			if fits(f) {
				return f
			}
		}
		if err := l.receive(); err != nil {
			l.t.Fatalf("the stream ended before a frame came, %s: %v", what, err)
		}
	}
}

// receive waits for more frames.
func (l *link) receive() error {
	select {
	case r := <-l.more():
		return l.have(r)
	case <-time.After(patience):
		l.t.Fatal("nothing came over the stream")
		return nil
	}
}

// more is where the next frames come, which are for have.
func (l *link) more() <-chan received {
	if l.coming == nil {
		out := make(chan received, 1)
		l.coming = out
		go func() {
			in, err := l.stream.Recv()
			out <- received{in, err}
		}()
	}
	return l.coming
}

func (l *link) have(r received) error {
	l.coming = nil
	l.waits = append(l.waits, r.in.GetFrames()...)
	return r.err
}

// answer does something about every dispatch until a call has returned: when a machine is
// busy an attempt may be lost, and the next one must not wait for ever.
func (l *link) answer(got <-chan answer, do func(d *eddav1.Dispatch)) answer {
	l.t.Helper()
	for {
		for _, f := range l.waits {
			if d := f.GetDispatch(); d != nil {
				do(d)
			}
		}
		l.waits = nil
		select {
		case a := <-got:
			return a
		case r := <-l.more():
			if err := l.have(r); err != nil {
				l.t.Fatalf("the stream ended before the call: %v", err)
			}
		}
	}
}

// says answers every dispatch with a text until a call has returned.
func (l *link) says(got <-chan answer, text string) answer {
	l.t.Helper()
	return l.answer(got, func(d *eddav1.Dispatch) { l.send(reply(d.GetAttemptId(), text)) })
}

func (l *link) dispatch() *eddav1.Dispatch {
	l.t.Helper()
	return l.next("Dispatch", func(f *eddav1.NodeFrame) bool { return f.GetDispatch() != nil }).GetDispatch()
}

func (l *link) fenced() *eddav1.Fenced {
	l.t.Helper()
	return l.next("Fenced", func(f *eddav1.NodeFrame) bool { return f.GetFenced() != nil }).GetFenced()
}

// ends returns the Error that ends the stream, and its status.
func (l *link) ends() (*eddav1.Error, *status.Status) {
	l.t.Helper()
	e := l.next("Error", func(f *eddav1.NodeFrame) bool { return f.GetError() != nil }).GetError()
	for {
		if err := l.receive(); err != nil {
			return e, status.Convert(err)
		}
	}
}

// leave ends the stream in good order.
func (l *link) leave() {
	l.t.Helper()
	if err := l.stream.CloseSend(); err != nil {
		l.t.Fatal(err)
	}
	var err error
	for err == nil {
		err = l.receive()
	}
	if !errors.Is(err, io.EOF) {
		l.t.Errorf("the stream ended with %v", err)
	}
}

func outcome(o *eddav1.Outcome) *eddav1.WorkerFrame {
	return &eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Outcome{Outcome: o}}
}

// reply is the outcome of an attempt that answers with a text.
func reply(attempt uint64, text string) *eddav1.WorkerFrame {
	return outcome(&eddav1.Outcome{AttemptId: attempt, Result: &eddav1.Outcome_Reply{Reply: &eddav1.Reply{
		ContentType: "text/plain", Payload: []byte(text),
	}}})
}

func taken(ids ...uint64) *eddav1.WorkerFrame {
	return &eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Taken{Taken: &eddav1.Taken{AttemptIds: ids}}}
}

func beat(progress ...uint64) *eddav1.WorkerFrame {
	return &eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Heartbeat{Heartbeat: &eddav1.Heartbeat{Progress: progress}}}
}

// call calls a method in the background.
func (s *served) call(t *testing.T, to, method, payload string) <-chan answer {
	t.Helper()
	a, err := edda.ParseAddress(to)
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan answer, 1)
	ctx := within(t)
	go func() {
		r, err := s.node.Client().Call(ctx, &edda.Message{To: a, Type: method, ContentType: "text/plain", Payload: []byte(payload)})
		out <- answer{r, err}
	}()
	return out
}

type answer struct {
	*edda.Reply
	err error
}

// text returns the payload of the reply that must come.
func (a answer) text(t *testing.T) string {
	t.Helper()
	if a.err != nil {
		t.Fatalf("call: %v", a.err)
	}
	return string(a.Payload)
}
