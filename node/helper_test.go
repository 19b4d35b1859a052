package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs each case as a subtest with a clock of its own. A goroutine that is
// left behind fails it.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// start opens a node that hosts the services, in memory unless the options name a
// directory, and stops it when the test ends.
func start(t *testing.T, o node.Options, services ...*edda.Service) *node.Node {
	t.Helper()
	n := open(t, o, services...)
	t.Cleanup(func() { stop(t, n) })
	return n
}

// open is start for tests that stop the node themselves.
func open(t *testing.T, o node.Options, services ...*edda.Service) *node.Node {
	t.Helper()
	n, err := node.Open(t.Context(), withDefaults(o, services...))
	if err != nil {
		t.Fatalf("open node: %v", err)
	}
	t.Cleanup(func() { // for a test that ends early; else it is stopped
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = n.Stop(ctx)
	})
	return n
}

func withDefaults(o node.Options, services ...*edda.Service) node.Options {
	if o.Dir == "" {
		o.Durability = edda.Memory
	}
	if o.Partitions == 0 {
		o.Partitions = 4
	}
	o.Services = append(slices.Clone(o.Services), services...)
	return o
}

// stop stops the node; handlers have a minute.
func stop(t *testing.T, n *node.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Errorf("stop node: %v", err)
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

// waitFor returns a handler that replies once the gate is closed, and obeys
// cancellation.
func waitFor(gate <-chan struct{}) edda.HandlerFunc {
	return func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		select {
		case <-gate:
			return echo(ctx, m)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// errHandler is what failing handlers return.
var errHandler = errors.New("it did not work")

func fail(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, errHandler }

// once is the policy without a second attempt.
var once = edda.RetryPolicy{Max: 1}

// everySecond retries for ever, one second after the attempt before.
var everySecond = edda.RetryPolicy{Max: -1, Delay: time.Second, Backoff: 1, Jitter: -1}

// msg returns a message to an address such as "users/42".
func msg(to, method, payload string) *edda.Message {
	a, err := edda.ParseAddress(to)
	if err != nil {
		panic(err)
	}
	return &edda.Message{To: a, Type: method, ContentType: "text/plain", Payload: []byte(payload)}
}

// with returns the message after a change.
func with(m *edda.Message, change func(*edda.Message)) *edda.Message {
	change(m)
	return m
}

// keyed returns the message with an idempotency key.
func keyed(m *edda.Message, key string) *edda.Message {
	m.IdempotencyKey = key
	return m
}

// send sends a message that has to be accepted.
func send(t *testing.T, n *node.Node, m *edda.Message) *edda.Ack {
	t.Helper()
	ack, err := n.Client().Send(t.Context(), m)
	if err != nil {
		t.Fatalf("send %s to %s: %v", m.Type, m.To, err)
	}
	return ack
}

// answer is what a call came back with.
type answer struct {
	reply *edda.Reply
	err   error
}

// call calls and waits a minute.
func call(t *testing.T, n *node.Node, m *edda.Message) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := n.Client().Call(ctx, m)
	return answer{r, err}
}

// calling is call in a goroutine of its own; it has got as far as it gets without
// time going by.
func calling(t *testing.T, n *node.Node, m *edda.Message) <-chan answer {
	t.Helper()
	c := make(chan answer, 1)
	go func() { c <- call(t, n, m) }()
	synctest.Wait()
	return c
}

// waiting is Wait in a goroutine of its own.
func waiting(t *testing.T, n *node.Node, id edda.ID) <-chan answer {
	t.Helper()
	c := make(chan answer, 1)
	go func() {
		r, err := n.Client().Wait(t.Context(), id)
		c <- answer{r, err}
	}()
	synctest.Wait()
	return c
}

// pending fails the test if the answer is there already.
func pending(t *testing.T, c <-chan answer) {
	t.Helper()
	synctest.Wait()
	select {
	case a := <-c:
		t.Fatalf("got answer %v, %v too early", a.reply, a.err)
	default:
	}
}

// now returns the answer, which has to be there without time going by.
func now(t *testing.T, c <-chan answer) answer {
	t.Helper()
	synctest.Wait()
	select {
	case a := <-c:
		return a
	default:
		t.Fatal("got no answer yet")
		return answer{}
	}
}

// replied fails the test unless the call was answered with status and payload.
func (a answer) replied(t *testing.T, status int, payload string) *edda.Reply {
	t.Helper()
	if a.err != nil {
		t.Fatalf("got error %v, want reply %d %q", a.err, status, payload)
	}
	if got := a.reply.EffectiveStatus(); got != status || string(a.reply.Payload) != payload {
		t.Fatalf("got reply %d %q, want %d %q", got, a.reply.Payload, status, payload)
	}
	return a.reply
}

// refused fails the test unless the error has the reason.
func (a answer) refused(t *testing.T, want edda.Reason) *edda.Error {
	t.Helper()
	if a.err == nil {
		t.Fatalf("got reply %d %q, want error %s", a.reply.EffectiveStatus(), a.reply.Payload, want)
	}
	return wantReason(t, a.err, want)
}

// wantReason fails the test unless the error has the reason.
func wantReason(t *testing.T, err error, want edda.Reason) *edda.Error {
	t.Helper()
	e, ok := errors.AsType[*edda.Error](err)
	if !ok || e.Reason != want {
		t.Fatalf("got error %v (%s), want %s", err, edda.ReasonOf(err), want)
	}
	return e
}

// notStored fails the test unless the error says that nothing was stored.
func notStored(t *testing.T, e *edda.Error) {
	t.Helper()
	if e.Position != "" || !e.RequestID.IsZero() {
		t.Errorf("%s: got id %s and position %q, want none: nothing is stored", e.Reason, e.RequestID, e.Position)
	}
}

// stored fails the test unless the error says that the request is stored.
func stored(t *testing.T, e *edda.Error) edda.ID {
	t.Helper()
	if e.Position == "" || e.RequestID.IsZero() {
		t.Fatalf("%s: got id %s and position %q, want both: the request is stored", e.Reason, e.RequestID, e.Position)
	}
	return e.RequestID
}

// request returns what is known of a request.
func request(t *testing.T, n *node.Node, id edda.ID) *edda.Request {
	t.Helper()
	r, err := n.Client().Request(t.Context(), id)
	if err != nil {
		t.Fatalf("look up request: %v", err)
	}
	return r
}

// inState fails the test unless the request is in the state.
func inState(t *testing.T, n *node.Node, id edda.ID, want edda.State) *edda.Request {
	t.Helper()
	synctest.Wait()
	r := request(t, n, id)
	if r.State != want {
		t.Fatalf("got state %s (%+v), want %s", r.State, r.Error, want)
	}
	return r
}

// unknown fails the test unless nothing is known of the request.
func unknown(t *testing.T, n *node.Node, id edda.ID) {
	t.Helper()
	_, err := n.Client().Request(t.Context(), id)
	wantReason(t, err, edda.NoRequest)
}

// journal is what handlers write down, safe for concurrent use.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) addf(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

// want fails the test unless the lines are these, separated by blanks.
func (j *journal) want(t *testing.T, lines string) {
	t.Helper()
	synctest.Wait()
	if got := strings.Join(j.all(), " "); got != lines {
		t.Errorf("handlers wrote %q, want %q", got, lines)
	}
}

// since returns the whole seconds of the bubble's clock since the start.
func since(start time.Time) string { return time.Since(start).String() }

// sortJournal writes the lines of one journal to another in order.
func sortJournal(from, to *journal) {
	lines := from.all()
	slices.Sort(lines)
	for _, l := range lines {
		to.addf("%s", l)
	}
}
