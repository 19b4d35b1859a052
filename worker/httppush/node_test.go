package httppush

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/freeport"
	"github.com/edda-io/edda/node"
)

// open returns a node that runs endpoints, in the directory or, when that is
// empty, in memory. The caller may stop it before the test ends.
func open(t *testing.T, dir string, services ...*edda.Service) *node.Node {
	t.Helper()
	return openFor(t, 50*time.Millisecond, dir, services...)
}

// openFor is open with how long requests wait for an endpoint that is not in service.
func openFor(t *testing.T, noWorkerWait time.Duration, dir string, services ...*edda.Service) *node.Node {
	t.Helper()
	o := node.Options{
		Dir: dir, Partitions: 4, Services: services,
		Endpoints: func(spec edda.EndpointSpec) (node.Endpoint, error) { return New(spec, Options{}) },
		Limits:    node.Limits{NoServiceWait: time.Millisecond, NoWorkerWait: noWorkerWait},
	}
	if dir == "" {
		o.Durability = edda.Memory
	}
	n, err := node.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, n) })
	return n
}

func stop(t *testing.T, n *node.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// set sets an endpoint.
func set(t *testing.T, n *node.Node, spec edda.EndpointSpec) (*edda.ServiceInfo, bool) {
	t.Helper()
	info, created, err := n.SetEndpoint(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return info, created
}

func call(t *testing.T, n *node.Node, to, method, payload string) (*edda.Reply, error) {
	t.Helper()
	a, err := edda.ParseAddress(to)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return n.Client().Call(ctx, &edda.Message{To: a, Type: method, ContentType: "application/json", Payload: []byte(payload)})
}

// wantCall calls and checks status and body.
func wantCall(t *testing.T, n *node.Node, to, method, payload string, status int, body string) {
	t.Helper()
	r, err := call(t, n, to, method, payload)
	if err != nil {
		t.Fatalf("%s %s: %v", to, method, err)
	}
	if r.EffectiveStatus() != status || string(r.Payload) != body {
		t.Errorf("%s %s: got %d %q, want %d %q", to, method, r.EffectiveStatus(), r.Payload, status, body)
	}
}

// counter is an endpoint that keeps a number in the key's state.
func counter(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n := 0
	if _, rest, ok := strings.Cut(string(body), `"state":{"n":`); ok {
		digits, _, _ := strings.Cut(rest, "}")
		n, _ = strconv.Atoi(digits)
	}
	if strings.HasSuffix(r.URL.Path, "/add") {
		n++
	}
	fmt.Fprintf(w, `{"status":200,"data":{"value":%d},"state":{"set":{"n":%d}}}`, n, n)
}

func TestKeyedState(t *testing.T) {
	n := open(t, "")
	if _, created := set(t, n, envelope(users(server(t, counter)))); !created {
		t.Error("the service is not new")
	}
	for i := range 3 {
		wantCall(t, n, "users/a", "add", "{}", 200, fmt.Sprintf(`{"value":%d}`, i+1))
	}
	wantCall(t, n, "users/b", "add", "{}", 200, `{"value":1}`)
	wantCall(t, n, "users/a", "get", "{}", 200, `{"value":3}`)
}

func TestRestartKeepsTheEndpoint(t *testing.T) {
	dir := t.TempDir()
	url, seen := recorder(t, counter)
	n := openFor(t, patience, dir)
	spec := envelope(users(url))
	spec.Concurrency, spec.AttemptTimeout, spec.OnDead, spec.Methods = 3, 7*time.Second, edda.StopKey, []string{"add", "get"}
	spec.Retry = edda.RetryPolicy{Max: 4, Delay: time.Second, Jitter: -1}
	spec.HealthPath, spec.HealthInterval = "/add", time.Minute
	made, _ := set(t, n, spec)
	key, err := (&edda.EndpointSpec{Secret: made.Secret}).SecretKey()
	if err != nil || len(key) != 32 {
		t.Fatalf("the node made the secret %q, %v", made.Secret, err)
	}
	wantCall(t, n, "users/a", "add", "{}", 200, `{"value":1}`)
	made.Secret = ""
	stop(t, n)

	n = openFor(t, patience, dir)
	wantCall(t, n, "users/a", "add", "{}", 200, `{"value":2}`)
	for len(seen) > 0 {
		if g := <-seen; g.method == "POST" && !verify(key, g) {
			t.Error("it is not signed with the secret of before")
		}
	}
	info, err := n.Service(t.Context(), "", "users")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%+v %+v", *info.EndpointInfo, *info.Health), fmt.Sprintf("%+v %+v", *made.EndpointInfo, *made.Health); trimPointer(got) != trimPointer(want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if info.Concurrency != 3 || info.AttemptTimeout != "7s" || info.Retry.Max != 4 || info.Retry.Jitter != 0 || info.OnDead != edda.StopKey || info.Workers != 1 {
		t.Errorf("got %+v", info)
	}
	if _, err := call(t, n, "users/a", "other", "{}"); edda.ReasonOf(err) != edda.NoMethod {
		t.Errorf("got %v, want %s", err, edda.NoMethod)
	}
}

// trimPointer leaves out where in memory the health check lies.
func trimPointer(s string) string {
	before, rest, _ := strings.Cut(s, "Health:0x")
	_, after, _ := strings.Cut(rest, " ")
	return before + after
}

func TestSecrets(t *testing.T) {
	n := open(t, "")
	url, seen := recorder(t, answerWith(200, "ok"))
	signedWith := func(secret string) {
		t.Helper()
		wantCall(t, n, "users/a", "x", "hi", 200, "ok")
		key, err := (&edda.EndpointSpec{Secret: secret}).SecretKey()
		if g := <-seen; err != nil || !verify(key, g) {
			t.Errorf("it is not signed with %q, %v", secret, err)
		}
	}
	info, _ := set(t, n, users(url))
	first := info.Secret
	if !strings.HasPrefix(first, edda.SecretPrefix) {
		t.Fatalf("got secret %q", first)
	}
	signedWith(first)
	if again, created := set(t, n, users(url)); again.Secret != "" || created {
		t.Errorf("got secret %q, created %v, want the old one unseen", again.Secret, created)
	}
	signedWith(first)
	rotated := users(url)
	rotated.Secret = "another secret"
	if info, _ := set(t, n, rotated); info.Secret != "" {
		t.Errorf("got secret %q, which whoever set it knows", info.Secret)
	}
	signedWith("another secret")
	for _, look := range []func() (*edda.ServiceInfo, error){
		func() (*edda.ServiceInfo, error) { return n.Service(t.Context(), "", "users") },
		func() (*edda.ServiceInfo, error) { return n.PauseService(t.Context(), "", "users") },
		func() (*edda.ServiceInfo, error) { return n.ResumeService(t.Context(), "", "users") },
		func() (*edda.ServiceInfo, error) {
			all, _, err := n.Services(t.Context(), "", node.Page{})
			return &all[0], err
		},
	} {
		if info, err := look(); err != nil || info.EndpointInfo == nil || info.Secret != "" {
			t.Errorf("got %+v, %v, want an endpoint without its secret", info, err)
		}
	}
}

func TestSetEndpointRefuses(t *testing.T) {
	local := edda.NewOrdered("local")
	local.HandleAny(func(*edda.Context, *edda.Message) (*edda.Reply, error) { return edda.TextReply(200, "here"), nil })
	n := open(t, "", local)
	refused := func(spec edda.EndpointSpec, reason edda.Reason) {
		t.Helper()
		if _, _, err := n.SetEndpoint(t.Context(), spec); edda.ReasonOf(err) != reason {
			t.Errorf("got %v, want %s", err, reason)
		}
	}
	spec := users("http://127.0.0.1:1")
	spec.Name = "local"
	refused(spec, edda.Exists)
	wantCall(t, n, "local/a", "x", "", 200, "here")
	spec.Name = "no/name"
	refused(spec, edda.BadName)
	refused(users("http://user:secret@host/"), edda.BadValue)

	// One that nobody can reach holds its requests, and with them its kind.
	url := "http://" + freeport.Address(t)
	set(t, n, users(url))
	ack, err := n.Client().Send(t.Context(), &edda.Message{To: edda.Address{Name: "users", Key: "a"}, Type: "x"})
	if err != nil {
		t.Fatal(err)
	}
	spec = echo(url)
	spec.Name = "users"
	refused(spec, edda.KindInUse)
	if _, err := n.Client().Cancel(t.Context(), ack.ID); err != nil {
		t.Fatal(err)
	}
	spec.URL = server(t, answerWith(200, "balanced"))
	if info, created := set(t, n, spec); info.Kind != edda.Balanced || created {
		t.Errorf("got %+v, created %v", info, created)
	}
	wantCall(t, n, "users", "x", "", 200, "balanced")

	_, err = n.Attach(t.Context(), node.WorkerSpec{Services: []edda.ServiceSpec{{Name: "users", Kind: edda.Balanced}}}, nil)
	if edda.ReasonOf(err) != edda.Exists {
		t.Errorf("a worker over an endpoint: got %v, want %s", err, edda.Exists)
	}
	without, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, without)
	if _, _, err := without.SetEndpoint(t.Context(), users(url)); edda.ReasonOf(err) != edda.Conflict {
		t.Errorf("got %v, want %s", err, edda.Conflict)
	}
	stop(t, n)
	refused(users(url), edda.Draining)
}

