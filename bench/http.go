package bench

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
)

// server is an HTTP server on a loopback port of its own.
type server struct {
	http.Server
	addr string
	done chan error
}

// serve starts a server; stop ends it.
func serve(h http.Handler) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{addr: l.Addr().String(), done: make(chan error, 1)}
	s.Handler = h
	s.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	go func() { s.done <- s.Serve(l) }()
	return s, nil
}

// stop closes all connections.
func (s *server) stop() error {
	err := s.Close()
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// openHTTPFloor readies the row http-floor: a bare net/http server that answers
// a POST with its body.
func openHTTPFloor(_ context.Context, _ *env, inFlight int) (*driver, error) {
	s, err := serve(http.HandlerFunc(echo))
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
