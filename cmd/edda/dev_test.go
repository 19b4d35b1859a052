package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/internal/eddahttp"
)

func TestDrainLetsHandlersFinish(t *testing.T) {
	t.Parallel() // it naps
	node := dev(t, "--example", "--dir", t.TempDir())
	replied := make(chan result, 1)
	go func() {
		replied <- command(t, []string{"EDDA_URL=" + node.url}, "", "call", "slow", "nap", `{"ms":5000}`)
	}()
	untilInFlight(t, node.url, "slow", replied)
	if r := node.stop(); r.code != cli.ExitDone || r.errOut != "" {
		t.Errorf("dev left exit code %d and %q, want 0 and nothing", r.code, r.errOut)
	}
	if r := <-replied; r.code != cli.ExitDone || r.out != "{\"ms\":5000}\n" {
		t.Errorf("the caller got %+v, want the reply", r)
	}
	if r := command(t, []string{"EDDA_URL=" + node.url}, "", "services", "ls"); r.code != cli.ExitFailed {
		t.Errorf("somebody still listens: %+v", r)
	}
}

// untilInFlight waits until a handler of the service runs. An answer that comes through
// replied, which may be nil, means that it will not be seen to.
func untilInFlight(t *testing.T, url, service string, replied <-chan result) {
	t.Helper()
	c, err := eddahttp.New(url, eddahttp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		s, err := c.Service(t.Context(), service)
		if err != nil {
			t.Fatal(err)
		}
		if s.InFlight > 0 {
			return
		}
		select {
		case r := <-replied:
			t.Fatalf("it was over before it was seen to run: %+v", r)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestDrainIsBounded(t *testing.T) {
	dir := t.TempDir()
	node := dev(t, "--example", "--dir", dir, "--drain-timeout", "0s")
	r := command(t, []string{"EDDA_URL=" + node.url}, "", "call", "slow", "nap", `{"ms":60000}`, "--async", "--json")
	if r.code != cli.ExitDone {
		t.Fatalf("got %+v", r)
	}
	untilInFlight(t, node.url, "slow", nil)
	if r := node.stop(); r.code != cli.ExitDone {
		t.Errorf("dev left %+v, want exit code 0", r)
	}
	node = dev(t, "--example", "--dir", dir, "--drain-timeout", "0s")
	if r := command(t, []string{"EDDA_URL=" + node.url}, "", "requests", "ls", "--service", "slow"); !strings.Contains(r.out, "slow") {
		t.Errorf("got requests %+v, want the one that was running", r)
	}
}

func TestCredentials(t *testing.T) {
	node := dev(t, "--example", "--dir", t.TempDir(), "--credential", "ada=s3cret", "--credential", "bob=t0ken")
	env := []string{"EDDA_URL=" + node.url}
	r := command(t, env, "", "call", "counter/c", "add", `{"n":1}`)
	if r.code != cli.ExitFailed || !strings.Contains(r.errOut, "(NO_CREDENTIALS)") || !strings.Contains(r.errOut, "EDDA_TOKEN") {
		t.Errorf("without a token: got %+v, want NO_CREDENTIALS", r)
	}
	if r := command(t, env, "", "services", "ls", "--token", "S3cret"); r.code != cli.ExitFailed {
		t.Errorf("with a wrong token: got %+v, want a refusal", r)
	}
	r = command(t, env, "", "call", "counter/c", "add", `{"n":1}`, "--token", "s3cret", "--async", "--delay", "1m", "--json")
	if r.code != cli.ExitDone {
		t.Fatalf("with a token: got %+v", r)
	}
	r = command(t, append(env, "EDDA_TOKEN=t0ken"), "", "requests", "ls", "--json")
	if r.code != cli.ExitDone || !strings.Contains(r.out, `"principal": "ada"`) {
		t.Errorf("got %+v, want a request of ada's", r)
	}
}

func TestBanner(t *testing.T) {
	pipe, stdout := io.Pipe()
	ended := make(chan int, 1)
	config := put(t, t.TempDir(), "edda.yaml", `
routes:
  - {route: 'POST /a/rather/long/route/{id}', service: counter, method: add, key: path.id}
  - {route: 'POST /another/rather/long/route/{id}', service: counter, method: add, key: path.id}
`)
	stop := begin(stdout, io.Discard, ended, "dev", "--example", "--listen", "127.0.0.1:0", "--durability", "memory", "--log-level", "error", "--config", config)
	var b bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(b.String(), "Ctrl-C") {
		n, err := pipe.Read(buf)
		if err != nil {
			t.Fatalf("%v after:\n%s", err, b.String())
		}
		b.Write(buf[:n])
	}
	for _, want := range []string{
		"is up after ", "http://127.0.0.1:", "memory: nothing survives", "counter, echo, flaky, flights, hotels, slow, smithy, users",
		"anonymous, from this machine", `edda call counter/visits add '{"n":1}'`, "curl http://127.0.0.1:",
		"edda channels subscribe chat", "POST /a/rather/long/route/{id}, POST /another/rather/long/route/{id}\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the banner lacks %q:\n%s", want, b.String())
		}
	}
	stop()
	rest, _ := io.ReadAll(pipe)
	if code := <-ended; code != cli.ExitDone || !strings.Contains(string(rest), "stopped") {
		t.Errorf("got exit code %d and %q, want 0 and that it stopped", code, rest)
	}
}

func TestPortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := filepath.Join(t.TempDir(), "data")
	r := command(t, nil, "", "dev", "--listen", l.Addr().String(), "--dir", dir)
	if r.code != cli.ExitFailed || !strings.Contains(r.errOut, "the port is taken") {
		t.Errorf("got %+v, want that the port is taken", r)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a directory was made although the node cannot run")
	}
}

func TestDirectoryIsInUse(t *testing.T) {
	dir := t.TempDir()
	dev(t, "--dir", dir)
	r := command(t, nil, "", "dev", "--listen", "127.0.0.1:0", "--dir", dir)
	if r.code != cli.ExitFailed || !strings.Contains(r.errOut, "in use") {
		t.Errorf("got %+v, want that the directory is in use", r)
	}
}

func TestMetrics(t *testing.T) {
	node := dev(t, "--dir", t.TempDir())
	res, err := http.Get(node.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	for _, want := range []string{"go_goroutines", "edda_"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}
