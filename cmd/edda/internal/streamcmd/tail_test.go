package streamcmd_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/clitest"
	"github.com/edda-io/edda/internal/streamjson"
)

// Whoever follows a stream sees each message once, through connections that break.
func TestTailGoesOn(t *testing.T) {
	t.Parallel()
	node := clitest.OpenNode(t, t.TempDir())
	target, err := url.Parse(node.URL)
	if err != nil {
		t.Fatal(err)
	}
	between := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) },
	})
	t.Cleanup(between.Close)
	add := func(n int) { commands.OK(t, node.URL, strings.Repeat("x\n", n), "streams", "append", "s", "--lines") }
	add(5)
	f := commands.Follow(t, between.URL, "streams", "tail", "s", "-n", "2", "--json")
	next := uint64(3)
	sees := func(end uint64) {
		t.Helper()
		for ; next < end; next++ {
			if got, want := f.Read(t, 1), fmt.Sprintf(`"offset":%d,`, next); !strings.Contains(got, want) {
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
	if got := f.Read(t, 1); !strings.Contains(got, `"offset":14,`) {
		t.Errorf("got %s, want offset 14", got)
	}
	r := f.Stop()
	if r.Code != cli.ExitDone || r.Out != "" || strings.Count(r.ErrOut, "trying again") != 3 || !strings.Contains(r.ErrOut, "connected again, going on with offset 11\n") {
		t.Errorf("got %+v, want it to have gone on three times", r)
	}
}

// A tail of a stream that is removed ends, and says so.
func TestTailOfARemovedStream(t *testing.T) {
	t.Parallel()
	node := clitest.OpenNode(t, t.TempDir())
	commands.OK(t, node.URL, "", "streams", "append", "s", "one")
	f := commands.Follow(t, node.URL, "streams", "tail", "s", "--from", "start", "--raw")
	if got := f.Read(t, 1); got != "one" {
		t.Errorf("got %q, want one", got)
	}
	commands.OK(t, node.URL, "", "streams", "rm", "s", "--yes")
	if r := f.Wait(); r.Code != cli.ExitFailed || !strings.Contains(r.ErrOut, "(NO_STREAM)") {
		t.Errorf("got %+v, want NO_STREAM", r)
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
	r := commands.Run(t, []string{"EDDA_URL=" + node}, "", "streams", "tail", "s", "--raw")
	if r.Code != cli.ExitFailed || r.Out != "5\n6\n7\n9\n" || !strings.Contains(r.ErrOut, "not kept any more: offset 8\n") {
		t.Errorf("got %+v, want each message once and 8 named", r)
	}
	node = tailNode(t, []uint64{5, 2}, []uint64{5, 6})
	r = commands.Run(t, []string{"EDDA_URL=" + node}, "", "streams", "tail", "s", "--raw")
	if r.Code != cli.ExitFailed || r.Out != "5\n6\n" || !strings.Contains(r.ErrOut, "stream s is another one now: it ends with offset 2, and was followed up to 7") {
		t.Errorf("got %+v, want it to see that the stream is another one", r)
	}
}
