package httpgw

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
)

// listen serves a gateway on a port of its own.
func listen(t *testing.T, g *Gateway) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(g, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return l.Addr().String()
}

// answer is what came back over a connection.
type answer struct {
	status  int
	body    string
	header  http.Header
	trailer http.Header
	closes  bool
}

// raw sends bytes over one connection and returns the answers to n requests.
func raw(t *testing.T, addr, request string, n int) []answer {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	rd := bufio.NewReader(c)
	var answers []answer
	for range n {
		resp, err := http.ReadResponse(rd, nil)
		if err != nil {
			t.Fatalf("answer to %q: %v", request, err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, answer{resp.StatusCode, string(b), resp.Header, resp.Trailer, resp.Close})
	}
	return answers
}

func TestOverASocket(t *testing.T) {
	addr := listen(t, gatewayOf(t, &fake{}, Options{MaxBody: 1000}))
	head := "POST /v1/call/echo/x HTTP/1.1\r\nHost: localhost\r\n"
	for _, tc := range []struct {
		name, request string
		status        int
	}{
		{"plain", head + "Content-Length: 2\r\n\r\nhi", 200},
		{"chunked", head + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200},
		{"no body", head + "\r\n", 204},
		{"announced too large", head + "Content-Length: 1001\r\n\r\n", 413},
		{"announced far too large", head + "Content-Length: 9223372036854775807\r\n\r\n", 413},
		{"too large in chunks", head + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + strings.Repeat("x", 1001) + "\r\n", 413},
		{"too large, asks first", head + "Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n", 413},
		{"bad chunk", head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		{"no host", "POST /v1/call/echo/x HTTP/1.0\r\n\r\n", 403},
		{"foreign host", "GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
		{"foreign host in the line", "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 403},
		{"foreign host, no route", "OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
		{"no route", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"bad escape", "GET /v1/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
		{"no path", "GET foo HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
		{"connect", "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
		{"dots", "GET /v1/../healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
		{"slashes", "GET //healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := raw(t, addr, tc.request, 1)[0].status; got != tc.status {
				t.Errorf("got %d, want %d", got, tc.status)
			}
		})
	}
}

func TestNothingIsSmuggled(t *testing.T) {
	f := &fake{call: func(context.Context, *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{Payload: []byte("x"), RequestID: fakeID, Position: "1-1", ContentType: "a/b\r\nX-Evil: 1\r\n\r\nevil", Headers: edda.Headers{
			{Name: "X-A", Value: "1\r\nX-Evil: 1"}, {Name: "X-Evil\r\n", Value: "1"}, {Name: "Content-Length", Value: "0"},
			{Name: "Transfer-Encoding", Value: "chunked"}, {Name: "Trailer:X-Evil", Value: "1"}, {Name: "Connection", Value: "close"},
		}}, nil
	}}
	addr := listen(t, gatewayOf(t, f, Options{}))
	request := "POST /v1/call/echo/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
	for _, a := range raw(t, addr, request+request, 2) {
		if a.status != 200 || a.body != "x" || a.header.Get("X-Evil") != "" || a.trailer != nil || a.closes {
			t.Errorf("got %+v", a)
		}
	}
}

func TestHTTP2WithoutTLS(t *testing.T) {
	addr := listen(t, gatewayOf(t, echoing{&fake{}}, Options{}))
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	resp, err := c.Post("http://"+addr+"/v1/call/users/a%2Fb/x", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK || string(b) != "hello" || resp.Header.Get("Edda-Position") == "" {
		t.Errorf("got HTTP/%d %d %q %v", resp.ProtoMajor, resp.StatusCode, b, resp.Header)
	}
}

// TestCallerGoesAway checks that the wait ends with the caller, and only the wait.
func TestCallerGoesAway(t *testing.T) {
	waiting, over := make(chan struct{}), make(chan error, 1)
	addr := listen(t, gatewayOf(t, &fake{call: func(ctx context.Context, _ *edda.Message) (*edda.Reply, error) {
		close(waiting)
		<-ctx.Done()
		over <- ctx.Err()
		return nil, &edda.Error{Reason: edda.Timeout}
	}}, Options{}))
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "POST /v1/call/echo/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
	<-waiting
	_ = c.Close()
	select {
	case err := <-over:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the wait did not end")
	}
}

// TestLargeBodyIsAnswered checks that a client which goes on sending still gets
// the refusal.
func TestLargeBodyIsAnswered(t *testing.T) {
	addr := listen(t, gatewayOf(t, &fake{}, Options{}))
	for range 5 {
		resp, err := http.Post("http://"+addr+"/v1/call/echo/x", "text/plain", strings.NewReader(strings.Repeat("x", 16<<20)))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("got %d, want 413", resp.StatusCode)
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}
