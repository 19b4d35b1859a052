package httpgw

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/prometheus/client_golang/prometheus"
)

var tree = json.RawMessage(`{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"properties": {
		"$ref": {"type": "string"},
		"left": {"$ref": "#"},
		"right": {"anyOf": [{"$ref": "#/$defs/leaf"}, {"$ref": "#"}]},
		"kind": {"const": {"$ref": "#/nothing"}, "default": {"$ref": "#/nothing"}}
	},
	"$defs": {"leaf": {"type": "integer"}}
}`)

var openServices = []edda.ServiceInfo{
	{Name: "users", Kind: edda.Ordered},
	{Name: "counter", Kind: edda.Ordered, Methods: []string{"add", "get"}, Schemas: map[string]any{"add": tree}},
	{Name: "a.b", Kind: edda.Balanced, Methods: []string{"c"}, Schemas: map[string]any{"c": map[string]any{"type": "string"}}},
	{Name: "a", Kind: edda.Balanced, Methods: []string{"b.c", "own"}, Schemas: map[string]any{
		"own": map[string]any{"$id": "urn:x", "$ref": "#/$defs/y", "$defs": map[string]any{"y": true}},
		"b.c": make(chan int), // cannot be encoded
	}},
	{Name: "echo", Kind: edda.Balanced},
}

// openAPIOf returns the document as a client decodes it.
func openAPIOf(t testing.TB, g *Gateway, services []edda.ServiceInfo) obj {
	t.Helper()
	b, err := json.Marshal(g.api().OpenAPI(services))
	if err != nil {
		t.Fatal(err)
	}
	var doc obj
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestOpenAPI(t *testing.T) {
	for name, authenticator := range map[string]auth.Authenticator{
		"anonymous": nil,
		"bearer":    auth.FirstOf(),
	} {
		t.Run(name, func(t *testing.T) {
			g := gatewayOf(t, &fake{}, Options{Authenticator: authenticator, Gatherer: prometheus.NewRegistry(), Version: "v1"})
			doc := openAPIOf(t, g, openServices)
			checkOpenAPI(t, g, doc)
			if _, ok := doc["security"]; ok != (authenticator != nil) {
				t.Errorf("security is described: %v", ok)
			}
			byKey := doc["paths"].(obj)["/v1/sagas/{id}/steps/{step}/fail"].(obj)["post"].(obj)["security"]
			if want := any([]any{obj{"bearer": []any{}}, obj{}}); authenticator != nil && !reflect.DeepEqual(byKey, want) {
				t.Errorf("failing a step asks for %v, want %v", byKey, want)
			}
		})
	}
}

// checkOpenAPI checks that the document holds together and describes what the
// gateway serves.
func checkOpenAPI(t testing.TB, g *Gateway, doc obj) {
	t.Helper()
	if doc["openapi"] != "3.1.0" || doc["info"].(obj)["title"] == "" || doc["info"].(obj)["version"] == "" {
		t.Errorf("got openapi %v, info %v", doc["openapi"], doc["info"])
	}
	checkRefs(t, doc, doc)
	paths := doc["paths"].(obj)
	for _, rt := range slices.Concat(g.routes.fixed, g.routes.namespaced) {
		if paths[rt.template] == nil {
			t.Errorf("%s is not described", rt.template)
		}
	}
	ids := map[string]string{}
	for path, item := range paths {
		params := checkParameters(t, doc, path, item.(obj))
		for method, o := range item.(obj) {
			if method == "parameters" {
				continue
			}
			operation := o.(obj)
			id := operation["operationId"].(string)
			if other := ids[id]; other != "" {
				t.Errorf("%s has the operationId of %s", path, other)
			}
			ids[id] = path
			if len(operation["responses"].(obj)) == 0 {
				t.Errorf("%s %s has no responses", method, path)
			}
			checkServed(t, g, strings.ToUpper(method), path, params)
		}
	}
}

var braced = regexp.MustCompile(`\{([^}]+)\}`)

// checkParameters checks that the path's parameters are those in braces, and
// returns the path with a value for each.
func checkParameters(t testing.TB, doc obj, path string, item obj) string {
	t.Helper()
	var declared, used []string
	list, _ := item["parameters"].([]any)
	for _, p := range list {
		param := resolve(doc, p.(obj)["$ref"].(string)).(obj)
		if param["in"] != "path" || param["required"] != true || param["schema"] == nil {
			t.Errorf("%s has the parameter %v", path, param)
		}
		declared = append(declared, param["name"].(string))
	}
	for _, m := range braced.FindAllStringSubmatch(path, -1) {
		used = append(used, m[1])
	}
	slices.Sort(declared)
	slices.Sort(used)
	if !slices.Equal(declared, used) {
		t.Errorf("%s has parameters %v, declares %v", path, used, declared)
	}
	return braced.ReplaceAllString(path, "x")
}

// checkServed checks that the gateway's router takes the path and method.
func checkServed(t testing.TB, g *Gateway, method, path, filled string) {
	t.Helper()
	x := &exchange{r: &http.Request{Method: method, URL: &url.URL{Path: filled}}, namespace: edda.DefaultNamespace}
	if err := g.routes.find(x); err != nil {
		t.Errorf("%s is described, but: %v", path, err)
		return
	}
	if !slices.ContainsFunc(x.route.ops, func(o op) bool { return o.method == method }) {
		t.Errorf("%s %s is described, but not served", method, path)
	}
}

// checkRefs checks that every reference of v resolves within doc.
func checkRefs(t testing.TB, doc, v any) {
	t.Helper()
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			checkRefs(t, doc, e)
		}
	case obj:
		if v["$id"] != nil {
			return // it refers to itself
		}
		for name, e := range v {
			if name == "const" || name == "default" {
				continue
			}
			if s, ok := e.(string); ok && name == "$ref" {
				if resolve(doc, s) == nil {
					t.Errorf("%s resolves to nothing", s)
				}
				continue
			}
			checkRefs(t, doc, e)
		}
	}
}

