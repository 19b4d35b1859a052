package worker_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/oneport"
	"github.com/edda-io/edda/internal/freeport"
	"github.com/edda-io/edda/internal/testca"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
	"github.com/edda-io/edda/worker"
)

// silentRPC is a gRPC server that nothing reaches.
type silentRPC struct{ *grpc.Server }

func (s silentRPC) Close(context.Context) { s.Stop() }

// portOf serves one port as a node does, and returns its address.
func portOf(t *testing.T, encryption *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rpc := grpc.NewServer()
	eddav1.RegisterWorkerServiceServer(rpc, refusing{})
	s := oneport.New(oneport.Options{HTTP: &http.Server{Handler: http.NotFoundHandler()}, RPC: silentRPC{rpc}, TLS: encryption})
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Shutdown(ctx)
		<-served
	})
	return l.Addr().String()
}

// refusing registers no worker.
type refusing struct {
	eddav1.UnimplementedWorkerServiceServer
}

func (refusing) Work(eddav1.WorkerService_WorkServer) error {
	return status.Error(codes.Unavailable, "not now")
}

// rawPort accepts connections and hands each to serve.
func rawPort(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// authority is a CA, and what of TLS comes from it.
type authority struct {
	t *testing.T
	*testca.CA
}

func (a authority) server(change func(*x509.Certificate)) *tls.Config {
	a.t.Helper()
	cert, key := a.Issue(a.t, a.t.TempDir(), "node", change)
	c, err := auth.ServerTLS(auth.ServerTLSOptions{CertFile: cert, KeyFile: key})
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func (a authority) client() *tls.Config {
	a.t.Helper()
	c, err := auth.ClientTLS(auth.ClientTLSOptions{CAFile: a.File})
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// wrongs are places that no worker gets into, by what is wrong.
func wrongs(t *testing.T) (lasting, passing map[string]wrong) {
	t.Helper()
	ca, other := authority{t, testca.New(t)}, authority{t, testca.New(t)}
	secure, plain := portOf(t, ca.server(nil)), portOf(t, nil)
	strange := ca.server(func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"node.example"}, nil })
	site := httptest.NewServer(http.NotFoundHandler())
	secureSite := httptest.NewUnstartedServer(http.NotFoundHandler())
	secureSite.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	secureSite.StartTLS()
	t.Cleanup(site.Close)
	t.Cleanup(secureSite.Close)
	siteCA := &tls.Config{RootCAs: secureSite.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	lasting = map[string]wrong{
		"without TLS to TLS":          {"http://" + secure, nil, "there is TLS at " + secure + ": connect to https://" + secure},
		"TLS to a node without":       {"https://" + plain, ca.client(), "there is no TLS at " + plain + ": connect to http://" + plain},
		"a wrong CA":                  {"https://" + secure, other.client(), "of an authority (CN=test CA) that is not trusted here"},
		"no CA":                       {"https://" + secure, nil, "is not trusted here: trust the certificate of the node's CA"},
		"a wrong name":                {"https://" + portOf(t, strange), ca.client(), `is for node.example and not for "127.0.0.1"`},
		"an HTTP server":              {site.URL, nil, "speaks HTTP/1, so it is no node"},
		"an HTTP server, by TLS":      {"https://" + site.Listener.Addr().String(), ca.client(), "there is no TLS at"},
		"an HTTPS server":             {secureSite.URL, siteCA, "speaks no HTTP/2, so it is no node"},
		"another TLS server, without": {"http://" + rawPort(t, func(c net.Conn) { _, _ = c.Write([]byte{21, 3, 3, 0, 2, 2, 40}) }), nil, "there is TLS at"},
		"another protocol":            {"http://" + rawPort(t, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n") }), nil, "does not speak HTTP/2, so it is no node"},
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	expired := ca.server(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	early := ca.server(func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	})
	passing = map[string]wrong{
		"a closed port":          {"http://" + closed.Addr().String(), nil, "nobody listens at " + closed.Addr().String() + ": start a node there"},
		"an expired certificate": {"https://" + portOf(t, expired), ca.client(), "has expired at"},
		"an early certificate":   {"https://" + portOf(t, early), ca.client(), "look at the clocks"},
		"nothing is said":        {"http://" + rawPort(t, func(net.Conn) {}), nil, "ends the connection at once: is it a node"},
		"nothing is said by TLS": {"https://" + rawPort(t, func(net.Conn) {}), nil, "ends the connection at once: is it a node"},
	}
	return lasting, passing
}

// wrong is one of them: what a worker connects with, and what it is told.
type wrong struct {
	url  string
	tls  *tls.Config
	text string
}

// What is wrong for good ends Run at once, and says what would be right.
func TestWrongForGood(t *testing.T) {
	lasting, _ := wrongs(t)
	for name, c := range lasting {
		err := worker.Options{TLS: c.tls}.Run(t.Context(), c.url, balanced("echo", echo))
		if edda.ReasonOf(err) != edda.NoRoute || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v\nwant NO_ROUTE with %q", name, err, c.text)
		}
	}
}

// line is one of a log: its level and why.
type line struct {
	level slog.Level
	why   string
}

// lines is a handler that passes on why there is no connection.
type lines struct {
	slog.Handler
	out chan line
}

func (lines) Enabled(context.Context, slog.Level) bool { return true }

func (l lines) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "why" {
			l.out <- line{r.Level, a.Value.String()}
		}
		return true
	})
	return nil
}

// What may pass is tried again and again, and said once.
func TestWrongForNow(t *testing.T) {
	_, passing := wrongs(t)
	for name, c := range passing {
		log := lines{slog.DiscardHandler, make(chan line, 1000)}
		r := runAt(t, c.url, worker.Options{TLS: c.tls, Logger: slog.New(log)}, balanced("echo", echo))
		first := recv(t, log.out)
		if first.level != slog.LevelWarn || !strings.Contains(first.why, c.text) {
			t.Errorf("%s: the log has %v\nwant a warning with %q", name, first, c.text)
		}
		for range 2 {
			if next := recv(t, log.out); next.level != slog.LevelDebug || next.why != first.why {
				t.Errorf("%s: the log has %v after %v, want the same, for debugging", name, next, first)
			}
		}
		r.cancel()
		if err := r.ended(); err != nil {
			t.Errorf("%s: Run returns %v", name, err)
		}
	}
}

// A worker that a node has registered goes on though the node now speaks TLS and the
// worker does not: the next one that listens there may be as before. Each cause is
// told once.
func TestWrongAfterwards(t *testing.T) {
	n := newFakeNodeAt(t, freeport.Address(t))
	log := lines{slog.DiscardHandler, make(chan line, 1000)}
	r := n.run(worker.Options{Logger: slog.New(log)}, balanced("echo", echo))
	n.registered()
	addr := strings.TrimPrefix(n.url, "http://")
	n.server.Stop()
	warned := func(text string) {
		t.Helper()
		for {
			l := recv(t, log.out)
			if strings.Contains(l.why, text) && l.level == slog.LevelWarn {
				return
			}
		}
	}
	warned("nobody listens")
	ca := authority{t, testca.New(t)}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	secure := grpc.NewServer(grpc.Creds(credentials.NewTLS(ca.server(nil))))
	var served sync.WaitGroup
	served.Go(func() { _ = secure.Serve(l) })
	warned("at once")
	secure.Stop()
	served.Wait()
	warned("nobody listens")
	newFakeNodeAt(t, addr).registered()
	r.cancel()
	if err := r.ended(); err != nil {
		t.Errorf("Run returns %v", err)
	}
}
