package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// asMain, in the environment, makes the test binary be the program.
const asMain = "TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		os.Exit(start())
	}
	os.Exit(m.Run())
}

// result is what a command left.
type result struct {
	code        int
	out, errOut string
}

// command runs a command in this process.
func command(t *testing.T, environ []string, stdin string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(t.Context(), &cli.Invocation{
		Args: args, Environ: environ, Program: "edda",
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errOut,
	})
	return result{code, out.String(), errOut.String()}
}

// ok runs a command that must work, and returns what it printed.
func ok(t *testing.T, url, stdin string, args ...string) string {
	t.Helper()
	r := command(t, []string{"EDDA_URL=" + url}, stdin, args...)
	if r.code != cli.ExitDone {
		t.Fatalf("edda %s: got %+v", strings.Join(args, " "), r)
	}
	return r.out
}

// running is a node that a command runs in this process.
type running struct {
	url string
	// routes and pages are what it says of them.
	routes, pages []string
	// stop is the signal; it returns what the command left.
	stop func() result
}

// dev runs "edda dev --json" on a free port, until the test ends.
func dev(t *testing.T, args ...string) *running {
	t.Helper()
	return background(t, append([]string{"dev", "--listen", "127.0.0.1:0"}, args...)...)
}

// background runs a command that runs a node, until the test ends.
func background(t *testing.T, args ...string) *running {
	t.Helper()
	banner, stdout := io.Pipe()
	ended := make(chan int, 1)
	args = append([]string{args[0], "--json", "--log-level", "error"}, args[1:]...)
	var errOut bytes.Buffer
	cancel := begin(stdout, &errOut, ended, args...)
	var left *result
	r := &running{stop: func() result {
		if left == nil {
			cancel()
			io.Copy(io.Discard, banner)
			left = &result{code: <-ended, errOut: errOut.String()}
		}
		return *left
	}}
	t.Cleanup(func() { r.stop() })
	var doc struct {
		URL           string `json:"url"`
		Routes, Pages []string
	}
	if err := json.NewDecoder(banner).Decode(&doc); err != nil {
		t.Fatalf("%s did not start: %v: %s", args[0], err, r.stop().errOut)
	}
	r.url, r.routes, r.pages = doc.URL, doc.Routes, doc.Pages
	return r
}

// begin runs a command until the function that it returns is called, which
// is the signal to stop. The exit code comes through ended.
func begin(stdout *io.PipeWriter, stderr io.Writer, ended chan<- int, args ...string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		code := run(ctx, &cli.Invocation{
			Args: args, Program: "edda", Stdin: strings.NewReader(""), Stdout: stdout, Stderr: stderr,
		})
		stdout.Close()
		ended <- code
	}()
	return cancel
}
