package routegw

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// exchange is one request on its way through the gateway.
type exchange struct {
	g *Gateway
	w http.ResponseWriter
	r *http.Request
	// route is the one of the request; nil when its path has none for the method.
	route *compiled
	// allowed are the methods that the path has routes for, when route is nil.
	allowed []string
	params  params
	// grant is who sent it, and what they may do.
	grant *auth.Grant
	// status is what was answered.
	status int
	// id is the request that a call made, for the log.
	id   edda.ID
	span trace.Span // nil when nobody traces
}

// ServeHTTP answers a request whose path no route is for with NO_ROUTE.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, ok := g.Find(r)
	if !ok {
		h = &exchange{g: g}
	}
	h.ServeHTTP(w, r)
}

// Find returns what serves a request, and whether any route is for its path. The handler
// is for this one request, and sees to credentials, Host and Origin itself.
func (g *Gateway) Find(r *http.Request) (http.Handler, bool) {
	p, err := placeOf(r.URL)
	if err != nil {
		return nil, false
	}
	x := &exchange{g: g}
	if x.route = g.tree.find(r.Method, p, &x.params); x.route != nil {
		return x, true
	}
	if x.allowed = g.tree.allowed(p, g.methods); x.allowed == nil {
		return nil, false
	}
	return x, true
}

// ServeHTTP answers the request.
func (x *exchange) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x.w, x.r = w, r
	if err := x.answer(); err != nil {
		e := httpio.Told(x.r, err, x.g.log, x.template())
		x.id = e.RequestID
		x.status = httpio.Fail(x.w, x.r, e, x.g.durability)
	}
	x.observe(time.Since(start))
}

func (x *exchange) answer() error {
	if x.preflight() {
		x.noContent()
		return nil
	}
	if x.route == nil {
		return x.unrouted()
	}
	if x.route.cors != nil {
		x.route.cors.HandlerFunc(x.w, x.r)
	}
	if err := x.admit(); err != nil {
		return err
	}
	if err := x.limit(); err != nil {
		return err
	}
	if x.route.Service != "" {
		return x.call()
	}
	return x.append()
}

// preflight answers a browser that asks what a page of another origin may do, and
// reports whether this was one that does.
func (x *exchange) preflight() bool {
	if x.r.Method != http.MethodOptions || len(x.r.Header["Access-Control-Request-Method"]) == 0 {
		return false
	}
	rt := x.route
	if p, err := placeOf(x.r.URL); rt == nil && err == nil {
		rt = x.g.tree.find(x.r.Header.Get("Access-Control-Request-Method"), p, new(params))
	}
	if rt == nil || rt.cors == nil {
		return false
	}
	rt.cors.HandlerFunc(noStatus{x.w}, x.r)
	return true
}

// noStatus keeps the answer to a preflight from ending before it is counted.
type noStatus struct{ http.ResponseWriter }

// WriteHeader does nothing.
func (noStatus) WriteHeader(int) {}

func (x *exchange) noContent() {
	x.status = http.StatusNoContent
	httpio.Write(x.w, x.r, x.status, nil)
}

// unrouted answers a request that no route is for, though one may be for its path.
func (x *exchange) unrouted() error {
	if x.g.names != nil {
		if err := httpio.CheckNames(x.g.names, x.r, nobody); err != nil {
			return err
		}
	}
	if x.allowed == nil {
		if _, err := placeOf(x.r.URL); err != nil {
			return err
		}
		return refuse(edda.NoRoute, "there is no such route")
	}
	allow := strings.Join(append(x.allowed, http.MethodOptions), ", ")
	x.w.Header()["Allow"] = []string{allow}
	if x.r.Method == http.MethodOptions {
		x.noContent()
		return nil
	}
	return refuse(edda.BadMethod, "the route takes "+allow)
}

// observe counts the request, and logs it when it took too long.
func (x *exchange) observe(took time.Duration) {
	status := x.status
	if status == http.StatusGatewayTimeout && x.r.Context().Err() != nil {
		status = edda.Cancelled.HTTPStatus() // whoever asked went away
	}
	m := x.g.none
	if x.route != nil {
		m = x.route.meter
	}
	m.Observe(x.r.Method, status, took)
	httpio.EndSpan(x.span, status)
	if x.g.opts.SlowWarning < 0 || took < x.g.opts.SlowWarning {
		return
	}
	more, ok := m.Slow.Pass()
	if !ok {
		return
	}
	x.g.log.LogAttrs(context.WithoutCancel(x.r.Context()), slog.LevelWarn, "slow request",
		slog.String("route", x.template()), slog.String("method", httpio.MethodLabel(x.r.Method)),
		slog.Int("status", status), slog.Duration("took", took), slog.String("requestId", x.id.String()),
		slog.Int64("others", more))
}

// template is the path of the route, for people.
func (x *exchange) template() string {
	if x.route == nil {
		return "none"
	}
	return x.route.pattern.path
}

// trace returns the trace context of what the request brings about, and begins its span
// where somebody traces.
func (x *exchange) trace(to, method attribute.KeyValue) (parent, state string) {
	if x.g.tracer != nil {
		x.r, x.span, parent, state = httpio.StartSpan(x.g.tracer, x.r, x.template(),
			attribute.String("edda.namespace", x.route.Namespace), to, method)
	}
	if parents := x.r.Header["Traceparent"]; parent == "" && parents != nil {
		parent, state = httpio.TraceContext(parents, x.r.Header["Tracestate"])
	}
	return parent, state
}

// refuse returns an error whose text is all there is to say.
func refuse(reason edda.Reason, detail string) error {
	return &edda.Error{Reason: reason, Err: errors.New(detail)}
}
