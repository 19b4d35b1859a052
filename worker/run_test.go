package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/freeport"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
	"github.com/edda-io/edda/worker"
)

// The node learns all that a service says of itself.
func TestRegister(t *testing.T) {
	n := newFakeNode(t)
	users := edda.NewOrdered("users")
	edda.Handle(users, "add", func(*edda.Context, struct {
		N int `json:"n"`
	}) (int, error) {
		return 0, nil
	})
	edda.Handle(users, "raw", func(*edda.Context, []byte) (int, error) { return 0, nil })
	users.Namespace, users.Concurrency, users.AttemptTimeout, users.OnDead = "shop", 7, time.Minute, edda.StopKey
	users.Retry = edda.RetryPolicy{Max: -1, Delay: time.Second, MaxDelay: time.Hour, Backoff: 1.5, Jitter: -1}
	connected := make(chan string, 1)
	n.run(worker.Options{
		ID: "w1", Version: "1.10", Labels: map[string]string{"zone": "a", "app": "b"}, Token: "secret",
		OnConnect: func(node string) { connected <- node },
	}, users, balanced("echo", echo))
	k, r := n.registered()
	if md, _ := metadata.FromIncomingContext(k.stream.Context()); !slices.Equal(md["authorization"], []string{"Bearer secret"}) {
		t.Errorf("authorization is %v", md["authorization"])
	}
	if r.GetWorkerId() != "w1" || r.GetVersion() != "1.10" || r.GetLabels()["zone"] != "a" || len(r.GetLabels()) != 2 || !strings.HasPrefix(r.GetSdk(), "edda-go ") {
		t.Errorf("registers as %v", r)
	}
	if len(r.GetServices()) != 2 {
		t.Fatalf("registers %d services", len(r.GetServices()))
	}
	s := r.GetServices()[0]
	if s.GetNamespace() != "shop" || s.GetName() != "users" || s.GetKind() != eddav1.Kind_KIND_ORDERED || s.GetConcurrency() != 7 ||
		s.GetAttemptTimeout() != int64(time.Minute) || s.GetOnDead() != eddav1.OnDead_ON_DEAD_STOP_KEY {
		t.Errorf("service is %v", s)
	}
	p := s.GetRetry()
	if p.GetMax() != -1 || p.GetDelay() != int64(time.Second) || p.GetMaxDelay() != int64(time.Hour) || p.GetBackoff() != 1.5 || p.GetJitter() != -1 {
		t.Errorf("retry is %v", p)
	}
	if m := s.GetMethods(); len(m) != 2 || m[0].GetName() != "add" || !strings.Contains(m[0].GetSchema(), `"n"`) || m[1].GetName() != "raw" || m[1].GetSchema() != "" {
		t.Errorf("methods are %v", m)
	}
	if e := r.GetServices()[1]; e.GetKind() != eddav1.Kind_KIND_BALANCED || len(e.GetMethods()) != 0 {
		t.Errorf("service is %v", e)
	}
	if node := recv(t, connected); node != "node-1" {
		t.Errorf("connected to %q", node)
	}
}

