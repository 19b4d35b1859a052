// Package sitefile answers requests with the files of a site: with tags by which a browser
// knows whether it has them, in ranges, and with content types that are the same on every
// machine. What has a name that begins with a dot is not there.
//
// The functions keep no state and are safe for concurrent use.
package sitefile

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
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
)

var errNoFile = refuse(edda.NoRoute, "there is no such page")

// Serve answers with a file, with index.html for what ends in a slash, and returns the
// status. With an error, whose reason is NoRoute where there is no such file, nothing has been answered.
func Serve(w http.ResponseWriter, r *http.Request, files fs.FS, name string) (int, error) {
	if name == "" || strings.HasSuffix(name, "/") {
		name += "index.html"
	}
	if !fs.ValidPath(name) || hidden(name) {
		return 0, errNoFile
	}
	switch info, err := fs.Stat(files, name); {
	case err != nil:
		return 0, errNoFile
	case info.IsDir():
		return 0, noDirectory(files, name)
	case !info.Mode().IsRegular(): // to open a pipe is to wait for who writes to it
		return 0, errNoFile
	}
	f, err := files.Open(name)
	if err != nil {
		return 0, errNoFile
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return 0, errNoFile
	}
	content, tag, err := readable(f, info)
	if err != nil {
		return 0, err
	}
	h := w.Header()
	h["Content-Type"] = []string{contentType(name)}
	h["Cache-Control"] = []string{"no-cache"} // it may be kept, and is asked about with its tag
	h["Etag"] = []string{tag}
	return send(w, r, info.ModTime(), content), nil
}

// noDirectory says where the page of a directory is, when it has one. Nothing is
// redirected.
func noDirectory(files fs.FS, name string) error {
	if info, err := fs.Stat(files, path.Join(name, "index.html")); err != nil || info.IsDir() {
		return errNoFile
	}
	return refuse(edda.NoRoute, "there is no such page: it is found with a slash at the end of its path")
}

// send answers with a file, or a range of it, or says that the caller has it.
func send(w http.ResponseWriter, r *http.Request, modified time.Time, content io.ReadSeeker) (status int) {
	w.Header()["X-Content-Type-Options"] = []string{"nosniff"}
	c := http.NewResponseController(w)
	if c.SetWriteDeadline(time.Now().Add(httpio.BodyTimeout)) == nil {
		defer func() { _ = c.SetWriteDeadline(time.Time{}) }()
	}
	n := &noted{ResponseWriter: w, status: http.StatusOK}
	http.ServeContent(n, r, "", modified, content)
	return n.status
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

func refuse(reason edda.Reason, detail string) error {
	return &edda.Error{Reason: reason, Err: errors.New(detail)}
}
