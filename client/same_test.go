package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/gateway/rpcgw"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/worker"
)

// The same services, called the same way, do the same, whether they and their
// callers are in the node's process or each in one of their own.
func TestSameInProcessAndRemote(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Run("in process", func(t *testing.T) {
				services, run := c.make()
				n := open(t, services...)
				run(t, n.Client())
			})
			t.Run("remote", func(t *testing.T) {
				services, run := c.make()
				url := serve(t, open(t))
				host(t, url, services...)
				run(t, dial(t, url, client.Options{}).Client())
			})
		})
	}
}

// open opens a node until the test ends.
func open(t *testing.T, services ...*edda.Service) *node.Node {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Partitions: 4, Services: services, Limits: node.Limits{NoServiceWait: 10 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Errorf("stop node: %v", err)
		}
	})
	return n
}

// serve serves the node over gRPC until the test ends.
func serve(t *testing.T, n *node.Node) (url string) {
	t.Helper()
	g, err := rpcgw.New(n, rpcgw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = g.Serve(l)
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		g.Close(ctx)
		<-served
	})
	return "http://" + l.Addr().String()
}

// host runs a worker until the test ends, and returns once it is registered.
func host(t *testing.T, url string, services ...*edda.Service) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	connected := make(chan struct{})
	done := make(chan error, 1)
	first := sync.OnceFunc(func() { close(connected) })
	o := worker.Options{OnConnect: func(string) { first() }}
	go func() { done <- o.Run(ctx, url, services...) }()
	t.Cleanup(func() {
		cancel()
		if err := recv(t, done); err != nil {
			t.Errorf("worker: %v", err)
		}
	})
	recv(t, connected)
}

// sameCase makes services, and what is done with them, anew for each run.
type sameCase struct {
	name string
	make func() ([]*edda.Service, func(t *testing.T, c *edda.Client))
}

// with is a case with services that know nothing of their callers.
func with(name string, run func(t *testing.T, c *edda.Client), services ...func() *edda.Service) sameCase {
	return sameCase{name, func() ([]*edda.Service, func(*testing.T, *edda.Client)) {
		all := make([]*edda.Service, len(services))
		for i, s := range services {
			all[i] = s()
		}
		return all, run
	}}
}

var cases = []sameCase{
	with("typed methods and state", typed, counter),
	with("payloads", payloads, func() *edda.Service { return service("echo", edda.Balanced, echoHandler) }),
	with("replies", replies, func() *edda.Service { return service("echo", edda.Balanced, echoHandler) }),
	with("refusals", refusals, counter, func() *edda.Service { return service("echo", edda.Balanced, echoHandler) }),
	with("failures", failures, broken),
	with("idempotency", idempotency, counter),
	with("large state", largeState, func() *edda.Service { return service("store", edda.Ordered, store) }),
	with("delay", delay, counter),
	with("order", order, func() *edda.Service { return service("log", edda.Ordered, appendLog) }),
	with("parts", parts, func() *edda.Service { return service("tell", edda.Balanced, tell) }),
	with("progress", progress, slow, stuck),
	{"sends", sends},
	{"ends early", endsEarly},
	{"calls from handlers", calls},
}

// service returns a service whose every method is h.
func service(name string, kind edda.Kind, h edda.HandlerFunc) *edda.Service {
	s := edda.NewOrdered(name)
	s.Kind = kind
	s.HandleAny(h)
	return s
}

func echoHandler(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
	if len(m.Payload) == 0 && m.Type == "nothing" {
		return nil, nil
	}
	return &edda.Reply{Status: 200, ContentType: m.ContentType, Headers: m.Headers, Payload: m.Payload}, nil
}

type number struct {
	N int `json:"n"`
}

// counter adds up numbers.
func counter() *edda.Service {
	s := edda.NewOrdered("counter")
	edda.Handle(s, "add", func(c *edda.Context, in number) (number, error) {
		sum, _, err := edda.Get[number](c, "sum")
		if err != nil {
			return number{}, err
		}
		sum.N += in.N
		if sum.N < 0 {
			return sum, errors.Join(edda.Set(c, "sum", sum), edda.Final("BELOW_ZERO", "%d is below zero", sum.N))
		}
		return sum, edda.Set(c, "sum", sum)
	})
	return s
}

func typed(t *testing.T, c *edda.Client) {
	for i, want := range []int{1, 3, 6} {
		got, err := edda.Call[number](t.Context(), c, "counter/a", "add", number{i + 1})
		if err != nil || got.N != want {
			t.Errorf("add: %d, %v, want %d", got.N, err, want)
		}
	}
	if got, err := edda.Call[number](t.Context(), c, "counter/b", "add", number{5}); err != nil || got.N != 5 {
		t.Errorf("another key: %d, %v", got.N, err)
	}
	_, err := edda.Call[number](t.Context(), c, "counter/a", "add", number{-10})
	wantError(t, err, edda.Failed, 1, "BELOW_ZERO: -4 is below zero")
	if got, err := edda.Call[number](t.Context(), c, "counter/a", "add", number{0}); err != nil || got.N != 6 {
		t.Errorf("after a final error the sum is %d, %v, want 6", got.N, err)
	}
}

