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
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/streamjson"
)

// numbers are the lines 1 to n.
func numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i+1)
	}
	return b.String()
}

// ok runs a command that must work, and returns what it printed.
func ok(t *testing.T, url, stdin string, args ...string) string {
	t.Helper()
	r := command(t, []string{"EDDA_URL=" + url}, stdin, args...)
	if r.code != exitDone {
		t.Fatalf("edda %s: got %+v", strings.Join(args, " "), r)
	}
	return r.out
}

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

// A table goes to a terminal only as wide as that is; who reads page after page sees its
// header once.
func TestReadAll(t *testing.T) {
	t.Parallel()
	node := dev(t, "--dir", filepath.Join(t.TempDir(), "data"))
	ok(t, node.url, numbers(1100), "streams", "append", "s", "--lines")
	got := ok(t, node.url, "", "streams", "read", "s", "--all")
	if n := strings.Count(got, "\n"); n != 1101 || strings.Count(got, "OFFSET") != 1 || !strings.HasSuffix(got, "  1100\n") {
		t.Errorf("got %d lines that end in %q, want a header and 1100 messages", n, got[len(got)-40:])
	}
	r := command(t, []string{"EDDA_URL=" + node.url}, "", "streams", "read", "s", "--limit", "1050", "--raw")
	if r.out != numbers(1050) || r.errOut != "there is more: --from 1050\n" {
		t.Errorf("got %d bytes and %q, want 1050 messages and how to go on", len(r.out), r.errOut)
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
			exitFailed, "appended 1000 messages to s", "line 1008: append to stream s: it is too large (TOO_LARGE)",
		},
		{
			"none is named", `{"status":503,"code":"unavailable","reason":"DRAINING","detail":"the node is shutting down"}`, "",
			exitFailed, "at offsets 0 to 999", "tail -n +1001",
		},
		{
			"with ids", `{"status":503,"code":"unavailable","reason":"DRAINING","detail":"the node is shutting down"}`, " --id x",
			exitFailed, "appended 1000 messages", "the same command again appends the rest, and nothing twice",
		},
		{
			"too much to do", `{"status":429,"code":"resource_exhausted","reason":"OVERLOADED","detail":"too much to do"}`, " --json",
			exitDone, `"lines": 2000`, "",
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
	code := run(ctx, invocation{
		args: strings.Fields("streams append s --lines"), environ: []string{"EDDA_URL=" + node.URL}, program: "edda",
		stdin: io.MultiReader(strings.NewReader(numbers(2000)), input), stdout: &out, stderr: &errOut,
	})
	if code != exitFailed || !strings.Contains(out.String(), "appended 1000 messages") || errOut.String() != "to go on, leave out the first 1000 lines: tail -n +1001\nedda: interrupted\n" {
		t.Errorf("got exit code %d, %q and %q, want 1000 messages and how to go on", code, out.String(), errOut.String())
	}
}

// following is a tail that runs in this process.
type following struct {
	cancel context.CancelFunc
	lines  *bufio.Scanner
	errOut bytes.Buffer
	ended  chan int
}

func follow(t *testing.T, url string, args ...string) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &following{cancel: cancel, ended: make(chan int, 1)}
	r, w := io.Pipe()
	f.lines = bufio.NewScanner(r)
	go func() {
		f.ended <- run(ctx, invocation{
			args: append([]string{"streams", "tail"}, args...), environ: []string{"EDDA_URL=" + url}, program: "edda",
			stdin: strings.NewReader(""), stdout: w, stderr: &f.errOut,
		})
		w.Close()
	}()
	t.Cleanup(func() {
		cancel()
		r.Close()
	})
	return f
}