// A service in this process takes the place of an endpoint of its name.
func TestServiceTakesThePlaceOfAnEndpoint(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	set(t, n, users("http://127.0.0.1:1"))
	stop(t, n)
	local := edda.NewOrdered("users")
	local.HandleAny(func(*edda.Context, *edda.Message) (*edda.Reply, error) { return edda.TextReply(200, "here"), nil })
	n = open(t, dir, local)
	wantCall(t, n, "users/a", "x", "", 200, "here")
	if info, err := n.Service(t.Context(), "", "users"); err != nil || info.EndpointInfo != nil {
		t.Errorf("got %+v, %v", info, err)
	}
}

// A request for an endpoint that is down waits, without an attempt, and is handled
// when the endpoint comes.
func TestRequestsWaitForTheEndpoint(t *testing.T) {
	n := open(t, "")
	address := freeport.Address(t)
	spec := users("http://" + address)
	spec.Retry = edda.RetryPolicy{Max: 1}
	set(t, n, spec)
	r, err := call(t, n, "users/a", "x", "hi")
	e, ok := errors.AsType[*edda.Error](err)
	if !ok || e.Reason != edda.NoWorker || e.Position == "" {
		t.Fatalf("got %v, %v, want %s and the request stored", r, err, edda.NoWorker)
	}
	w, err := n.Worker("edda.endpoint.users")
	if err != nil || w.State != edda.WorkerSilent || w.Transport != "http" || w.Slots != edda.DefaultEndpointConcurrency {
		t.Errorf("got worker %+v, %v", w, err)
	}
	if s, err := n.Service(t.Context(), "", "users"); err != nil || s.Workers != 1 || s.SilentWorkers != 1 {
		t.Errorf("got service %+v, %v, want its worker silent", s, err)
	}
	listenAgain(t, address, func(w http.ResponseWriter, r *http.Request) {
		answerWith(200, "attempt "+r.Header.Get("Edda-Attempt"))(w, r)
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	reply, err := n.Client().Wait(ctx, e.RequestID)
	if err != nil || string(reply.Payload) != "attempt 1" || reply.Attempts != 1 {
		t.Errorf("got %+v, %v, want the first attempt's reply", reply, err)
	}
}

func TestRetriesAndDeadLetters(t *testing.T) {
	n := open(t, "")
	spec := users(server(t, func(w http.ResponseWriter, r *http.Request) {
		switch attempt := r.Header.Get("Edda-Attempt"); {
		case strings.HasSuffix(r.URL.Path, "/final"):
			answerWith(422, "no funds", "Edda-Error", "final")(w, r)
		case strings.HasSuffix(r.URL.Path, "/never"), attempt != "3":
			answerWith(503, "busy", "Retry-After", "0")(w, r)
		default:
			answerWith(200, "at last")(w, r)
		}
	}))
	spec.Retry = edda.RetryPolicy{Max: 3, Delay: time.Hour}
	set(t, n, spec)
	wantCall(t, n, "users/a", "x", "", 200, "at last")
	_, err := call(t, n, "users/a", "never", "")
	if edda.ReasonOf(err) != edda.Dead || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "busy") {
		t.Errorf("got %v, want %s and what the endpoint said", err, edda.Dead)
	}
	_, err = call(t, n, "users/a", "final", "")
	if edda.ReasonOf(err) != edda.Failed || !strings.Contains(err.Error(), "no funds") {
		t.Errorf("got %v, want %s and what the endpoint said", err, edda.Failed)
	}
}

func TestDeleteEndpoint(t *testing.T) {
	n := open(t, "")
	begun := make(chan struct{})
	var once sync.Once
	set(t, n, users(server(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		once.Do(func() { close(begun) })
		<-r.Context().Done()
	})))
	ack, err := n.Client().Send(t.Context(), &edda.Message{To: edda.Address{Name: "users", Key: "a"}, Type: "x"})
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := n.DeleteService(t.Context(), "", "users", false); edda.ReasonOf(err) != edda.Conflict {
		t.Errorf("got %v, want %s", err, edda.Conflict)
	}
	if err := n.DeleteService(t.Context(), "", "users", true); err != nil {
		t.Fatal(err)
	}
	if r, err := n.Client().Request(t.Context(), ack.ID); err != nil || r.State != edda.StateDead {
		t.Errorf("got %+v, %v, want a dead request", r, err)
	}
	if _, err := n.Worker("edda.endpoint.users"); edda.ReasonOf(err) != edda.NoWorkerID {
		t.Errorf("got %v, want %s", err, edda.NoWorkerID)
	}
	if _, err := call(t, n, "users/a", "x", ""); edda.ReasonOf(err) != edda.NoService {
		t.Errorf("got %v, want %s", err, edda.NoService)
	}
	if _, created := set(t, n, users(server(t, answerWith(200, "again")))); !created {
		t.Error("the service is not new")
	}
	wantCall(t, n, "users/a", "x", "", 200, "again")
}

