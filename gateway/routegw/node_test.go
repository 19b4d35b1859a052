package routegw_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/httpgw"
	"github.com/edda-io/edda/gateway/routegw"
	"github.com/edda-io/edda/internal/inputschema"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/route"
	"github.com/edda-io/edda/stream"
)

// nodeOf opens a node in memory.
func nodeOf(t *testing.T, services ...*edda.Service) *node.Node {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Partitions: 4, Services: services})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop(context.Background()) })
	return n
}

// surface returns the surface of a node, with routes beside it.
func surface(t *testing.T, n *node.Node, routes ...routegw.Route) http.Handler {
	t.Helper()
	rg, err := routegw.New(routegw.Backends{Calls: n, Streams: n}, routegw.Options{Routes: routes})
	if err != nil {
		t.Fatal(err)
	}
	g, err := httpgw.New(n, httpgw.Options{Routes: rg})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// hello answers messages of the type hello, as the example's worker.
func hello(t *testing.T) *edda.Service {
	t.Helper()
	c := stream.NewConsumer("hello", "workers")
	stream.Handle(c, "hello", func(*edda.Context, stream.None) (map[string]string, error) {
		return map[string]string{"world": "I am a stream processor"}, nil
	})
	s, err := c.Service()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHelloWorld(t *testing.T) {
	get := routegw.Route{Route: "GET /{$}", Stream: "hello", Type: "hello", Wait: time.Second}
	t.Run("answered", func(t *testing.T) {
		w := do(surface(t, nodeOf(t, hello(t)), get), "GET", "/", "")
		answered(t, w, 200, `{"world":"I am a stream processor"}`)
		if w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Edda-Position") == "" || w.Header().Get("Edda-Durability") != "memory" {
			t.Errorf("got headers %v", w.Header())
		}
	})
	// The original waited 3 s, whatever the route said.
	t.Run("nobody is there", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Partitions: 4})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = n.Stop(context.Background()) }()
			for _, r := range []routegw.Route{get, {Route: "GET /{$}", Service: "s", Method: "m", Wait: time.Second}} {
				g, err := routegw.New(routegw.Backends{Calls: n, Streams: n}, routegw.Options{Routes: []routegw.Route{r}})
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				w := do(g, "GET", "/", "")
				want := http.StatusGatewayTimeout
				if r.Service != "" {
					want = http.StatusServiceUnavailable // which is more: nothing is stored for a service that is not registered
				}
				if took := time.Since(start); took != time.Second || w.Code != want {
					t.Errorf("%s%s: got %d after %v, want %d after 1 s", r.Stream, r.Service, w.Code, took, want)
				}
			}
		})
	})
}

// data keeps a document for each key.
func data() *edda.Service {
	s := edda.NewOrdered("data")
	missing := func(m *edda.Message) *edda.Reply {
		return edda.TextReply(404, "No existing value found for key "+route.Param(m, "id"))
	}
	on := func(method string, h func(ctx *edda.Context, m *edda.Message, old []byte) (*edda.Reply, error)) {
		s.Add(edda.Method{Name: method, Handler: func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			old, _, err := ctx.Get("doc")
			if err != nil {
				return nil, err
			}
			return h(ctx, m, old)
		}})
	}
	doc := func(status int, b []byte) *edda.Reply {
		return &edda.Reply{Status: status, ContentType: "application/json", Payload: b}
	}
	on("create", func(ctx *edda.Context, m *edda.Message, old []byte) (*edda.Reply, error) {
		if old != nil {
			return edda.TextReply(409, "Existing value found for key "+ctx.Key()), nil
		}
		r := doc(201, m.Payload)
		r.Headers = edda.Headers{{Name: "Location", Value: route.Path(m)}}
		return r, ctx.Set("doc", m.Payload)
	})
	on("read", func(_ *edda.Context, m *edda.Message, old []byte) (*edda.Reply, error) {
		if old == nil {
			return missing(m), nil
		}
		return doc(200, old), nil
	})
	on("update", func(ctx *edda.Context, m *edda.Message, old []byte) (*edda.Reply, error) {
		if old == nil {
			return missing(m), nil
		}
		return doc(200, m.Payload), ctx.Set("doc", m.Payload)
	})
	on("delete", func(ctx *edda.Context, _ *edda.Message, old []byte) (*edda.Reply, error) {
		if old == nil {
			return doc(200, []byte(`{"deleted":false}`)), nil
		}
		return doc(200, []byte(`{"deleted":true}`)), ctx.Delete("doc")
	})
	return s
}