// read returns the next lines.
func (f *following) read(t *testing.T, n int) string {
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

// stop interrupts it, and returns what is left.
func (f *following) stop() result {
	f.cancel()
	left := ""
	for f.lines.Scan() {
		left += f.lines.Text() + "\n"
	}
	return result{<-f.ended, left, f.errOut.String()}
}

// Whoever follows a stream sees each message once, through connections that break.
func TestTailGoesOn(t *testing.T) {
	t.Parallel()
	node := dev(t, "--dir", filepath.Join(t.TempDir(), "data"))
	target, err := url.Parse(node.url)
	if err != nil {
		t.Fatal(err)
	}
	between := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
	})
	t.Cleanup(between.Close)
	add := func(n int) { ok(t, node.url, strings.Repeat("x\n", n), "streams", "append", "s", "--lines") }
	add(5)
	f := follow(t, between.URL, "s", "-n", "2", "--json")
	next := uint64(3)
	sees := func(end uint64) {
		t.Helper()
		for ; next < end; next++ {
			if got, want := f.read(t, 1), fmt.Sprintf(`"offset":%d,`, next); !strings.Contains(got, want) {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
	}
	for _, end := range []uint64{5, 8, 11} {
		sees(end)
		between.CloseClientConnections()
		add(3)
	}
	sees(14)
	add(1)
	if got := f.read(t, 1); !strings.Contains(got, `"offset":14,`) {
		t.Errorf("got %s, want offset 14", got)
	}
	r := f.stop()
	if r.code != exitDone || r.out != "" || strings.Count(r.errOut, "trying again") != 3 || !strings.Contains(r.errOut, "connected again, going on with offset 11\n") {
		t.Errorf("got %+v, want it to have gone on three times", r)
	}
}

// A tail of a stream that is removed ends, and says so.
func TestTailOfARemovedStream(t *testing.T) {
	t.Parallel()
	node := dev(t, "--dir", filepath.Join(t.TempDir(), "data"))
	ok(t, node.url, "", "streams", "append", "s", "one")
	f := follow(t, node.url, "s", "--from", "start", "--raw")
	if got := f.read(t, 1); got != "one" {
		t.Errorf("got %q, want one", got)
	}
	ok(t, node.url, "", "streams", "rm", "s", "--yes")
	if code := <-f.ended; code != exitFailed || !strings.Contains(f.errOut.String(), "(NO_STREAM)") {
		t.Errorf("got exit code %d and %s, want NO_STREAM", code, f.errOut.String())
	}
}

// tailNode answers a tail's looks with an end, and its connections in turn with messages
// at offsets; after the last one it says that the stream is gone.
func tailNode(t *testing.T, ends []uint64, connections ...[]uint64) string {
	t.Helper()
	looks, tails := 0, 0
	n := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "text/event-stream" {
			end := ends[min(looks, len(ends)-1)]
			looks++
			_, _ = fmt.Fprintf(w, `{"items":[],"first":0,"next":%d,"end":%d}`, end, end)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		if tails == len(connections) {
			_, _ = fmt.Fprintf(w, "event: %s\ndata: {\"status\":404,\"code\":\"not_found\",\"reason\":\"NO_STREAM\"}\n\n", streamjson.EndEvent)
			return
		}
		for _, offset := range connections[tails] {
			_, _ = fmt.Fprintf(w, "id: %d\nevent: m\ndata: {\"offset\":%d,\"type\":\"m\",\"data\":\"%d\"}\n\n", offset, offset, offset)
		}
		tails++
	}))
	t.Cleanup(n.Close)
	return n.URL
}

// What a node repeats is not printed again, and what it does not have any more is named.
func TestTailOfAnOddNode(t *testing.T) {
	t.Parallel()
	node := tailNode(t, []uint64{5, 9}, []uint64{5, 6}, []uint64{5, 6, 7, 9})
	r := command(t, []string{"EDDA_URL=" + node}, "", "streams", "tail", "s", "--raw")
	if r.code != exitFailed || r.out != "5\n6\n7\n9\n" || !strings.Contains(r.errOut, "not kept any more: offset 8\n") {
		t.Errorf("got %+v, want each message once and 8 named", r)
	}
	node = tailNode(t, []uint64{5, 2}, []uint64{5, 6})
	r = command(t, []string{"EDDA_URL=" + node}, "", "streams", "tail", "s", "--raw")
	if r.code != exitFailed || r.out != "5\n6\n" || !strings.Contains(r.errOut, "stream s is another one now: it ends with offset 2, and was followed up to 7") {
		t.Errorf("got %+v, want it to see that the stream is another one", r)
	}
}

