package wsgw

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/option"
	"github.com/edda-io/edda/internal/ownhost"
	"github.com/edda-io/edda/internal/seldom"
	"github.com/edda-io/edda/node"
)

// Gateway serves a node over WebSocket, at /v1/live and /v1/ns/{namespace}/live. It is an
// http.Handler. Whoever made it calls Drain before the node is stopped.
type Gateway struct {
	backends
	opts    Options
	log     *slog.Logger
	names   *ownhost.Names  // nil when there are credentials
	keys    []string        // headers that tokens may be shown in
	origins map[string]bool // in lower case
	metrics *metrics
	closed  seldom.Gate // of lines about connections that were closed for what they did

	running sync.WaitGroup // connections, and upgrades that are under way

	mu       sync.Mutex // guards what follows; nothing is locked under it
	draining bool
	lastID   uint64
	count    int // connections, and upgrades that are under way
	live     map[*conn]struct{}
	of       map[edda.Principal]int
}

// backends are what the node is to connections.
type backends struct {
	calls    caller
	streams  edda.StreamBackend
	channels edda.ChannelBackend
}

// caller is a backend of calls that tells when one is durable.
type caller interface {
	edda.Backend
	CallAcked(ctx context.Context, m *edda.Message, acked func(*edda.Ack)) (*edda.Reply, error)
}

// New returns the gateway of a node. The error names the option that makes no sense.
func New(n *node.Node, opts Options) (*Gateway, error) {
	return build(backends{calls: n, streams: n, channels: n}, opts)
}

func build(b backends, opts Options) (*Gateway, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		backends: b, opts: opts, log: opts.Logger, origins: originSet(opts.Origins),
		live: map[*conn]struct{}{}, of: map[edda.Principal]int{},
	}
	if opts.Authenticator == nil {
		if g.names, err = ownhost.New(opts.Listen); err != nil {
			return nil, err
		}
	}
	if g.keys, err = httpio.KeyHeaders(opts.KeyHeaders); err != nil {
		return nil, option.Refuse(option.Bad("KeyHeaders", "has %w", err))
	}
	g.metrics, err = newMetrics(opts.Registerer)
	return g, err
}

// ServeHTTP upgrades a connection, which the gateway has from then on, or answers with a
// problem document.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		w.Header().Set("Allow", allowed)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	c, err := g.open(w, r)
	if err != nil {
		g.refuse(w, r, err)
		return
	}
	if c != nil {
		go c.run() // until leave; Drain waits for it
	}
}

// reserve makes room for one more connection.
func (g *Gateway) reserve() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.draining:
		return &edda.Error{Reason: edda.Draining, RetryAfter: time.Second, Err: errDraining}
	case g.opts.MaxConnections > 0 && g.count >= g.opts.MaxConnections:
		return &edda.Error{Reason: edda.Unavailable, RetryAfter: time.Second, Err: errFull}
	}
	g.count++
	g.running.Add(1)
	return nil
}

// enter takes up a connection that was upgraded; false when there is to be none any more.
func (g *Gateway) enter(c *conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining {
		return false
	}
	g.live[c] = struct{}{}
	return true
}

// leave gives up what reserve and admitOne have given: c is nil when there was no
// connection yet, and p empty when nobody was known.
func (g *Gateway) leave(c *conn, p edda.Principal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.running.Done()
	delete(g.live, c)
	g.count--
	if p == "" {
		return
	}
	if g.of[p]--; g.of[p] == 0 {
		delete(g.of, p)
	}
}

// admitOne makes room for one more connection of a principal, which leave gives up.
func (g *Gateway) admitOne(p edda.Principal) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if most := g.opts.MaxPerPrincipal; most > 0 && g.of[p] >= most {
		return &edda.Error{Reason: edda.Overloaded, RetryAfter: time.Second, Err: errManyOfOne}
	}
	g.of[p]++
	return nil
}

// Drain tells all connections that the node is about to stop, takes no more of them, and
// closes each with 1012 once its calls are answered, all when ctx ends. It returns when
// they are gone, and ctx's error when that did not wait for their calls. It may be called
// more than once.
func (g *Gateway) Drain(ctx context.Context) error {
	g.mu.Lock()
	g.draining = true
	all := make([]*conn, 0, len(g.live))
	for c := range g.live {
		all = append(all, c)
	}
	g.mu.Unlock()
	for _, c := range all {
		c.drain()
	}
	gone := make(chan struct{})
	var waiting sync.WaitGroup
	defer waiting.Wait()
	waiting.Go(func() {
		defer close(gone)
		g.running.Wait()
	})
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
	}
	for _, c := range all {
		c.shut(closeRestart, "the node stops")
	}
	<-gone
	return context.Cause(ctx)
}