// The original's GET had no body to carry the id in (S44).
func TestCRUD(t *testing.T) {
	var routes []routegw.Route
	for method, name := range map[string]string{"POST": "create", "GET": "read", "PUT": "update", "DELETE": "delete"} {
		routes = append(routes, routegw.Route{Route: method + " /data/{id}", Service: "data", Method: name, Key: "path.id"})
	}
	g := surface(t, nodeOf(t, data()), routes...)
	for _, tc := range []struct {
		method, id, body string
		status           int
		want             string
	}{
		{"GET", "a", "", 404, "No existing value found for key a"},
		{"PUT", "a", `{"n":1}`, 404, "No existing value found for key a"},
		{"POST", "a", `{"n":1}`, 201, `{"n":1}`},
		{"POST", "a", `{"n":2}`, 409, "Existing value found for key a"},
		{"GET", "a", "", 200, `{"n":1}`},
		{"GET", "a%2Fb", "", 404, "No existing value found for key a/b"},
		{"PUT", "a", `{"n":3}`, 200, `{"n":3}`},
		{"GET", "a", "", 200, `{"n":3}`},
		{"DELETE", "a", "", 200, `{"deleted":true}`},
		{"DELETE", "a", "", 200, `{"deleted":false}`},
		{"HEAD", "a", "", 404, ""},
	} {
		w := do(g, tc.method, "/data/"+tc.id, tc.body, "Content-Type: application/json")
		if w.Code != tc.status || w.Body.String() != tc.want {
			t.Errorf("%s %s: got %d %s, want %d %s", tc.method, tc.id, w.Code, w.Body, tc.status, tc.want)
		}
	}
	w := do(g, "POST", "/data/c%20d", `{}`)
	if got := w.Header().Get("Location"); got != "/data/c%20d" {
		t.Errorf("got Location %q", got)
	}
	refused(t, do(g, "PATCH", "/data/a", ""), edda.BadMethod, "")
}

// users is Arena's example: POST /users/{id}/{login|allow}.
func TestMethodOfThePath(t *testing.T) {
	var allowed atomic.Bool
	s := edda.NewOrdered("users")
	s.Add(edda.Method{Name: "allow", Handler: func(*edda.Context, *edda.Message) (*edda.Reply, error) {
		allowed.Store(true)
		return edda.TextReply(200, "ok"), nil
	}})
	s.Add(edda.Method{Name: "login", Handler: func(*edda.Context, *edda.Message) (*edda.Reply, error) {
		if !allowed.Load() {
			return edda.TextReply(403, "forbidden"), nil
		}
		return edda.TextReply(200, "ok"), nil
	}})
	g := surface(t, nodeOf(t, s), routegw.Route{Route: "POST /users/{id}/{do}", Service: "users", Method: "path.do", Key: "path.id"})
	answered(t, do(g, "POST", "/users/u1/login", `{"email":"a@x"}`), 403, "forbidden")
	answered(t, do(g, "POST", "/users/u1/allow", `{"email":"a@x"}`), 200, "ok")
	answered(t, do(g, "POST", "/users/u1/login", `{"email":"a@x"}`), 200, "ok")
	refused(t, do(g, "POST", "/users/u1/zzz", `{"email":"a@x"}`), edda.NoMethod, "zzz")
	refused(t, do(g, "POST", "/users/u1/a%2Fb", ""), edda.BadName, "")
}

