package examples_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/freeport"
)

// patience bounds each wait for a program; a machine under load is slow.
const patience = time.Minute

// installed is where the worker in Node.js was installed: once, for all its tests.
var installed struct {
	once sync.Once
	root string // TestMain removes it
	out  []byte // what npm said
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range []string{installed.root, built.root} {
		if err := os.RemoveAll(dir); err != nil { // "" is none
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// nodejsDir returns a copy of the example with what it depends on. Without the
// registry the test is left out, but not in continuous integration.
func nodejsDir(t *testing.T) string {
	t.Helper()
	program(t, "node")
	npm := program(t, "npm")
	installed.once.Do(func() { installed.out, installed.err = installNodejs(npm) })
	switch err := installed.err; {
	case err == nil:
	case os.Getenv("CI") == "" && (errors.Is(err, context.DeadlineExceeded) || unreachable.Match(installed.out)):
		t.Skipf("LEFT OUT: npm could not reach its registry, so the worker in Node.js was not tried: %v\n%s", err, installed.out)
	default:
		t.Fatalf("install the worker: %v\n%s", err, installed.out)
	}
	return filepath.Join(installed.root, "examples", "nodejs")
}

// installNodejs copies the example, with the .proto file where it expects it, and
// installs what it depends on beside the copy. It returns what npm said.
func installNodejs(npm string) (out []byte, err error) {
	if installed.root, err = os.MkdirTemp("", "edda-nodejs"); err != nil {
		return nil, err
	}
	for _, file := range []string{
		"examples/nodejs/edda.js", "examples/nodejs/main.js", "examples/nodejs/package.json", "examples/nodejs/package-lock.json",
		"rpc/edda/v1/edda.proto",
	} {
		b, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			return nil, err
		}
		to := filepath.Join(installed.root, file)
		if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
			return nil, err
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund",
		"--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
	cmd.Dir = filepath.Join(installed.root, "examples", "nodejs")
	cmd.WaitDelay = time.Second
	if out, err = cmd.CombinedOutput(); err != nil {
		err = fmt.Errorf("npm ci: %w", cmp.Or(ctx.Err(), err))
	}
	return out, err
}

// unreachable is what npm says without a network.
var unreachable = regexp.MustCompile(`ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ERR_SOCKET_TIMEOUT`)

// nodejs is a worker that runs.
type nodejs struct {
	cmd   *exec.Cmd
	lines chan string // of what it prints; closed at its end
	said  []string    // the lines that were read
	ended bool
}

// startNodejs starts the worker and waits until the node lists it.
func startNodejs(t *testing.T, dir, url, id string) *nodejs {
	t.Helper()
	w := runNodejs(t, dir, "main.js", url, id)
	w.until(t, "worker "+id+" is registered")
	var info struct{ State, Transport string }
	get(t, url+"/v1/workers/"+id, &info)
	if info.State != "ready" || info.Transport != "grpc" {
		t.Fatalf("the node lists the worker as %+v, want it ready over grpc", info)
	}
	return w
}

// runNodejs starts a worker.
func runNodejs(t *testing.T, dir, script, url, id string) *nodejs {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "node"), script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "EDDA_ADDR="+strings.TrimPrefix(url, "http://"), "EDDA_WORKER_ID="+id, "EDDA_TOKEN=", "no_grpc_proxy=127.0.0.1")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	err = cmd.Start()
	_ = in.Close() // the worker has it
	if err != nil {
		_ = out.Close()
		t.Fatal(err)
	}
	w := &nodejs{cmd: cmd, lines: make(chan string, 1000)}
	go func() { // ends with the worker, which end waits for
		defer close(w.lines)
		defer out.Close()
		for s := bufio.NewScanner(out); s.Scan(); {
			w.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		w.kill()
		if t.Failed() {
			t.Logf("worker %s said:\n%s", id, strings.Join(w.said, "\n"))
		}
	})
	return w
}

// until reads what the worker prints up to a line that has the text.
func (w *nodejs) until(t *testing.T, text string) {
	t.Helper()
	w.untilEither(t, text, &nodejs{})
}

// untilEither is until for what this worker or the other one prints. It reports whether it
// was this one.
func (w *nodejs) untilEither(t *testing.T, text string, other *nodejs) bool {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		var line string
		var ok bool
		by := w
		select {
		case line, ok = <-w.lines:
		case line, ok = <-other.lines:
			by = other
		case <-late.C:
			t.Fatalf("the worker did not say %q within %v", text, patience)
		}
		if !ok {
			t.Fatalf("the worker has ended, and did not say %q", text)
		}
		by.said = append(by.said, line)
		if strings.Contains(line, text) {
			return by == w
		}
	}
}

