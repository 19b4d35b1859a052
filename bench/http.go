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
	"github.com/edda-io/edda/gateway/oneport"
	"github.com/edda-io/edda/gateway/rpcgw"
	"github.com/edda-io/edda/gateway/wsgw"
	"github.com/edda-io/edda/node"
)

// server is a server on a loopback port of its own.
type server struct {
	addr  string
	close func() error
	done  chan error
}

// serve starts a server, which close ends; stop does, and waits.
func serve(run func(net.Listener) error, end func() error) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{addr: l.Addr().String(), close: end, done: make(chan error, 1)}
	go func() { s.done <- run(l) }()
	return s, nil
}

func serveHTTP(h *http.Server) (*server, error) { return serve(h.Serve, h.Close) }

// serveEcho starts a bare net/http server that answers a POST with its body.
func serveEcho() (*server, error) {
	return serveHTTP(&http.Server{
		Handler:           http.HandlerFunc(echo),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	})
}

// serveNode starts the gateways of a node on one port, as the program does. Routes may be
// nil.
func serveNode(n *node.Node, routes httpgw.Routes) (*server, error) {
	live, err := wsgw.New(n, wsgw.Options{Rate: liveRate})
	if err != nil {
		return nil, err
	}
	g, err := httpgw.New(n, httpgw.Options{Live: live, Routes: routes})
	if err != nil {
		return nil, err
	}
	// No row is about workers that fall silent, and with the machine busy they may seem to.
	rpc, err := rpcgw.New(n, rpcgw.Options{Lifetime: time.Minute})
	if err != nil {
		return nil, err
	}
	port := oneport.New(oneport.Options{HTTP: httpgw.NewServer(g, nil), RPC: rpc})
	return serve(port.Serve, func() error {
		now, cancel := context.WithCancel(context.Background())
		cancel()
		port.Shutdown(now)
		return nil
	})
}

// stop closes all connections.
func (s *server) stop() error {
	err := s.close()
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
		s, err := serveNode(n, nil)
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
