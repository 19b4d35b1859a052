package routegw_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/routegw"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// people are known by their names.
var people = auth.Func(func(_ context.Context, c auth.Credential) (*auth.Grant, error) {
	if c.Token == "" && c.Certificate != nil {
		return &auth.Grant{Principal: "cert", Rights: auth.Everything()}, nil
	}
	switch c.Token {
	case "ada":
		return &auth.Grant{
			Principal: "ada", Rights: auth.Rights{Call: []auth.Pattern{"users"}, Append: []auth.Pattern{"orders"}},
			Claims: map[string]any{"sub": "u-1", "tenant": "acme", "n": float64(42), "half": 1.5, "list": []any{"a"}, "https://x/y": "z"},
		}, nil
	case "bob":
		return &auth.Grant{Principal: "bob"}, nil
	case "broken":
		return nil, &edda.Error{Reason: edda.Unavailable, Err: errors.New("cannot say")}
	default:
		return nil, auth.ErrUnknown
	}
})

func TestWhoMayUseARoute(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{Authenticator: people, KeyHeaders: []string{"x-api-key"}},
		routegw.Route{Route: "POST /users", Service: "users", Method: "m"},
		routegw.Route{Route: "POST /orders", Stream: "orders"},
		routegw.Route{Route: "POST /others", Service: "others", Method: "m"},
		routegw.Route{Route: "POST /audit", Stream: "audit"},
		routegw.Route{Route: "POST /open", Service: "others", Method: "m", Public: true})
	for _, tc := range []struct {
		path    string
		headers []string
		status  int
		who     edda.Principal
	}{
		{"/users", []string{"Authorization: Bearer ada"}, 200, "ada"},
		{"/users", []string{"X-Api-Key: ada"}, 200, "ada"},
		{"/orders", []string{"Authorization: Bearer ada"}, 200, "ada"},
		{"/others", []string{"Authorization: Bearer ada"}, 403, ""},
		{"/audit", []string{"Authorization: Bearer ada"}, 403, ""},
		{"/users", []string{"Authorization: Bearer bob"}, 403, ""},
		{"/users", []string{"Authorization: Bearer eve"}, 401, ""},
		{"/users", []string{"Authorization: Basic ada"}, 401, ""},
		{"/users", []string{"Authorization: Bearer ada", "X-Api-Key: ada"}, 401, ""},
		{"/users", []string{"Authorization: Bearer broken"}, 503, ""},
		{"/users", nil, 401, ""},
		{"/open", nil, 200, "anonymous"},
		{"/open", []string{"Authorization: Bearer eve"}, 200, "anonymous"},
		{"/open", []string{"Authorization: Bearer ada"}, 200, "anonymous"},
	} {
		f.message, f.append = nil, nil
		w := do(g, "POST", tc.path, `{"principal":"root","sourceId":"root","token":"root"}`, append(tc.headers, "Edda-Principal: root")...)
		if w.Code != tc.status {
			t.Errorf("%s %v: got %d, want %d", tc.path, tc.headers, w.Code, tc.status)
		}
		var who edda.Principal
		switch {
		case f.message != nil:
			who = f.message.Principal
		case f.append != nil:
			who = f.append.Messages[0].Principal
		}
		if who != tc.who {
			t.Errorf("%s %v: stored by %q, want %q", tc.path, tc.headers, who, tc.who)
		}
		if challenge := w.Header().Get("WWW-Authenticate"); (tc.status == 401) != strings.HasPrefix(challenge, "Bearer") {
			t.Errorf("%s %v: got challenge %q", tc.path, tc.headers, challenge)
		}
	}
}