// wantError checks an error about a request that was stored.
func wantError(t *testing.T, err error, reason edda.Reason, attempts int, text string) {
	t.Helper()
	e, ok := errors.AsType[*edda.Error](err)
	if !ok || e.Reason != reason || e.Attempts != attempts || e.RequestID.IsZero() || e.Position == "" || !strings.Contains(err.Error(), text) ||
		strings.Count(err.Error(), "call ") > 1 {
		t.Errorf("error is %+v (%v), want %s after %d attempts with %q", e, err, reason, attempts, text)
	}
}

func payloads(t *testing.T, c *edda.Client) {
	for _, size := range []int{0, 1, 1000, 64 << 10, 128<<10 + 1, 1 << 20, 4 << 20} {
		want := strings.Repeat("\xfe", size)
		r, err := c.Call(t.Context(), msg("echo", "say", want))
		if err != nil || string(r.Payload) != want {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	_, err := c.Call(t.Context(), msg("echo", "say", strings.Repeat("x", 4<<20+1)))
	wantReason(t, err, edda.TooLarge)
}

func replies(t *testing.T, c *edda.Client) {
	m := msg("echo", "say", "x")
	m.Headers = edda.Headers{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}}
	r, err := c.Call(t.Context(), m)
	if err != nil || r.Status != 200 || r.ContentType != "text/plain" || !cmp.Equal(r.Headers, m.Headers) || r.Attempts != 1 || r.Replayed ||
		r.RequestID.IsZero() || r.Position == "" {
		t.Errorf("reply is %+v, %v", r, err)
	}
	if r, err := c.Call(t.Context(), msg("echo", "nothing", "")); err != nil || r.Status != 204 {
		t.Errorf("no reply is %+v, %v", r, err)
	}
	ack, err := c.Send(t.Context(), msg("echo", "say", "later"))
	if err != nil || ack.Durability != edda.Memory || ack.Position == "" || ack.AcceptedAt.IsZero() {
		t.Fatalf("ack is %+v, %v", ack, err)
	}
	if r, err := c.Wait(t.Context(), ack.ID); err != nil || string(r.Payload) != "later" || r.RequestID != ack.ID || r.Position != ack.Position {
		t.Errorf("waited for %+v, %v", r, err)
	}
	q, err := c.Request(t.Context(), ack.ID)
	if err != nil || q.State != edda.StateSucceeded || q.Service != "echo" || q.Method != "say" || q.Attempts != 1 || q.Principal != edda.Anonymous ||
		q.Namespace != edda.DefaultNamespace || q.CorrelationID != ack.ID.String() || q.Reply == nil || q.Reply.Size != 5 || q.Error != nil || q.CompletedAt.IsZero() {
		t.Errorf("request is %+v, %v", q, err)
	}
	again := msg("echo", "say", "later")
	again.ID = ack.ID
	if got, err := c.Send(t.Context(), again); err != nil || !got.Joined || !got.Done || got.ID != ack.ID {
		t.Errorf("the same again: %+v, %v", got, err)
	}
	_, err = c.Request(t.Context(), edda.NewID(1, time.Now()))
	wantReason(t, err, edda.NoRequest)
	_, err = c.Wait(t.Context(), edda.NewID(1, time.Now()))
	wantReason(t, err, edda.NoRequest)
}

func refusals(t *testing.T, c *edda.Client) {
	late := msg("echo", "say", "")
	late.Deadline = time.Now().Add(-time.Second)
	typed := msg("counter/a", "add", `{"n":"one"}`)
	typed.ContentType = "application/json"
	text := msg("counter/a", "add", `{}`)
	long := keyed(msg("echo", "say", ""))
	long.IdempotencyKey = strings.Repeat("k", 256)
	for reason, m := range map[edda.Reason]*edda.Message{
		edda.WrongKind: msg("echo/1", "say", ""), edda.NoMethod: msg("counter/a", "sub", ""), edda.BadSchema: typed, edda.BadMediaType: text,
		edda.DeadlineExceeded: late, edda.BadValue: long, edda.BadName: {To: edda.Address{Name: "edda.x"}, Type: "say"}, edda.NoService: msg("nobody", "say", ""),
	} {
		_, err := c.Call(t.Context(), m)
		wantReason(t, err, reason)
		e, _ := errors.AsType[*edda.Error](err)
		if e == nil || e.Position != "" || !e.RequestID.IsZero() {
			t.Errorf("%s: was stored, says %+v", reason, e)
		}
		_, err = c.Send(t.Context(), m)
		wantReason(t, err, reason)
	}
}

// broken fails in all ways.
func broken() *edda.Service {
	s := service("broken", edda.Ordered, func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
		switch {
		case m.Type == "panic":
			panic("oops")
		case m.Type == "wrapped":
			return nil, fmt.Errorf("wrapped: %w", edda.Final("WHY", "because"))
		case m.Type == "status":
			return &edda.Reply{Status: 99}, nil
		case m.Type == "once" && c.Redelivered():
			return edda.TextReply(200, fmt.Sprint(c.Attempt())), nil
		case m.Type == "once":
			return nil, errors.Join(c.Set("lost", []byte("1")), edda.Retry(time.Millisecond, "not yet"))
		case m.Type == "state":
			_, ok, err := c.Get("lost")
			return edda.TextReply(200, fmt.Sprint(ok)), err
		}
		return nil, errors.New("it did not work")
	})
	s.Retry = edda.RetryPolicy{Max: 3, Delay: time.Millisecond, Jitter: -1}
	return s
}

