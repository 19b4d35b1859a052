package routegw_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edda-io/edda/gateway/routegw"
)

// BenchmarkHandler is the gateway alone: no socket, no node. It is to be compared with
// httpgw's BenchmarkCallHandler.
func BenchmarkHandler(b *testing.B) {
	g := serving(b, &fake{}, routegw.Options{Listen: []string{"127.0.0.1:7400"}},
		routegw.Route{Route: "POST /users/{id}/{do}", Service: "users", Method: "path.do", Key: "path.id"})
	r := httptest.NewRequest(http.MethodPost, "/users/k12345/login", nil)
	r.Host = "127.0.0.1:7400"
	r.Header.Set("Content-Type", "text/plain")
	r.ContentLength = int64(len(benchBody))
	body := strings.NewReader(benchBody)
	r.Body = io.NopCloser(body)
	w := &nowhere{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(benchBody)
		clear(w.h)
		g.ServeHTTP(w, r)
	}
}

// nowhere is a response that nobody reads.
type nowhere struct{ h http.Header }

func (n *nowhere) Header() http.Header         { return n.h }
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n *nowhere) WriteHeader(int)             {}