// signal has the worker be told to stop.
func (w *nodejs) signal(t *testing.T) {
	t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// kill ends the worker at once, if it has not ended.
func (w *nodejs) kill() {
	_ = w.cmd.Process.Kill() // it may have ended
	_ = w.end()
}

// end waits for the worker's end, which it must come to by itself, and returns how
// it went.
func (w *nodejs) end() error {
	if w.ended {
		return nil
	}
	w.ended = true
	late := time.AfterFunc(patience, func() { _ = w.cmd.Process.Kill() })
	defer late.Stop()
	for line := range w.lines {
		w.said = append(w.said, line)
	}
	return w.cmd.Wait()
}

// The script that plays with the worker in Python plays with this one too.
func TestNodejsWorkerAndCurlClient(t *testing.T) {
	dir := nodejsDir(t)
	url, _ := serveNode(t, t.TempDir())
	startNodejs(t, dir, url, "js")
	runClient(t, url)
}

func TestNodejsUsers(t *testing.T) {
	dir := nodejsDir(t)
	url, _ := serveNode(t, t.TempDir())
	startNodejs(t, dir, url, "js")
	for _, c := range []struct {
		method, body string
		status       int
		answer       string
	}{
		{"login", `{"email":"a@x"}`, 403, "forbidden"},
		{"allow", `{"email":"a@x"}`, 200, "ok"},
		{"login", `{"email":"a@x"}`, 200, "ok"},
		{"login", `{"email":"b@x"}`, 403, "forbidden"},
		{"logout", `{"email":"a@x"}`, 404, "not found"},
		{"login", `{"email":`, 400, `the body must be {"email":"..."}`},
		{"login", `null`, 400, `the body must be {"email":"..."}`},
	} {
		if status, answer := post(t, url+"/v1/call/users/u1/"+c.method, c.body); status != c.status || answer != c.answer {
			t.Errorf("%s %s: got %d %s, want %d %s", c.method, c.body, status, answer, c.status, c.answer)
		}
	}
}

func TestNodejsTestService(t *testing.T) {
	dir := nodejsDir(t)
	url, _ := serveNode(t, t.TempDir())
	w := startNodejs(t, dir, url, "js")
	for _, c := range []struct {
		method, body string
		status       int
		answer       string
	}{
		{"echo", `{"test": "data"}`, 200, `{"test": "data"}`},
		{"req_count", ``, 200, `2`},
		{"nope", ``, 404, `/nope not found`},
		{"flaky", `{"fail":2}`, 200, `{"attempts":3}`},
		{"req_count", ``, 200, `7`}, // attempts count
	} {
		if status, answer := post(t, url+"/v1/call/TEST_SERVICE/"+c.method, c.body); status != c.status || answer != c.answer {
			t.Errorf("%s: got %d %s, want %d %s", c.method, status, answer, c.status, c.answer)
		}
	}

	// A handler that always throws uses up its attempts, and the worker stays.
	status, answer := post(t, url+"/v1/call/TEST_SERVICE/flaky", `{"fail":9}`)
	if status != 500 || !strings.Contains(answer, `"DEAD"`) || !strings.Contains(answer, "attempt 5 fails") {
		t.Errorf("flaky: got %d %s, want a dead letter with the last error", status, answer)
	}
	if status, answer := post(t, url+"/v1/call/TEST_SERVICE/req_count", ""); status != 200 || answer != "13" {
		t.Errorf("req_count after exceptions: got %d %s, want 13 from the same worker", status, answer)
	}
	w.signal(t)
	if err := w.end(); err != nil {
		t.Errorf("the worker ended with %v", err)
	}
}

// nap is how long a worker is busy: longer than what is done to it meanwhile takes. The
// tests that have it nap do so at the same time.
const nap = `{"ms":5000}`

// slow has a worker be busy for a while, and returns where the answer will come.
func slow(t *testing.T, url string) <-chan result {
	t.Helper()
	answered := make(chan result, 1)
	go func() { // every test waits for the answer
		res, err := http.Post(url+"/v1/call/TEST_SERVICE/slow", "application/json", strings.NewReader(nap))
		if err != nil {
			answered <- result{err: err}
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		answered <- result{res.StatusCode, string(body), res.Header.Get("Edda-Request-Id"), err}
	}()
	return answered
}

type result struct {
	status   int
	body, id string
	err      error
}

// check says what is wrong with the answer to slow.
func (r result) check(t *testing.T, url string, attempts int) {
	t.Helper()
	if r.err != nil || r.status != 200 || r.body != nap {
		t.Fatalf("got %+v, want 200 with what was sent", r)
	}
	var info struct{ Attempts int }
	get(t, url+"/v1/requests/"+r.id, &info)
	if info.Attempts != attempts {
		t.Errorf("it took %d attempts, want %d", info.Attempts, attempts)
	}
}

// untilTaken waits until the node knows that a worker has begun with what slow asks for.
func untilTaken(t *testing.T, url string) {
	t.Helper()
	look, late := time.NewTicker(5*time.Millisecond), time.After(patience)
	defer look.Stop()
	for {
		var p struct{ Items []struct{ State edda.State } }
		get(t, url+"/v1/requests?service=TEST_SERVICE", &p)
		if len(p.Items) == 1 && p.Items[0].State == edda.Taken {
			return
		}
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("the node has %+v, want one request that was taken", p.Items)
		}
	}
}

// What a killed worker was doing is done by another one, at once.
func TestNodejsWorkerIsKilled(t *testing.T) {
	t.Parallel()
	dir := nodejsDir(t)
	url, _ := serveNode(t, t.TempDir())
	busy, other := startNodejs(t, dir, url, "first"), startNodejs(t, dir, url, "second")
	answer := slow(t, url)
	if !busy.untilEither(t, "attempt 1", other) {
		busy, other = other, busy
	}
	untilTaken(t, url) // else the attempt costs nothing
	busy.kill()
	other.until(t, "attempt 2")
	(<-answer).check(t, url, 2)
}

// A worker that is told to stop finishes what it does, and takes nothing more.
func TestNodejsWorkerDrains(t *testing.T) {
	t.Parallel()
	dir := nodejsDir(t)
	url, _ := serveNode(t, t.TempDir())
	first := startNodejs(t, dir, url, "first")
	answer := slow(t, url)
	first.until(t, "attempt 1")
	first.signal(t)
	first.until(t, "stopping, 1 running")
	startNodejs(t, dir, url, "second")
	for range 4 { // the second one's count shows who answers
		if status, body := post(t, url+"/v1/call/TEST_SERVICE/echo", "hi"); status != 200 || body != "hi" {
			t.Errorf("echo: got %d %s", status, body)
		}
	}
	if _, count := post(t, url+"/v1/call/TEST_SERVICE/req_count", ""); count != "5" {
		t.Errorf("the second worker has had %s requests, want 5: the first takes nothing more", count)
	}
	if err := first.end(); err != nil {
		t.Errorf("the worker ended with %v, want exit code 0", err)
	}
	(<-answer).check(t, url, 1)
}

// A worker stops also while there is no node.
func TestNodejsWorkerStopsWithoutANode(t *testing.T) {
	dir := nodejsDir(t)
	url, stop := serveNodeAt(t, t.TempDir(), freeport.Localhost(t))
	stop() // nobody listens there now
	w := runNodejs(t, dir, "main.js", url, "js")
	w.until(t, "no node answers at "+strings.TrimPrefix(url, "http://")+" (connect ECONNREFUSED ")
	w.signal(t)
	if err := w.end(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = errors.New(exit.String())
		}
		t.Errorf("the worker ended with %v, want exit code 0", err)
	}
}

// A worker finds its node again, and what was kept for its keys.
func TestNodejsWorkerFindsTheNodeAgain(t *testing.T) {
	dir := nodejsDir(t)
	data := t.TempDir()
	url, stop := serveNodeAt(t, data, freeport.Localhost(t))
	w := startNodejs(t, dir, url, "js")
	if status, answer := post(t, url+"/v1/call/users/ada/allow", `{"email":"a@x"}`); status != 200 || answer != "ok" {
		t.Fatalf("allow: got %d %s", status, answer)
	}
	stop()
	w.until(t, "connection lost")
	serveNodeAt(t, data, strings.TrimPrefix(url, "http://"))
	w.until(t, "worker js is registered")
	if status, answer := post(t, url+"/v1/call/users/ada/login", `{"email":"a@x"}`); status != 200 || answer != "ok" {
		t.Errorf("login: got %d %s, want what was allowed before", status, answer)
	}
}

// get reads JSON from the node.
func get(t *testing.T, url string, into any) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: got %s", url, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
}
