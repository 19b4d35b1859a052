package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/gateway/oneport"
	"github.com/edda-io/edda/gateway/rpcgw"
	"github.com/edda-io/edda/internal/freeport"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/worker/httppush"
)

// program finds a program that an example needs. Without it the test is left out,
// but not in continuous integration.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing, which the example needs: %v", name, err)
	}
	t.Skipf("LEFT OUT: %s is missing, so this example was not tried: %v", name, err)
	return ""
}

// serveNode serves a node, over HTTP and gRPC, that runs endpoints, in the
// directory, hosts the services, and returns its URL and what stops it.
func serveNode(t *testing.T, dir string, services ...*edda.Service) (url string, stop func()) {
	t.Helper()
	return serveNodeAt(t, dir, "127.0.0.1:0", services...)
}

// serveNodeAt is serveNode at an address.
func serveNodeAt(t *testing.T, dir, addr string, services ...*edda.Service) (url string, stop func()) {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{
		Dir: dir, Partitions: 4, Services: services, Limits: node.Limits{NoServiceWait: 50 * time.Millisecond},
		Endpoints: func(spec edda.EndpointSpec) (node.Endpoint, error) { return httppush.New(spec, httppush.Options{}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	g, err := httpgw.New(n, httpgw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rpc, err := rpcgw.New(n, rpcgw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := oneport.New(oneport.Options{HTTP: httpgw.NewServer(g, nil), RPC: rpc})
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		rpc.Drain()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
		closing, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		server.Shutdown(closing)
		<-served
	}
	t.Cleanup(stop)
	return "http://" + l.Addr().String(), stop
}

// pythonWorker starts the worker, and returns its URL once it has registered.
func pythonWorker(t *testing.T, edda, listen string) (url string, kill func()) {
	t.Helper()
	return python(t, "worker.py", edda, listen)
}

// python starts a program that is an endpoint, and returns its URL once it has
// registered.
func python(t *testing.T, script, edda, listen string) (url string, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "python3"), filepath.Join("python", script), "--listen", listen, "--edda", edda)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			return url, kill
		}
	}
	kill()
	t.Fatalf("the worker did not start: %s", errOut.String())
	return "", nil
}

// An endpoint whose port is taken says so in one line.
func TestPythonWorkerWithoutItsPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	listen := l.Addr().String()
	for _, script := range []string{"worker.py", "handles.py"} {
		out, err := exec.CommandContext(t.Context(), program(t, "python3"), filepath.Join("python", script), "--listen", listen).CombinedOutput()
		if want := "listen on " + listen + ": Address already in use\n"; err == nil || string(out) != want {
			t.Errorf("%s: got %q, %v, want %q and a failure", script, out, err, want)
		}
	}
}

// runClient runs the script against the node.
func runClient(t *testing.T, url string) {
	t.Helper()
	program(t, "curl")
	cmd := exec.CommandContext(t.Context(), program(t, "bash"), filepath.Join("curl", "client.sh"))
	cmd.Env = append(os.Environ(), "EDDA_URL="+url, "EDDA_TOKEN=", "NO_PROXY=127.0.0.1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("client.sh: %v", err)
	}
	if err != nil || testing.Verbose() {
		t.Logf("%s", out)
	}
	if n := strings.Count(string(out), "\nok "); n != 14 {
		t.Errorf("the script made %d checks, want 14", n)
	}
}

func TestPythonWorkerAndCurlClient(t *testing.T) {
	dir := t.TempDir()
	edda, stop := serveNode(t, dir)
	worker, kill := pythonWorker(t, edda, freeport.Localhost(t))
	runClient(t, edda)

	// The state that the worker keeps with Edda outlives worker and node.
	login := func(method string) (int, string) {
		t.Helper()
		return post(t, edda+"/v1/call/users/ada/"+method, `{"email":"ada@example.com"}`)
	}
	if status, body := login("allow"); status != 200 || body != "ok" {
		t.Errorf("allow: got %d %s", status, body)
	}
	kill()
	stop()
	edda, _ = serveNode(t, dir)
	answered := make(chan string, 1)
	go func() {
		_, body := login("login") // waits for the worker
		answered <- body
	}()
	pythonWorker(t, edda, strings.TrimPrefix(worker, "http://"))
	if body := <-answered; body != "ok" && !strings.Contains(body, "NO_WORKER") {
		t.Errorf("login while the worker was away: got %s", body)
	}
	if status, body := login("login"); status != 200 || body != "ok" {
		t.Errorf("login: got %d %s, want what was allowed before", status, body)
	}
}

// The worker answers nobody who does not know the secret.
func TestPythonWorkerChecksTheSignature(t *testing.T) {
	edda, _ := serveNode(t, t.TempDir())
	worker, _ := pythonWorker(t, edda, "127.0.0.1:0")
	if status, body := post(t, worker+"/TEST_SERVICE/echo", "hi"); status != 503 || !strings.Contains(body, "signature") {
		t.Errorf("got %d %s", status, body)
	}
	if status, body := post(t, edda+"/v1/call/TEST_SERVICE/echo", "hi"); status != 200 || body != "hi" {
		t.Errorf("got %d %s", status, body)
	}
}

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	res, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		t.Error(err)
	}
	return res.StatusCode, b.String()
}
