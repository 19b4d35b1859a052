package routegw_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/gateway/routegw"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/stream"
)

var benchBody = strings.Repeat("x", 256)

// BenchmarkRoutes compares routes with a bare echo and with the plain call, under 64
// connections, each stored before it is answered.
func BenchmarkRoutes(b *testing.B) {
	b.Run("echo", func(b *testing.B) {
		benchServer(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
			_, _ = w.Write(body)
		}), "/users/k00000/login")
	})
	c := stream.NewConsumer("logins", "checks")
	c.On("login", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{ContentType: m.ContentType, Payload: m.Payload}, nil
	})
	consumer, err := c.Service()
	if err != nil {
		b.Fatal(err)
	}
	users := edda.NewOrdered("users")
	users.HandleAny(func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{ContentType: m.ContentType, Payload: m.Payload}, nil
	})
	n, err := node.Open(b.Context(), node.Options{Dir: b.TempDir(), Services: []*edda.Service{users, consumer}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = n.Stop(context.Background()) }()
	routes, err := routegw.New(routegw.Backends{Calls: n, Streams: n}, routegw.Options{Routes: []routegw.Route{
		{Route: "POST /users/{id}/{do}", Service: "users", Method: "path.do", Key: "path.id"},
		{Route: "POST /logins/{id}/{do}", Stream: "logins", Type: "path.do", Key: "path.id"},
	}})
	if err != nil {
		b.Fatal(err)
	}
	g, err := httpgw.New(n, httpgw.Options{Routes: routes})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("call", func(b *testing.B) { benchServer(b, g, "/v1/call/users/k00000/login") })
	b.Run("service", func(b *testing.B) { benchServer(b, g, "/users/k00000/login") })
	b.Run("stream", func(b *testing.B) { benchServer(b, g, "/logins/k00000/login") })
}

// benchServer drives a handler over raw connections.
func benchServer(b *testing.B, h http.Handler, path string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := httpgw.NewServer(h, nil)
	go func() { _ = s.Serve(l) }()
	defer s.Close()
	request := []byte("POST " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: 256\r\n\r\n" + benchBody)
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
			if !bytes.HasPrefix(buf, []byte("HTTP/1.1 200")) {
				b.Errorf("got %s", buf[:n])
				return
			}
		}
	})
}