func TestClaims(t *testing.T) {
	for _, tc := range []struct{ key, want string }{
		{"claim.sub", "u-1"}, {"claim.tenant", "acme"}, {"claim.n", "42"}, {"claim.https://x/y", "z"}, {"principal", "ada"},
		{"claim.half", ""}, {"claim.list", ""}, {"claim.none", ""},
	} {
		f := &fake{}
		g := serving(t, f, routegw.Options{Authenticator: people}, routegw.Route{Route: "GET /me", Service: "users", Method: "get", Key: tc.key})
		w := do(g, "GET", "/me", "", "Authorization: Bearer ada")
		switch {
		case tc.want == "":
			refused(t, w, edda.NotAllowed, "claim")
		case f.message == nil || f.message.To.Key != tc.want:
			t.Errorf("%s: got %d and %+v", tc.key, w.Code, f.message)
		}
	}
}

// Whoever knows callers by something else has a function for it.
func TestAuthenticate(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{Authenticate: func(r *http.Request) (*auth.Grant, error) {
		c, err := r.Cookie("session")
		switch {
		case err != nil:
			return nil, err
		case c.Value == "barred":
			return nil, &edda.Error{Reason: edda.NotAllowed, Err: errors.New("barred")}
		case c.Value == "none":
			return nil, nil
		}
		return &auth.Grant{Principal: edda.Principal(c.Value), Rights: auth.Everything()}, nil
	}}, routegw.Route{Route: "GET /me", Service: "s", Method: "get", Key: "principal"})
	answered(t, do(g, "GET", "/me", "", "Cookie: session=ada", "Host: shop.example"), 204, "")
	if f.message.Principal != "ada" || f.message.To.Key != "ada" {
		t.Errorf("got %+v", f.message)
	}
	refused(t, do(g, "GET", "/me", ""), edda.NoCredentials, "not valid")
	refused(t, do(g, "GET", "/me", "", "Cookie: session=none"), edda.NoCredentials, "")
	refused(t, do(g, "GET", "/me", "", "Cookie: session=barred"), edda.NotAllowed, "barred")
}

// Without credentials a page in the browser of the same machine could send anything.
func TestGuardWithoutCredentials(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{Listen: []string{"127.0.0.1:7400"}},
		routegw.Route{Route: "POST /x", Service: "s", Method: "m"},
		routegw.Route{Route: "POST /open", Service: "s", Method: "m", Public: true},
		routegw.Route{Route: "POST /app", Service: "s", Method: "m", CORS: &routegw.CORS{Origins: []string{"https://app.example"}}})
	for _, tc := range []struct {
		path, host, origin string
		status             int
	}{
		{"/x", "localhost:7400", "", 200},
		{"/x", "localhost:7400", "http://localhost:7400", 200},
		{"/x", "evil.example", "", 403},
		{"/x", "localhost:7400", "https://evil.example", 403},
		{"/x", "localhost:7400", "null", 403},
		{"/open", "evil.example", "", 403},
		{"/open", "localhost:7400", "https://evil.example", 403},
		{"/app", "localhost:7400", "https://app.example", 200},
		{"/app", "localhost:7400", "https://evil.example", 403},
		{"/x", "localhost:7400", "https://app.example", 403},
		{"/none", "evil.example", "", 403},
	} {
		headers := []string{"Host: " + tc.host}
		if tc.origin != "" {
			headers = append(headers, "Origin: "+tc.origin)
		}
		if w := do(g, "POST", tc.path, "x", headers...); w.Code != tc.status {
			t.Errorf("%+v: got %d", tc, w.Code)
		}
	}
	// An image of another site's page is asked for without an Origin.
	for site, status := range map[string]int{"": 200, "none": 200, "same-origin": 200, "same-site": 200, "cross-site": 403} {
		if w := do(g, "POST", "/x", "x", "Host: localhost:7400", "Sec-Fetch-Site: "+site); w.Code != status {
			t.Errorf("sent by a page that is %q: got %d", site, w.Code)
		} else if said := w.Body.String(); status == 403 && (!strings.Contains(said, "no Origin") || !strings.Contains(said, "Sec-Fetch-Site")) {
			t.Errorf("got %s, want that it says by what it was refused", said)
		}
	}
	if w := do(g, "POST", "/app", "x", "Host: localhost:7400", "Origin: https://app.example", "Sec-Fetch-Site: cross-site"); w.Code != 200 {
		t.Errorf("sent by the page of an origin that is listed: got %d", w.Code)
	}
	if _, err := routegw.New(routegw.Backends{Calls: f}, routegw.Options{Listen: []string{"0.0.0.0:80"}}); edda.ReasonOf(err) != edda.BadValue {
		t.Errorf("got %v, want BAD_VALUE for an address that is not the loopback's", err)
	}
}

