package httpgw

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/apidoc"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

// Page is a site of files that a gateway serves, to everybody, without credentials.
type Page struct {
	// Path is where it is found: the file app.js of "/chat" at /chat/app.js, and
	// index.html at /chat/. "/" is the root. The node's own paths, and all below /v1,
	// stay the node's.
	Path string
	// Files are what is served; what has a name that begins with a dot, ".well-known"
	// aside, is not. The FS of an os.Root keeps links from leading out of a directory.
	Files fs.FS
}

// site is a Page that is served.
type site struct {
	prefix string // ends in a slash
	files  fs.FS
	route  *route
}

// newSites checks pages, and returns them with the longest path first. The own paths are
// those of the node.
func newSites(pages []Page, own []*route, m *httpio.Metrics) ([]site, error) {
	var all []site
	for i, p := range pages {
		if err := checkPage(p, pages[:i], own); err != nil {
			return nil, &edda.Error{Op: "check options", Reason: edda.BadValue, Err: fmt.Errorf("option Pages[%d]: %w", i, err)}
		}
		prefix := strings.TrimSuffix(p.Path, "/") + "/"
		rt := &route{template: prefix + "*", open: true}
		rt.ops = []op{get(func(_ *Gateway, x *exchange) error {
			return x.serveFile(p.Files, x.r.URL.Path[len(prefix):])
		}, apidoc.Operation{})}
		rt.allow, rt.meter = []string{allow(rt.ops)}, m.Meter(rt.template)
		all = append(all, site{prefix, p.Files, rt})
	}
	slices.SortStableFunc(all, func(a, b site) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
	return all, nil
}

func checkPage(p Page, before []Page, own []*route) error {
	switch {
	case p.Files == nil:
		return errors.New("it has no Files")
	case !strings.HasPrefix(p.Path, "/") || path.Clean(p.Path) != p.Path || strings.ContainsAny(p.Path, `%?#*{}\`):
		return fmt.Errorf("its Path is %q, must be like /chat: from a slash on, without one at its end", p.Path)
	case ofNode(p.Path):
		return fmt.Errorf("its Path is %q, but all below /v1 is the node's own", p.Path)
	case slices.ContainsFunc(own, func(rt *route) bool { return rt.template == p.Path }):
		return fmt.Errorf("its Path is %q, which is one of the node's own", p.Path)
	case slices.ContainsFunc(before, func(q Page) bool { return q.Path == p.Path }):
		return fmt.Errorf("its Path is %q, which an earlier one has too", p.Path)
	}
	return nil
}

// siteOf returns the route of the site that a path belongs to; nil when there is none.
func (g *Gateway) siteOf(path string) *route {
	if ofNode(path) {
		return nil
	}
	for i := range g.sites {
		if strings.HasPrefix(path, g.sites[i].prefix) {
			return g.sites[i].route
		}
	}
	return nil
}

var errNoFile = refuse(edda.NoRoute, "there is no such page")

// serveFile answers with a file, with index.html for what ends in a slash.
func (x *exchange) serveFile(files fs.FS, name string) error {
	if name == "" || strings.HasSuffix(name, "/") {
		name += "index.html"
	}
	if !fs.ValidPath(name) || hidden(name) {
		return errNoFile
	}
	switch info, err := fs.Stat(files, name); {
	case err != nil:
		return errNoFile
	case info.IsDir():
		return x.noDirectory(files, name)
	case !info.Mode().IsRegular(): // to open a pipe is to wait for who writes to it
		return errNoFile
	}
	f, err := files.Open(name)
	if err != nil {
		return errNoFile
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return errNoFile
	}
	content, tag, err := readable(f, info)
	if err != nil {
		return err
	}
	h := x.w.Header()
	h["Content-Type"] = []string{contentType(name)}
	h["Cache-Control"] = []string{"no-cache"} // it may be kept, and is asked about with its tag
	h["Etag"] = []string{tag}
	x.sendFile(info.ModTime(), content)
	return nil
}

// noDirectory says where the page of a directory is, when it has one. Nothing is
// redirected.
func (x *exchange) noDirectory(files fs.FS, name string) error {
	if info, err := fs.Stat(files, path.Join(name, "index.html")); err != nil || info.IsDir() {
		return errNoFile
	}
	return refuse(edda.NoRoute, "there is no such page: it is found with a slash at the end of its path")
}

// sendFile answers with a file, or a range of it, or says that the caller has it.
func (x *exchange) sendFile(modified time.Time, content io.ReadSeeker) {
	h := x.w.Header()
	h["X-Content-Type-Options"] = []string{"nosniff"}
	c := http.NewResponseController(x.w)
	if c.SetWriteDeadline(time.Now().Add(httpio.BodyTimeout)) == nil {
		defer func() { _ = c.SetWriteDeadline(time.Time{}) }()
	}
	w := &noted{ResponseWriter: x.w, status: http.StatusOK}
	http.ServeContent(w, x.r, "", modified, content)
	x.status = w.status
}

// noted notes the status of an answer that somebody else writes.
type noted struct {
	http.ResponseWriter
	status int
}

func (w *noted) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// hidden reports whether a file, or a directory that it is in, is not meant to be seen.
func hidden(name string) bool {
	for seg := range strings.SplitSeq(name, "/") {
		if seg[0] == '.' && seg != ".well-known" {
			return true
		}
	}
	return false
}

// hashedBytes is the size up to which a file's tag is of its content.
const hashedBytes = 1 << 20

// readable returns the content of a file from its start, and a tag that is the same for
// the same content. What is large is not read for each request, which anybody may send, and
// of which a byte may be all that is asked for: its tag is of size and time.
func readable(f fs.File, info fs.FileInfo) (io.ReadSeeker, string, error) {
	content, ok := f.(io.ReadSeeker)
	if ok && info.Size() > hashedBytes && !info.ModTime().IsZero() {
		return content, fmt.Sprintf(`W/"%x-%x"`, info.Size(), info.ModTime().UnixNano()), nil
	}
	if !ok {
		b, err := io.ReadAll(f)
		if err != nil {
			return nil, "", err
		}
		content = bytes.NewReader(b)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, content); err != nil {
		return nil, "", err
	}
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return nil, "", err
	}
	const enough = 18 // bytes of the hash
	return content, `"` + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:enough]) + `"`, nil
}

// contentTypes are those that a machine may know otherwise, or not at all.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".txt": "text/plain; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".ts": "text/plain; charset=utf-8",
	".json": "application/json", ".map": "application/json", ".webmanifest": "application/manifest+json",
	".wasm": "application/wasm", ".svg": "image/svg+xml", ".ico": "image/x-icon", ".woff2": "font/woff2",
}

// contentType says what a file is by its name. Nobody guesses from its content.
func contentType(name string) string {
	ext := strings.ToLower(path.Ext(name))
	return cmp.Or(contentTypes[ext], mime.TypeByExtension(ext), "application/octet-stream")
}
