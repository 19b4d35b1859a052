//go:build unix

package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// process starts this test binary as the program, and returns it with a scanner
// of the lines that it prints.
func process(t *testing.T, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = []string{asMain + "=1"}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// until reads lines up to one with the text, and returns that.
func until(t *testing.T, lines *bufio.Scanner, text string) string {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return lines.Text()
		}
	}
	t.Fatalf("it ended without %q", text)
	return ""
}

func TestSignals(t *testing.T) {
	cmd, lines := process(t, "dev", "--example", "--listen", "127.0.0.1:0", "--dir", t.TempDir(), "--drain-timeout", "1h")
	up := strings.Fields(until(t, lines, "is up after"))
	url := up[len(up)-1]
	until(t, lines, "Ctrl-C")
	r := command(t, []string{"EDDA_URL=" + url}, "", "call", "slow", "nap", `{"ms":25000}`, "--async")
	if r.code != cli.ExitDone {
		t.Fatalf("got %+v", r)
	}
	untilInFlight(t, url, "slow", nil)

	cmd.Process.Signal(syscall.SIGTERM)
	until(t, lines, "draining")
	cmd.Process.Signal(syscall.SIGTERM)
	for lines.Scan() {
		t.Errorf("after the second signal it still said %q", lines.Text())
	}
	exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
	if !ok || exit.ExitCode() != cli.ExitFailed {
		t.Errorf("it ended with %v, want exit code %d", exit, cli.ExitFailed)
	}
}