// A browser shows a certificate to whoever asks.
func TestCertificateOfAnotherSitesPage(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{Authenticator: people}, routegw.Route{Route: "POST /x", Service: "s", Method: "m"})
	for origin, status := range map[string]int{"https://evil.example": 403, "https://node.example": 200, "": 200} {
		r := httptest.NewRequest(http.MethodPost, "https://node.example/x", strings.NewReader("x"))
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		w := httptest.NewRecorder()
		if g.ServeHTTP(w, r); w.Code != status {
			t.Errorf("%q: got %d, want %d", origin, w.Code, status)
		}
	}
}

func TestCORS(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{Authenticator: people, CORS: &routegw.CORS{Origins: []string{"https://app.example"}, MaxAge: time.Minute}},
		routegw.Route{Route: "GET /users/{id}", Service: "users", Method: "get", Key: "path.id"},
		routegw.Route{Route: "PUT /users/{id}", Service: "users", Method: "put", Key: "path.id", CORS: &routegw.CORS{
			Origins: []string{"https://admin.example"}, Headers: []string{"X-Admin"}, Expose: []string{"X-Seen"}, Credentials: true,
		}})
	ask := func(method, origin, headers string) http.Header {
		t.Helper()
		w := do(g, "OPTIONS", "/users/7", "", "Origin: "+origin, "Access-Control-Request-Method: "+method, "Access-Control-Request-Headers: "+headers)
		if w.Code != 204 || w.Body.Len() != 0 {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		return w.Header()
	}
	h := ask("GET", "https://app.example", "authorization")
	if h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Access-Control-Allow-Headers") != "authorization" ||
		h.Get("Access-Control-Max-Age") != "60" || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("got %v", h)
	}
	if h := ask("PUT", "https://admin.example", "x-admin"); h.Get("Access-Control-Allow-Origin") != "https://admin.example" || h.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("got %v", h)
	}
	for _, tc := range [][3]string{
		{"PUT", "https://app.example", ""}, {"GET", "https://admin.example", ""}, {"GET", "https://evil.example", ""}, {"GET", "null", ""},
		{"PUT", "https://admin.example", "x-other"}, {"DELETE", "https://admin.example", ""},
	} {
		if h := ask(tc[0], tc[1], tc[2]); h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%v: got %v", tc, h)
		}
	}
	w := do(g, "GET", "/users/7", "", "Origin: https://app.example")
	if w.Code != 401 || w.Header().Get("Access-Control-Allow-Origin") != "https://app.example" || !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "Ratelimit") &&
		!strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "RateLimit") {
		t.Errorf("a refusal: got %d %v", w.Code, w.Header())
	}
	w = do(g, "PUT", "/users/7", "", "Origin: https://admin.example", "Authorization: Bearer ada")
	if w.Code != 204 || w.Header().Get("Access-Control-Expose-Headers") != "X-Seen" || w.Header().Get("Vary") != "Origin" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
}

