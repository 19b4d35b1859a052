// Package httpgw is the HTTP surface of a node: it decodes a request, calls the
// node and encodes the answer. All rules live in the node; the document at
// /openapi.json describes what is served.
//
// A Gateway is safe for concurrent use and starts no goroutine. A call answered
// 202, or with Edda-Position, is stored as durably as Edda-Durability says; a
// caller who goes away cancels nothing. A problem document with neither id nor
// position means that nothing was stored.
package httpgw

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/collector"
	"github.com/edda-io/edda/internal/option"
	"github.com/edda-io/edda/internal/ownhost"
	"github.com/edda-io/edda/node"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/cors"
	"go.opentelemetry.io/otel/trace"
)

// Defaults of Options.
const (
	DefaultMaxBody     = 4 << 20
	DefaultSlowWarning = time.Second
	DefaultMaxBehind   = 4 << 20
)

// Options say how a Gateway serves. The zero value works.
type Options struct {
	// Authenticator says who sends a request and what they may do: auth.Admit is
	// asked about each one, but for those about health. Who is not known gets
	// NO_CREDENTIALS, who may not NOT_ALLOWED.
	//
	// Nil means that everybody is edda.Anonymous and may do everything. Then Listen
	// must be loopback, and requests with a foreign Host or Origin are refused,
	// because a web page in the browser on the same machine could send them.
	Authenticator auth.Authenticator
	// KeyHeaders are headers, such as X-Api-Key, that a token may be shown in instead of
	// Authorization.
	KeyHeaders []string
	// Listen holds the addresses, HOST:PORT, that the server listens on. Without
	// Authenticator they are taken for the node's own in Host and Origin, beside
	// localhost, 127.0.0.1 and [::1]. Empty means that the port is not checked.
	Listen []string
	// MaxBody is the size of the largest body in bytes. Zero means DefaultMaxBody.
	MaxBody int64
	// MaxBehind is how many bytes of messages may have come to a channel that a reader
	// of its events has not taken: one that had been up to date once and takes too little
	// is told SLOW and loses its connection, and comes back to where it was. Zero means
	// DefaultMaxBehind.
	MaxBehind int64
	// Gatherer is what /metrics shows. Nil means that there is no such route.
	Gatherer prometheus.Gatherer
	// Registerer takes the metrics of the gateway itself. Nil means that they are
	// kept nowhere.
	Registerer prometheus.Registerer
	// TracerProvider gets a span for each call, which is the parent of the node's own;
	// give it to the node too. There are none when nil.
	TracerProvider trace.TracerProvider
	// Live serves /v1/live, and the same in other namespaces: a *wsgw.Gateway. It sees to
	// credentials and origins itself. Nil means that there is no such route.
	Live http.Handler
	// Routes serves what is configured beside the node's own routes: a *routegw.Gateway.
	// Nil means that there is nothing.
	Routes Routes
	// Pages are sites of files. What the node, Live and Routes serve comes before them.
	Pages []Page
	// Origins are those, such as https://app.example.com, of other sites whose pages may
	// use the node's own routes, with a token that they show themselves; "*" stands for
	// all, and is refused without Authenticator. Browsers send neither cookies nor
	// certificates with such requests. Empty means that there are none.
	Origins []string
	// Logger is slog.DiscardHandler's when nil.
	Logger *slog.Logger
	// Version stands in /openapi.json. Empty means the node's.
	Version string
	// SlowWarning is how long a request may take before it is logged, the time that
	// its sender asked to wait not counted; of each route one is logged in 5 s, with how
	// many others there were since the last. Zero means DefaultSlowWarning, a
	// negative value never.
	SlowWarning time.Duration
}

// Gateway serves a node over HTTP. It is an http.Handler and must be the root of
// its server: a mux before it would clean paths.
type Gateway struct {
	node *node.Node
	backends
	durability string
	opts       Options
	log        *slog.Logger
	tracer     trace.Tracer   // nil: nobody traces
	names      *ownhost.Names // nil when there are credentials
	routes     router
	sites      []site
	cors       *cors.Cors // nil when no other origin is listed
	metrics    *httpio.Metrics
	slow       prometheus.Counter // readers of events who were cut off
}

// New returns the gateway of a node. The error names the option that makes no
// sense.
func New(n *node.Node, opts Options) (*Gateway, error) {
	info := n.Info()
	if opts.Version == "" {
		opts.Version = info.Version
	}
	return build(n, backends{calls: n, sagas: n, streams: n, groups: n, channels: n}, info.Durability, opts)
}

// backends are what the node is to the routes.
type backends struct {
	calls    edda.Backend
	sagas    edda.SagaBackend
	streams  edda.StreamBackend
	groups   edda.GroupBackend
	channels edda.ChannelBackend
}

