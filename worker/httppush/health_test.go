package httppush

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/freeport"
	"github.com/edda-io/edda/internal/seldom"
)

func one(t *testing.T) *fakeAttempt {
	t.Helper()
	return attemptAt(t.Context(), &edda.Message{Type: "x", To: edda.Address{Name: "users", Key: "k"}, Payload: []byte("x")}, state{})
}

// listenAgain serves at an address that was free, or served before.
func listenAgain(t *testing.T, address string, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// An endpoint that is down costs no attempt, and is found when it comes.
func TestDownAtStart(t *testing.T) {
	address := freeport.Address(t)
	r, w := serveRunner(t, users("http://"+address), Options{})
	a, b := one(t), one(t)
	r.start(a)
	r.start(b)
	a.back(t)
	b.back(t)
	w.want(t, false)
	s := listenAgain(t, address, answerWith(200, "ok"))
	w.want(t, true)
	a = one(t)
	r.start(a)
	if out := a.outcome(t); out.Err != nil {
		t.Error(out.Err)
	}

	s.Close()
	r.target.Load().transport.CloseIdleConnections() // it would notice by itself, in a moment
	a = one(t)
	r.start(a)
	a.back(t)
	w.want(t, false)
	listenAgain(t, address, answerWith(200, "ok"))
	w.want(t, true)
	w.stays(t)
}

func TestHealthCheck(t *testing.T) {
	start := time.Now()
	var logs lockedBuffer
	var status atomic.Int64
	status.Store(503)
	asked := make(chan string, 1000)
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.RequestURI
		answerWith(int(status.Load()), "")(w, r)
	})
	spec := users(url + "/base")
	spec.HealthPath, spec.HealthInterval = "/healthz?full=1", edda.MinHealthInterval
	_, w := serveRunner(t, spec, Options{Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	w.want(t, false)
	if got := <-asked; got != "GET /healthz?full=1" {
		t.Errorf("the health check was %s", got)
	}
	for _, flap := range []struct {
		status int
		ready  bool
	}{{200, true}, {500, false}, {204, true}, {302, false}, {299, true}, {404, false}} {
		status.Store(int64(flap.status))
		w.want(t, flap.ready)
	}
	if !bytes.Contains(logs.bytes(), []byte("out of service")) || !bytes.Contains(logs.bytes(), []byte("health check answered 500")) {
		t.Errorf("logged %s", logs.bytes())
	}
	outs, took := bytes.Count(logs.bytes(), []byte("out of service")), time.Since(start)
	if outs > 2+int(took/seldom.Every) {
		t.Errorf("that it is out of service is logged %d times in %v:\n%s", outs, took, logs.bytes())
	}
	<-w.beats
}

// indifferent is a worker that does not care.
type indifferent struct{}

func (indifferent) SetReady(bool) {}
func (indifferent) Beat()         {}

// Of an endpoint that goes in and out of service the log tells now and then, with how
// often, and in the end what holds.
func TestFlappingIsToldSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		s := &watcher{
			r: &Runner{log: slog.New(slog.NewTextHandler(&logs, nil))}, w: indifferent{}, ready: true, told: true,
			timer: time.NewTimer(time.Hour), t: &target{spec: users("http://a"), health: new(url.URL)},
		}
		defer s.timer.Stop()
		s.t.spec.HealthInterval = time.Second
		count := func(text string) int { return bytes.Count(logs.Bytes(), []byte(text)) }
		for range 500 {
			time.Sleep(10 * time.Millisecond)
			s.took(probed{s.t, errors.New("no")})
			s.took(probed{s.t, nil})
		}
		s.took(probed{s.t, errors.New("no")})
		if outs, ins := count("out of service"), count("in service"); outs > 2 || ins > 2 {
			t.Errorf("in 5 s the log has %d lines, and %d:\n%s", outs, ins, logs.Bytes())
		}
		logs.Reset()
		time.Sleep(seldom.Every)
		s.took(probed{s.t, errors.New("no")}) // still
		if count("out of service") != 1 || count("others=0") > 0 {
			t.Errorf("the log does not say that it is out of service, and after how many others:\n%s", logs.Bytes())
		}
		s.took(probed{s.t, errors.New("no")})
		s.took(probed{s.t, nil})
		if count("out of service") != 1 || count("endpoint is in service") != 1 {
			t.Errorf("the log does not say once that it is in service:\n%s", logs.Bytes())
		}
	})
}