// What the gateway says of origins and rates, a handler does not say again.
func TestHandlersSayNothingOfOriginsAndRates(t *testing.T) {
	f := &fake{call: func(context.Context, *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{RequestID: fakeID, Headers: edda.Headers{
			{Name: "Access-Control-Allow-Origin", Value: "*"}, {Name: "ratelimit", Value: "mine"}, {Name: "X-Twice", Value: "1"}, {Name: "X-Twice", Value: "2"},
		}}, nil
	}}
	g := serving(t, f, routegw.Options{Authenticator: people, CORS: &routegw.CORS{Origins: []string{"https://app.example"}}},
		routegw.Route{Route: "GET /users", Service: "users", Method: "get", Rate: &routegw.Rate{Limit: 1}})
	h := do(g, "GET", "/users", "", "Origin: https://app.example", "Authorization: Bearer ada").Header()
	if !slices.Equal(h["Access-Control-Allow-Origin"], []string{"https://app.example"}) || len(h["Ratelimit"]) != 1 || h.Get("Ratelimit") == "mine" ||
		!slices.Equal(h["X-Twice"], []string{"1", "2"}) {
		t.Errorf("got %v", h)
	}
}

func TestMethodsOfAPath(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{Authenticator: people},
		routegw.Route{Route: "GET /users/{id}", Service: "users", Method: "get"}, routegw.Route{Route: "DELETE /users/{id}", Service: "users", Method: "delete"},
		routegw.Route{Route: "/any", Service: "users", Method: "any"})
	w := do(g, "POST", "/users/7", "")
	refused(t, w, edda.BadMethod, "DELETE, GET, HEAD, OPTIONS")
	if got := w.Header().Get("Allow"); got != "DELETE, GET, HEAD, OPTIONS" {
		t.Errorf("got Allow %q", got)
	}
	w = do(g, "OPTIONS", "/users/7", "")
	if w.Code != 204 || w.Header().Get("Allow") != "DELETE, GET, HEAD, OPTIONS" {
		t.Errorf("OPTIONS: got %d %v", w.Code, w.Header())
	}
	refused(t, do(g, "GET", "/nothing", ""), edda.NoRoute, "")
	if w := do(g, "OPTIONS", "/any", "", "Authorization: Bearer ada"); w.Code != 204 || f.message == nil {
		t.Errorf("OPTIONS of a route of every method: got %d", w.Code)
	}
	if _, ok := g.Find(httptest.NewRequest(http.MethodGet, "/nothing", nil)); ok {
		t.Error("a path without a route is found")
	}
	if _, ok := g.Find(httptest.NewRequest(http.MethodPut, "/users/7", nil)); !ok {
		t.Error("a path with routes of other methods is not found")
	}
}

func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		g := serving(t, f, routegw.Options{Authenticator: auth.Func(func(_ context.Context, c auth.Credential) (*auth.Grant, error) {
			return &auth.Grant{Principal: edda.Principal(c.Token), Rights: auth.Everything()}, nil
		})},
			routegw.Route{Route: "POST /a", Service: "s", Method: "m", Rate: &routegw.Rate{Limit: 6, Per: time.Minute, Burst: 2}},
			routegw.Route{Route: "POST /b", Service: "s", Method: "m", Rate: &routegw.Rate{Limit: 3}},
			routegw.Route{Route: "POST /free", Service: "s", Method: "m"})
		post := func(path, who string, status int, limit, after string) {
			t.Helper()
			f.message = nil
			w := do(g, "POST", path, "x", "Authorization: Bearer "+who)
			h := w.Header()
			if w.Code != status || h.Get("Ratelimit") != limit || h.Get("Retry-After") != after || (f.message != nil) != (status == 200) {
				t.Errorf("got %d, RateLimit %q, Retry-After %q, want %d, %q, %q", w.Code, h.Get("Ratelimit"), h.Get("Retry-After"), status, limit, after)
			}
			if policy := h.Get("Ratelimit-Policy"); path == "/a" && policy != `"default";q=2;w=20` || path == "/b" && policy != `"default";q=3;w=1` {
				t.Errorf("got RateLimit-Policy %q", policy)
			}
			if status == 429 {
				refused(t, w, edda.RateLimited, "6 requests in 1m0s")
			}
		}
		post("/a", "ada", 200, `"default";r=1;t=10`, "")
		post("/a", "ada", 200, `"default";r=0;t=20`, "")
		post("/a", "ada", 429, `"default";r=0;t=20`, "10")
		post("/a", "bob", 200, `"default";r=1;t=10`, "")
		post("/b", "ada", 200, `"default";r=2;t=1`, "")
		post("/free", "ada", 200, "", "")
		time.Sleep(9 * time.Second)
		post("/a", "ada", 429, `"default";r=0;t=11`, "1")
		time.Sleep(time.Second)
		post("/a", "ada", 200, `"default";r=0;t=20`, "")
		time.Sleep(time.Hour)
		post("/a", "ada", 200, `"default";r=1;t=10`, "")
	})
}