func failures(t *testing.T, c *edda.Client) {
	_, err := c.Call(t.Context(), msg("broken/1", "error", ""))
	wantError(t, err, edda.Dead, 3, "it did not work")
	_, err = c.Call(t.Context(), msg("broken/1", "panic", ""))
	wantError(t, err, edda.Dead, 3, "handler panicked: oops")
	_, err = c.Call(t.Context(), msg("broken/1", "wrapped", ""))
	wantError(t, err, edda.Failed, 1, "wrapped: WHY: because")
	_, err = c.Call(t.Context(), msg("broken/1", "status", ""))
	wantError(t, err, edda.Failed, 1, "BAD_REPLY: reply has status 99")
	if r, err := c.Call(t.Context(), msg("broken/2", "once", "")); err != nil || string(r.Payload) != "2" || r.Attempts != 2 {
		t.Errorf("the second attempt: %s, %v", r.Payload, err)
	}
	if r, err := c.Call(t.Context(), msg("broken/2", "state", "")); err != nil || string(r.Payload) != "false" {
		t.Errorf("the state of a failed attempt is kept: %s, %v", r.Payload, err)
	}
	ack, err := c.Send(t.Context(), msg("broken/3", "panic", ""))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Wait(t.Context(), ack.ID)
	wantError(t, err, edda.Dead, 3, "oops")
	if q, err := c.Request(t.Context(), ack.ID); err != nil || q.State != edda.StateDead || q.Error == nil || q.Error.Reason != edda.Dead || !strings.Contains(q.Error.Message, "oops") {
		t.Errorf("request is %+v, %v", q, err)
	}
}

func idempotency(t *testing.T, c *edda.Client) {
	add := func(n int) *edda.Message {
		m := keyed(msg("counter/a", "add", fmt.Sprintf(`{"n":%d}`, n)))
		m.ContentType = "application/json"
		return m
	}
	first, err := c.Call(t.Context(), add(2))
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Call(t.Context(), add(2))
	if err != nil || !again.Replayed || again.RequestID != first.RequestID || string(again.Payload) != `{"n":2}` {
		t.Errorf("again: %+v, %v", again, err)
	}
	_, err = c.Call(t.Context(), add(3))
	wantReason(t, err, edda.IdempotencyMismatch)
}

// store keeps much, and lists it.
func store(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
	switch m.Type {
	case "fill":
		for i := range 100 {
			if err := c.Set(fmt.Sprintf("v/%03d", i), []byte(strings.Repeat(fmt.Sprint(i%10), 5000))); err != nil {
				return nil, err
			}
		}
		return nil, c.Set("empty", nil)
	case "list":
		n, size := 0, 0
		last := ""
		for e, err := range c.List("v/") {
			if err != nil {
				return nil, err
			}
			if e.Name <= last {
				return nil, fmt.Errorf("%s comes after %s", e.Name, last)
			}
			n, size, last = n+1, size+len(e.Value), e.Name
		}
		v, ok, err := c.Get("v/077")
		_, none, err2 := c.Get("w")
		empty, some, err3 := c.Get("empty")
		return edda.TextReply(200, fmt.Sprint(n, size, len(v), ok, none, len(empty), some)), errors.Join(err, err2, err3)
	default:
		return nil, c.Delete("v/050")
	}
}

