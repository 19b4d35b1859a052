package httpgw

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

// says answers with its text and the path.
type says string

func (s says) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, string(s)+" "+r.URL.Path)
}

// fakeRoutes serves every path that begins with a slash and "r".
type fakeRoutes struct{ asked []string }

func (f *fakeRoutes) Find(r *http.Request) (http.Handler, bool) {
	f.asked = append(f.asked, r.URL.Path)
	return says("route"), strings.HasPrefix(r.URL.Path, "/r")
}

func (*fakeRoutes) OpenAPI() map[string]any {
	return obj{"/r/{x}": obj{"get": obj{"operationId": "r", "responses": obj{"default": obj{"$ref": "#/components/responses/Problem"}}}}}
}

// Whose a path is: that of live connections, the node's own, a route's, a page's.
func TestWhoServesAPath(t *testing.T) {
	routes := &fakeRoutes{}
	g := gatewayOf(t, &fake{}, Options{
		Live: says("live"), Routes: routes, Authenticator: auth.FirstOf(),
		Pages: []Page{{"/", fstest.MapFS{"r": {Data: []byte("page")}, "index.html": {Data: []byte("root")}}}},
	})
	for target, want := range map[string]string{
		"/v1/live": "live /v1/live", "/v1/ns/shop/live": "live /v1/ns/shop/live",
		"/v1/live/": "401", "/v1/ns//live": "401", "/v1/ns/shop/x/live": "401", "/v1/ns/live": "401", "/v1/lives": "401",
		"/healthz": "500", "/r": "route /r", "/r/%2e%2e/v1": "route /r/../v1", "/": "root",
		"/v1": "401", "/v1/r": "401", "/v1/": "401", "/v1%2Fr": "401", "/openapi.json": "401",
	} {
		w := do(catching{g}, http.MethodGet, target, "")
		got := w.Body.String()
		if w.Code != http.StatusOK {
			got = http.StatusText(w.Code)
			want = map[string]string{"401": "Unauthorized", "500": "Internal Server Error"}[want]
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
	for _, path := range routes.asked {
		if path == "/v1" || strings.HasPrefix(path, "/v1/") || path == "/healthz" {
			t.Errorf("the routes were asked about %s", path)
		}
	}
	bare := gatewayOf(t, &fake{}, Options{})
	for _, target := range []string{"/v1/live", "/r", "/"} {
		if w := do(bare, http.MethodGet, target, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s without anything that serves it: got %d, want 404", target, w.Code)
		}
	}
}

// catching answers 500 for what panics: these gateways have no node.
type catching struct{ http.Handler }

func (c catching) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if recover() != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}()
	c.Handler.ServeHTTP(w, r)
}

func TestOpenAPIHasTheRoutes(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{Routes: &fakeRoutes{}})
	doc := openAPIOf(t, g, nil)
	if doc["paths"].(obj)["/r/{x}"] == nil || doc["paths"].(obj)["/v1/requests"] == nil {
		t.Error("the routes are not beside the node's own")
	}
}

const page1 = "https://app.example"

// pathsAlone are routes with these paths, which serve nothing.
type pathsAlone []string

func (pathsAlone) Find(*http.Request) (http.Handler, bool) { return nil, false }

func (p pathsAlone) OpenAPI() map[string]any {
	all := map[string]any{}
	for _, path := range p {
		all[path] = nil
	}
	return all
}

func TestRoutesOfTheNodesPathsAreRefused(t *testing.T) {
	for path, why := range map[string]string{
		"/v1/x": "below /v1", "/v1": "below /v1", "/metrics": "one of the node's own", "/edda.js": "one of the node's own", "/healthz": "one of the node's own",
	} {
		o := Options{Routes: pathsAlone{"/{name}", path}, Gatherer: prometheus.NewRegistry()}
		if _, err := build(nil, backends{calls: &fake{}}, edda.Memory, o); edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), path+" is "+why) {
			t.Errorf("%s: got %v, want it refused as %s", path, err, why)
		}
	}
	if _, err := build(nil, backends{calls: &fake{}}, edda.Memory, Options{Routes: pathsAlone{"/{name}", "/", "/v1x"}}); err != nil {
		t.Error(err)
	}
}

