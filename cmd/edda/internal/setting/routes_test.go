package setting_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda/gateway/routegw"
)

func TestRoutes(t *testing.T) {
	schema := filepath.Join(t.TempDir(), "order.json")
	if err := os.WriteFile(schema, []byte(`{"type":"object"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := load(t, `
routes:
  - route: PUT /shops/{shop}/users/{id}
    namespace: shop
    service: users
    method: rename
    key: path.id
    payload: request
    headers: [X-Tenant, Accept-Language]
    wait: 1s
    maxBody: 64KiB
    schema: {type: object, required: [name], properties: {name: {type: string, maxLength: 3}}}
    public: true
    cors: {origins: [https://a.example], headers: X-A, expose: [X-B], credentials: true, maxAge: 10m}
    rate: {limit: 10, per: 1m, burst: 20}
  - route: POST /orders
    stream: orders
    type: order.placed
    replyTo: orders.replies
    shard: header.X-Tenant
    async: true
    schema: `+schema+`
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []routegw.Route{
		{
			Route: "PUT /shops/{shop}/users/{id}", Namespace: "shop", Service: "users", Method: "rename", Key: "path.id", Payload: routegw.Request,
			Headers: []string{"X-Tenant", "Accept-Language"}, Wait: time.Second, MaxBody: 64 << 10,
			Schema: json.RawMessage(`{"properties":{"name":{"maxLength":3,"type":"string"}},"required":["name"],"type":"object"}`), Public: true,
			CORS: &routegw.CORS{Origins: []string{"https://a.example"}, Headers: []string{"X-A"}, Expose: []string{"X-B"}, Credentials: true, MaxAge: 10 * time.Minute},
			Rate: &routegw.Rate{Limit: 10, Per: time.Minute, Burst: 20},
		},
		{
			Route: "POST /orders", Stream: "orders", Type: "order.placed", ReplyTo: "orders.replies", Shard: "header.X-Tenant", Async: true,
			Schema: json.RawMessage(`{"type":"object"}`),
		},
	}
	if diff := cmp.Diff(want, n.Routes); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
}

func TestRoutesAreRefused(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte(`{`), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"routes: x":                  "must be a list, each with at least route",
		"routes: {a: b}":             "must be a list, each with at least route",
		"routes:":                    "must be a list, each with at least route",
		"routes: [x]":                "the route number 1: must have fields below it: async, cors, headers, key,",
		"routes: [{service: users}]": `the route number 1: route is not set: it is the method and the path`,
		"routes: [{route: GET /a}, {route: GET /b, kee: path.id}]": `"GET /b": "kee" is no field: there are async, cors, headers, key, maxBody, method, namespace, payload, public, rate, replyTo, route, schema, service, shard, stream, type, wait`,
		"routes: [{route: GET /a, key: 1}]":                        `"GET /a": key is 1, must be text: put it in quotes`,
		"routes: [{route: GET /a, key: }]":                         `"GET /a": key is empty`,
		"routes: [{route: GET /a, public: 1}]":                     `"GET /a": public is 1, must be true or false`,
		"routes: [{route: GET /a, wait: 10}]":                      `"GET /a": wait is 10, must be a duration above zero such as 10s`,
		"routes: [{route: GET /a, maxBody: 1MB}]":                  `"GET /a": maxBody is 1MB, must be a number of bytes above zero, such as 65536`,
		"routes: [{route: GET /a, headers: [1]}]":                  `"GET /a": headers is [1], must be a list of texts`,
		"routes: [{route: GET /a, rate: 10}]":                      `"GET /a": rate must have fields below it: burst, limit, per`,
		"routes: [{route: GET /a, rate: {limit: 0}}]":              `"GET /a": rate limit is 0, must be a number above zero, such as 100`,
		"routes: [{route: GET /a, cors: {origin: x}}]":             `"GET /a": cors "origin" is no field: there are credentials, expose, headers, maxAge, origins`,
		"routes: [{route: GET /a, schema: /none.json}]":            `"GET /a": schema names the file /none.json: no such file`,
		"routes: [{route: GET /a, schema: none.json}]":             `schema names the file none.json, which is looked for in the working directory ` + here + `: no such file`,
		"routes: [{route: GET /a, schema: " + bad + "}]":           "which is not JSON",
		"routes: [{route: GET /a, schema: .inf}]":                  `"GET /a": schema must be a JSON Schema`,
	} {
		if _, err := load(t, file, nil); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "routes in ") {
			t.Errorf("%s: got %v, want %s", file, err, want)
		}
	}
	if _, err := load(t, "", []string{"EDDA_ROUTES=x"}); err == nil || !strings.Contains(err.Error(), "is no setting") {
		t.Errorf("routes in the environment: got %v, want a refusal", err)
	}
}

// The routes that the documents show are taken.
func TestDocumentedRoutes(t *testing.T) {
	b, err := os.ReadFile("../../../../docs/routes.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(b), "```yaml\n")
	example, _, _ = strings.Cut(example, "```")
	n, err := load(t, example, nil)
	if err != nil || len(n.Routes) == 0 {
		t.Errorf("got %v, %v, want routes", n, err)
	}
}
