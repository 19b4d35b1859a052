package oneport_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/gateway/oneport"
	"github.com/edda-io/edda/internal/testca"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rpc is a gRPC server that counts what came over connections of its own.
type rpc struct {
	*grpc.Server
	shared *grpc.Server
}

func newRPC() *rpc {
	r := &rpc{grpc.NewServer(), grpc.NewServer()}
	healthv1.RegisterHealthServer(r.Server, named("own"))
	healthv1.RegisterHealthServer(r.shared, named("shared"))
	return r
}

// named answers with its name, so that a test sees who answered.
func named(name string) *health.Server {
	h := health.NewServer()
	h.SetServingStatus(name, healthv1.HealthCheckResponse_SERVING)
	return h
}

func (r *rpc) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.shared.ServeHTTP(w, req) }

func (r *rpc) Close(context.Context) {
	r.Stop()
	r.shared.Stop()
}

// serve serves until the test ends and returns the address. HTTP answers with the
// protocol and whether TLS was used.
func serve(t *testing.T, config *tls.Config, o oneport.Options) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.RPC, o.TLS = newRPC(), config
	o.HTTP = httpgw.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := ""
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			who = r.TLS.VerifiedChains[0][0].Subject.CommonName
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v %s %s", r.Proto, r.TLS != nil, who, body)
	}), nil)
	s := oneport.New(o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Shutdown(ctx)
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

// certificates returns the configuration of a server that asks for certificates,
// and of a client that has one.
func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	ca, dir := testca.New(t), t.TempDir()
	cert, key := ca.Issue(t, dir, "node", nil)
	mine, mineKey := ca.Issue(t, dir, "ada", nil)
	server, err := auth.ServerTLS(auth.ServerTLSOptions{CertFile: cert, KeyFile: key, ClientCAFile: ca.File})
	if err != nil {
		t.Fatal(err)
	}
	client, err = auth.ClientTLS(auth.ClientTLSOptions{CAFile: ca.File, CertFile: mine, KeyFile: mineKey})
	if err != nil {
		t.Fatal(err)
	}
	return server, client
}

func TestHTTP(t *testing.T) {
	server, client := certificates(t)
	for _, c := range []struct {
		name     string
		tls      bool
		protocol func(*http.Protocols)
		want     string
	}{
		{"HTTP/1.1", false, func(p *http.Protocols) { p.SetHTTP1(true) }, "HTTP/1.1 false  hello"},
		{"HTTP/2", false, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }, "HTTP/2.0 false  hello"},
		{"HTTP/1.1 over TLS", true, func(p *http.Protocols) { p.SetHTTP1(true) }, "HTTP/1.1 true ada hello"},
		{"HTTP/2 over TLS", true, func(p *http.Protocols) { p.SetHTTP2(true) }, "HTTP/2.0 true ada hello"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, scheme := server, "https://"
			if !c.tls {
				config, scheme = nil, "http://"
			}
			addr := serve(t, config, oneport.Options{})
			tr := &http.Transport{TLSClientConfig: client, Protocols: new(http.Protocols)}
			defer tr.CloseIdleConnections()
			c.protocol(tr.Protocols)
			for range 3 {
				r, err := (&http.Client{Transport: tr}).Post(scheme+addr+"/", "text/plain", strings.NewReader("hello"))
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(r.Body)
				_ = r.Body.Close()
				if string(b) != c.want || err != nil {
					t.Errorf("got %q, %v, want %q", b, err, c.want)
				}
			}
		})
	}
}

func TestRPC(t *testing.T) {
	server, client := certificates(t)
	for name, config := range map[string]*tls.Config{"plain": nil, "TLS": server} {
		t.Run(name, func(t *testing.T) {
			creds := insecure.NewCredentials()
			if config != nil {
				creds = credentials.NewTLS(client)
			}
			c, err := grpc.NewClient("passthrough:"+serve(t, config, oneport.Options{}), grpc.WithTransportCredentials(creds))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if _, err := healthv1.NewHealthClient(c).Check(t.Context(), &healthv1.HealthCheckRequest{Service: "own"}); err != nil {
				t.Errorf("the gRPC server did not get the connection: %v", err)
			}
		})
	}
}

// h2 is one connection of HTTP/2, played by hand.
type h2 struct {
	t *testing.T
	net.Conn
	*http2.Framer
	enc  *hpack.Encoder
	buf  bytes.Buffer
	next uint32
}

func dialH2(t *testing.T, addr string) *h2 {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	h := &h2{t: t, Conn: c, Framer: http2.NewFramer(c, c), next: 1}
	h.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	h.enc = hpack.NewEncoder(&h.buf)
	return h
}

