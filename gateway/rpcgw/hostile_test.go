package rpcgw_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/rpcgw"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// A worker that breaks the protocol is told why, and its stream ends; another one
// does not notice.
func TestBreachesEndTheStream(t *testing.T) {
	s := serve(t, options{})
	hasty := serve(t, options{Options: rpcgw.Options{Stall: 500 * time.Millisecond}})
	good := s.join(t, "good", balanced("echo"))
	for _, c := range []struct {
		name   string
		do     func(l *link)
		reason string
		detail string
	}{
		{"a beat before Register", func(l *link) { l.send(beat()) }, "BAD_FRAME", "must be Register"},
		{"nothing before Register", func(l *link) { l.send() }, "BAD_FRAME", "must be Register"},
		{"silence", func(*link) {}, "BAD_FRAME", "no Register came within 500ms"},
		{"no service", func(l *link) { l.register("x") }, "BAD_VALUE", "hosts no service"},
		{"a bad name", func(l *link) { l.register("x", balanced("no/name")) }, "BAD_NAME", "no/name"},
		{"a bad id", func(l *link) { l.register("not an id", balanced("x")) }, "BAD_NAME", "worker id"},
		{"no kind", func(l *link) { l.register("x", &eddav1.Service{Name: "x"}) }, "BAD_VALUE", "neither ordered nor balanced"},
		{"a bad policy", func(l *link) { l.register("x", &eddav1.Service{Name: "x", Kind: eddav1.Kind_KIND_BALANCED, OnDead: 9}) }, "BAD_VALUE", "on_dead is 9"},
		{"a bad schema", func(l *link) {
			l.register("x", &eddav1.Service{Name: "x", Kind: eddav1.Kind_KIND_BALANCED, Methods: []*eddav1.Method{{Name: "m", Schema: "{"}}})
		}, "BAD_VALUE", "schema"},
		{"the id of another", func(l *link) { l.register("good", balanced("x")) }, "EXISTS", `"good"`},
		{"a kind in use", func(l *link) { l.register("x", ordered("echo")) }, "KIND_IN_USE", "balanced"},
		{"Register twice", func(l *link) { l.register("x", balanced("x")); l.register("x", balanced("x")) }, "BAD_FRAME", "registered already"},
		{"an empty frame", func(l *link) { l.register("x", balanced("x")); l.send(&eddav1.WorkerFrame{}) }, "BAD_FRAME", "empty"},
		{"credit for another's service", func(l *link) {
			l.register("x", balanced("x"))
			l.send(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Credit{Credit: &eddav1.Credit{Service: "echo", Concurrency: 1}}})
		}, "UNKNOWN_SERVICE", "echo"},
	} {
		t.Run(c.name, func(t *testing.T) {
			on := s
			if c.name == "silence" {
				on = hasty
			}
			l := on.open(t)
			c.do(l)
			e, st := l.ends()
			if e.GetReason() != c.reason || !strings.Contains(e.GetMessage(), c.detail) {
				t.Errorf("ended with %v, want %s, %q", e, c.reason, c.detail)
			}
			if len(st.Details()) != 1 || st.Message() == "" {
				t.Errorf("the status is %v", st)
			}
		})
	}
	s.stillServes(t, good)
}

// register sends Register, without waiting for the answer.
func (l *link) register(id string, services ...*eddav1.Service) {
	l.t.Helper()
	l.send(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_Register{Register: &eddav1.Register{WorkerId: id, Services: services}}})
}

// stillServes checks that a worker of echo answers calls.
func (s *served) stillServes(t *testing.T, w *link) {
	t.Helper()
	w.send(beat()) // it may have been silent for long
	got := s.call(t, "echo", "say", "still there")
	d := w.dispatch()
	w.send(reply(d.GetAttemptId(), "yes"))
	if text := (<-got).text(t); text != "yes" {
		t.Errorf("reply %q", text)
	}
}

// raw sends bytes as they are.
type raw struct{ bytes []byte }

