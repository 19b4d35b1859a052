package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// Whoever interrupts a command is told so, and what that means for the work, but not that
// the node is away.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	const id = "0190a5c1-7b2e-7000-8000-000000000001"
	file := filepath.Join(t.TempDir(), "saga.json")
	if err := os.WriteFile(file, []byte(`{"name":"n","steps":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"services ls", "edda: interrupted\n", cli.ExitFailed},
		{"requests parts " + id, "edda: interrupted\n", cli.ExitFailed},
		{"requests wait " + id, "edda: interrupted; the request goes on: edda requests wait " + id + "\n", cli.ExitFailed},
		{"requests reply " + id + " --wait 1m", "edda: interrupted; the request goes on: edda requests wait " + id + "\n", cli.ExitFailed},
		{"call a m", "edda: interrupted\n  it may have been stored: repeat it only with the same --idempotency-key\n", cli.ExitFailed},
		{"streams append s x", "edda: interrupted\n  it may have been stored: repeat it only with the same --id\n", cli.ExitFailed},
		{"sagas start " + file, "edda: interrupted\n  it may have been stored: repeat it only with the same --idempotency-key\n", cli.ExitFailed},
		{"sagas show a --wait", "edda: interrupted; the saga goes on: edda sagas show a --wait\n", cli.ExitFailed},
		{"services pause a", "edda: interrupted\n  what was asked for may have been done all the same\n", cli.ExitFailed},
		{"streams groups read b zz --member y", "", cli.ExitDone},
		{"streams tail s", "", cli.ExitDone},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			code, errOut := interruptedAt(t, strings.Fields(c.args)...)
			// Where the answer had begun, it says how to go on before.
			errOut = strings.TrimPrefix(errOut, "  to go on: edda requests parts "+id+" --after 0.0\n")
			if code != c.code || errOut != c.want {
				t.Errorf("got exit code %d and on stderr:\n%swant %d and\n%s", code, errOut, c.code, c.want)
			}
		})
	}
}

// interruptedAt runs a command that is interrupted once the node has its first request.
func interruptedAt(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") == "text/event-stream" {
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = io.Copy(io.Discard, r.Body) // else nobody sees that the client goes away
		interrupt()
		<-r.Context().Done()
	}))
	defer node.Close()
	var out, errOut bytes.Buffer
	code = run(ctx, &cli.Invocation{
		Args: args, Environ: []string{"EDDA_URL=" + node.URL}, Program: "edda",
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut,
	})
	return code, errOut.String()
}

// What was printed and could not be acknowledged may come again.
func TestInterruptedAcknowledgement(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/read") {
			_, _ = w.Write([]byte(`{"items":[{"id":"m1","offset":0,"shard":"default","type":"m","time":"2026-11-21T09:00:00Z","lease":"l","attempt":1,"contentType":"application/json","data":1}]}`))
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		interrupt()
		<-r.Context().Done()
	}))
	defer node.Close()
	var out, errOut bytes.Buffer
	code := run(ctx, &cli.Invocation{
		Args:    []string{"streams", "groups", "read", "s", "g", "--member", "m", "--ack"},
		Environ: []string{"EDDA_URL=" + node.URL}, Program: "edda", Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut,
	})
	if code != cli.ExitFailed || errOut.String() != "edda: interrupted; what was printed may come again\n" {
		t.Errorf("got exit code %d, %q, %q, want it to say what may come again", code, out.String(), errOut.String())
	}
}

func TestInterruptedBench(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	var out, errOut bytes.Buffer
	code := run(ctx, &cli.Invocation{
		Args: []string{"bench", "--only", "flush", "--dir", t.TempDir()}, Program: "edda",
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut,
	})
	if code != cli.ExitFailed || errOut.String() != "edda: interrupted\n" {
		t.Errorf("got exit code %d, %q, want it to be interrupted", code, errOut.String())
	}
}
