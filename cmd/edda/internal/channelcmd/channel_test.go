package channelcmd_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/channelcmd"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/clitest"
	"github.com/edda-io/edda/cmd/edda/internal/streamcmd"
)

var commands = clitest.Commands{channelcmd.New, streamcmd.New}

// Whoever is subscribed hears each message once, through connections that break, and can
// go on later where it was.
func TestSubscriptionGoesOn(t *testing.T) {
	t.Parallel()
	node := clitest.OpenNode(t, t.TempDir())
	target, err := url.Parse(node.URL)
	if err != nil {
		t.Fatal(err)
	}
	between := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})
	t.Cleanup(between.Close)
	commands.OK(t, node.URL, "", "channels", "create", "chat", "--from", "news=flash.*")
	publish := func(text string) { commands.OK(t, node.URL, "", "channels", "publish", "chat", text, "--type", "said") }
	publish("1")
	f := commands.Follow(t, between.URL, "channels", "subscribe", "chat", "said", "flash.:x", "--from", "start", "--raw")
	want := func(text string) {
		t.Helper()
		if got := f.Read(t, 1); got != text {
			t.Fatalf("got %q, want %q", got, text)
		}
	}
	want("1")
	between.CloseClientConnections()
	publish("2")
	want("2")
	commands.OK(t, node.URL, "", "channels", "publish", "chat", "not this", "--type", "other")
	commands.OK(t, node.URL, "", "streams", "append", "news", "3", "--type", "flash.now")
	want("3")
	between.CloseClientConnections()
	publish("4")
	want("4")
	r := f.Stop()
	_, command, found := strings.Cut(r.ErrOut, "to go on: edda ")
	if r.Code != cli.ExitDone || r.Out != "" || strings.Count(r.ErrOut, "trying again in ") < 2 || !found ||
		!strings.HasPrefix(command, "channels subscribe chat 'said' 'flash.:x' --from p") {
		t.Fatalf("got %+v, want it to have gone on twice, and to say how to go on later", r)
	}
	publish("5")
	publish("6")
	if got := commands.OK(t, node.URL, "", append(strings.Fields(strings.ReplaceAll(command, "'", "")), "--raw", "--max", "2")...); got != "5\n6\n" {
		t.Errorf("later: got %q, want 5 and 6", got)
	}
}

// A subscription to a channel that is removed ends, and says so.
func TestSubscriptionToARemovedChannel(t *testing.T) {
	t.Parallel()
	node := clitest.OpenNode(t, t.TempDir())
	commands.OK(t, node.URL, "", "channels", "create", "chat")
	commands.OK(t, node.URL, "", "channels", "publish", "chat", "one")
	f := commands.Follow(t, node.URL, "channels", "subscribe", "chat", "--from", "start", "--raw")
	if got := f.Read(t, 1); got != "one" {
		t.Errorf("got %q, want one", got)
	}
	r := commands.Run(t, []string{"EDDA_URL=" + node.URL}, "", "channels", "rm", "chat")
	if r.Code != cli.ExitFailed || !strings.Contains(r.ErrOut, "has messages and has 1 subscriber: nothing was removed") {
		t.Errorf("got %+v, want it to ask", r)
	}
	commands.OK(t, node.URL, "", "channels", "rm", "chat", "--yes")
	if r := f.Wait(); r.Code != cli.ExitFailed || !strings.Contains(r.ErrOut, "(NO_CHANNEL)") || strings.Contains(r.ErrOut, "to go on") {
		t.Errorf("got %+v, want NO_CHANNEL", r)
	}
}

// A history of several pages is printed whole, and its table has one header.
func TestHistoryOfPages(t *testing.T) {
	t.Parallel()
	node := clitest.OpenNode(t, t.TempDir())
	commands.OK(t, node.URL, "", "channels", "create", "chat", "--history-count", "2000")
	commands.OK(t, node.URL, clitest.Numbers(1100), "channels", "publish", "chat", "--lines")
	got := commands.OK(t, node.URL, "", "channels", "history", "chat", "--all")
	if n := strings.Count(got, "\n"); n != 1101 || strings.Count(got, "STREAM") != 1 || !strings.HasSuffix(got, "  1100\n") {
		t.Errorf("got %d lines, want a header and 1100 messages", n)
	}
	r := commands.Run(t, []string{"EDDA_URL=" + node.URL}, "", "channels", "history", "chat", "--limit", "1050", "--raw")
	_, from, found := strings.Cut(r.ErrOut, "there is more: --from ")
	if r.Out != clitest.Numbers(1050) || !found {
		t.Fatalf("got %d bytes and %q, want 1050 messages and how to go on", len(r.Out), r.ErrOut)
	}
	if got := commands.OK(t, node.URL, "", "channels", "history", "chat", "--raw", "--from", strings.TrimSpace(from)); got != strings.TrimPrefix(clitest.Numbers(1100), clitest.Numbers(1050)) {
		t.Errorf("later: got %q, want the last 50", got)
	}
}
