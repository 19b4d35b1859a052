package rpcgw_test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/rpcgw"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// swallower passes on bytes between clients and a node, until it is to swallow them:
// then connections stay open, and nothing comes through, as when a machine or a
// router between the two is gone without a word.
type swallower struct {
	addr   string
	quiet  atomic.Bool
	closed chan struct{} // the node has closed a connection
	wg     sync.WaitGroup
}

func swallow(t *testing.T, node string) *swallower {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &swallower{addr: l.Addr().String(), closed: make(chan struct{}, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n, err := net.Dial("tcp", node)
			if err != nil {
				c.Close()
				return
			}
			context.AfterFunc(ctx, func() {
				c.Close()
				n.Close()
			})
			s.wg.Go(func() { s.pass(n, c) })
			s.wg.Go(func() {
				s.pass(c, n)
				s.closed <- struct{}{}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		s.wg.Wait()
	})
	return s
}

// pass copies until the source has ended, of which the other side hears nothing once
// all is quiet.
func (s *swallower) pass(to io.Writer, from io.Reader) {
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if !s.quiet.Load() {
			_, _ = to.Write(b[:n])
		}
	}
}

// quietWorker registers a worker behind the swallower, which beats for as long as the
// test runs, and has a request.
func quietWorker(t *testing.T, s *served, between *swallower) (got <-chan answer) {
	t.Helper()
	through := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", between.addr)
	})
	quiet := s.open(t, through)
	quiet.register("quiet", balanced("echo"))
	quiet.next("Registered", func(f *eddav1.NodeFrame) bool { return f.GetRegistered() != nil })
	quiet.beats()
	answers := s.call(t, "echo", "say", "")
	id := quiet.dispatch().GetAttemptId()
	quiet.send(taken(id), reply(1e9, "")) // of an attempt that it has not,
	quiet.fenced()                        // so that the node says that it has read so far
	return answers
}

// A connection that goes quiet is half open: the worker beats, and nothing of it comes.
// Beyond its lifetime what it has is given to another, and the worker is shown as
// silent.
func TestHalfOpenBeyondLifetime(t *testing.T) {
	s := serve(t, options{Options: rpcgw.Options{Heartbeat: 100 * time.Millisecond, Lifetime: 3 * time.Second, Ping: time.Hour}})
	between := swallow(t, s.addr)
	got := quietWorker(t, s, between)
	between.quiet.Store(true)
	until(t, "the worker is not silent", func() bool {
		w, err := s.node.Worker("quiet")
		return err == nil && w.State == edda.WorkerSilent
	})
	other := s.join(t, "other", balanced("echo"))
	other.beats()
	if a := other.says(got, "ok"); a.text(t) != "ok" || a.Attempts < 2 {
		t.Errorf("got %+v, want a reply to another attempt", a)
	}
}

// A connection that does not answer a ping is closed, and its worker is gone, though
// its lifetime goes on.
func TestHalfOpenBeyondPing(t *testing.T) {
	s := serve(t, options{Options: rpcgw.Options{Lifetime: time.Hour, Ping: time.Second, PingTimeout: 200 * time.Millisecond}})
	between := swallow(t, s.addr)
	got := quietWorker(t, s, between)
	between.quiet.Store(true)
	select {
	case <-between.closed:
	case <-time.After(patience):
		t.Fatal("the node keeps the connection")
	}
	until(t, "the worker is still attached", func() bool {
		_, err := s.node.Worker("quiet")
		return edda.ReasonOf(err) == edda.NoWorkerID
	})
	other := s.join(t, "other", balanced("echo"))
	other.send(reply(other.dispatch().GetAttemptId(), "ok"))
	if a := <-got; a.text(t) != "ok" || a.Attempts != 2 {
		t.Errorf("got %+v, want a reply to the second attempt", a)
	}
}
