package bench

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/node"
)

// server is an HTTP server on a loopback port of its own.
type server struct {
	http *http.Server
	addr string
	done chan error
}

// serve starts a server; stop ends it.
func serve(h *http.Server) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{http: h, addr: l.Addr().String(), done: make(chan error, 1)}
	go func() { s.done <- h.Serve(l) }()
	return s, nil
}

// serveEcho starts a bare net/http server that answers a POST with its body.
func serveEcho() (*server, error) {
	return serve(&http.Server{
		Handler:           http.HandlerFunc(echo),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	})
}

// serveNode starts the gateway of a node.
func serveNode(n *node.Node) (*server, error) {
	g, err := httpgw.New(n, httpgw.Options{})
	if err != nil {
		return nil, err
	}
	return serve(httpgw.NewServer(g, nil))
}

// stop closes all connections.
func (s *server) stop() error {
	err := s.http.Close()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// openHTTPFloor readies the row http-floor.
func openHTTPFloor(_ context.Context, _ *env, inFlight int) (*driver, error) {
	s, err := serveEcho()
	if err != nil {
		return nil, err
	}
	clients, err := dialAll(s.addr, "/"+keyPlace, inFlight)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return &driver{
		op:    func(_ context.Context, caller int) error { return clients[caller].post() },
		close: func() error { closeAll(clients); return s.stop() },
	}, nil
}

func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	_, _ = w.Write(b)
}

// openHTTP readies the row http: the same load on the gateway of a node.
func openHTTP(ctx context.Context, e *env, inFlight int) (*driver, error) {
	return openOnNode(ctx, e, func(n *node.Node) (func(context.Context, int) error, func() error, error) {
		s, err := serveNode(n)
		if err != nil {
			return nil, nil, err
		}
		clients, err := dialAll(s.addr, "/v1/call/"+serviceName+"/"+keyPlace+"/"+methodName, inFlight)
		if err != nil {
			return nil, nil, errors.Join(err, s.stop())
		}
		return func(_ context.Context, caller int) error { return clients[caller].post() },
			func() error { closeAll(clients); return s.stop() }, nil
	})
}