// What a handler does comes out as one outcome.
func TestOutcomes(t *testing.T) {
	n := newFakeNode(t)
	n.run(worker.Options{}, ordered("users", func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
		if c.Value(valueKey{}) != "value" {
			return nil, errors.New("the values of Run's context are missing")
		}
		switch m.Type {
		case "keep":
			v, ok, err := c.Get("a")
			if err != nil || !ok || string(v) != "1" {
				return nil, fmt.Errorf("state is %q, %t, %w", v, ok, err)
			}
			if d, ok := c.Deadline(); !ok || time.Until(d) > time.Minute || c.Err() != nil {
				return nil, fmt.Errorf("deadline is %v", d)
			}
			if c.Fence() != 7 || c.Attempt() != 3 || c.Key() != "1" || m.Headers.Get("x") != "y" {
				return nil, fmt.Errorf("dispatch is %d %d %s %v", c.Fence(), c.Attempt(), c.Key(), m.Headers)
			}
			return &edda.Reply{Status: 201, ContentType: "text/plain", Headers: edda.Headers{{Name: "X", Value: "bad\xff"}}, Payload: []byte("done")},
				errors.Join(c.Set("b", []byte("2")), c.Set("empty", nil), c.Delete("a"),
					c.Send(&edda.Message{To: edda.Address{Name: "echo"}, Type: "say", Due: time.Unix(9, 0), Payload: []byte("hi")}))
		case "final":
			return nil, edda.Final("NO_FUNDS", "%d short", 3)
		case "wrapped":
			return nil, fmt.Errorf("wrapped: %w", edda.Retry(time.Second, "later"))
		case "error":
			return nil, errors.New("broken\xff")
		case "panic":
			panic("oops")
		case "goexit":
			runtime.Goexit()
		case "badname":
			return nil, c.Set("\xff", nil)
		}
		return nil, nil
	}))
	k, _ := n.registered()
	do := func(method string, change ...func(*eddav1.Dispatch)) *eddav1.Outcome {
		t.Helper()
		k.send(dispatch(5, "users/1", method, "", change...))
		out := k.outcome()
		if out.GetAttemptId() != 5 {
			t.Errorf("%s: outcome of attempt %d, want 5", method, out.GetAttemptId())
		}
		return out
	}
	out := do("keep", func(d *eddav1.Dispatch) {
		d.Attempt = 3
		d.State.Entries = []*eddav1.StateEntry{{Name: "a", Value: []byte("1")}, {Name: "c", Value: []byte("3")}}
		d.Message.Headers = []*eddav1.Header{{Name: "X", Value: "y"}}
	})
	if r := out.GetReply(); r.GetStatus() != 201 || string(r.GetPayload()) != "done" || r.GetHeaders()[0].GetValue() != "bad\uFFFD" {
		t.Errorf("reply is %v", r)
	}
	if len(out.GetSet()) != 2 || out.GetSet()[0].GetName() != "b" || string(out.GetSet()[0].GetValue()) != "2" || out.GetSet()[1].GetName() != "empty" ||
		!slices.Equal(out.GetDelete(), []string{"a"}) {
		t.Errorf("state changes are %v, %v", out.GetSet(), out.GetDelete())
	}
	if s := out.GetSends(); len(s) != 1 || s[0].GetService() != "echo" || s[0].GetDue() != int64(9*time.Second) || string(s[0].GetPayload()) != "hi" {
		t.Errorf("sends are %v", s)
	}
	if r := do("other").GetReply(); r == nil || r.GetStatus() != 204 {
		t.Errorf("an empty reply is %v", r)
	}
	for method, want := range map[string]*eddav1.Failure{
		"final":   {Reason: "NO_FUNDS", Message: "3 short", Final: true},
		"wrapped": {Message: "wrapped: later", RetryAfter: int64(time.Second)},
		"error":   {Message: "broken\uFFFD"},
		"panic":   {Reason: "PANIC", Message: "handler panicked: oops", Panicked: true},
		"goexit":  {Reason: "PANIC", Message: "handler ended its goroutine", Panicked: true},
		"badname": {Message: `encode the outcome: the state's name "\xff" is not UTF-8`},
	} {
		if f := do(method).GetFailure(); f.String() != want.String() {
			t.Errorf("%s: failure is %v, want %v", method, f, want)
		}
	}
	if r := do("other").GetReply(); r == nil {
		t.Error("nothing works after a handler that ended its goroutine")
	}
}

