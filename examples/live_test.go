package examples_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/gateway/wsgw"
	"github.com/edda-io/edda/node"
)

// The page of the README shows whatever is published, also what does not come from a page.
func TestTalkShowsWhatIsPublished(t *testing.T) {
	n, err := node.Open(t.Context(), node.Options{Dir: t.TempDir(), Partitions: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop(context.Background()) }) // nothing runs
	live, err := wsgw.New(n, wsgw.Options{})
	if err != nil {
		t.Fatal(err)
	}
	page := httpgw.Page{Path: "/", Files: os.DirFS(filepath.Join("live", "page"))}
	gateway, err := httpgw.New(n, httpgw.Options{Live: live, Pages: []httpgw.Page{page}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gateway)
	t.Cleanup(server.Close)
	const talk = "/v1/channels/talk"
	if status, answer := ask(t, http.MethodPut, server.URL+talk, `{}`); status != http.StatusCreated {
		t.Fatalf("got %d %s", status, answer)
	}
	for _, body := range []string{`{"text":"from a page"}`, `"plain"`, `{"n":1}`, `null`} {
		if status, answer := ask(t, http.MethodPost, server.URL+talk, body); status != http.StatusAccepted {
			t.Fatalf("%s: got %d %s", body, status, answer)
		}
	}
	tab := startBrowser(t).open(t, "Talk", server.URL)
	tab.until(`document.querySelectorAll("li").length === 4`)
	got := look[string](tab, `[...document.querySelectorAll("li")].map((line) => line.textContent).join("; ")`)
	if want := `null; {"n":1}; plain; from a page`; got != want {
		t.Errorf("the page says %q, want %q", got, want)
	}
}