func TestRatesOfTheAnonymous(t *testing.T) {
	f := &fake{}
	limited := routegw.Route{Route: "POST /a", Service: "s", Method: "m", Public: true, Rate: &routegw.Rate{Limit: 1, Per: time.Hour}}
	g := serving(t, f, routegw.Options{Authenticator: people}, limited)
	post := func(h http.Handler, address string, status int) {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, "/a", nil)
		r.RemoteAddr = address
		r.Header.Set("X-Forwarded-For", "10.9.9.9")
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != status {
			t.Errorf("%s: got %d, want %d", address, w.Code, status)
		}
	}
	post(g, "192.0.2.1:1000", 204)
	post(g, "192.0.2.1:2000", 429)
	post(g, "[::ffff:192.0.2.1]:3000", 429)
	post(g, "192.0.2.2:1000", 204)
	post(g, "[2001:db8::1]:1", 204)
	post(g, "[2001:db8::ffff]:1", 429)
	post(g, "[2001:db8:0:1::1]:1", 204)
	post(g, "@", 204)
	behind := serving(t, f, routegw.Options{Authenticator: people, Client: func(r *http.Request) string { return r.Header.Get("X-Forwarded-For") }}, limited)
	post(behind, "192.0.2.1:1000", 204)
	post(behind, "192.0.2.2:1000", 429)
}

func TestMetricsAndSlowLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		reg := prometheus.NewRegistry()
		f := &fake{}
		g := serving(t, f, routegw.Options{Registerer: reg, Logger: slog.New(slog.NewTextHandler(&log, nil))},
			routegw.Route{Route: "GET /users/{id}", Service: "s", Method: "get"}, routegw.Route{Route: "PUT /users/{id}", Service: "s", Method: "put"})
		do(g, "GET", "/users/1", "")
		do(g, "GET", "/users/2", "")
		do(g, "PUT", "/users/2", "x")
		do(g, "POST", "/users/2", "x")
		do(g, "GET", "/what/ever", "")
		const want = `edda_http_requests_total{method="GET",route="/users/{id}",status="204"} 2
edda_http_requests_total{method="GET",route="none",status="404"} 1
edda_http_requests_total{method="POST",route="none",status="405"} 1
edda_http_requests_total{method="PUT",route="/users/{id}",status="200"} 1
`
		got := ""
		for line := range strings.Lines(do(promhttp.HandlerFor(reg, promhttp.HandlerOpts{}), "GET", "/", "").Body.String()) {
			if strings.HasPrefix(line, "edda_http_requests_total{") {
				got += line
			}
		}
		if got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if log.Len() > 0 {
			t.Errorf("logged %s", &log)
		}
		f.call = func(context.Context, *edda.Message) (*edda.Reply, error) {
			time.Sleep(time.Second)
			return &edda.Reply{RequestID: fakeID, Position: "1-1"}, nil
		}
		do(g, "GET", "/users/1", "")
		do(g, "GET", "/users/1", "")
		if got := log.String(); strings.Count(got, "slow request") != 1 || !strings.Contains(got, "route=/users/{id}") || !strings.Contains(got, fakeID.String()) {
			t.Errorf("logged %q", got)
		}
	})
}

