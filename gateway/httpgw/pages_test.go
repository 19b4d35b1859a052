package httpgw

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/web"
)

var chat = fstest.MapFS{
	"index.html":           {Data: []byte("<p>chat")},
	"app.js":               {Data: []byte("go()")},
	"deep/index.html":      {Data: []byte("deep")},
	"empty/x.unknown":      {Data: []byte("<html>")},
	".env":                 {Data: []byte("secret")},
	".git/config":          {Data: []byte("secret")},
	".well-known/security": {Data: []byte("mail")},
}

func TestPages(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{
		Authenticator: auth.FirstOf(), // whom nobody asks
		Pages:         []Page{{"/chat", chat}, {"/chat/deep/er", fstest.MapFS{"x": {Data: []byte("deeper")}}}},
	})
	for target, want := range map[string]string{
		"/chat/":           "200 text/html; charset=utf-8 <p>chat",
		"/chat/index.html": "200 text/html; charset=utf-8 <p>chat",
		"/chat/app.js":     "200 text/javascript; charset=utf-8 go()",
		"/chat/app%2ejs":   "200 text/javascript; charset=utf-8 go()",
		"/chat/deep/":      "200 text/html; charset=utf-8 deep",
		"/chat/deep/er/x":  "200 application/octet-stream deeper",
		// nobody guesses that it is HTML
		"/chat/empty/x.unknown":      "200 application/octet-stream <html>",
		"/chat/.well-known/security": "200 application/octet-stream mail",
		"/chat":                      "401",
		"/chat/deep":                 "404 with a slash",
		"/chat/empty":                "404 no such page",
		"/chat/empty/":               "404 no such page",
		"/chat/none":                 "404 no such page",
		"/chat/.env":                 "404 no such page",
		"/chat/.git/config":          "404 no such page",
		"/chat//app.js":              "404 no such page",
		"/chat/../chat/app.js":       "404 no such page",
		"/chat/%2e%2e/secret":        "404 no such page",
		"/chat/x%00y":                "404 no such page",
		"/chats/":                    "401",
	} {
		w := do(g, http.MethodGet, target, "")
		status, rest, _ := strings.Cut(want, " ")
		switch got := w.Header().Get("Content-Type") + " " + w.Body.String(); {
		case strconv.Itoa(w.Code) != status:
			t.Errorf("%s: got %d, want %s", target, w.Code, status)
		case status == "200" && (got != rest || w.Header().Get("X-Content-Type-Options") != "nosniff"):
			t.Errorf("%s: got %q, %v", target, got, w.Header())
		case status != "200":
			wantProblem(t, w)
			if !strings.Contains(w.Body.String(), rest) {
				t.Errorf("%s: got %s", target, w.Body)
			}
		}
	}
	if w := do(g, http.MethodPost, "/chat/", ""); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("POST: got %d %v", w.Code, w.Header())
	}
}

func TestPagesAreAskedAboutWithTheirTag(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	g := gatewayOf(t, &fake{}, Options{Pages: []Page{{"/", os.DirFS(dir)}}})
	first := do(g, http.MethodGet, "/", "")
	tag := first.Header().Get("ETag")
	if tag == "" || first.Header().Get("Cache-Control") != "no-cache" {
		t.Fatalf("got %v", first.Header())
	}
	again := do(g, http.MethodGet, "/", "", "If-None-Match: "+tag)
	if again.Code != http.StatusNotModified || again.Body.Len() > 0 || again.Header().Get("ETag") != tag {
		t.Errorf("got %d %q %v", again.Code, again.Body, again.Header())
	}
	head := do(g, http.MethodHead, "/", "")
	if head.Code != http.StatusOK || head.Body.Len() > 0 || head.Header().Get("Content-Length") != "5" {
		t.Errorf("HEAD: got %d %v", head.Code, head.Header())
	}
	part := do(g, http.MethodGet, "/", "", "Range: bytes=1-2")
	if part.Code != http.StatusPartialContent || part.Body.String() != "ir" {
		t.Errorf("a range: got %d %s", part.Code, part.Body)
	}
	write("other")
	if w := do(g, http.MethodGet, "/", "", "If-None-Match: "+tag); w.Code != http.StatusOK || w.Body.String() != "other" {
		t.Errorf("after a change: got %d %s", w.Code, w.Body)
	}
}