// Draining an endpoint lasts until somebody sets it again.
func TestDrainedEndpoint(t *testing.T) {
	n := open(t, "")
	spec := users(server(t, answerWith(200, "ok")))
	set(t, n, spec)
	if w, err := n.DrainWorker("edda.endpoint.users"); err != nil || w.State != edda.WorkerDraining {
		t.Fatalf("got %+v, %v", w, err)
	}
	if _, err := call(t, n, "users/a", "x", ""); edda.ReasonOf(err) != edda.NoWorker {
		t.Errorf("got %v, want %s", err, edda.NoWorker)
	}
	spec.Concurrency = 5
	set(t, n, spec)
	wantCall(t, n, "users/b", "x", "", 200, "ok")
	if w, err := n.Worker("edda.endpoint.users"); err != nil || w.Slots != 5 || w.State != edda.WorkerReady {
		t.Errorf("got %+v, %v", w, err)
	}
}

// What an endpoint is at when the node stops is handed back, and costs no attempt.
func TestStopHandsBack(t *testing.T) {
	dir := t.TempDir()
	n := open(t, dir)
	begun, attempts := make(chan struct{}, 10), make(chan string, 10)
	var mu sync.Mutex // guards hang
	hang := true
	spec := users(server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		attempts <- r.Header.Get("Edda-Attempt")
		begun <- struct{}{}
		mu.Lock()
		wait := hang
		mu.Unlock()
		if wait {
			<-r.Context().Done()
		}
	}))
	spec.Retry = edda.RetryPolicy{Max: 1}
	set(t, n, spec)
	ack, err := n.Client().Send(t.Context(), &edda.Message{To: edda.Address{Name: "users", Key: "a"}, Type: "x"})
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	now, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Stop(now); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	hang = false
	mu.Unlock()
	n = open(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if r, err := n.Client().Wait(ctx, ack.ID); err != nil || r.EffectiveStatus() != 200 {
		t.Errorf("got %+v, %v", r, err)
	}
	if a, b := <-attempts, <-attempts; a != "1" || b != "1" {
		t.Errorf("got attempts %s and %s, want the first twice", a, b)
	}
}