func largeState(t *testing.T, c *edda.Client) {
	for _, step := range []string{"list=0 0 0 false false 0 false", "fill=", "list=100 500000 5000 true false 0 true", "drop=", "list=99 495000 5000 true false 0 true"} {
		method, want, _ := strings.Cut(step, "=")
		if r, err := c.Call(t.Context(), msg("store/a", method, "")); err != nil || string(r.Payload) != want {
			t.Errorf("%s: %s, %v, want %s", method, r.Payload, err, want)
		}
	}
}

func delay(t *testing.T, c *edda.Client) {
	add := func(key string, delay time.Duration) (edda.ID, time.Time) {
		t.Helper()
		m := msg("counter/"+key, "add", `{"n":1}`)
		m.ContentType, m.Due = "application/json", time.Now().Add(delay)
		ack, err := c.Send(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		return ack.ID, m.Due
	}
	id, due := add("far", time.Hour)
	if q, err := c.Request(t.Context(), id); err != nil || q.State != edda.Accepted || !q.NextAttemptAt.Equal(due.UTC().Round(0)) {
		t.Errorf("request is %+v, %v, want one that is due at %v", q, err, due)
	}
	if q, err := c.Cancel(t.Context(), id); err != nil || q.State != edda.StateCancelled {
		t.Errorf("cancelled: %+v, %v", q, err)
	}
	id, due = add("near", 300*time.Millisecond)
	if r, err := c.Wait(t.Context(), id); err != nil || string(r.Payload) != `{"n":1}` || time.Now().Before(due) {
		t.Errorf("reply is %+v, %v", r, err)
	}
}

func appendLog(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
	v, _, err := c.Get("log")
	if err != nil {
		return nil, err
	}
	v = append(slices.Clone(v), m.Payload...)
	return &edda.Reply{Payload: v}, c.Set("log", v)
}

func order(t *testing.T, c *edda.Client) {
	var wg sync.WaitGroup
	for k := range 20 {
		wg.Go(func() {
			want := ""
			for i := range 20 {
				letter := string(rune('a' + i))
				want += letter
				if _, err := c.Send(t.Context(), msg(fmt.Sprint("log/", k), "add", letter)); err != nil {
					t.Errorf("send: %v", err)
				}
			}
			if r, err := c.Call(t.Context(), msg(fmt.Sprint("log/", k), "add", "")); err != nil || string(r.Payload) != want {
				t.Errorf("key %d: %+v, %v, want %s", k, r, err, want)
			}
		})
	}
	wg.Wait()
}

func tell(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
	for i := range 100 {
		if err := c.Part("text/plain", []byte(fmt.Sprint(i, " "))); err != nil {
			return nil, err
		}
	}
	return edda.TextReply(200, "done"), nil
}

func parts(t *testing.T, c *edda.Client) {
	ack, err := c.Send(t.Context(), msg("tell", "go", ""))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for p, err := range c.Parts(t.Context(), ack.ID, edda.PartID{Attempt: 1, Number: 10}) {
		if err != nil || p.Attempt != 1 || p.Number != n+11 || p.Reset || p.ContentType != "text/plain" || string(p.Payload) != fmt.Sprint(n+10, " ") {
			t.Fatalf("part %d is %+v, %v", n, p, err)
		}
		n++
	}
	if n != 90 {
		t.Errorf("%d parts, want 90", n)
	}
	if r, err := c.Wait(t.Context(), ack.ID); err != nil || string(r.Payload) != "done" {
		t.Errorf("reply is %+v, %v", r, err)
	}
}

// attemptTimeout is how long an attempt of slow, and of stuck, may take without progress.
const attemptTimeout = 150 * time.Millisecond

// slow takes longer than an attempt may, and says that it gets on. An attempt is lost
// where the machine does not get on.
func slow() *edda.Service {
	s := service("slow", edda.Balanced, func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
		end := time.After(2 * attemptTimeout)
		beat := time.NewTicker(10 * time.Millisecond)
		defer beat.Stop()
		for {
			select {
			case <-end:
				return nil, nil
			case <-c.Done():
				return nil, c.Err()
			case <-beat.C:
				c.Progress()
			}
		}
	})
	s.AttemptTimeout = attemptTimeout
	s.Retry = edda.RetryPolicy{Max: -1, Delay: time.Millisecond}
	return s
}

// stuck says nothing, and never ends.
func stuck() *edda.Service {
	s := service("stuck", edda.Balanced, func(c *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		<-c.Done()
		return nil, c.Err()
	})
	s.AttemptTimeout = attemptTimeout
	s.Retry = edda.RetryPolicy{Max: 1}
	return s
}

func progress(t *testing.T, c *edda.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := c.Call(ctx, msg("slow", "go", "")); err != nil {
		t.Error(err)
	}
	_, err := c.Call(ctx, msg("stuck", "go", ""))
	wantError(t, err, edda.Dead, 1, "took longer than 150ms")
}
