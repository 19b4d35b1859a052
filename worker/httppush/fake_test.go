package httppush

import (
	"bytes"
	"context"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/edda-io/edda"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// state is the state of a key.
type state map[string]string

func (s state) Get(_ context.Context, name string) ([]byte, bool, error) {
	v, ok := s[name]
	return []byte(v), ok, nil
}

func (s state) List(_ context.Context, prefix string) iter.Seq2[edda.StateEntry, error] {
	return func(yield func(edda.StateEntry, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(s)) {
			if strings.HasPrefix(name, prefix) && !yield(edda.StateEntry{Name: name, Value: []byte(s[name])}, nil) {
				return
			}
		}
	}
}

// fakeAttempt is an attempt as the node gives it, and how it ended.
type fakeAttempt struct {
	d   *edda.Dispatch
	ctx context.Context

	taken      sync.Once
	wasTaken   chan struct{}
	done       chan *edda.Outcome
	handedBack chan struct{}
}

func (a *fakeAttempt) Dispatch() *edda.Dispatch { return a.d }
func (a *fakeAttempt) Context() context.Context { return a.ctx }
func (a *fakeAttempt) Taken()                   { a.taken.Do(func() { close(a.wasTaken) }) }
func (a *fakeAttempt) HandBack()                { close(a.handedBack) }
func (a *fakeAttempt) Done(out *edda.Outcome) error {
	a.done <- out
	return nil
}

// attemptAt returns an attempt at a message.
func attemptAt(ctx context.Context, m *edda.Message, st edda.StateReader) *fakeAttempt {
	if m.ID.IsZero() {
		m.ID = edda.NewID(1, time.Now())
	}
	return &fakeAttempt{
		d: &edda.Dispatch{Message: m, Attempt: 3, Fence: 77, State: st}, ctx: ctx,
		wasTaken: make(chan struct{}), done: make(chan *edda.Outcome, 1), handedBack: make(chan struct{}),
	}
}

// outcome waits for the outcome.
func (a *fakeAttempt) outcome(t *testing.T) *edda.Outcome {
	t.Helper()
	select {
	case out := <-a.done:
		return out
	case <-a.handedBack:
		t.Fatal("the attempt was handed back, want an outcome")
	case <-time.After(patience):
		t.Fatal("the attempt did not end")
	}
	return nil
}

// back waits until the attempt was handed back.
func (a *fakeAttempt) back(t *testing.T) {
	t.Helper()
	select {
	case out := <-a.done:
		t.Fatalf("got outcome %+v, want the attempt handed back", out)
	case <-a.handedBack:
	case <-time.After(patience):
		t.Fatal("the attempt did not end")
	}
}

// fakeWorker notes what it is told.
type fakeWorker struct {
	ready chan bool
	beats chan struct{}
}

func newFakeWorker() *fakeWorker {
	return &fakeWorker{ready: make(chan bool, 100), beats: make(chan struct{}, 1000)}
}

func (w *fakeWorker) SetReady(ready bool) { w.ready <- ready }
func (w *fakeWorker) Beat() {
	select {
	case w.beats <- struct{}{}:
	default:
	}
}

// want waits for the next change, which must be this one.
func (w *fakeWorker) want(t *testing.T, ready bool) {
	t.Helper()
	select {
	case got := <-w.ready:
		if got != ready {
			t.Fatalf("the worker became ready=%v, want %v", got, ready)
		}
	case <-time.After(patience):
		t.Fatalf("the worker did not become ready=%v", ready)
	}
}

// stays checks that no change was told.
func (w *fakeWorker) stays(t *testing.T) {
	t.Helper()
	select {
	case got := <-w.ready:
		t.Errorf("the worker became ready=%v, want no change", got)
	default:
	}
}

// users is an ordered service at the URL.
func users(url string) edda.EndpointSpec {
	return edda.EndpointSpec{ServiceSpec: edda.ServiceSpec{Name: "users", Kind: edda.Ordered}, URL: url}
}

// echo is a balanced service at the URL.
func echo(url string) edda.EndpointSpec {
	return edda.EndpointSpec{ServiceSpec: edda.ServiceSpec{Name: "echo", Kind: edda.Balanced}, URL: url}
}

// serveRunner starts a runner, which the end of the test ends.
func serveRunner(t *testing.T, spec edda.EndpointSpec, opts Options) (*Runner, *fakeWorker) {
	t.Helper()
	r, err := New(spec, opts)
	if err != nil {
		t.Fatal(err)
	}
	w := newFakeWorker()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.serve(ctx, w)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return r, w
}

// server answers with a handler until the end of the test.
func server(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// got is what an endpoint saw.
type got struct {
	method, uri, body string
	header            http.Header
}

// recorder answers with h, and notes what it was sent.
func recorder(t *testing.T, h http.HandlerFunc) (url string, seen chan got) {
	t.Helper()
	seen = make(chan got, 10)
	return server(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client went away
		}
		seen <- got{r.Method, r.RequestURI, string(b), r.Header}
		r.Body = io.NopCloser(bytes.NewReader(b))
		h(w, r)
	}), seen
}

// answerWith writes an answer.
func answerWith(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// try1 makes one attempt at a message of a key and returns its outcome.
func try1(t *testing.T, spec edda.EndpointSpec, m *edda.Message, st edda.StateReader) *edda.Outcome {
	t.Helper()
	return tryStep(t, spec, m, st, nil)
}

// tryStep is try1 for a step of a saga.
func tryStep(t *testing.T, spec edda.EndpointSpec, m *edda.Message, st edda.StateReader, step *edda.StepRef) *edda.Outcome {
	t.Helper()
	r, _ := serveRunner(t, spec, Options{})
	if m.To.Name == "" {
		m.To = edda.Address{Name: spec.Name}
		if spec.Kind == edda.Ordered {
			m.To.Key = "ada"
		}
	}
	if m.Type == "" {
		m.Type = "login"
	}
	a := attemptAt(t.Context(), m, st)
	a.d.Step = step
	r.start(a)
	return a.outcome(t)
}

// raw is an endpoint that does with a connection what a test wants.
func raw(t *testing.T, each func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				each(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	return "http://" + l.Addr().String()
}