// resolve returns what a reference within the document stands for, or nil.
func resolve(doc any, ref string) any {
	u, err := url.Parse(ref)
	if err != nil || !strings.HasPrefix(u.Fragment, "/") || u.Host+u.Path != "" {
		return nil
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for step := range strings.SplitSeq(u.Fragment[1:], "/") {
		object, ok := doc.(obj)
		if !ok {
			return nil
		}
		doc = object[unescape.Replace(step)]
	}
	return doc
}

func TestOpenAPIDescribesServices(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{})
	paths := openAPIOf(t, g, openServices)["paths"].(obj)
	for _, path := range []string{
		"/v1/call/users/{key}/{method}", "/v1/call/counter/{key}/add", "/v1/call/counter/{key}/get",
		"/v1/call/a.b/c", "/v1/call/a/b.c", "/v1/call/echo/{method}",
	} {
		if paths[path] == nil {
			t.Errorf("%s is missing", path)
		}
	}
	if paths["/metrics"] != nil {
		t.Errorf("/metrics is described without a Gatherer")
	}
	const at = "/v1/call/counter/{key}/add"
	schema := paths[at].(obj)["post"].(obj)["requestBody"].(obj)["content"].(obj)["application/json"].(obj)["schema"].(obj)
	properties := schema["properties"].(obj)
	got := properties["left"].(obj)["$ref"].(string)
	if resolve(obj{"paths": paths}, got) == nil || !strings.HasSuffix(got, "/schema") {
		t.Errorf("got %s for the schema itself", got)
	}
	if got := properties["kind"].(obj)["const"].(obj)["$ref"]; got != "#/nothing" {
		t.Errorf("a constant was changed to %v", got)
	}
	if schema["$schema"] != nil {
		t.Errorf("$schema is still there")
	}
}

func TestOpenAPIListsReasons(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{})
	schemas := openAPIOf(t, g, nil)["components"].(obj)["schemas"].(obj)
	reasons := schemas["Problem"].(obj)["properties"].(obj)["reason"].(obj)["enum"].([]any)
	for _, r := range []edda.Reason{edda.BadJSON, edda.NoService, edda.OutcomeUnknown, edda.Internal} {
		if !slices.Contains(reasons, any(string(r))) {
			t.Errorf("%s is missing", r)
		}
	}
}

func TestOpenAPIOfKeys(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{Authenticator: auth.FirstOf(), KeyHeaders: []string{"x-api-key"}})
	doc := openAPIOf(t, g, nil)
	if want := any([]any{obj{"bearer": []any{}}, obj{"X-Api-Key": []any{}}}); !reflect.DeepEqual(doc["security"], want) {
		t.Errorf("got %v, want %v", doc["security"], want)
	}
	if want := any(obj{"type": "apiKey", "in": "header", "name": "X-Api-Key"}); !reflect.DeepEqual(doc["components"].(obj)["securitySchemes"].(obj)["X-Api-Key"], want) {
		t.Errorf("got %v", doc["components"].(obj)["securitySchemes"])
	}
}
