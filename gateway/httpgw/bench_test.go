package httpgw

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
	"github.com/prometheus/client_golang/prometheus"
)

var benchBody = strings.Repeat("x", 256)

// BenchmarkCallHandler is the gateway alone: no socket, no node.
func BenchmarkCallHandler(b *testing.B) {
	g := gatewayOf(b, &fake{}, Options{Listen: []string{"127.0.0.1:7400"}, Registerer: prometheus.NewRegistry()})
	r := httptest.NewRequest(http.MethodPost, "/v1/call/users/k12345/login", nil)
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

// keyed returns an ordered service that answers with what it is sent.
func keyed() *edda.Service {
	s := edda.NewOrdered("users")
	s.HandleAny(func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{ContentType: m.ContentType, Payload: m.Payload}, nil
	})
	return s
}

// BenchmarkHTTP compares a bare echo with the gateway over a backend that answers
// at once, and over a node in memory, under 64 connections.
func BenchmarkHTTP(b *testing.B) {
	b.Run("echo", func(b *testing.B) {
		benchServer(b, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
			_, _ = w.Write(body)
		})})
	})
	b.Run("gateway", func(b *testing.B) {
		opts := Options{Registerer: prometheus.NewRegistry()}
		benchServer(b, NewServer(gatewayOf(b, echoing{&fake{}}, opts), nil))
	})
	b.Run("node", func(b *testing.B) {
		n, err := node.Open(b.Context(), node.Options{Durability: edda.Memory, Services: []*edda.Service{keyed()}})
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = n.Stop(context.Background()) }()
		g, err := New(n, Options{Registerer: prometheus.NewRegistry()})
		if err != nil {
			b.Fatal(err)
		}
		benchServer(b, NewServer(g, nil))
	})
}

// benchServer drives a server over raw connections.
func benchServer(b *testing.B, s *http.Server) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	request := []byte("POST /v1/call/users/k00000/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n" +
		"Content-Length: 256\r\n\r\n" + benchBody)
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		buf, mine := make([]byte, 4096), bytes.Clone(request)
		for pb.Next() {
			copy(mine[bytes.IndexByte(mine, 'k')+1:], strconv.Itoa(10000+rand.IntN(90000)))
			if _, err := c.Write(mine); err != nil {
				b.Error(err)
				return
			}
			n := 0
			for n == 0 || buf[n-1] != 'x' {
				m, err := c.Read(buf[n:])
				if err != nil {
					b.Error(err)
					return
				}
				n += m
			}
		}
	})
}

func BenchmarkProblem(b *testing.B) {
	g := gatewayOf(b, &fake{}, Options{})
	r := httptest.NewRequest(http.MethodPost, "/v1/nothing", nil)
	r.Host = "127.0.0.1:7400"
	w := &nowhere{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		g.ServeHTTP(w, r)
	}
}

// storing is a backend of streams that appends at once, and nowhere.
type storing struct{ *fakeStreams }

func (storing) Append(_ context.Context, a *edda.Append) (*edda.AppendAck, error) {
	return &edda.AppendAck{Items: make([]edda.Appended, len(a.Messages)), Position: "1-1", Durability: edda.Fsync}, nil
}

// BenchmarkAppendHandler is the gateway alone: no socket, no node.
func BenchmarkAppendHandler(b *testing.B) {
	item := `{"id":"0190a5c1-7b2e-7000-8000-000000000001","type":"placed","key":"k12345","data":"` + benchBody + `"},`
	for name, bc := range map[string]struct{ contentType, body string }{
		"one":      {"text/plain", benchBody},
		"batch100": {batchMedia, "[" + strings.TrimSuffix(strings.Repeat(item, 100), ",") + "]"},
	} {
		b.Run(name, func(b *testing.B) {
			g, err := build(nil, backends{calls: &fake{}, streams: storing{}}, edda.Fsync, Options{Registerer: prometheus.NewRegistry()})
			if err != nil {
				b.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodPost, "/v1/streams/orders", nil)
			r.Host = "127.0.0.1:7400"
			r.Header.Set("Content-Type", bc.contentType)
			r.Header.Set("Edda-Type", "placed")
			r.Header.Set("Edda-Key", "k12345")
			r.ContentLength = int64(len(bc.body))
			body := strings.NewReader(bc.body)
			r.Body = io.NopCloser(body)
			w := &nowhere{h: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(bc.body)
				clear(w.h)
				g.ServeHTTP(w, r)
			}
		})
	}
}