func build(n *node.Node, b backends, d edda.Durability, opts Options) (*Gateway, error) {
	for name, bytes := range map[option.Name]int64{"MaxBody": opts.MaxBody, "MaxBehind": opts.MaxBehind} {
		if bytes < 0 {
			return nil, option.Refuse(option.Bad(name, "is %d, must be positive", bytes))
		}
	}
	opts.MaxBody = cmp.Or(opts.MaxBody, DefaultMaxBody)
	opts.MaxBehind = cmp.Or(opts.MaxBehind, DefaultMaxBehind)
	opts.SlowWarning = cmp.Or(opts.SlowWarning, DefaultSlowWarning)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := httpio.CheckOrigins(opts.Origins, opts.Authenticator == nil); err != nil {
		return nil, option.Refuse(option.Bad("Origins", "has %w", err))
	}
	var err error
	if opts.KeyHeaders, err = httpio.KeyHeaders(opts.KeyHeaders); err != nil {
		return nil, option.Refuse(option.Bad("KeyHeaders", "has %w", err))
	}
	g := &Gateway{node: n, backends: b, durability: string(d), opts: opts, log: opts.Logger, cors: newCORS(opts.Origins)}
	if opts.TracerProvider != nil {
		g.tracer = opts.TracerProvider.Tracer(tracerName, trace.WithInstrumentationVersion(opts.Version))
	}
	if opts.Authenticator == nil {
		if g.names, err = ownhost.New(opts.Listen); err != nil {
			return nil, err
		}
	}
	if err = g.measure(opts.Registerer); err != nil {
		return nil, err
	}
	own := g.served()
	if err := checkRoutes(opts.Routes, own); err != nil {
		return nil, err
	}
	g.routes = newRouter(own, g.metrics)
	if g.sites, err = newSites(opts.Pages, own, g.metrics); err != nil {
		return nil, err
	}
	return g, nil
}

// measure registers the metrics.
func (g *Gateway) measure(r prometheus.Registerer) (err error) {
	if g.metrics, err = httpio.NewMetrics(r); err != nil {
		return err
	}
	var errs []error
	g.slow = collector.Register(r, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "edda_http_slow_readers_total", Help: "Readers of a channel's events that were cut off because they took too little.",
	}), &errs)
	return errors.Join(errs...)
}

// ServeHTTP answers one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{w: w, r: r, namespace: edda.DefaultNamespace}
	routed := g.routes.find(x)
	if x.route == g.routes.none {
		if h := g.elsewhere(r); h != nil {
			h.ServeHTTP(w, r)
			return
		}
		if rt := g.siteOf(r.URL.Path); rt != nil {
			x.route, routed = rt, nil
		}
	}
	if g.cors != nil {
		g.cors.HandlerFunc(noStatus{w}, r)
	}
	err := g.admit(x)
	if err == nil {
		err = routed
	}
	if err == nil {
		err = g.dispatch(x)
	}
	broken := errors.Is(err, errBroken)
	if err != nil && !broken {
		g.fail(x, err)
	}
	g.observe(x, time.Since(start))
	if broken {
		panic(http.ErrAbortHandler) // which closes the connection and is not logged
	}
}

// dispatch calls the handler of the request's method.
func (g *Gateway) dispatch(x *exchange) error {
	method := x.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	for i := range x.route.ops {
		if op := &x.route.ops[i]; op.method == method {
			x.op = op
			if err := x.allowed(op.access); err != nil {
				return err
			}
			return op.handle(g, x)
		}
	}
	x.w.Header()["Allow"] = x.route.allow
	if method == http.MethodOptions {
		x.status = http.StatusNoContent
		x.w.WriteHeader(x.status)
		return nil
	}
	return refuse(edda.BadMethod, "the route takes "+x.route.allow[0])
}

// observe counts the request, and logs it when it took too long.
func (g *Gateway) observe(x *exchange, took time.Duration) {
	status := x.status
	if status == http.StatusGatewayTimeout && x.r.Context().Err() != nil {
		status = edda.Cancelled.HTTPStatus() // whoever asked went away
	}
	x.route.meter.Observe(x.r.Method, status, took)
	httpio.EndSpan(x.span, status)
	if g.opts.SlowWarning < 0 || took < g.opts.SlowWarning || x.waits {
		return
	}
	more, ok := x.route.meter.Slow.Pass()
	if !ok {
		return
	}
	g.log.LogAttrs(context.WithoutCancel(x.r.Context()), slog.LevelWarn, "slow request",
		slog.String("route", x.route.template), slog.String("method", httpio.MethodLabel(x.r.Method)),
		slog.Int("status", status), slog.Duration("took", took), slog.String("requestId", x.id.String()),
		slog.Int64("others", more))
}
