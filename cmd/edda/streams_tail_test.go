package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/internal/streamjson"
)

// following is a tail that runs in this process.
type following struct {
	cancel context.CancelFunc
	lines  *bufio.Scanner
	errOut bytes.Buffer
	ended  chan int
}

func follow(t *testing.T, url string, args ...string) *following {
	t.Helper()
	return inBackground(t, url, append([]string{"streams", "tail"}, args...)...)
}

// inBackground runs a command that prints as it goes.
func inBackground(t *testing.T, url string, args ...string) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &following{cancel: cancel, ended: make(chan int, 1)}
	r, w := io.Pipe()
	f.lines = bufio.NewScanner(r)
	go func() {
		f.ended <- run(ctx, &cli.Invocation{
			Args: args, Environ: []string{"EDDA_URL=" + url}, Program: "edda",
			Stdin: strings.NewReader(""), Stdout: w, Stderr: &f.errOut,
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
	if r.code != cli.ExitDone || r.out != "" || strings.Count(r.errOut, "trying again") != 3 || !strings.Contains(r.errOut, "connected again, going on with offset 11\n") {
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
	if code := <-f.ended; code != cli.ExitFailed || !strings.Contains(f.errOut.String(), "(NO_STREAM)") {
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
	if r.code != cli.ExitFailed || r.out != "5\n6\n7\n9\n" || !strings.Contains(r.errOut, "not kept any more: offset 8\n") {
		t.Errorf("got %+v, want each message once and 8 named", r)
	}
	node = tailNode(t, []uint64{5, 2}, []uint64{5, 6})
	r = command(t, []string{"EDDA_URL=" + node}, "", "streams", "tail", "s", "--raw")
	if r.code != cli.ExitFailed || r.out != "5\n6\n" || !strings.Contains(r.errOut, "stream s is another one now: it ends with offset 2, and was followed up to 7") {
		t.Errorf("got %+v, want it to see that the stream is another one", r)
	}
}