func TestPreview(t *testing.T) {
	for _, c := range []struct{ payload, want string }{
		{"hello", "hello"},
		{"\x00\x01", "2 B x/y"},
		{"\xff", "1 B x/y"},
		{strings.Repeat("ä", 3000), strings.Repeat("ä", 2048) + "…"},
		{"x" + strings.Repeat("ä", 3000), "x" + strings.Repeat("ä", 2047) + "…"},
		{strings.Repeat("\xff", 2<<20), "2 MiB x/y"},
		{strings.Repeat("\x80", 2<<20), "2 MiB x/y"},
	} {
		m := edda.StreamMessage{Payload: []byte(c.payload), ContentType: "x/y"}
		if got := preview(&m); got != c.want {
			t.Errorf("%.20q: got %.40q (%d), want %.40q (%d)", c.payload, got, len(got), c.want, len(c.want))
		}
	}
}

func TestWordsOfStreams(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{size(0), "0 B"}, {size(1023), "1023 B"}, {size(1024), "1 KiB"}, {size(1536), "1.5 KiB"}, {size(1 << 30), "1 GiB"}, {size(3 << 50), "3072 TiB"},
		{counted(0, "group"), "no groups"}, {counted(1, "group"), "1 group"}, {counted(2, "group"), "2 groups"},
		{trimZeros("72h0m0s"), "72h"}, {trimZeros("1m0s"), "1m"}, {trimZeros("10s"), "10s"}, {trimZeros("1h0m30s"), "1h0m30s"}, {trimZeros("10m0s"), "10m"},
		{clipTo("abcdef", 4), "abc…"}, {clipTo("äöüß", 4), "äöüß"}, {clipTo("abcdef", 0), "abcdef"},
		{cursor(map[string]uint64{"default": 4}), "4"}, {cursor(map[string]uint64{"eu": 4}), "eu:4"}, {cursor(nil), ""},
		{cursor(map[string]uint64{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}), "a:1 b:2 c:3 and 2 more"},
		{keeps(nil), "everything"}, {keeps(&streamjson.Retention{Age: "1h0m0s", Count: 1, Bytes: 1 << 20}), "1h, 1 message, 1 MiB"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, "yes": true, "n\n": false, "\n": false, "": false, "yes please\n": false} {
		var asked strings.Builder
		if got := confirm(strings.NewReader(answer), &asked, "remove it?"); got != want || asked.String() != "remove it? [y/N] " {
			t.Errorf("%q: got %v after %q, want %v", answer, got, asked.String(), want)
		}
	}
}

func TestParsePlace(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]edda.From{
		"": "", "start": "start", "end": "end", "0": "0", "17": "17", "1h": "2026-11-21T08:00:00Z", "1d": "2026-11-20T09:00:00Z",
		"2026-11-01": "2026-11-01T00:00:00Z", "2026-11-01T10:00:00.5+01:00": "2026-11-01T09:00:00.5Z",
	} {
		if got, err := parsePlace("--from", text, now); err != nil || got != want {
			t.Errorf("%q: got %q and %v, want %q", text, got, err, want)
		}
	}
}

// Of each record of a stream and of a group the dump says what it is about.
func TestLogDumpOfStreams(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	node := dev(t, "--dir", dir)
	for _, args := range []string{
		"create orders --shard default --shard eu --retain-age 72h --retain-count 9", "append orders x --shard eu", "append orders y --expect none",
		"append orders z --expect 0", "groups create orders mail --from start", "groups read orders mail --member m --ack",
		"groups reset orders mail --to end --shard eu", "groups rm orders mail", "trim orders --before 1", "trim orders --before 1h", "rm orders --yes",
		"append orders w --namespace other",
	} {
		ok(t, node.url, "", append([]string{"streams"}, strings.Fields(args)...)...)
	}
	node.stop()
	r := command(t, nil, "", "log", "dump", dir)
	for _, want := range []string{
		"stream orders shards default, eu keeps 72h, 9 messages\n", "stream orders shard eu, 1 message, ", " B, if it is empty\n", " B, if the last offset is 0\n",
		"group orders/mail from start\n", "group orders/mail shard eu to end\n", "group-removed", "group orders/mail\n", "stream orders before 1\n",
		"stream orders before 20", "stream-removed", "stream orders\n", "stream other:orders, 1 message, ",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s%s", want, r.out, r.errOut)
		}
	}
}
