// Package oneport serves HTTP and gRPC on one port, with TLS or without.
//
// What a connection is for shows in what comes over it first. One that begins with
// a gRPC request is handed to the gRPC server, which is faster than net/http at
// what it does; every other one, of HTTP/1.1 or HTTP/2, goes to the HTTP server,
// whose handler also gets the gRPC requests that such a connection may carry
// later, as those of a proxy do. docs/design/0007-rpc.md has the figures.
//
// A Server is safe for concurrent use.
package oneport

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// DefaultHandshake is how long a connection has to show what it is for.
const DefaultHandshake = 10 * time.Second

// RPC is a gRPC server.
type RPC interface {
	http.Handler
	// Serve serves the connections of a listener until that is closed, or Close.
	Serve(l net.Listener) error
	// Close ends all connections, at ctx's end at the latest.
	Close(ctx context.Context)
}

// Options say how a Server serves. HTTP and RPC are required.
type Options struct {
	// HTTP serves what is not gRPC. The Server changes its Handler and ConnContext and
	// has it from then on.
	HTTP *http.Server
	RPC  RPC
	// TLS is how connections are secured; not at all when nil. It should offer h2 and
	// http/1.1, which gRPC needs, and does when its NextProtos are empty.
	TLS *tls.Config
	// Handshake is how long a connection has to show what it is for. Zero means
	// DefaultHandshake.
	Handshake time.Duration
	// Logger is slog.DiscardHandler's when nil.
	Logger *slog.Logger
}

// Server serves both on one port.
type Server struct {
	opts Options
	log  *slog.Logger
	tls  *tls.Config

	looking sync.WaitGroup // connections that have not shown what they are for

	mu       sync.Mutex // guards what follows; nothing is locked under it
	closed   bool
	fresh    map[net.Conn]struct{} // those that looking counts
	listener net.Listener
}

// New returns a server. It panics when HTTP or RPC is missing.
func New(opts Options) *Server {
	if opts.HTTP == nil || opts.RPC == nil {
		panic("oneport: HTTP and RPC are required")
	}
	if opts.Handshake == 0 {
		opts.Handshake = DefaultHandshake
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: opts, log: opts.Logger, fresh: map[net.Conn]struct{}{}}
	if opts.TLS != nil {
		s.tls = opts.TLS.Clone()
		if len(s.tls.NextProtos) == 0 {
			s.tls.NextProtos = []string{"h2", "http/1.1"}
		}
	}
	plain := opts.HTTP.Handler
	opts.HTTP.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if state, ok := r.Context().Value(stateKey{}).(*tls.ConnectionState); ok {
			r.TLS = state
		}
		if r.ProtoMajor == 2 && isRPC(r.Header.Get("Content-Type")) {
			opts.RPC.ServeHTTP(w, r)
			return
		}
		plain.ServeHTTP(w, r)
	})
	opts.HTTP.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if r, ok := c.(*replayed); ok && r.state != nil {
			return context.WithValue(ctx, stateKey{}, r.state)
		}
		return ctx
	}
	return s
}

// stateKey finds the TLS state of a connection that net/http takes for one without.
type stateKey struct{}

// isRPC reports whether a content type is one of gRPC.
func isRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// Serve serves the connections of a listener, which it closes, until Shutdown; then
// it returns http.ErrServerClosed. It may be called once.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listener = l
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return errors.Join(http.ErrServerClosed, l.Close())
	}
	toHTTP, toRPC := newPort(l.Addr()), newPort(l.Addr())
	var served sync.WaitGroup
	served.Go(func() { _ = s.opts.HTTP.Serve(toHTTP) }) // until the port is closed
	served.Go(func() { _ = s.opts.RPC.Serve(toRPC) })
	err := s.accept(l, toHTTP, toRPC)
	_ = l.Close()
	s.looking.Wait()
	_ = toHTTP.Close()
	_ = toRPC.Close()
	served.Wait()
	return err
}

// accept takes connections until the listener fails or is closed.
func (s *Server) accept(l net.Listener, toHTTP, toRPC *port) error {
	pause := minPause
	for {
		c, err := l.Accept()
		if err == nil {
			pause = minPause
			if !s.begin(c) {
				_ = c.Close()
				return http.ErrServerClosed
			}
			s.looking.Go(func() {
				defer s.done(c)
				s.direct(c, toHTTP, toRPC)
			})
			continue
		}
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		switch {
		case closed:
			return http.ErrServerClosed
		case !temporary(err):
			return err
		}
		s.log.Warn("a connection could not be accepted", "error", err)
		time.Sleep(pause) // no descriptors, for example
		pause = min(2*pause, time.Second)
	}
}

const minPause = 5 * time.Millisecond

func temporary(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary()
}

// begin notes a connection that has not shown what it is for.
func (s *Server) begin(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.fresh[c] = struct{}{}
	}
	return !s.closed
}

func (s *Server) done(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.fresh, c)
}

// Shutdown takes no more connections, ends the idle ones, and waits for what is
// being answered until ctx ends; then it breaks that off. Serve has returned, or
// will.
func (s *Server) Shutdown(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	if s.listener != nil {
		_ = s.listener.Close()
	}
	for c := range s.fresh {
		_ = c.Close()
	}
	s.mu.Unlock()
	var ended sync.WaitGroup
	ended.Go(func() { s.opts.RPC.Close(ctx) })
	if s.opts.HTTP.Shutdown(ctx) != nil {
		_ = s.opts.HTTP.Close()
	}
	ended.Wait()
}