func TestPagesOfOtherOrigins(t *testing.T) {
	f := &fake{}
	rights := byName(map[string]auth.Rights{"ada": auth.Everything()})
	g := gatewayOf(t, f, Options{Authenticator: rights, Origins: []string{page1, "http://localhost:3000"}})
	ask := func(g *Gateway, method, target, origin string, headers ...string) *httptest.ResponseRecorder {
		return do(g, method, target, "", append(headers, "Origin: "+origin, "Host: edda.example")...)
	}
	// A preflight shows no credentials, and says what will be asked.
	w := ask(g, http.MethodOptions, "/v1/streams/orders", page1,
		"Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: authorization,content-type,edda-key")
	h := w.Header()
	if w.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != page1 || h.Get("Access-Control-Allow-Methods") != "PUT" ||
		h.Get("Access-Control-Allow-Headers") != "authorization,content-type,edda-key" || h.Get("Access-Control-Max-Age") != "600" {
		t.Errorf("preflight: got %d %v", w.Code, h)
	}
	// The request itself needs its token, and its answer may be read, whatever it is.
	w = ask(g, http.MethodPost, "/v1/call/echo/x", page1, "Authorization: Bearer ada")
	if h = w.Header(); w.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != page1 || h.Get("Access-Control-Expose-Headers") != "*" {
		t.Errorf("call: got %d %v", w.Code, h)
	}
	w = ask(g, http.MethodPost, "/v1/call/echo/x", page1)
	if w.Code != http.StatusUnauthorized || w.Header().Get("Access-Control-Allow-Origin") != page1 {
		t.Errorf("without a token: got %d %v", w.Code, w.Header())
	}
	if h.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("browsers may send what nobody meant to show")
	}
	// Nobody else's pages.
	for _, origin := range []string{"https://evil.example", "https://app.example:8443", "http://app.example", "https://app.example.evil", "null"} {
		for _, w := range []*httptest.ResponseRecorder{
			ask(g, http.MethodOptions, "/v1/streams/orders", origin, "Access-Control-Request-Method: PUT"),
			ask(g, http.MethodPost, "/v1/call/echo/x", origin, "Authorization: Bearer ada"),
		} {
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != "" || w.Header().Get("Vary") == "" {
				t.Errorf("%s: got %q, %v", origin, got, w.Header())
			}
		}
	}
	// Without a list nothing is allowed, and nothing said.
	bare := gatewayOf(t, f, Options{Authenticator: rights})
	w = ask(bare, http.MethodOptions, "/v1/streams/orders", page1, "Access-Control-Request-Method: PUT")
	for name := range w.Header() {
		if strings.HasPrefix(name, "Access-Control-") || name == "Vary" {
			t.Errorf("without a list there is %s", name)
		}
	}
	// Live connections and routes see to themselves.
	g = gatewayOf(t, f, Options{Authenticator: rights, Origins: []string{page1}, Live: says("live"), Routes: &fakeRoutes{}})
	for _, target := range []string{"/v1/live", "/r"} {
		if w := ask(g, http.MethodGet, target, page1); w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: got %v", target, w.Header())
		}
	}
}

// Where nobody needs credentials, a listed origin is not foreign, but everything else
// still is.
func TestListedOriginsOfAnybody(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{Listen: []string{"127.0.0.1:7400"}, Origins: []string{"http://localhost:3000"}})
	for _, tc := range []struct {
		origin, host string
		status       int
	}{
		{"http://localhost:3000", "localhost:7400", 204},
		{"HTTP://LOCALHOST:3000", "localhost:7400", 204},
		{"http://localhost:7400", "localhost:7400", 204},
		{"http://localhost:3001", "localhost:7400", 403},
		{"http://localhost:3000", "evil.example", 403},
		{"null", "localhost:7400", 403},
	} {
		w := do(g, http.MethodPost, "/v1/call/echo/x", "", "Origin: "+tc.origin, "Host: "+tc.host)
		if w.Code != tc.status {
			t.Errorf("%s at %s: got %d, want %d", tc.origin, tc.host, w.Code, tc.status)
		}
	}
}

func TestOriginsAreChecked(t *testing.T) {
	for _, o := range []string{"", "app.example", "https://app.example/", "https://*.example", "ftp://x", "null", "https://ada@x", "https://x?y"} {
		_, err := build(nil, backends{calls: &fake{}}, edda.Memory, Options{Origins: []string{o}, Authenticator: auth.FirstOf()})
		if edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), "SCHEME://HOST") {
			t.Errorf("%q: got %v", o, err)
		}
	}
	if _, err := build(nil, backends{calls: &fake{}}, edda.Memory, Options{Origins: []string{"*"}, Authenticator: auth.FirstOf()}); err != nil {
		t.Errorf("all origins, with credentials: %v", err)
	}
	if _, err := build(nil, backends{calls: &fake{}}, edda.Memory, Options{Origins: []string{"*"}}); edda.ReasonOf(err) != edda.BadValue {
		t.Errorf("all origins, without credentials: %v", err)
	}
}

// Where the node lets pages in, it alone says which, and says it once.
func TestHandlersSayNothingOfOrigins(t *testing.T) {
	f := &fake{call: func(context.Context, *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{RequestID: fakeID, Headers: edda.Headers{
			{Name: "access-control-allow-origin", Value: "*"}, {Name: "Access-Control-Allow-Credentials", Value: "true"}, {Name: "Vary", Value: "Accept"},
		}}, nil
	}}
	for origin, want := range map[string]string{page1: page1, "https://other.example": "*"} {
		g := gatewayOf(t, f, Options{Authenticator: byName(map[string]auth.Rights{"ada": auth.Everything()}), Origins: []string{page1}})
		h := do(g, http.MethodPost, "/v1/call/echo/x", "", "Authorization: Bearer ada", "Origin: "+origin).Header()
		if got := h["Access-Control-Allow-Origin"]; !slices.Equal(got, []string{want}) || (h.Get("Access-Control-Allow-Credentials") == "true") == (want == page1) ||
			!slices.Equal(h["Vary"], []string{"Origin", "Accept"}) {
			t.Errorf("to a page of %s: got %v", origin, h)
		}
	}
}
