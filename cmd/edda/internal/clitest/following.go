package clitest

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// Following is a command that prints as it goes.
type Following struct {
	cancel context.CancelFunc
	lines  *bufio.Scanner
	errOut bytes.Buffer
	ended  chan int
}

// Follow begins one of the commands at the node that has the URL. It is interrupted when the
// test ends.
func (c Commands) Follow(t *testing.T, url string, args ...string) *Following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &Following{cancel: cancel, ended: make(chan int, 1)}
	r, w := io.Pipe()
	f.lines = bufio.NewScanner(r)
	go func() {
		f.ended <- c.Execute(ctx, &cli.Invocation{
			Args: args, Environ: []string{"EDDA_URL=" + url}, Stdin: strings.NewReader(""), Stdout: w, Stderr: &f.errOut,
		})
		_ = w.Close() // a pipe has no error to tell
	}()
	t.Cleanup(func() {
		cancel()
		_ = r.Close()
	})
	return f
}

// Read returns the next lines.
func (f *Following) Read(t *testing.T, n int) string {
	t.Helper()
	var got []string
	for range n {
		if !f.lines.Scan() {
			t.Fatalf("it ended with exit code %d after %q: %s", <-f.ended, got, f.errOut.String())
		}
		got = append(got, f.lines.Text())
	}
	return strings.Join(got, " ")
}

// Stop interrupts it, and returns what is left.
func (f *Following) Stop() Result {
	f.cancel()
	return f.Wait()
}

// Wait waits until it ends by itself, and returns what is left.
func (f *Following) Wait() Result {
	var left strings.Builder
	for f.lines.Scan() {
		left.WriteString(f.lines.Text() + "\n")
	}
	return Result{<-f.ended, left.String(), f.errOut.String()}
}
