package httpgw

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/httpgw/internal/apidoc"
)

// publishedSchema returns a schema that somebody else published: see testdata/schemas.
func publishedSchema(t testing.TB, name string) *jsonschema.Resolved {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "schemas", name))
	if err != nil {
		t.Fatal(err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	if s.Schema == "http://json-schema.org/draft-07/schema" {
		s.Schema += "#" // as the draft has it
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

func asyncOf(t testing.TB, g *Gateway, r *http.Request, all apidoc.Topics) obj {
	t.Helper()
	b, err := json.Marshal(g.api().AsyncAPI(r.Host, r.TLS != nil, all))
	if err != nil {
		t.Fatal(err)
	}
	var doc obj
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

var openTopics = apidoc.Topics{
	Services: openServices,
	Streams:  []edda.Stream{{StreamSpec: edda.StreamSpec{Name: "orders"}}, {StreamSpec: edda.StreamSpec{Name: "a.b-c_d"}}},
	Channels: []edda.Channel{{ChannelSpec: edda.ChannelSpec{Name: "orders"}}},
}

func TestAsyncAPIIsValid(t *testing.T) {
	schema := publishedSchema(t, "asyncapi-3.0.0.json")
	for name, opts := range map[string]Options{
		"anonymous": {Version: "v1"}, "secured": {Version: "v1", Authenticator: auth.FirstOf()},
		"live": {Version: "v1", Live: says("live")}, "all": {Version: "v1", Live: says("live"), Authenticator: auth.FirstOf()},
	} {
		t.Run(name, func(t *testing.T) {
			g := gatewayOf(t, &fake{}, opts)
			r := httptest.NewRequest(http.MethodGet, "/asyncapi.json", nil)
			if opts.Authenticator != nil {
				r.TLS = &tls.ConnectionState{}
			}
			for what, all := range map[string]apidoc.Topics{"nothing": {}, "something": openTopics} {
				doc := asyncOf(t, g, r, all)
				if err := schema.Validate(doc); err != nil {
					t.Errorf("with %s: %v", what, err)
				}
				checkRefs(t, doc, doc)
				checkOperations(t, doc)
				doc["operations"].(obj)["x"] = obj{"action": "shout", "channel": obj{"$ref": "#/channels/x"}}
				if schema.Validate(doc) == nil {
					t.Error("the schema takes what is wrong")
				}
			}
		})
	}
}

// checkOperations checks that operations take messages of their channels.
func checkOperations(t *testing.T, doc obj) {
	t.Helper()
	for id, o := range doc["operations"].(obj) {
		check := func(channel, messages any) {
			within := channel.(obj)["$ref"].(string) + "/messages/"
			for _, m := range messages.([]any) {
				if at := m.(obj)["$ref"].(string); !strings.HasPrefix(at, within) {
					t.Errorf("%s has the message %s, which is not one of %s", id, at, within)
				}
			}
		}
		operation := o.(obj)
		check(operation["channel"], operation["messages"])
		if reply, ok := operation["reply"].(obj); ok {
			check(reply["channel"], reply["messages"])
		}
	}
}

func TestAsyncAPIDescribesTopics(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{Live: says("live"), Authenticator: auth.FirstOf()})
	r := httptest.NewRequest(http.MethodGet, "/asyncapi.json", nil)
	r.Host, r.TLS = "edda.example", &tls.ConnectionState{}
	doc := asyncOf(t, g, r, openTopics)
	channels, operations := doc["channels"].(obj), doc["operations"].(obj)
	for id, address := range map[string]string{
		"live": "/v1/live", "stream.orders": "/v1/streams/orders", "stream.a.b-c_d": "/v1/streams/a.b-c_d", "channel.orders": "/v1/channels/orders",
		"service.users": "/v1/call/users/{key}/{method}", "service.echo": "/v1/call/echo/{method}", "service.a.b": "/v1/call/a.b/{method}",
	} {
		if c, _ := channels[id].(obj); c == nil || c["address"] != address {
			t.Errorf("%s: got %v, want it at %s", id, c, address)
		}
	}
	for id, action := range map[string]string{
		"append.stream.orders": "receive", "tail.stream.orders": "send", "live.append.stream.orders": "receive", "live.subscribe.stream.orders": "send",
		"publish.channel.orders": "receive", "subscribe.channel.orders": "send", "live.publish.channel.orders": "receive",
		"live.subscribe.channel.orders": "send", "call.service.counter": "receive", "live.call.service.counter": "receive",
	} {
		if o, _ := operations[id].(obj); o == nil || o["action"] != action {
			t.Errorf("%s: got %v, want %s", id, o, action)
		}
	}
	if got := doc["servers"].(obj)["live"].(obj); got["host"] != "edda.example" || got["protocol"] != "wss" {
		t.Errorf("got %v", got)
	}
	add := channels["service.counter"].(obj)["messages"].(obj)["add"].(obj)["payload"].(obj)["schema"].(obj)
	if add["$id"] != "urn:edda:counter:add" || add["properties"].(obj)["left"].(obj)["$ref"] != "#" {
		t.Errorf("got %v, want that it finds itself by its id", add)
	}
	bare := asyncOf(t, gatewayOf(t, &fake{}, Options{}), r, openTopics)
	for id := range bare["operations"].(obj) {
		if strings.HasPrefix(id, "live.") {
			t.Errorf("%s is described without live connections", id)
		}
	}
}

// The document has what whoever asks may see.
func TestAsyncAPIIsOnesOwn(t *testing.T) {
	_, n := open(t)
	g, err := New(n, Options{Authenticator: byName(map[string]auth.Rights{
		"root": auth.Everything(), "ada": {Read: []auth.Pattern{"orders"}, Subscribe: []auth.Pattern{"room"}, Call: []auth.Pattern{"echo"}},
		"bob": {Append: []auth.Pattern{"audit"}, Publish: []auth.Pattern{"side"}}, "zoe": {},
	})})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"streams/orders", "streams/audit", "channels/room", "channels/side", "ns/shop/streams/other", "ns/shop/channels/other"} {
		want(t, g, 201, "PUT", "/v1/"+target, "", "Authorization: Bearer root")
	}
	for who, sees := range map[string]string{
		"ada": "channel.room service.echo stream.orders", "bob": "channel.side stream.audit", "zoe": "",
	} {
		doc, _ := want(t, g, 200, "GET", "/asyncapi.json", "", "Authorization: Bearer "+who)
		var got []string
		for id := range doc["channels"].(obj) {
			got = append(got, id)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != sees {
			t.Errorf("%s sees %v, want %s", who, got, sees)
		}
	}
	all, _ := want(t, g, 200, "GET", "/asyncapi.json", "", "Authorization: Bearer root")
	for _, id := range []string{"stream.orders", "stream.audit", "channel.room", "channel.side", "service.counter"} {
		if all["channels"].(obj)[id] == nil {
			t.Errorf("root does not see %s", id)
		}
	}
	if w := do(g, http.MethodGet, "/asyncapi.json", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("nobody: got %d", w.Code)
	}
}

func TestOpenAPIIsValid(t *testing.T) {
	schema := publishedSchema(t, "openapi-3.1.json")
	for name, opts := range map[string]Options{
		"anonymous": {Version: "v1"}, "all": {
			Version: "v1", Authenticator: auth.FirstOf(), Gatherer: prometheus.NewRegistry(), Routes: &fakeRoutes{}, Live: says("live"),
		},
	} {
		doc := openAPIOf(t, gatewayOf(t, &fake{}, opts), openServices)
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		doc["paths"].(obj)["/x"] = obj{"get": "it"}
		if schema.Validate(doc) == nil {
			t.Errorf("%s: the schema takes what is wrong", name)
		}
	}
}
