package httpgw

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/rs/cors"

	"github.com/edda-io/edda/internal/option"
)

// Routes are served beside the node's own; *routegw.Gateway is one. It is asked for
// paths that are neither the node's nor below /v1, and before pages, and says itself
// who may use them.
type Routes interface {
	// Find returns what serves a request; false when no route is for its path.
	Find(r *http.Request) (http.Handler, bool)
	// OpenAPI returns what stands below "paths" for the routes there are now. The caller
	// owns the map, but not what is in it.
	OpenAPI() map[string]any
}

// isLive reports whether a path is that of live connections: /v1/live or
// /v1/ns/{namespace}/live.
func isLive(path string) bool {
	rest, ok := strings.CutPrefix(path, "/v1/")
	if !ok {
		return false
	}
	if rest == "live" {
		return true
	}
	rest, ok = strings.CutPrefix(rest, "ns/")
	if !ok {
		return false
	}
	namespace, last, _ := strings.Cut(rest, "/")
	return namespace != "" && last == "live"
}

// ofNode reports whether a path is the surface's, also where it has no route for it.
func ofNode(path string) bool { return path == "/v1" || strings.HasPrefix(path, "/v1/") }

// checkRoutes refuses routes that would never be asked for anything.
func checkRoutes(routes Routes, own []*route) error {
	if routes == nil {
		return nil
	}
	for _, p := range slices.Sorted(maps.Keys(routes.OpenAPI())) {
		why := "one of the node's own"
		switch {
		case ofNode(p):
			why = "below /v1, where all is the node's own"
		case !slices.ContainsFunc(own, func(rt *route) bool { return rt.template == p }):
			continue
		}
		return option.Refuse(option.In("Routes", fmt.Errorf("the path %s is %s: take another one", p, why)))
	}
	return nil
}

// elsewhere returns what serves a request that is for no route of the node's own; nil
// when nothing does.
func (g *Gateway) elsewhere(r *http.Request) http.Handler {
	if g.opts.Live != nil && isLive(r.URL.Path) {
		return g.opts.Live
	}
	if g.opts.Routes != nil && !ofNode(r.URL.Path) {
		if h, ok := g.opts.Routes.Find(r); ok {
			return h
		}
	}
	return nil
}

// preflightAge is how long, in seconds, a browser may keep what it was told before a
// request.
const preflightAge = 600

// newCORS returns what lets pages of the origins use the node; nil without any.
func newCORS(origins []string) *cors.Cors {
	if len(origins) == 0 {
		return nil
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete},
		AllowedHeaders: []string{"*"}, // Authorization too, whose token is the page's own
		ExposedHeaders: []string{"*"}, // handlers choose names
		MaxAge:         preflightAge,
	})
}

// noStatus keeps the answer to a browser that asks what a page may do from ending before
// it is what every answer to OPTIONS is.
type noStatus struct{ http.ResponseWriter }

// WriteHeader does nothing.
func (noStatus) WriteHeader(int) {}

// listed reports whether an origin is one whose pages may use the node.
func (g *Gateway) listed(origin string) bool {
	for _, o := range g.opts.Origins {
		if strings.EqualFold(o, origin) {
			return true
		}
	}
	return false
}
