package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// Whoever is subscribed hears each message once, through connections that break, and can
// go on later where it was.
func TestSubscriptionGoesOn(t *testing.T) {
	t.Parallel()
	node := dev(t, "--dir", filepath.Join(t.TempDir(), "data"))
	target := must(url.Parse(node.url))
	between := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})
	t.Cleanup(between.Close)
	ok(t, node.url, "", "channels", "create", "chat", "--from", "news=flash.*")
	publish := func(text string) { ok(t, node.url, "", "channels", "publish", "chat", text, "--type", "said") }
	publish("1")
	f := inBackground(t, between.URL, "channels", "subscribe", "chat", "said", "flash.:x", "--from", "start", "--raw")
	want := func(text string) {
		t.Helper()
		if got := f.read(t, 1); got != text {
			t.Fatalf("got %q, want %q", got, text)
		}
	}
	want("1")
	between.CloseClientConnections()
	publish("2")
	want("2")
	ok(t, node.url, "", "channels", "publish", "chat", "not this", "--type", "other")
	ok(t, node.url, "", "streams", "append", "news", "3", "--type", "flash.now")
	want("3")
	between.CloseClientConnections()
	publish("4")
	want("4")
	r := f.stop()
	_, command, found := strings.Cut(r.errOut, "to go on: edda ")
	if r.code != cli.ExitDone || r.out != "" || strings.Count(r.errOut, "trying again in ") < 2 || !found ||
		!strings.HasPrefix(command, "channels subscribe chat 'said' 'flash.:x' --from p") {
		t.Fatalf("got %+v, want it to have gone on twice, and to say how to go on later", r)
	}
	publish("5")
	publish("6")
	if got := ok(t, node.url, "", append(split(strings.TrimSpace(command)), "--raw", "--max", "2")...); got != "5\n6\n" {
		t.Errorf("later: got %q, want 5 and 6", got)
	}
}

// A subscription to a channel that is removed ends, and says so.
func TestSubscriptionToARemovedChannel(t *testing.T) {
	t.Parallel()
	node := dev(t, "--dir", filepath.Join(t.TempDir(), "data"))
	ok(t, node.url, "", "channels", "create", "chat")
	ok(t, node.url, "", "channels", "publish", "chat", "one")
	f := inBackground(t, node.url, "channels", "subscribe", "chat", "--from", "start", "--raw")
	if got := f.read(t, 1); got != "one" {
		t.Errorf("got %q, want one", got)
	}
	r := command(t, []string{"EDDA_URL=" + node.url}, "", "channels", "rm", "chat")
	if r.code != cli.ExitFailed || !strings.Contains(r.errOut, "has messages and has 1 subscriber: nothing was removed") {
		t.Errorf("got %+v, want it to ask", r)
	}
	ok(t, node.url, "", "channels", "rm", "chat", "--yes")
	if code := <-f.ended; code != cli.ExitFailed || !strings.Contains(f.errOut.String(), "(NO_CHANNEL)") || strings.Contains(f.errOut.String(), "to go on") {
		t.Errorf("got exit code %d and %s, want NO_CHANNEL", code, f.errOut.String())
	}
}

// A history of several pages is printed whole, and its table has one header.
func TestHistoryOfPages(t *testing.T) {
	t.Parallel()
	node := dev(t, "--dir", filepath.Join(t.TempDir(), "data"))
	ok(t, node.url, "", "channels", "create", "chat", "--history-count", "2000")
	ok(t, node.url, numbers(1100), "channels", "publish", "chat", "--lines")
	got := ok(t, node.url, "", "channels", "history", "chat", "--all")
	if n := strings.Count(got, "\n"); n != 1101 || strings.Count(got, "STREAM") != 1 || !strings.HasSuffix(got, "  1100\n") {
		t.Errorf("got %d lines, want a header and 1100 messages", n)
	}
	r := command(t, []string{"EDDA_URL=" + node.url}, "", "channels", "history", "chat", "--limit", "1050", "--raw")
	_, from, found := strings.Cut(r.errOut, "there is more: --from ")
	if r.out != numbers(1050) || !found {
		t.Fatalf("got %d bytes and %q, want 1050 messages and how to go on", len(r.out), r.errOut)
	}
	if got := ok(t, node.url, "", "channels", "history", "chat", "--raw", "--from", strings.TrimSpace(from)); got != strings.TrimPrefix(numbers(1100), numbers(1050)) {
		t.Errorf("later: got %q, want the last 50", got)
	}
}

func TestParseLive(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]edda.From{
		"": "", "start": "start", "end": "end", "pAb-_9": "pAb-_9", "1h": "2026-11-21T08:00:00Z", "2026-11-01": "2026-11-01T00:00:00Z",
	} {
		if got, err := parseLive(text, now); err != nil || got != want {
			t.Errorf("%q: got %q and %v, want %q", text, got, err, want)
		}
	}
}
