package routegw_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/routegw"
	"github.com/edda-io/edda/route"
)

var fuzzSeeds = []string{
	"POST /users/a%2Fb/login?x=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nX-A: b\r\nEdda-Key: k\r\n\r\nhi",
	"GET /docs/%C3%A4/c%2Fd/%22?q=%zz&q=1 HTTP/1.1\r\nHost: localhost\r\nConnection: X-A\r\nX-A: b\r\n\r\n",
	"PUT /docs/%ff/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
	"POST /streams/7?shard=eu HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: \"k\"\r\nContent-Length: 0\r\n\r\n",
	"POST /streams/7?shard=a%0Ab HTTP/1.1\r\nHost: localhost\r\nEdda-Http-Path: /forged\r\nAuthorization: Bearer t\r\nCookie: c=d\r\n\r\n",
	"OPTIONS /users/1/login HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
	"HEAD /docs/1/2 HTTP/1.1\r\nHost: localhost\r\n\r\n",
	"BREW /users//x HTTP/1.1\r\nHost: localhost\r\nX-B: \xff\r\n\r\n",
}

// FuzzRequest sends whatever net/http reads as a request. What is handed on is sound and
// says what the request was; what is not is refused with a problem document.
func FuzzRequest(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		b := &fake{}
		g := serving(t, b, routegw.Options{CORS: &routegw.CORS{Origins: []string{"https://app.example"}}},
			routegw.Route{Route: "POST /users/{id}/{do}", Service: "users", Method: "path.do", Key: "path.id"},
			routegw.Route{Route: "/docs/{id}/{rest...}", Service: "docs", Method: "any", Payload: routegw.Request},
			routegw.Route{Route: "POST /streams/{id}", Stream: "s", Key: "path.id", Shard: "query.shard"})
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		switch {
		case b.message != nil:
			checkMessage(t, r, b.message, body)
		case b.append != nil:
			m := &b.append.Messages[0]
			checkHeaders(t, r, m.Headers)
			if b.append.Principal != edda.Anonymous || m.Principal != edda.Anonymous || b.append.Shard == "" || !bytes.Equal(m.Payload, body) {
				t.Errorf("appended %+v", b.append)
			}
		case w.Code == http.StatusNoContent:
		case r.Method == http.MethodHead:
		default:
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Reason == edda.Internal || p.Reason == "" {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
		}
	})
}

func checkMessage(t *testing.T, r *http.Request, m *edda.Message, body []byte) {
	t.Helper()
	if m.Principal != edda.Anonymous || !utf8.ValidString(m.ContentType) {
		t.Errorf("sent %+v", m)
	}
	if m.To.Name == "docs" {
		var doc struct{ Method, Path string }
		if err := json.Unmarshal(m.Payload, &doc); err != nil || doc.Method != r.Method || doc.Path != r.URL.EscapedPath() || len(m.Headers) != 0 && strings.HasPrefix(m.Headers[0].Name, "Edda-") {
			t.Errorf("got %s, %v", m.Payload, err)
		}
		return
	}
	checkHeaders(t, r, m.Headers)
	if route.Param(m, "id") != m.To.Key || route.Param(m, "do") != m.Type || !bytes.Equal(m.Payload, body) {
		t.Errorf("sent %+v", m)
	}
}

// checkHeaders checks that no header is there that should not be, and that those of the
// route say what the request was.
func checkHeaders(t *testing.T, r *http.Request, headers edda.Headers) {
	t.Helper()
	for _, h := range headers {
		if !utf8.ValidString(h.Value) {
			t.Errorf("header %s is %q", h.Name, h.Value)
		}
		switch name := http.CanonicalHeaderKey(h.Name); name {
		case "Authorization", "Cookie", "Connection", "Content-Length", "Transfer-Encoding", "Host", "Content-Type":
			t.Errorf("the message has the header %s", name)
		}
	}
	for name, want := range map[string]string{route.HeaderMethod: r.Method, route.HeaderPath: r.URL.EscapedPath(), route.HeaderQuery: r.URL.RawQuery} {
		n := 0
		for _, h := range headers {
			if strings.EqualFold(h.Name, name) {
				n++
			}
		}
		if headers.Get(name) != want || n != 1 && want != "" {
			t.Errorf("got %s %q %d times, want %q", name, headers.Get(name), n, want)
		}
	}
}