// An endpoint with a health check that refuses connections is out of service
// before the next check.
func TestRefusalBetweenHealthChecks(t *testing.T) {
	s := httptest.NewServer(answerWith(200, "ok"))
	spec := users(s.URL)
	spec.HealthPath, spec.HealthInterval = "/healthz", time.Hour
	r, w := serveRunner(t, spec, Options{})
	w.want(t, false)
	w.want(t, true)
	address := s.Listener.Addr().String()
	s.Close()
	r.target.Load().transport.CloseIdleConnections() // it would notice by itself, in a moment
	a := one(t)
	r.start(a)
	a.back(t)
	w.want(t, false)
	listenAgain(t, address, answerWith(200, "ok"))
	w.want(t, true)
}

func TestChange(t *testing.T) {
	release, begun := make(chan struct{}), make(chan struct{})
	first := server(t, func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-release
		_, _ = io.WriteString(w, "first")
	})
	spec := users(first)
	spec.Secret = "old"
	r, w := serveRunner(t, spec, Options{})
	a := one(t)
	r.start(a)
	<-begun

	second, seen := recorder(t, answerWith(200, "second"))
	spec.URL, spec.Secret = second, "new"
	if err := r.Change(spec); err != nil {
		t.Fatal(err)
	}
	b := one(t)
	r.start(b)
	if out := b.outcome(t); out.Err != nil || string(out.Reply.Payload) != "second" {
		t.Errorf("got %+v, want the second endpoint's answer", out)
	}
	if g := <-seen; !verify([]byte("new"), g) || verify([]byte("old"), g) {
		t.Error("it is not signed with the new secret")
	}
	close(release)
	if out := a.outcome(t); out.Err != nil || string(out.Reply.Payload) != "first" {
		t.Errorf("got %+v, want the first endpoint's answer", out)
	}
	w.stays(t)

	// One with a health check has to pass it, one without is taken to be there.
	spec.URL, spec.HealthPath = "http://"+freeport.Address(t), "/healthz"
	if err := r.Change(spec); err != nil {
		t.Fatal(err)
	}
	w.want(t, false)
	spec.HealthPath = ""
	if err := r.Change(spec); err != nil {
		t.Fatal(err)
	}
	w.want(t, true)
}

// What is on its way when a runner is to end, ends.
func TestServeWaitsForAttempts(t *testing.T) {
	begun := make(chan struct{})
	url := server(t, func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	})
	r, err := New(users(url), Options{})
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.serve(serving, newFakeWorker())
	}()
	ctx, cancel := context.WithCancel(t.Context())
	m := &edda.Message{Type: "x", To: edda.Address{Name: "users", Key: "k"}}
	a := attemptAt(ctx, m, state{})
	r.start(a)
	<-begun
	stop()
	<-r.stopped
	select {
	case <-ended:
		t.Error("it ended before its attempt")
	default:
	}
	cancel()
	if out := a.outcome(t); !errors.Is(out.Err, context.Canceled) {
		t.Errorf("got %v, want %v", out.Err, context.Canceled)
	}
	<-ended
}

// An attempt that cannot be made when nobody watches any more is handed back all
// the same.
func TestHandedBackAtTheEnd(t *testing.T) {
	r, err := New(users("http://"+freeport.Address(t)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := one(t)
	r.start(a)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.serve(ctx, newFakeWorker())
	a.back(t)
	a = one(t)
	r.start(a)
	a.back(t)
}

// lockedBuffer is a buffer that a logger and a test share.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}