func (h *h2) start() {
	h.t.Helper()
	if err := h.begin(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *h2) begin() error {
	_, err := io.WriteString(h, http2.ClientPreface)
	return errors.Join(err, h.WriteSettings())
}

// ask sends a request and returns what the answer's field holds.
func (h *h2) ask(contentType, path string, body []byte, field string) string {
	h.t.Helper()
	h.buf.Reset()
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":authority", "localhost"}, {":path", path}, {"content-type", contentType}, {"te", "trailers"},
	} {
		_ = h.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	id := h.next
	h.next += 2
	err := h.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: h.buf.Bytes(), EndHeaders: true})
	if err = errors.Join(err, h.WriteData(id, true, body)); err != nil {
		h.t.Fatal(err)
	}
	for {
		f, err := h.ReadFrame()
		if err != nil {
			h.t.Fatalf("no answer: %v", err)
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = h.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			h.t.Fatalf("the connection was ended: %v %s", f.ErrCode, f.DebugData())
		case *http2.MetaHeadersFrame:
			for _, hf := range f.Fields {
				if hf.Name == field && f.StreamID == id {
					return hf.Value
				}
			}
		}
	}
}

// check is a HealthCheckRequest as gRPC sends it.
func check(service string) []byte {
	m := append([]byte{0x0a, byte(len(service))}, service...)
	return append([]byte{0, 0, 0, 0, byte(len(m))}, m...)
}

const checkPath = "/grpc.health.v1.Health/Check"

// A connection that begins with HTTP carries gRPC too, as a proxy's may.
func TestBothOverOneConnection(t *testing.T) {
	h := dialH2(t, serve(t, nil, oneport.Options{}))
	h.start()
	if got := h.ask("text/plain", "/", nil, ":status"); got != "200" {
		t.Errorf("status %s", got)
	}
	if got := h.ask("application/grpc", checkPath, check("shared"), "grpc-status"); got != "0" {
		t.Errorf("grpc-status %s", got)
	}
	if got := h.ask("text/plain", "/", nil, ":status"); got != "200" {
		t.Errorf("status %s", got)
	}
}

// A client that waits for settings before it asks gets them, and may then ask for
// either.
func TestClientsThatWait(t *testing.T) {
	addr := serve(t, nil, oneport.Options{})
	for _, c := range []struct{ contentType, path, service, field, want string }{
		{"text/plain", "/", "", ":status", "200"},
		{"application/grpc+proto", checkPath, "own", "grpc-status", "0"},
	} {
		for _, ackLate := range []bool{false, true} {
			h := dialH2(t, addr)
			h.start()
			f, err := h.ReadFrame()
			if s, ok := f.(*http2.SettingsFrame); err != nil || !ok || s.IsAck() {
				t.Fatalf("got %v, %v, want settings", f, err)
			}
			if !ackLate {
				_ = h.WriteSettingsAck()
			}
			if got := h.ask(c.contentType, c.path, check(c.service), c.field); got != c.want {
				t.Errorf("%s: %s %s, want %s", c.contentType, c.field, got, c.want)
			}
			if ackLate {
				_ = h.WriteSettingsAck()
			}
			if got := h.ask(c.contentType, c.path, check(c.service), c.field); got != c.want {
				t.Errorf("%s again: %s %s, want %s", c.contentType, c.field, got, c.want)
			}
		}
	}
}

// A connection that shows nothing in its time is not kept; one of HTTP/2 that has
// not asked for anything yet is.
func TestConnectionsThatShowNothing(t *testing.T) {
	addr := serve(t, nil, oneport.Options{Handshake: 50 * time.Millisecond})
	var h *h2
	for begin := time.Now(); ; { // until it has begun in its time, which is before that of the silent one
		h = dialH2(t, addr)
		err := h.begin()
		if err == nil {
			_, err = h.ReadFrame()
		}
		if err == nil {
			break
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("no settings: %v", err)
		}
	}
	silent, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	_ = silent.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the silent connection: %v, want its end", err)
	}
	if got := h.ask("application/grpc", checkPath, check("shared"), "grpc-status"); got != "0" {
		t.Errorf("grpc-status %s", got)
	}
}

// What is no HTTP at all is answered as net/http answers it.
func TestNoise(t *testing.T) {
	addr := serve(t, nil, oneport.Options{})
	for _, noise := range []string{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxxxxxxxxxx", "PRI * HTTP/2.0\r\n\r\nXX", "\x16\x03\x01\x02\x00", "EHLO x\r\n\r\n"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, noise)
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadAll(c); err != nil && errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: %v", noise, err)
		}
		_ = c.Close()
	}
}

// Connections that have shown nothing do not hold up the end.
func TestShutdownEndsFreshConnections(t *testing.T) {
	addr := serve(t, nil, oneport.Options{Handshake: time.Hour})
	for range 3 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
	}
}
