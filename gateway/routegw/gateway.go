package routegw

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/option"
	"github.com/edda-io/edda/internal/ownhost"
	"go.opentelemetry.io/otel/trace"
)

// Gateway serves routes. It is an http.Handler.
type Gateway struct {
	calls   edda.Backend
	streams edda.StreamBackend
	opts    Options
	// durability is what is said of stored requests; "" when it is not known.
	durability string
	log        *slog.Logger
	tracer     trace.Tracer   // nil: nobody traces
	names      *ownhost.Names // nil when there are credentials
	routes     []*compiled
	tree       tree
	// methods are those that there are routes for, in order.
	methods []string
	none    *httpio.Meter // of requests without a route
}

// New returns the gateway of a node. The error, BadValue, names the option, or the route
// and its field, that makes no sense.
func New(b Backends, opts Options) (*Gateway, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	g := &Gateway{calls: b.Calls, streams: b.Streams, opts: opts, durability: string(opts.Durability), log: opts.Logger}
	if n, ok := b.Calls.(interface{ Info() edda.NodeInfo }); ok && g.durability == "" {
		g.durability = string(n.Info().Durability)
	}
	if opts.TracerProvider != nil {
		g.tracer = opts.TracerProvider.Tracer(tracerName)
	}
	if opts.anonymous() {
		var err error
		if g.names, err = ownhost.New(opts.Listen); err != nil {
			return nil, err
		}
	}
	metrics, err := httpio.NewMetrics(opts.Registerer)
	if err != nil {
		return nil, err
	}
	g.none = metrics.Meter("none")
	if err := g.add(b, metrics); err != nil {
		return nil, err
	}
	g.warn()
	return g, nil
}

// tracerName is the instrumentation scope of the gateway's spans.
const tracerName = "github.com/edda-io/edda/gateway/routegw"

// add makes the routes ready.
func (g *Gateway) add(b Backends, metrics *httpio.Metrics) error {
	var patterns []*pattern
	meters := map[string]*httpio.Meter{}
	found := map[string]bool{}
	for i := range g.opts.Routes {
		r := &g.opts.Routes[i]
		rt, err := compile(*r, &g.opts, b)
		if err != nil {
			return badRoute(i, r, err)
		}
		if other, err := conflict(patterns, rt.pattern); err != nil {
			return badRoute(i, r, fmt.Errorf("it conflicts with %q: %w", other, err))
		}
		if meters[rt.pattern.path] == nil {
			meters[rt.pattern.path] = metrics.Meter(rt.pattern.path)
		}
		rt.meter = meters[rt.pattern.path]
		patterns = append(patterns, rt.pattern)
		g.routes = append(g.routes, rt)
		g.tree.add(rt)
		for _, m := range corsMethods(rt.pattern.method) {
			found[m] = true
		}
	}
	g.methods = slices.Sorted(maps.Keys(found))
	return nil
}

// warn tells of routes whose service is not there, or not as they want it: it may come
// yet, so that is no error.
func (g *Gateway) warn() {
	known, ok := g.calls.(interface {
		Service(ctx context.Context, namespace, name string) (*edda.ServiceInfo, error)
	})
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	for _, rt := range g.routes {
		if rt.Service == "" {
			continue
		}
		if why := rt.mismatch(known.Service(ctx, rt.Namespace, rt.Service)); why != "" {
			g.log.LogAttrs(ctx, slog.LevelWarn, "a route cannot work as things are", slog.String("route", rt.pattern.text),
				slog.String("service", rt.Service), slog.String("why", why))
		}
	}
}

// lookTimeout bounds how long the services are asked for at the start.
const lookTimeout = 5 * time.Second

// mismatch says why a route does not fit its service; "" when it does.
func (rt *compiled) mismatch(s *edda.ServiceInfo, err error) string {
	switch {
	case edda.ReasonOf(err) == edda.UnknownService:
		return "the service is not registered"
	case err != nil:
		return err.Error()
	case s.Kind == edda.Ordered && rt.key.kind == noSource:
		return "the service is ordered: the route needs a Key"
	case s.Kind == edda.Balanced && rt.key.kind != noSource:
		return "the service is balanced: the route must have no Key"
	case len(s.Methods) > 0 && rt.method.kind == fromText && !slices.Contains(s.Methods, rt.Method):
		return "the service has no method " + rt.Method
	}
	return ""
}

// check fills in defaults, and names the option that makes no sense.
func (o *Options) check() error {
	o.Wait, o.MaxBody = cmp.Or(o.Wait, DefaultWait), cmp.Or(o.MaxBody, DefaultMaxBody)
	o.SlowWarning = cmp.Or(o.SlowWarning, DefaultSlowWarning)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if o.KeyHeaders, err = httpio.KeyHeaders(o.KeyHeaders); err != nil {
		return option.Refuse(option.Bad("KeyHeaders", "has %w", err))
	}
	switch {
	case o.Wait < 0 || o.Wait > MaxWait:
		return option.Refuse(option.Bad("Wait", "is %v, must be positive and at most %v", o.Wait, MaxWait))
	case o.MaxBody < 0:
		return option.Refuse(option.Bad("MaxBody", "is %d, must be positive", o.MaxBody))
	case o.Authenticator != nil && o.Authenticate != nil:
		return option.Refuse(errors.New("options Authenticator and Authenticate are both given"))
	case o.CORS != nil:
		return option.Refuse(option.In("CORS", o.CORS.check(o.anonymous())))
	}
	return nil
}

// anonymous reports whether nobody is asked for credentials.
func (o *Options) anonymous() bool { return o.Authenticator == nil && o.Authenticate == nil }

func badRoute(i int, r *Route, err error) error {
	return option.Refuse(option.In("Routes", option.InElement(i, r.Route, err)))
}