type rawCodec struct{ encoding.CodecV2 }

func (c rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*raw); ok {
		return mem.BufferSlice{mem.SliceBuffer(r.bytes)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// What is no WorkerFrames at all ends the stream as well.
func TestMalformedMessages(t *testing.T) {
	s := serve(t, options{})
	good := s.join(t, "good", balanced("echo"))
	for _, c := range []struct {
		name   string
		bytes  []byte
		reason string
	}{
		{"noise", []byte{0xff, 0xff, 0xff}, "BAD_FRAME"},
		{"a cut frame", []byte{0x0a, 0x7f, 0x01}, "BAD_FRAME"},
		{"a name that is not UTF-8", []byte{0x0a, 0x05, 0x0a, 0x03, 0x0a, 0x01, 0xff}, "BAD_FRAME"},
	} {
		for _, registered := range []bool{false, true} {
			l := s.open(t)
			if registered {
				l = s.join(t, "bad", balanced("x"))
			}
			if err := l.stream.SendMsg(&raw{c.bytes}); err != nil {
				t.Fatal(err)
			}
			if e, _ := l.ends(); e.GetReason() != c.reason {
				t.Errorf("%s, registered %v: ended with %v, want %s", c.name, registered, e, c.reason)
			}
		}
	}
	large := s.join(t, "large", balanced("x"))
	_ = large.stream.SendMsg(&raw{make([]byte, rpcgw.MaxMessageBytes+1)}) // it may be refused before it is sent whole
	var err error
	for err == nil {
		err = large.receive()
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("too large: %v", err)
	}
	s.stillServes(t, good)
}

// An attempt that is not, or no longer, the worker's is refused; the stream goes on.
func TestAttemptsOfOthers(t *testing.T) {
	s := serve(t, options{})
	mine, other := s.join(t, "a", balanced("a")), s.join(t, "b", balanced("b"))
	got := s.call(t, "a", "go", "")
	d := mine.dispatch()
	refused := func(l *link, what string, fs ...*eddav1.WorkerFrame) {
		t.Helper()
		l.send(fs...)
		if f := l.fenced(); f.GetAttemptId() != d.GetAttemptId() || f.GetError().GetReason() != "NO_ATTEMPT" {
			t.Errorf("%s: answered with %v", what, f)
		}
	}
	refused(other, "another's outcome", reply(d.GetAttemptId(), "stolen"))
	refused(other, "another's taken", taken(d.GetAttemptId()))
	refused(other, "another's progress", beat(d.GetAttemptId()))
	other.send(&eddav1.WorkerFrame{Frame: &eddav1.WorkerFrame_StateGet{StateGet: &eddav1.StateGet{AttemptId: d.GetAttemptId(), QueryId: 5}}})
	v := other.next("StateValue", func(f *eddav1.NodeFrame) bool { return f.GetStateValue() != nil }).GetStateValue()
	if v.GetQueryId() != 5 || v.GetError().GetReason() != "NO_ATTEMPT" {
		t.Errorf("another's state: %v", v)
	}
	mine.send(reply(d.GetAttemptId(), "mine"))
	if text := (<-got).text(t); text != "mine" {
		t.Errorf("reply %q", text)
	}
	refused(mine, "a second outcome", reply(d.GetAttemptId(), "again"))
	refused(mine, "a second outcome that hands back", outcome(&eddav1.Outcome{AttemptId: d.GetAttemptId(), Result: &eddav1.Outcome_HandedBack{HandedBack: true}}))
}

// An outcome without a result, or with an id that is none, is a breach.
func TestOutcomesThatAreNone(t *testing.T) {
	s := serve(t, options{})
	for _, o := range []*eddav1.Outcome{
		{},
		{Result: &eddav1.Outcome_Reply{Reply: &eddav1.Reply{}}, Sends: []*eddav1.Message{{Id: []byte{1}}}},
	} {
		w := s.join(t, "", balanced("echo"))
		got := s.call(t, "echo", "say", "")
		o.AttemptId = w.dispatch().GetAttemptId()
		w.send(outcome(o))
		if e, _ := w.ends(); e.GetReason() != "BAD_FRAME" {
			t.Errorf("ended with %v", e)
		}
		again := s.join(t, "", balanced("echo"))
		again.send(reply(again.dispatch().GetAttemptId(), "ok"))
		(<-got).text(t)
		again.leave()
	}
}

// A worker that takes and never answers, or falls silent, loses what it has to
// others; when it is heard of again it is told, and given work again.
func TestSilentWorker(t *testing.T) {
	s := serve(t, options{Options: rpcgw.Options{Heartbeat: 100 * time.Millisecond, Lifetime: 3 * time.Second}})
	silent := s.join(t, "silent", balanced("echo"))
	got := s.call(t, "echo", "say", "")
	d := silent.dispatch()
	silent.send(taken(d.GetAttemptId()))
	if f := silent.fenced(); f.GetAttemptId() != d.GetAttemptId() || f.GetError().GetReason() != "FENCED" {
		t.Errorf("fenced %v", f)
	}
	silent.send(reply(d.GetAttemptId(), "too late")) // it counts as a sign of life
	if a := silent.says(got, "now"); a.text(t) != "now" || a.Attempts < 2 {
		t.Errorf("got %+v, want a reply to another attempt", a)
	}
}

// A worker that beats but reads nothing is given up, its connection with it, and
// nobody else waits for it.
func TestWorkerThatDoesNotRead(t *testing.T) {
	s := serve(t, options{Options: rpcgw.Options{Stall: 3 * time.Second}})
	good := s.also(t).join(t, "good", balanced("echo"))
	deaf := s.join(t, "deaf", &eddav1.Service{Name: "big", Kind: eddav1.Kind_KIND_BALANCED, Concurrency: 1000})
	for range 100 {
		if _, err := s.node.Send(within(t), &edda.Message{To: edda.Address{Name: "big"}, Type: "go", Payload: make([]byte, 100<<10)}); err != nil {
			t.Fatal(err)
		}
	}
	for begin := time.Now(); ; <-time.After(10 * time.Millisecond) {
		if err := deaf.stream.Send(&eddav1.WorkerFrames{Frames: []*eddav1.WorkerFrame{beat()}}); err != nil {
			break
		}
		if time.Since(begin) > patience {
			t.Fatal("it is still there")
		}
	}
	if _, err := s.node.Worker("deaf"); edda.ReasonOf(err) != edda.NoWorkerID {
		t.Errorf("it is attached: %v", err)
	}
	s.stillServes(t, good)
}

// A worker that asks faster than it reads is held up, and only that one.
func TestFloodOfQuestions(t *testing.T) {
	s := serve(t, options{Options: rpcgw.Options{Stall: 3 * time.Second}})
	good := s.also(t).join(t, "good", balanced("echo"))
	flood := s.join(t, "flood", balanced("x"))
	frames := make([]*eddav1.WorkerFrame, 1000)
	for i := range frames {
		frames[i] = reply(uint64(1e6+i), strings.Repeat("x", 100))
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for flood.stream.Send(&eddav1.WorkerFrames{Frames: frames}) == nil {
		}
	}()
	s.stillServes(t, good)
	select {
	case <-stopped: // its answers were not read
	case <-time.After(patience):
		t.Error("the flood goes on")
	}
	s.stillServes(t, good)
}

// A connection that is cut without a word takes its worker with it.
func TestConnectionIsCut(t *testing.T) {
	s := serve(t, options{})
	var conn net.Conn
	cut := s.open(t, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		var err error
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		return conn, err
	}))
	cut.register("cut", balanced("echo"))
	got := s.call(t, "echo", "say", "")
	cut.dispatch()
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	w := s.join(t, "w", balanced("echo"))
	w.send(reply(w.dispatch().GetAttemptId(), "ok"))
	if a := <-got; a.text(t) != "ok" || a.Attempts != 1 {
		t.Errorf("got %+v", a)
	}
}
