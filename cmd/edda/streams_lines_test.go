package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// Lines are appended in their order, and with ids once, however often they come.
func TestAppendLines(t *testing.T) {
	t.Parallel()
	node := dev(t, "--dir", filepath.Join(t.TempDir(), "data"))
	lines := numbers(2500)
	for range 2 {
		ok(t, node.url, lines, "streams", "append", "s", "--lines", "--id", "import")
	}
	if got := ok(t, node.url, "", "streams", "read", "s", "--all", "--raw"); got != lines {
		t.Errorf("got %d lines, want %d", strings.Count(got, "\n"), strings.Count(lines, "\n"))
	}
	odd := "a\n\nb\r\n \xff\x00\nlast"
	ok(t, node.url, odd, "streams", "append", "odd", "--lines", "--key", "k", "--header", "A: b")
	if got, want := ok(t, node.url, "", "streams", "read", "odd", "--raw"), "a\n\nb\n \xff\x00\nlast\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := ok(t, node.url, "", "streams", "append", "none", "--lines"); !strings.HasPrefix(got, "appended no messages to none") {
		t.Errorf("got %q, want no messages", got)
	}
	large := strings.Repeat("\x01", 3<<20)
	got := ok(t, node.url, "x\n"+large+"\ny\n", "streams", "append", "large", "--lines", "--json")
	if !strings.Contains(got, `"lines": 3`) || !strings.Contains(got, `"lastOffset": 2`) {
		t.Errorf("got %s, want three lines", got)
	}
}

// batches are what a reader makes of its input.
func batches(t *testing.T, r io.Reader, size int, f *appendFlags) [][]edda.StreamMessage {
	t.Helper()
	l := &lineReader{r: bufio.NewReaderSize(r, size), f: f}
	var got [][]edda.StreamMessage
	for {
		b, err := l.batch()
		if len(b) > 0 {
			got = append(got, b)
		}
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Lines that are there go together, within bounds; those that are not are not waited for.
func TestBatchesOfLines(t *testing.T) {
	for _, c := range []struct {
		name  string
		input io.Reader
		want  []int
	}{
		{"what is there", strings.NewReader(numbers(10)), []int{10}},
		{"what comes slowly", iotest.OneByteReader(strings.NewReader("1\n2\n3")), []int{1, 1, 1}},
		{"as many as are allowed", strings.NewReader(numbers(2001)), []int{1000, 1000, 1}},
		{"as large as is allowed", strings.NewReader(strings.Repeat(strings.Repeat("x", 200<<10)+"\n", 5)), []int{2, 2, 1}},
		{"a large one alone", strings.NewReader("1\n" + strings.Repeat("x", 600<<10) + "\n3\n"), []int{1, 1, 1}},
	} {
		var sizes []int
		n := 0
		for _, b := range batches(t, c.input, 2<<20, &appendFlags{message: edda.StreamMessage{ID: "l"}}) {
			sizes = append(sizes, len(b))
			for _, m := range b {
				if n++; m.ID != fmt.Sprintf("l-%d", n) {
					t.Errorf("%s: got the id %s, want l-%d", c.name, m.ID, n)
				}
			}
		}
		if fmt.Sprint(sizes) != fmt.Sprint(c.want) {
			t.Errorf("%s: got batches of %v, want %v", c.name, sizes, c.want)
		}
	}
	l := &lineReader{r: bufio.NewReaderSize(strings.NewReader("1\n"+strings.Repeat("x", edda.MaxAppendBytes+9)), 16), f: &appendFlags{}}
	if _, err := l.batch(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.batch(); err == nil || !strings.Contains(err.Error(), "line 2 has more than") {
		t.Errorf("got %v, want line 2 refused", err)
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
			r := command(t, []string{"EDDA_URL=" + node}, numbers(2000), strings.Fields("streams append s --lines"+c.args)...)
			if r.code != c.code || !strings.Contains(r.out, c.out) || !strings.Contains(r.errOut, c.errOut) || c.errOut == "" && r.errOut != "" {
				t.Errorf("got %+v, want %d, %q and %q", r, c.code, c.out, c.errOut)
			}
		})
	}
}

// With a producer the same lines again append what is missing.
func TestLinesOfAProducer(t *testing.T) {
	node := dev(t, "--dir", filepath.Join(t.TempDir(), "data"))
	ok(t, node.url, numbers(1500), "streams", "append", "s", "--lines", "--producer", "import")
	r := command(t, []string{"EDDA_URL=" + node.url}, numbers(1600), "streams", "append", "s", "--lines", "--producer", "import")
	if r.code != cli.ExitDone || !strings.Contains(r.out, "appended 100 messages") || !strings.Contains(r.out, "found 1500 from before") {
		t.Errorf("got %+v", r)
	}
	r = command(t, []string{"EDDA_URL=" + node.url}, "", "streams", "append", "s", "x", "--producer", "import", "--number", "3")
	if r.code != cli.ExitDone || !strings.Contains(r.out, "at an offset that is not known any more") {
		t.Errorf("got %+v", r)
	}
	for args, want := range map[string]string{
		"x --number 3": "--number is for --producer NAME, which is missing", "x --producer import": "--producer needs the --number of the message",
	} {
		r := command(t, []string{"EDDA_URL=" + node.url}, "", append([]string{"streams", "append", "s"}, strings.Fields(args)...)...)
		if r.code != cli.ExitUsage || !strings.Contains(r.errOut, want) {
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
	code := run(ctx, &cli.Invocation{
		Args: strings.Fields("streams append s --lines"), Environ: []string{"EDDA_URL=" + node.URL}, Program: "edda",
		Stdin: io.MultiReader(strings.NewReader(numbers(2000)), input), Stdout: &out, Stderr: &errOut,
	})
	if code != cli.ExitFailed || !strings.Contains(out.String(), "appended 1000 messages") || errOut.String() != "to go on, leave out the first 1000 lines: tail -n +1001\nedda: interrupted\n" {
		t.Errorf("got exit code %d, %q and %q, want 1000 messages and how to go on", code, out.String(), errOut.String())
	}
}