// Replies from nothing to 4 MiB come out as they are, whatever else is on its way.
func TestPayloads(t *testing.T) {
	n := newFakeNode(t)
	n.run(worker.Options{}, balanced("echo", echo))
	k, _ := n.registered()
	sizes := []int{0, 1, 100, 64 << 10, 64<<10 + 1, 300 << 10, 4 << 20}
	want := map[uint64]int{}
	var frames []*eddav1.NodeFrame
	for i := range 50 {
		size := sizes[i%len(sizes)]
		want[uint64(i)] = size
		frames = append(frames, dispatch(uint64(i), "echo", "say", strings.Repeat("x", size)))
	}
	for part := range slices.Chunk(frames, 3) {
		k.send(part...)
	}
	for range frames {
		out := k.outcome()
		if got := len(out.GetReply().GetPayload()); got != want[out.GetAttemptId()] {
			t.Errorf("attempt %d: %d bytes, want %d", out.GetAttemptId(), got, want[out.GetAttemptId()])
		}
		delete(want, out.GetAttemptId())
	}
	if len(want) != 0 {
		t.Errorf("no outcome of %v", want)
	}
}

// The node hears that a handler has begun, if it does not end at once, and that
// the worker lives, though all processors are busy.
func TestTakenAndHeartbeats(t *testing.T) {
	n := newFakeNode(t)
	var over atomic.Bool
	n.run(worker.Options{}, balanced("spin", func(c *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		for !over.Load() {
		}
		return nil, nil
	}))
	k, _ := n.registered()
	for i := range 2 * runtime.GOMAXPROCS(0) {
		k.send(dispatch(uint64(i), "spin", "go", ""))
	}
	taken, beats := 0, 0
	for taken < 2*runtime.GOMAXPROCS(0) || beats < 10 {
		f := k.any()
		taken += len(f.GetTaken().GetAttemptIds())
		if f.GetHeartbeat() != nil {
			beats++
		}
	}
	over.Store(true)
	for range taken {
		k.outcome()
	}
}

// Progress is told with the heartbeat, and not each time.
func TestProgress(t *testing.T) {
	n := newFakeNode(t)
	s := balanced("slow", func(c *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		before, _ := c.Deadline()
		for range 1000 {
			c.Progress()
		}
		if after, _ := c.Deadline(); !after.After(before) {
			return nil, fmt.Errorf("the deadline was %v, and is %v", before, after)
		}
		<-c.Done()
		return nil, nil
	})
	s.AttemptTimeout = time.Hour
	n.run(worker.Options{DrainTimeout: -1}, s)
	k, _ := n.registered()
	k.send(dispatch(3, "slow", "go", ""))
	if p := k.next().GetHeartbeat().GetProgress(); !slices.Equal(p, []uint64{3}) {
		t.Errorf("progress of %v", p)
	}
	k.send(fenced(3))
	if out := k.outcome(); !out.GetHandedBack() {
		t.Errorf("progress is told again, or %v", out)
	}
}

// Services that make no sense are told before anything is dialed.
func TestRunRefuses(t *testing.T) {
	ok := balanced("echo", echo)
	for name, c := range map[string]struct {
		o        worker.Options
		url      string
		services []*edda.Service
		reason   edda.Reason
		text     string
	}{
		"no service":   {url: "http://h:1", reason: edda.BadValue, text: "at least one"},
		"nil service":  {url: "http://h:1", services: []*edda.Service{ok, nil}, reason: edda.BadValue, text: "service 2 of 2"},
		"twice":        {url: "http://h:1", services: []*edda.Service{ok, ok}, reason: edda.BadValue, text: "stands twice"},
		"no handler":   {url: "http://h:1", services: []*edda.Service{edda.NewOrdered("a")}, reason: edda.BadValue, text: "no handler"},
		"bad id":       {url: "http://h:1", o: worker.Options{ID: "a b"}, services: []*edda.Service{ok}, reason: edda.BadName, text: "a b"},
		"bad idle":     {url: "http://h:1", o: worker.Options{KeyIdle: -1}, services: []*edda.Service{ok}, reason: edda.BadValue, text: "KeyIdle"},
		"bad keys":     {url: "http://h:1", o: worker.Options{MaxKeys: -1}, services: []*edda.Service{ok}, reason: edda.BadValue, text: "MaxKeys"},
		"no URL":       {url: "", services: []*edda.Service{ok}, reason: edda.BadValue, text: "7400"},
		"a bare name":  {url: "localhost", services: []*edda.Service{ok}, reason: edda.BadValue, text: "7400"},
		"other scheme": {url: "ftp://h:1", services: []*edda.Service{ok}, reason: edda.BadValue, text: "7400"},
		"a path":       {url: "http://h:1/v1", services: []*edda.Service{ok}, reason: edda.BadValue, text: "root"},
	} {
		err := c.o.Run(t.Context(), c.url, c.services...)
		if edda.ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %s with %q", name, err, c.reason, c.text)
		}
	}
}

