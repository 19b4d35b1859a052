package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

func TestDemoOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := command(t, nil, "", "demo", "--once")
	if r.code != cli.ExitDone || !strings.Contains(r.out, "All as told") || strings.Contains(r.out, "✗") || r.errOut != "" {
		t.Errorf("got exit code %d and\n%s%s", r.code, r.out, r.errOut)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
		t.Errorf("it left %v behind", left)
	}
}

func TestDemoInADirectoryThatHoldsSomething(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	node := dev(t, "--example", "--dir", dir)
	wantDone(t, []string{"EDDA_URL=" + node.url}, "call", "counter/c", "add", `{"n":1}`)
	node.stop()
	r := command(t, nil, "", "demo", "--once", "--listen", "127.0.0.1:0", "--dir", dir)
	if r.code != cli.ExitDone || !strings.Contains(r.out, "/v1/call/users/ada-") || !strings.Contains(r.out, "/v1/channels/shop-") {
		t.Fatalf("got exit code %d and\n%s%s", r.code, r.out, r.errOut)
	}
	if r := command(t, nil, "", "log", "verify", dir); r.code != cli.ExitDone || !strings.Contains(r.out, "no damage") {
		t.Errorf("got %+v, want a log without damage", r)
	}
}

// What the demo says to try next about commands works as it stands there, in this order.
func TestDemoWhatNext(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	told, stdout := io.Pipe()
	ended := make(chan int, 1)
	var errOut bytes.Buffer
	stop := begin(stdout, &errOut, ended, "demo", "--listen", "127.0.0.1:0")
	defer func() {
		stop()
		io.Copy(io.Discard, told)
		if code := <-ended; code != cli.ExitDone || errOut.Len() > 0 {
			t.Errorf("it ended with %d and %s", code, &errOut)
		}
	}()
	var next []string
	for lines := bufio.NewScanner(told); lines.Scan() && !strings.HasPrefix(lines.Text(), "Its directory"); {
		if _, line, isNext := strings.Cut(lines.Text(), "  EDDA_URL="); isNext {
			next = append(next, line)
		}
	}
	at := slices.IndexFunc(next, func(line string) bool { return strings.Contains(line, "join.club") })
	wants := []string{`"event_type":"member.grace.joined"`, "member.ada.joined", "calls   newsletter", "members/Domains.count", "rebuilt"}
	if at < 0 || len(next) != at+len(wants) {
		t.Fatalf("it says to try\n%s", strings.Join(next, "\n"))
	}
	for i, want := range wants {
		words := strings.Fields(strings.ReplaceAll(next[at+i], "'", "")) // none has a blank in quotes
		r := command(t, []string{"EDDA_URL=" + words[0]}, "", words[2:]...)
		if r.code != cli.ExitDone || !strings.Contains(r.out, want) {
			t.Errorf("%s: got exit code %d and\n%s%swant %s", next[at+i], r.code, r.out, r.errOut, want)
		}
	}
}