func TestBadRoutesAreTold(t *testing.T) {
	ok := routegw.Route{Route: "GET /x", Service: "s", Method: "m"}
	with := func(change func(*routegw.Route)) routegw.Route {
		r := ok
		change(&r)
		return r
	}
	stream := routegw.Route{Route: "GET /x", Stream: "s"}
	withStream := func(change func(*routegw.Route)) routegw.Route {
		r := stream
		change(&r)
		return r
	}
	name := func(r *routegw.Route) string {
		if r.Route == "" {
			return "0]"
		}
		return strconv.Quote(r.Route) + "]"
	}
	for want, routes := range map[string][]routegw.Route{
		"Routes[0].Route is empty":     {{Service: "s", Method: "m"}},
		`conflicts with "GET /x"`:      {ok, ok},
		"matches the same requests":    {{Route: "GET /x/{a}", Service: "s", Method: "m"}, {Route: "GET /x/{b}", Service: "s", Method: "m"}},
		"one of the two":               {{Route: "GET /x"}},
		"such as GET /users/{id}":      {{Route: "GETX", Service: "s", Method: "m"}},
		"Service or a Stream":          {{Route: "GET /x", Service: "s", Method: "m", Stream: "t"}},
		"].Method is empty":            {{Route: "GET /x", Service: "s"}},
		"].Service":                    {with(func(r *routegw.Route) { r.Service = "a/b" })},
		"].Namespace":                  {with(func(r *routegw.Route) { r.Namespace = "a/b" })},
		".Method: ":                    {with(func(r *routegw.Route) { r.Method = "path.none" })},
		"a service has a Method":       {with(func(r *routegw.Route) { r.Type = "t" })},
		"].Shard is of":                {with(func(r *routegw.Route) { r.Shard = "t" })},
		"].ReplyTo is of":              {with(func(r *routegw.Route) { r.ReplyTo = "t" })},
		".Key: path.none":              {with(func(r *routegw.Route) { r.Key = "path.none" })},
		`"pth.id" is none of`:          {with(func(r *routegw.Route) { r.Key = "pth.id" })},
		"no name after the dot":        {with(func(r *routegw.Route) { r.Key = "query." })},
		"is no header":                 {with(func(r *routegw.Route) { r.Key = "header.a b" })},
		"single quotes":                {with(func(r *routegw.Route) { r.Key = "'a" })},
		"a public route knows":         {with(func(r *routegw.Route) { r.Key, r.Public = "claim.sub", true })},
		"].Payload":                    {with(func(r *routegw.Route) { r.Payload = "all" })},
		"].Headers":                    {with(func(r *routegw.Route) { r.Headers = []string{"Edda-Key"} })},
		"].Wait":                       {with(func(r *routegw.Route) { r.Wait = 11 * time.Minute })},
		"].Wait is set, and Async too": {with(func(r *routegw.Route) { r.Wait, r.Async = time.Second, true })},
		"].MaxBody":                    {with(func(r *routegw.Route) { r.MaxBody = -1 })},
		"].Schema":                     {with(func(r *routegw.Route) { r.Schema = []byte(`{"type":7}`) })},
		"].Rate.Limit is 0":            {with(func(r *routegw.Route) { r.Rate = &routegw.Rate{} })},
		"].Rate.Per is":                {with(func(r *routegw.Route) { r.Rate = &routegw.Rate{Limit: 1, Per: -1} })},
		"].Rate.Burst is":              {with(func(r *routegw.Route) { r.Rate = &routegw.Rate{Limit: 1, Burst: -1} })},
		"].CORS.Origins is empty":      {with(func(r *routegw.Route) { r.CORS = &routegw.CORS{} })},
		"list the origins":             {with(func(r *routegw.Route) { r.CORS = &routegw.CORS{Origins: []string{"*"}} })},
		"SCHEME://HOST":                {with(func(r *routegw.Route) { r.CORS = &routegw.CORS{Origins: []string{"app.example"}} })},
		"].CORS.MaxAge is negative":    {with(func(r *routegw.Route) { r.CORS = &routegw.CORS{Origins: []string{"https://a.b"}, MaxAge: -1} })},
		"].Stream":                     {withStream(func(r *routegw.Route) { r.Stream = "edda.x" })},
		"have a Type":                  {withStream(func(r *routegw.Route) { r.Method = "m" })},
		"].Type":                       {withStream(func(r *routegw.Route) { r.Type = "a\nb" })},
		"a stream of their own":        {withStream(func(r *routegw.Route) { r.ReplyTo = "s" })},
		".ReplyTo: ":                   {withStream(func(r *routegw.Route) { r.ReplyTo = "a/b" })},
		".Shard: ":                     {withStream(func(r *routegw.Route) { r.Shard = "'a/b'" })},
	} {
		f := &fake{}
		_, err := routegw.New(routegw.Backends{Calls: f, Streams: f}, routegw.Options{Routes: routes})
		if edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "option Routes["+name(&routes[len(routes)-1])) {
			t.Errorf("got %v, want BAD_VALUE that names the route and says %q", err, want)
		}
	}
	for want, o := range map[string]routegw.Options{
		"option CORS.Origins": {CORS: &routegw.CORS{Origins: []string{"*"}}},
		"option Wait":         {Wait: -1},
		"option MaxBody":      {MaxBody: -1},
		"option KeyHeaders":   {KeyHeaders: []string{"Cookie"}},
		"both given":          {Authenticator: people, Authenticate: func(*http.Request) (*auth.Grant, error) { return nil, nil }},
	} {
		if _, err := routegw.New(routegw.Backends{}, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for want, r := range map[string]routegw.Route{"for calls": ok, "for streams": stream} {
		if _, err := routegw.New(routegw.Backends{}, routegw.Options{Routes: []routegw.Route{r}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	credentials := with(func(r *routegw.Route) { r.CORS = &routegw.CORS{Origins: []string{"*"}, Credentials: true} })
	if _, err := routegw.New(routegw.Backends{Calls: &fake{}}, routegw.Options{Authenticator: people, Routes: []routegw.Route{credentials}}); err == nil {
		t.Error("all origins with credentials are taken")
	}
}

// knowing is a backend that knows services.
type knowing struct{ *fake }

func (knowing) Service(_ context.Context, _, name string) (*edda.ServiceInfo, error) {
	switch name {
	case "users":
		return &edda.ServiceInfo{Name: name, Kind: edda.Ordered, Methods: []string{"get"}}, nil
	case "echo":
		return &edda.ServiceInfo{Name: name, Kind: edda.Balanced}, nil
	default:
		return nil, &edda.Error{Reason: edda.UnknownService}
	}
}

func TestUnknownServicesAreTold(t *testing.T) {
	var log bytes.Buffer
	_, err := routegw.New(routegw.Backends{Calls: knowing{&fake{}}}, routegw.Options{
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Routes: []routegw.Route{
			{Route: "GET /1/{id}", Service: "users", Method: "get", Key: "path.id"},
			{Route: "GET /2/{id}", Service: "users", Method: "get"},
			{Route: "GET /3/{id}", Service: "users", Method: "put", Key: "path.id"},
			{Route: "GET /4/{id}", Service: "echo", Method: "any", Key: "path.id"},
			{Route: "GET /5/{id}", Service: "none", Method: "any"},
			{Route: "GET /6/{id}", Service: "users", Method: "path.id", Key: "path.id"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "needs a Key", "no method put", "must have no Key", "not registered", ""} {
		line := ""
		for l := range strings.Lines(log.String()) {
			if strings.Contains(l, fmt.Sprintf("GET /%d/", i+1)) {
				line = l
			}
		}
		if (line == "") != (want == "") || !strings.Contains(line, want) {
			t.Errorf("route %d: logged %q, want %q", i+1, line, want)
		}
	}
}