// Errors that would come again for ever end Run; all others are tried again.
func TestFatalErrors(t *testing.T) {
	detail := func(reason edda.Reason) *eddav1.NodeFrame {
		return &eddav1.NodeFrame{Frame: &eddav1.NodeFrame_Error{Error: &eddav1.Error{Reason: string(reason), Message: "because"}}}
	}
	for _, reason := range []edda.Reason{edda.NoCredentials, edda.NotAllowed, edda.KindInUse, edda.BadValue, edda.BadSchema} {
		n := newFakeNode(t)
		r := n.run(worker.Options{}, balanced("echo", echo))
		k := n.next()
		k.next()
		k.send(detail(reason))
		k.stop(nil)
		if err := r.ended(); edda.ReasonOf(err) != reason || !strings.Contains(err.Error(), "because") {
			t.Errorf("%s: Run returns %v", reason, err)
		}
	}
	for code, reason := range map[codes.Code]edda.Reason{
		codes.Unauthenticated: edda.NoCredentials, codes.PermissionDenied: edda.NotAllowed, codes.Unimplemented: edda.NoRoute,
	} {
		n := newFakeNode(t)
		r := n.run(worker.Options{}, balanced("echo", echo))
		n.next().stop(status.Error(code, "because"))
		if err := r.ended(); edda.ReasonOf(err) != reason || !strings.Contains(err.Error(), "because") {
			t.Errorf("%v: Run returns %v", code, err)
		}
	}
	n := newFakeNode(t)
	r := n.run(worker.Options{}, balanced("echo", echo))
	for _, reason := range []edda.Reason{edda.Draining, edda.Exists, edda.Internal} {
		k := n.next()
		k.next()
		k.send(detail(reason))
		k.stop(nil)
	}
	n.next().stop(status.Error(codes.Unavailable, "later"))
	n.registered()
	r.cancel()
	if err := r.ended(); err != nil {
		t.Errorf("Run returns %v", err)
	}
}

// said is a logger that passes on what is said.
type said struct {
	slog.Handler
	messages chan string
}

func listen() (*slog.Logger, <-chan string) {
	h := said{slog.DiscardHandler, make(chan string, 1000)}
	return slog.New(h), h.messages
}

func (said) Enabled(context.Context, slog.Level) bool { return true }

func (s said) Handle(_ context.Context, r slog.Record) error {
	s.messages <- r.Message
	return nil
}

// A worker may start before its node.
func TestStartsBeforeTheNode(t *testing.T) {
	addr := freeport.Address(t)
	log, messages := listen()
	r := runAt(t, addr, worker.Options{Logger: log}, balanced("echo", echo))
	if m := recv(t, messages); m != "no connection to the node" {
		t.Errorf("the worker says %q", m)
	}
	newFakeNodeAt(t, addr).registered()
	r.cancel()
	if err := r.ended(); err != nil {
		t.Errorf("Run returns %v", err)
	}
	r = runAt(t, addr, worker.Options{Logger: log}, balanced("echo", echo))
	r.cancel()
	if err := r.ended(); err != nil {
		t.Errorf("Run, ended before it has connected, returns %v", err)
	}
}