// What is large is not read to be asked about.
func TestTagsOfLargeFiles(t *testing.T) {
	at := time.Unix(1_700_000_000, 5)
	large := make([]byte, 1<<20+1) // more than is read for a tag
	ask := func(files fstest.MapFS, headers ...string) *httptest.ResponseRecorder {
		t.Helper()
		return do(gatewayOf(t, &fake{}, Options{Pages: []Page{{"/", files}}}), http.MethodGet, "/x", "", headers...)
	}
	tag := ask(fstest.MapFS{"x": {Data: large, ModTime: at}}).Header().Get("ETag")
	if tag != `W/"100001-17979cfe362a0005"` {
		t.Errorf("the tag is %s, want size and time", tag)
	}
	if w := ask(fstest.MapFS{"x": {Data: large, ModTime: at}}, "If-None-Match: "+tag); w.Code != http.StatusNotModified {
		t.Errorf("asked about with its tag: got %d", w.Code)
	}
	if w := ask(fstest.MapFS{"x": {Data: large, ModTime: at.Add(1)}}, "If-None-Match: "+tag); w.Code != http.StatusOK || w.Body.Len() != len(large) {
		t.Errorf("written since: got %d", w.Code)
	}
	for name, files := range map[string]fstest.MapFS{"small": {"x": {Data: large[1:], ModTime: at}}, "without a time": {"x": {Data: large}}} {
		if tag := ask(files).Header().Get("ETag"); !strings.HasPrefix(tag, `"`) {
			t.Errorf("%s: the tag is %s, want one of the content", name, tag)
		}
	}
}

// pipes is files of which none may be opened.
type pipes struct {
	fstest.MapFS
	t *testing.T
}

func (p pipes) Open(name string) (fs.File, error) {
	p.t.Errorf("%s was opened", name)
	return nil, fs.ErrNotExist
}

func TestPipesAreNoPages(t *testing.T) {
	files := pipes{fstest.MapFS{"x": {Mode: fs.ModeNamedPipe}, "y": {Mode: fs.ModeDevice}}, t}
	g := gatewayOf(t, &fake{}, Options{Pages: []Page{{"/", files}}})
	for _, target := range []string{"/x", "/y"} {
		if w := do(g, http.MethodGet, target, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", target, w.Code)
		}
	}
}

func TestLinksDoNotLeadOutOfARoot(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(out, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(out, "secret"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	g := gatewayOf(t, &fake{}, Options{Pages: []Page{{"/", root.FS()}}})
	if w := do(g, http.MethodGet, "/link", ""); w.Code != http.StatusNotFound {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// onlyRead is a file system whose files cannot seek.
type onlyRead struct{ fs.FS }

func (o onlyRead) Open(name string) (fs.File, error) {
	f, err := o.FS.Open(name)
	return struct{ fs.File }{f}, err
}

func TestFilesThatCannotSeek(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{Pages: []Page{{"/", onlyRead{chat}}}})
	if w := do(g, http.MethodGet, "/app.js", ""); w.Code != http.StatusOK || w.Body.String() != "go()" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestClientIsServed(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{Authenticator: auth.FirstOf(), Pages: []Page{{"/", fstest.MapFS{"edda.js": {Data: []byte("not it")}}}}})
	for name, media := range map[string]string{web.Client: "text/javascript; charset=utf-8", web.Types: "text/plain; charset=utf-8"} {
		want, err := web.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		w := do(g, http.MethodGet, "/"+name, "")
		if w.Code != http.StatusOK || w.Body.String() != string(want) || w.Header().Get("Content-Type") != media {
			t.Errorf("%s: got %d %v", name, w.Code, w.Header())
		}
		if w := do(g, http.MethodGet, "/"+name, "", "If-None-Match: "+w.Header().Get("ETag")); w.Code != http.StatusNotModified {
			t.Errorf("%s again: got %d", name, w.Code)
		}
	}
}

func TestPagesAreChecked(t *testing.T) {
	for path, why := range map[string]string{
		"": "must be like", "chat": "must be like", "/chat/": "must be like", "/a/../b": "must be like", "//": "must be like", "/a%20b": "must be like",
		"/v1": "the node's own", "/v1/chat": "the node's own", "/healthz": "one of the node's own", "/edda.js": "one of the node's own",
		"/taken": "an earlier one",
	} {
		_, err := build(nil, backends{calls: &fake{}}, edda.Memory, Options{Pages: []Page{{"/taken", chat}, {path, chat}}})
		if edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "Pages[1]") {
			t.Errorf("%q: got %v", path, err)
		}
	}
	if _, err := build(nil, backends{calls: &fake{}}, edda.Memory, Options{Pages: []Page{{Path: "/"}}}); edda.ReasonOf(err) != edda.BadValue {
		t.Errorf("without files: got %v", err)
	}
}
