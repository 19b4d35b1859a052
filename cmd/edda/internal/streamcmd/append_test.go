package streamcmd_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/clitest"
)

// Lines are appended in their order, and with ids once, however often they come.
func TestAppendLines(t *testing.T) {
	t.Parallel()
	node := clitest.OpenNode(t, t.TempDir())
	lines := clitest.Numbers(2500)
	for range 2 {
		commands.OK(t, node.URL, lines, "streams", "append", "s", "--lines", "--id", "import")
	}
	if got := commands.OK(t, node.URL, "", "streams", "read", "s", "--all", "--raw"); got != lines {
		t.Errorf("got %d lines, want %d", strings.Count(got, "\n"), strings.Count(lines, "\n"))
	}
	odd := "a\n\nb\r\n \xff\x00\nlast"
	commands.OK(t, node.URL, odd, "streams", "append", "odd", "--lines", "--key", "k", "--header", "A: b")
	if got, want := commands.OK(t, node.URL, "", "streams", "read", "odd", "--raw"), "a\n\nb\n \xff\x00\nlast\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := commands.OK(t, node.URL, "", "streams", "append", "none", "--lines"); !strings.HasPrefix(got, "appended no messages to none") {
		t.Errorf("got %q, want no messages", got)
	}
	large := strings.Repeat("\x01", 3<<20)
	got := commands.OK(t, node.URL, "x\n"+large+"\ny\n", "streams", "append", "large", "--lines", "--json")
	if !strings.Contains(got, `"lines": 3`) || !strings.Contains(got, `"lastOffset": 2`) {
		t.Errorf("got %s, want three lines", got)
	}
}

// appendNode answers appends in turn: a status other than 201 with a problem document.
func appendNode(t *testing.T, answers ...string) string {
	t.Helper()
	asked, offset := 0, 0
	n := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer := answers[min(asked, len(answers)-1)]
		asked++
		if answer != "" {
			w.Header().Set("Content-Type", "application/problem+json")
			var status int
			_, _ = fmt.Sscanf(answer, `{"status":%d`, &status)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, answer)
			return
		}
		w.WriteHeader(http.StatusCreated)
		items := strings.Count(string(body), `"type"`)
		_, _ = io.WriteString(w, `{"items":[`)
		for i := range items {
			if i > 0 {
				_, _ = io.WriteString(w, ",")
			}
			_, _ = fmt.Fprintf(w, `{"id":"x","shard":"default","offset":%d}`, offset)
			offset++
		}
		_, _ = io.WriteString(w, `]}`)
	}))
	t.Cleanup(n.Close)
	return n.URL
}

// Whoever appends lines is told which went wrong, and how to go on.
func TestLinesThatGoWrong(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		args         string
		code         int
		out, errOut  string
	}{
		{
			"one is named", `{"status":413,"code":"resource_exhausted","reason":"TOO_LARGE","detail":"messages[7]: it is too large"}`, "",
			cli.ExitFailed, "appended 1000 messages to s", "line 1008: append to stream s: it is too large (TOO_LARGE)",
		},
		{
			"none is named", `{"status":503,"code":"unavailable","reason":"DRAINING","detail":"the node is shutting down"}`, "",
			cli.ExitFailed, "at offsets 0 to 999", "tail -n +1001",
		},
		{
			"with ids", `{"status":503,"code":"unavailable","reason":"DRAINING","detail":"the node is shutting down"}`, " --id x",
			cli.ExitFailed, "appended 1000 messages", "the same command again does the rest, and nothing twice",
		},
		{
			"too much to do", `{"status":429,"code":"resource_exhausted","reason":"OVERLOADED","detail":"too much to do"}`, " --json",
			cli.ExitDone, `"lines": 2000`, "",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			node := appendNode(t, "", c.answer, "")
			r := commands.Run(t, []string{"EDDA_URL=" + node}, clitest.Numbers(2000), strings.Fields("streams append s --lines"+c.args)...)
			if r.Code != c.code || !strings.Contains(r.Out, c.out) || !strings.Contains(r.ErrOut, c.errOut) || c.errOut == "" && r.ErrOut != "" {
				t.Errorf("got %+v, want %d, %q and %q", r, c.code, c.out, c.errOut)
			}
		})
	}
}

// With a producer the same lines again append what is missing.
func TestLinesOfAProducer(t *testing.T) {
	node := clitest.OpenNode(t, t.TempDir())
	commands.OK(t, node.URL, clitest.Numbers(1500), "streams", "append", "s", "--lines", "--producer", "import")
	r := commands.Run(t, []string{"EDDA_URL=" + node.URL}, clitest.Numbers(1600), "streams", "append", "s", "--lines", "--producer", "import")
	if r.Code != cli.ExitDone || !strings.Contains(r.Out, "appended 100 messages") || !strings.Contains(r.Out, "found 1500 from before") {
		t.Errorf("got %+v", r)
	}
	r = commands.Run(t, []string{"EDDA_URL=" + node.URL}, "", "streams", "append", "s", "x", "--producer", "import", "--number", "3")
	if r.Code != cli.ExitDone || !strings.Contains(r.Out, "at an offset that is not known any more") {
		t.Errorf("got %+v", r)
	}
	for args, want := range map[string]string{
		"x --number 3": "--number is for --producer NAME, which is missing", "x --producer import": "--producer needs the --number of the message",
	} {
		r := commands.Run(t, []string{"EDDA_URL=" + node.URL}, "", append([]string{"streams", "append", "s"}, strings.Fields(args)...)...)
		if r.Code != cli.ExitUsage || !strings.Contains(r.ErrOut, want) {
			t.Errorf("%s: got %+v, want %q", args, r, want)
		}
	}
}

// Whoever interrupts it knows what became of each line.
func TestLinesInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		interrupt()
		w.WriteHeader(http.StatusCreated)
		one := `{"id":"x","shard":"default","offset":0}`
		_, _ = io.WriteString(w, `{"items":[`+one+strings.Repeat(","+one, strings.Count(string(body), `"type"`)-1)+`]}`)
	}))
	defer node.Close()
	input, more := io.Pipe() // it does not end
	defer more.Close()
	var out, errOut bytes.Buffer
	code := commands.Execute(ctx, &cli.Invocation{
		Args: strings.Fields("streams append s --lines"), Environ: []string{"EDDA_URL=" + node.URL},
		Stdin: io.MultiReader(strings.NewReader(clitest.Numbers(2000)), input), Stdout: &out, Stderr: &errOut,
	})
	if code != cli.ExitFailed || !strings.Contains(out.String(), "appended 1000 messages") || errOut.String() != "to go on, leave out the first 1000 lines: tail -n +1001\nedda: interrupted\n" {
		t.Errorf("got exit code %d, %q and %q, want 1000 messages and how to go on", code, out.String(), errOut.String())
	}
}