// An endpoint that breaks off what it is at, and goes away, again and again: every
// request is answered, and what each one did to its key's state is done once.
func TestEndpointComesAndGoes(t *testing.T) {
	n := open(t, "")
	address := freeport.Address(t)
	spec := envelope(users("http://" + address))
	spec.Retry = edda.RetryPolicy{Max: -1, Delay: time.Millisecond, MaxDelay: 10 * time.Millisecond}
	set(t, n, spec)
	const keys, calls, lives = 8, 40, 6
	var left atomic.Int64
	left.Store(keys)
	var callers sync.WaitGroup
	for k := range keys {
		callers.Go(func() {
			defer left.Add(-1)
			for i := range calls {
				a := edda.Address{Name: "users", Key: strconv.Itoa(k)}
				ack, err := n.Client().Send(t.Context(), &edda.Message{To: a, Type: "add", ContentType: "application/json", Payload: []byte("{}")})
				if err != nil {
					t.Error(err)
					return
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				r, err := n.Client().Wait(ctx, ack.ID)
				for edda.ReasonOf(err) == edda.NoWorker && ctx.Err() == nil {
					r, err = n.Client().Wait(ctx, ack.ID) // it goes on
				}
				cancel()
				if want := fmt.Sprintf(`{"value":%d}`, i+1); err != nil || string(r.Payload) != want {
					t.Errorf("key %d, call %d: got %+v, %v, want %s", k, i, r, err, want)
					return
				}
			}
		})
	}
	for life := 0; left.Load() > 0; life++ {
		handled := make(chan struct{}, 1000)
		s := listenAgain(t, address, func(w http.ResponseWriter, r *http.Request) {
			counter(w, r)
			handled <- struct{}{}
		})
		for i := 0; (i < keys*calls/lives/2 || life >= lives) && left.Load() > 0; i++ {
			select {
			case <-handled:
			case <-time.After(time.Millisecond): // the callers may be done
			}
		}
		s.CloseClientConnections() // in the middle of what it is at
		s.Close()
	}
	callers.Wait()
}

// An answer that never comes to its end is an attempt, which takes no longer than
// attempts may.
func TestSlowAnswer(t *testing.T) {
	n := open(t, "")
	var mu sync.Mutex // guards attempts
	var attempts []string
	spec := users(server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		attempts = append(attempts, r.Header.Get("Edda-Attempt"))
		mu.Unlock()
		drip := time.NewTicker(time.Millisecond)
		defer drip.Stop()
		for {
			select {
			case <-drip.C:
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	spec.AttemptTimeout, spec.Retry = time.Second, edda.RetryPolicy{Max: 2, Delay: time.Millisecond}
	set(t, n, spec)
	_, err := call(t, n, "users/a", "x", "")
	if edda.ReasonOf(err) != edda.Dead || !strings.Contains(err.Error(), "longer than 1s") {
		t.Errorf("got %v, want %s and how long an attempt may take", err, edda.Dead)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(attempts, " "); got != "1 2" {
		t.Errorf("got attempts %s, want 1 2", got)
	}
	if w, err := n.Worker("edda.endpoint.users"); err != nil || w.State != edda.WorkerReady {
		t.Errorf("got %+v, %v, want a worker that is in service", w, err)
	}
}

// Endpoints are set, changed, drained and deleted while they are called, and the
// node stops in the middle of it: nothing hangs, and nothing is left behind.
func TestEndpointsUnderStress(t *testing.T) {
	good, slow := server(t, answerWith(200, "ok")), server(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	urls := []string{good, slow, "http://" + freeport.Address(t)}
	for round := range 5 {
		n := open(t, "")
		ctx, cancel := context.WithCancel(t.Context())
		var busy sync.WaitGroup
		sent := make(chan struct{}, 1)
		for i := range 4 {
			busy.Go(func() {
				for k := 0; ctx.Err() == nil; k++ {
					spec := users(urls[(k+i)%len(urls)])
					spec.Concurrency = 1 + k%7
					if k%3 == 0 {
						spec.HealthPath = "/healthz"
					}
					_, _, _ = n.SetEndpoint(ctx, spec)
					if k%5 == 0 {
						_, _ = n.DrainWorker("edda.endpoint.users")
					}
					if k%7 == 0 {
						_ = n.DeleteService(ctx, "", "users", true)
					}
				}
			})
			busy.Go(func() {
				for k := 0; ctx.Err() == nil; k++ {
					m := &edda.Message{To: edda.Address{Name: "users", Key: strconv.Itoa(k % 5)}, Type: "x", Payload: []byte("x")}
					if _, err := n.Client().Send(ctx, m); err == nil {
						select {
						case sent <- struct{}{}:
						default:
						}
					}
				}
			})
		}
		for range 50 * (round + 1) {
			<-sent
		}
		now, stopNow := context.WithCancel(t.Context())
		stopNow()
		if err := n.Stop(now); err != nil {
			t.Error(err)
		}
		cancel()
		busy.Wait()
	}
}

// An endpoint leaves its step pending, and somebody else finishes it with the key that
// the endpoint was given.
func TestEndpointIsAStep(t *testing.T) {
	keys := make(chan string, 2)
	pending := server(t, func(w http.ResponseWriter, r *http.Request) {
		var in edda.StepInput
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.SagaID != "trip" {
			t.Errorf("got %+v, %v", in, err)
		}
		keys <- in.CompletionKey
		w.Header().Set("Edda-Pending", "true")
		w.WriteHeader(http.StatusAccepted)
	})
	adds := server(t, answerWith(200, `{"data":2,"addSteps":{"id":"more","service":"plain","method":"run","after":["a"]}}`))
	n := open(t, "")
	set(t, n, edda.EndpointSpec{ServiceSpec: edda.ServiceSpec{Name: "plain", Kind: edda.Balanced}, URL: pending})
	set(t, n, edda.EndpointSpec{ServiceSpec: edda.ServiceSpec{Name: "adds", Kind: edda.Balanced}, URL: adds, Protocol: edda.Envelope})
	task := func(service string) edda.Task { return edda.Task{Service: service, Method: "run"} }
	spec := &edda.SagaSpec{ID: "trip", Start: true, Steps: []edda.StepSpec{{ID: "a", Task: task("plain")}, {ID: "b", Task: task("adds"), After: []string{"a"}}}}
	if _, err := n.CreateSaga(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"a", "more"} {
		var key string
		select {
		case key = <-keys:
		case <-time.After(patience):
			s, err := n.Saga(t.Context(), "", "trip")
			t.Fatalf("step %s was not started: %+v, %v", step, s, err)
		}
		a, err := n.FinishStep(t.Context(), "", "trip", step, edda.StepResult{Result: json.RawMessage(`1`), CompletionKey: key})
		if err != nil || !a.Applied {
			t.Errorf("finish %s: %+v, %v", step, a, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := n.WaitSaga(ctx, "", "trip")
	if err != nil || s.State != edda.SagaSucceeded || len(s.Steps) != 3 || string(s.Steps[1].Result) != "2" {
		t.Errorf("got %+v, %v", s, err)
	}
}