func TestStreamRouteOfANode(t *testing.T) {
	c := stream.NewConsumer("orders", "shop")
	c.Group.Retry = edda.RetryPolicy{Max: 1}
	c.Unknown = stream.ErrorReply
	c.On("place", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		if string(m.Payload) == "poison" {
			return nil, edda.Final("NO_STOCK", "none left")
		}
		r := edda.TextReply(201, string(m.Principal)+" "+route.Param(m, "id"))
		r.Headers = edda.Headers{{Name: "X-Seen", Value: m.Headers.Get("X-Asked")}}
		return r, nil
	})
	consumer, err := c.Service()
	if err != nil {
		t.Fatal(err)
	}
	n := nodeOf(t, consumer)
	h := surface(t, n,
		routegw.Route{Route: "POST /orders/{id}/{do}", Stream: "orders", Type: "path.do", Key: "path.id"},
		routegw.Route{Route: "POST /later/{id}", Stream: "orders", Type: "place", Async: true, ReplyTo: "orders.replies"})
	w := do(h, "POST", "/orders/7/place", "x", "X-Asked: yes")
	answered(t, w, 201, "anonymous 7")
	if w.Header().Get("X-Seen") != "yes" || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" && w.Header().Get("Content-Type") != "text/plain" {
		t.Errorf("got headers %v", w.Header())
	}
	refused(t, do(h, "POST", "/orders/7/place", "poison"), edda.Failed, "NO_STOCK: none left")
	refused(t, do(h, "POST", "/orders/7/what", "x"), edda.NoMethod, "what")

	w = do(h, "POST", "/later/8", "x")
	var at struct {
		ID     string
		Offset int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &at); err != nil || w.Code != 202 || at.ID == "" {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	w = do(h, "GET", w.Header().Get("Location")+"?wait=10s", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"data":"anonymous 8"`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}

	// Sent again with the same key, nothing is handled again.
	first := do(h, "POST", "/orders/9/place", "x", "Idempotency-Key: k")
	again := do(h, "POST", "/orders/9/place", "x", "Idempotency-Key: k")
	if first.Body.String() != again.Body.String() || again.Code != 201 || again.Header().Get("Idempotency-Replayed") != "true" || first.Header().Get("Edda-Id") != again.Header().Get("Edda-Id") {
		t.Errorf("got %d %s %v", again.Code, again.Body, again.Header())
	}
	refused(t, do(h, "POST", "/orders/9/place", "y", "Idempotency-Key: k"), edda.IdempotencyMismatch, "")
	s, err := n.Stream(t.Context(), "", "orders.replies")
	if err != nil || s.Retention.Age != time.Hour {
		t.Errorf("got %+v, %v", s, err)
	}
}

// A gateway keeps nothing: any number of them serve one node, each with its own replies.
func TestManyGateways(t *testing.T) {
	c := stream.NewConsumer("echo", "g")
	c.On("message", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{Payload: m.Payload}, nil
	})
	s, err := c.Service()
	if err != nil {
		t.Fatal(err)
	}
	n := nodeOf(t, s)
	done := make(chan string, 64)
	for i := range 4 {
		h := surface(t, n, routegw.Route{Route: "POST /", Stream: "echo"})
		for j := range 16 {
			go func() {
				body := strings.Repeat(string(rune('a'+i)), j+1)
				if got := do(h, "POST", "/", body).Body.String(); got != body {
					done <- got + ", want " + body
					return
				}
				done <- ""
			}()
		}
	}
	for range 64 {
		if got := <-done; got != "" {
			t.Errorf("got %s", got)
		}
	}
}

func TestOpenAPI(t *testing.T) {
	n := nodeOf(t, data())
	h := surface(t, n,
		routegw.Route{Route: "GET /docs/{id}", Service: "data", Method: "read", Key: "path.id"},
		routegw.Route{
			Route: "PUT /docs/{key}", Service: "data", Method: "update", Key: "path.key", Rate: &routegw.Rate{Limit: 5},
			Schema: []byte(`{"type":"object","properties":{"next":{"$ref":"#"}}}`),
		},
		routegw.Route{Route: "POST /orders", Stream: "orders", Async: true, Key: "header.X-Tenant", Shard: "query.shard"},
		routegw.Route{Route: "/files/{path...}", Service: "data", Method: "read", Key: "path.path"},
		routegw.Route{Route: "BREW /tea", Service: "data", Method: "read", Key: "x"},
		routegw.Route{Route: "GET /pages/{$}", Service: "data", Method: "read", Key: "x"})
	w := do(h, "GET", "/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	var whole any
	if err := json.Unmarshal(w.Body.Bytes(), &whole); err != nil {
		t.Fatal(err)
	}
	checkRefs(t, whole, whole)
	published, err := os.ReadFile("../httpgw/testdata/schemas/openapi-3.1.json")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := inputschema.Compile(published)
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Check("application/json", w.Body.Bytes()); err != nil {
		t.Error(err)
	}
	type operation struct {
		OperationID string
		Parameters  []map[string]any
		Responses   map[string]any
		RequestBody struct {
			Content map[string]struct{ Schema map[string]any }
		}
	}
	of := func(path string) map[string]operation {
		ops := map[string]operation{}
		for method, text := range doc.Paths[path] {
			var o operation
			if err := json.Unmarshal(text, &o); err != nil {
				t.Fatal(err)
			}
			ops[method] = o
		}
		return ops
	}
	docs := of("/docs/{id}")
	if len(docs) != 2 || len(docs["get"].Parameters) != 1 || docs["put"].Parameters[0]["name"] != "id" || docs["put"].Responses["429"] == nil {
		t.Errorf("got %+v", docs)
	}
	next := docs["put"].RequestBody.Content["application/json"].Schema["properties"].(map[string]any)["next"].(map[string]any)["$ref"]
	if next != "#/paths/~1docs~1%7Bid%7D/put/requestBody/content/application~1json/schema" {
		t.Errorf("a reference within a schema became %v", next)
	}
	orders := of("/orders")["post"]
	if orders.Responses["202"] == nil || orders.Responses["200"] != nil || len(orders.Parameters) != 3 || orders.Parameters[0]["in"] != "header" || orders.Parameters[1]["in"] != "query" {
		t.Errorf("got %+v", orders)
	}
	if files := of("/files/{path}"); len(files) != 5 || files["patch"].OperationID == files["post"].OperationID {
		t.Errorf("got %+v", files)
	}
	if of("/pages/")["get"].OperationID == "" {
		t.Error("/pages/ is missing")
	}
}

// checkRefs follows every reference of a document.
func checkRefs(t *testing.T, whole, v any) {
	t.Helper()
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			checkRefs(t, whole, e)
		}
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			pointer, err := url.PathUnescape(strings.TrimPrefix(ref, "#/"))
			if err != nil {
				t.Error(err)
			}
			at := whole
			for step := range strings.SplitSeq(pointer, "/") {
				object, ok := at.(map[string]any)
				if at = object[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]; !ok || at == nil {
					t.Errorf("nothing is at %s", ref)
					return
				}
			}
		}
		for _, e := range v {
			checkRefs(t, whole, e)
		}
	}
}

// A route is one in a mux of the user's as well.
func TestUsersMux(t *testing.T) {
	n := nodeOf(t, data())
	g, err := routegw.New(routegw.Backends{Calls: n}, routegw.Options{Routes: []routegw.Route{{Route: "GET /data/{id}", Service: "data", Method: "read", Key: "path.id"}}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", http.StripPrefix("/api", g))
	mux.HandleFunc("GET /own", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("mine")) })
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, want := range map[string]int{"/own": 200, "/api/data/7": 404, "/api/none": 404} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, res.StatusCode, want)
		}
	}
}

// A service of the node says who calls, by the hash of the token alone.
func TestServiceOfTheUsers(t *testing.T) {
	type question struct {
		SHA256 string `json:"sha256"`
	}
	hash, err := auth.HashToken("ada's")
	if err != nil {
		t.Fatal(err)
	}
	people := map[string]string{hex.EncodeToString(hash[:]): `{"principal":"ada","call":["notes"],"claims":{"tenant":"acme"}}`}
	guards := edda.NewBalanced("guards")
	edda.Handle(guards, auth.DefaultServiceMethod, func(_ *edda.Context, q question) (*edda.Reply, error) {
		if who := people[q.SHA256]; who != "" {
			return edda.TextReply(200, who), nil
		}
		return edda.TextReply(404, "nobody"), nil
	})
	notes := edda.NewOrdered("notes")
	notes.Add(edda.Method{Name: "list", Handler: func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return edda.TextReply(200, string(m.Principal)+" of "+ctx.Key()), nil
	}})
	n := nodeOf(t, guards, notes)
	who, err := auth.NewService(n, auth.ServiceOptions{Service: "guards"})
	if err != nil {
		t.Fatal(err)
	}
	g, err := routegw.New(routegw.Backends{Calls: n}, routegw.Options{Authenticator: who, KeyHeaders: []string{"X-Api-Key"}, Routes: []routegw.Route{
		{Route: "GET /notes", Service: "notes", Method: "list", Key: "claim.tenant"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	answered(t, do(g, "GET", "/notes", "", "X-Api-Key: ada's"), 200, "ada of acme")
	answered(t, do(g, "GET", "/notes", "", "Authorization: Bearer ada's"), 200, "ada of acme")
	refused(t, do(g, "GET", "/notes", "", "X-Api-Key: eve's"), edda.NoCredentials, "")
}
