package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/setting"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/gateway/oneport"
	"github.com/edda-io/edda/gateway/rpcgw"
	"github.com/edda-io/edda/gateway/wsgw"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/worker/httppush"
)

// closeTimeout bounds how long answers that are being written may take once the
// node has stopped.
const closeTimeout = time.Second

// liveHeadStart is how long WebSockets may take to go before the node begins to stop, so
// that those who only listen hear why.
const liveHeadStart = 250 * time.Millisecond

// server is a node with its gateways on a port.
type server struct {
	node *node.Node
	rpc  *rpcgw.Gateway
	live *wsgw.Gateway
	port *oneport.Server
	// addr and url are where it listens.
	addr, url string
	// took is how long the node took to open.
	took time.Duration
	// sites are what pages are served from, forget ends what knows the callers, and flush
	// sends the last spans.
	sites  *sites
	forget func()
	flush  func(context.Context)
	// served gets the reason why serving ended.
	served chan error
}

// serve opens a node and serves it. Services may be empty. The caller must stop it.
func serve(ctx context.Context, s *setting.Node, services []*edda.Service, logs io.Writer) (up *server, err error) {
	logger, registry := newLogger(s, logs), newRegistry()
	encryption, err := serverTLS(s, logger)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return nil, explainListen(s.Listen, err)
	}
	v := &server{
		sites: &sites{}, forget: func() {}, flush: func(context.Context) {}, served: make(chan error, 1),
		addr: listener.Addr().String(),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.abandon(ctx), listener.Close())
		}
	}()
	if err := v.sites.open(s.Pages); err != nil {
		return nil, err
	}
	known, forget, err := authenticator(ctx, s, logger)
	if err != nil {
		return nil, err
	}
	v.forget = forget
	tracer, flush, err := tracing(ctx, logger)
	if err != nil {
		return nil, err
	}
	v.flush = flush
	begin := time.Now()
	v.node, err = node.Open(ctx, node.Options{
		Dir: s.Dir, Durability: s.Durability, Partitions: s.Partitions, Services: services,
		Limits: s.Limits, KeepSagas: s.KeepSagas, SlowAttempt: s.SlowWarning,
		Endpoints: func(spec edda.EndpointSpec) (node.Endpoint, error) {
			return httppush.New(spec, httppush.Options{MaxReply: int64(s.Limits.PayloadBytes), Logger: logger})
		},
		Logger: logger, Metrics: registry, TracerProvider: tracer, Version: buildVersion(),
	})
	if err != nil {
		return nil, err
	}
	if known, err = withService(known, v.node, s, logger); err != nil {
		return nil, err
	}
	surface, err := v.gateways(&door{s, known, []string{s.Listen, v.addr}, registry, tracer, logger})
	if cli.IsWrongUse(err) {
		return nil, cli.AsWrongUse(s.InWords(err))
	} else if err != nil {
		return nil, err
	}
	v.took = time.Since(begin)
	v.url = "http://" + v.addr
	if encryption != nil {
		v.url = "https://" + v.addr
	}
	v.port = oneport.New(oneport.Options{HTTP: httpgw.NewServer(surface, logger), RPC: v.rpc, TLS: encryption, Logger: logger})
	go func() { v.served <- v.port.Serve(listener) }() // stop ends it and waits for it
	return v, nil
}

// abandon gives up what there is of a server that does not serve.
func (v *server) abandon(ctx context.Context) error {
	var err error
	if v.node != nil {
		err = v.node.Stop(ctx)
	}
	v.forget()
	v.flush(ctx)
	return errors.Join(err, v.sites.close())
}

// explainListen says what can be done about an address that cannot be had.
func explainListen(addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("listen on %s: the port is taken, perhaps by another node: stop that, or name another port with --listen (port 0 takes a free one)", addr)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err
	}
	return fmt.Errorf("listen on %s: %w", addr, err)
}

func newLogger(s *setting.Node, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: s.LogLevel}
	if s.LogJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// run blocks until ctx ends or the node fails, and returns why it failed.
func (v *server) run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-v.node.Done():
		return fmt.Errorf("the node stopped: %w", v.node.Err())
	case err := <-v.served:
		v.served <- err // stop waits for it
		return fmt.Errorf("serve: %w", err)
	}
}

// stop says that the node is about to stop, drains it until the context ends, while
// it still answers and workers hand in what they have, then closes the port.
func (v *server) stop(ctx context.Context) error {
	v.rpc.Drain()
	gone := make(chan struct{})
	go func() { // it is waited for below
		_ = v.live.Drain(ctx) // calls that did not end in time are what Stop tells of
		close(gone)
	}()
	select {
	case <-gone:
	case <-time.After(liveHeadStart): // calls are on their way, which Stop waits for too
	}
	err := v.node.Stop(ctx)
	<-gone
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	v.port.Shutdown(closing)
	if served := <-v.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	v.forget()
	v.flush(closing)
	return errors.Join(err, v.sites.close())
}
