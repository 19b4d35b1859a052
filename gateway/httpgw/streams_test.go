package httpgw

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/google/jsonschema-go/jsonschema"
)

func TestSetStream(t *testing.T) {
	f := &fakeStreams{}
	g := streamsOf(t, f, nil, Options{})
	const body = `{"shards":["eu","us"],"retention":{"age":"1h","count":1000,"bytes":18446744073709551615},"dedupe":"90m"}`
	doc, w := want(t, g, 201, "PUT", "/v1/ns/shop/streams/orders", body, "Content-Type: application/json")
	spec := edda.StreamSpec{
		Namespace: "shop", Name: "orders", Shards: []string{"eu", "us"}, Dedupe: 90 * time.Minute,
		Retention: edda.Retention{Age: time.Hour, Count: 1000, Bytes: 1<<64 - 1},
	}
	if !reflect.DeepEqual(f.spec, spec) {
		t.Errorf("the backend got %+v, want %+v", f.spec, spec)
	}
	if doc["name"] != "orders" || doc["dedupe"] != "1h30m0s" || doc["createdAt"] != "2026-01-02T03:04:01Z" || doc["retention"].(obj)["age"] != "1h0m0s" {
		t.Errorf("got %v", doc)
	}
	if got := w.Header().Get("Location"); got != "/v1/ns/shop/streams/orders" {
		t.Errorf("got Location %q", got)
	}
	doc, w = want(t, g, 200, "PUT", "/v1/ns/shop/streams/orders", "")
	if doc["retention"] != nil || doc["shards"] != nil || doc["dedupe"] != "24h0m0s" || f.spec.Dedupe != 0 || w.Header().Get("Location") != "" {
		t.Errorf("set without a body: got %v", doc)
	}
	want(t, g, 201, "PUT", "/v1/streams/other", "{}")
}

func TestShowStreams(t *testing.T) {
	f := &fakeStreams{}
	g := streamsOf(t, f, nil, Options{})
	want(t, g, 201, "POST", "/v1/streams/orders", "hi")
	want(t, g, 201, "POST", "/v1/streams/audit", "hi")
	want(t, g, 201, "POST", "/v1/ns/shop/streams/mine", "hi")
	doc, _ := want(t, g, 200, "GET", "/v1/streams/orders", "")
	offsets := obj{"default": obj{"first": 0.0, "end": 1.0, "bytes": 10.0}}
	if doc["name"] != "orders" || !reflect.DeepEqual(doc["offsets"], any(offsets)) || !reflect.DeepEqual(doc["groups"], []any{}) {
		t.Errorf("got %v", doc)
	}
	want(t, g, 200, "HEAD", "/v1/streams/orders", "")
	doc, _ = want(t, g, 200, "GET", "/v1/streams?limit=7&after=x", "")
	items := doc["items"].([]any)
	if len(items) != 2 || items[0].(obj)["name"] != "audit" || doc["next"] != "more" || f.asked[len(f.asked)-1] != "list 7 x" {
		t.Errorf("got %v, %v", doc, f.asked)
	}
	want(t, g, 204, "DELETE", "/v1/streams/orders", "")
	refused(t, g, edda.NoStream, "GET", "/v1/streams/orders", "")
	refused(t, g, edda.NoStream, "DELETE", "/v1/streams/orders", "")
}

func TestTrimStream(t *testing.T) {
	f := &fakeStreams{}
	g := streamsOf(t, f, nil, Options{})
	want(t, g, 201, "POST", "/v1/streams/orders", "hi")
	for body, trimmed := range map[string]string{
		`{"before":41}`:                     " 41",
		`{"before":"41","shard":"eu"}`:      "eu 41",
		`{"before":"end"}`:                  " end",
		`{"before":"2026-01-02T15:04:05Z"}`: " 2026-01-02T15:04:05Z",
	} {
		if doc, _ := want(t, g, 200, "POST", "/v1/streams/orders/trim", body); f.trimmed != trimmed || doc["name"] != "orders" {
			t.Errorf("%s: the backend got %q, want %q; got %v", body, f.trimmed, trimmed, doc)
		}
	}
}

// TestStreamRefusals checks what never reaches the backend.
func TestStreamRefusals(t *testing.T) {
	const group = "/v1/streams/orders/groups/mail"
	for _, tc := range []struct {
		method, target, body string
		reason               edda.Reason
		detail               string
		headers              []string
	}{
		{"PUT", "/v1/streams/orders", `{"shard":["a"]}`, edda.UnknownField, `unknown member "shard"; there are dedupe, retention, shards`, nil},
		{"PUT", "/v1/streams/orders", `{"shards":"a"}`, edda.BadValue, "shards must be an array of names", nil},
		{"PUT", "/v1/streams/orders", `{"retention":5}`, edda.BadValue, "retention must be an object", nil},
		{"PUT", "/v1/streams/orders", `{"retention":{"age":"0s"}}`, edda.BadValue, "retention.age must be a duration above zero", nil},
		{"PUT", "/v1/streams/orders", `{"retention":{"age":60}}`, edda.BadValue, "retention.age must be a duration", nil},
		{"PUT", "/v1/streams/orders", `{"retention":{"count":0}}`, edda.BadValue, "retention.count must be a number from 1 on", nil},
		{"PUT", "/v1/streams/orders", `{"retention":{"bytes":-1}}`, edda.BadValue, "retention.bytes must be a number from 1 on", nil},
		{"PUT", "/v1/streams/orders", `{"retention":{"bytes":null}}`, edda.BadValue, "retention.bytes must be a number from 1 on", nil},
		{"PUT", "/v1/streams/orders", `{"dedupe":"forever"}`, edda.BadValue, "dedupe must be a duration", nil},
		{"PUT", "/v1/streams/orders", `{`, edda.BadJSON, "the body must be a JSON object, or empty", nil},
		{"PUT", "/v1/streams/orders", `{}`, edda.BadMediaType, "application/json", []string{"Content-Type: text/plain"}},
		{"PUT", "/v1/streams/or%20ders", `{}`, edda.BadName, "stream", nil},
		{"PUT", "/v1/streams", `{}`, edda.BadMethod, "GET, HEAD, OPTIONS", nil},
		{"PATCH", "/v1/streams/orders", `{}`, edda.BadMethod, "GET, HEAD, PUT, POST, DELETE, OPTIONS", nil},
		{"GET", "/v1/streams?limit=0", "", edda.BadValue, "limit must be", nil},
		{"GET", "/v1/streams?%zz", "", edda.BadValue, "the query is malformed", nil},

		{"GET", "/v1/streams/orders?%zz", "", edda.BadValue, "the query is malformed", nil},
		{"GET", "/v1/streams/orders?limit=1001", "", edda.BadValue, "limit must be a number from 1 to 1000", nil},
		{"GET", "/v1/streams/orders?wait=11m", "", edda.BadValue, "wait must be a duration from 0s to 10m", nil},
		{"GET", "/v1/streams/orders?from=", "", edda.BadValue, `from: "" is no place in a stream`, nil},
		{"GET", "/v1/streams/orders?from=-1", "", edda.BadValue, `from: "-1" is no place in a stream`, nil},
		{"GET", "/v1/streams/orders", "", edda.BadValue, "Last-Event-ID must be the offset", []string{wantEvents, "Last-Event-ID: x"}},
		{"GET", "/v1/streams/orders", "", edda.BadValue, "Last-Event-ID must be the offset", []string{wantEvents, "Last-Event-ID: 18446744073709551615"}},
		{"GET", "/v1/streams/orders/messages/" + strings.Repeat("x", 256), "", edda.BadValue, "at most 255", nil},
		{"GET", "/v1/streams/orders/messages/a%0Ab", "", edda.BadValue, "control character", nil},
		{"GET", "/v1/streams/orders/messages/a?wait=x", "", edda.BadValue, "wait must be", nil},
		{"GET", "/v1/streams/orders/messages/a?%zz", "", edda.BadValue, "the query is malformed", nil},

		{"POST", "/v1/streams/orders/trim", ``, edda.BadJSON, "the body must be a JSON object", nil},
		{"POST", "/v1/streams/orders/trim", `{}`, edda.BadValue, "before must be an offset, a time", nil},
		{"POST", "/v1/streams/orders/trim", `{"before":-1}`, edda.BadValue, "before must be an offset, a time", nil},
		{"POST", "/v1/streams/orders/trim", `{"before":1.5}`, edda.BadValue, "before must be an offset, a time", nil},
		{"POST", "/v1/streams/orders/trim", `{"before":null}`, edda.BadValue, "before must be an offset, a time", nil},
		{"POST", "/v1/streams/orders/trim", `{"before":"yesterday"}`, edda.BadValue, `before: "yesterday" is no place`, nil},
		{"POST", "/v1/streams/orders/trim", `{"before":1,"shard":""}`, edda.BadValue, "shard must be left out or not empty", nil},
		{"POST", "/v1/streams/orders/trim", `{"until":1}`, edda.UnknownField, `"until"`, nil},

		{"PUT", group, `{"members":1}`, edda.UnknownField, `"members"`, nil},
		{"PUT", group, `{"from":[]}`, edda.BadValue, "from must be an offset, a time", nil},
		{"PUT", group, `{"minMembers":0}`, edda.BadValue, "minMembers must be a number from 1 on", nil},
		{"PUT", group, `{"maxMembers":"x"}`, edda.BadValue, "maxMembers must be a number", nil},
		{"PUT", group, `{"idleTimeout":"0s"}`, edda.BadValue, "idleTimeout must be a duration above zero", nil},
		{"PUT", group, `{"retry":{"max":0}}`, edda.BadValue, "retry.max must be a number from 1 on", nil},
		{"PUT", "/v1/streams/orders/groups/edda.x", `{}`, edda.BadName, "reserved", nil},
		{"GET", "/v1/streams/orders/groups?limit=x", "", edda.BadValue, "limit must be", nil},
		{"POST", group, "", edda.BadMethod, "GET, HEAD, PUT, DELETE, OPTIONS", nil},
		{"POST", group + "/reset", `{}`, edda.BadValue, "to must be an offset, a time", nil},
		{"POST", group + "/reset", `{"to":"then"}`, edda.BadValue, `to: "then" is no place`, nil},
		{"POST", group + "/read", `{}`, edda.BadValue, "member must be the name of who reads", nil},
		{"POST", group + "/read", `{"member":""}`, edda.BadValue, "member must not be empty", nil},
		{"POST", group + "/read", `{"member":"m","max":0}`, edda.BadValue, "max must be a number from 1 to 1000", nil},
		{"POST", group + "/read", `{"member":"m","max":1001}`, edda.BadValue, "max must be a number from 1 to 1000", nil},
		{"POST", group + "/read", `{"member":"m","wait":"11m"}`, edda.BadValue, "wait must be a duration from 0s to 10m", nil},
		{"POST", group + "/read", `{"member":"m","wait":3}`, edda.BadValue, "wait must be a duration from 0s to 10m", nil},
		{"POST", group + "/ack", `{}`, edda.BadValue, "leases must be an array of leases, at least one", nil},
		{"POST", group + "/ack", `{"leases":[]}`, edda.BadValue, "leases must be an array of leases, at least one", nil},
		{"POST", group + "/ack", `{"leases":"a"}`, edda.BadValue, "leases must be an array of leases", nil},
		{"POST", group + "/ack", `{"leases":["a"],"for":"1s"}`, edda.UnknownField, `"for"`, nil},
		{"POST", group + "/extend", `{"leases":["a"],"error":"no"}`, edda.UnknownField, `"error"`, nil},
		{"POST", group + "/extend", `{"leases":["a"],"for":"0s"}`, edda.BadValue, "for must be a duration above zero", nil},
		{"POST", group + "/nack", `{}`, edda.NoRoute, "there is no such route", nil},
	} {
		f, fg := &fakeStreams{}, &fakeGroups{}
		w := refused(t, streamsOf(t, f, fg, Options{}), tc.reason, tc.method, tc.target, tc.body, tc.headers...)
		if p := wantProblem(t, w); !strings.Contains(p.Detail, tc.detail) {
			t.Errorf("%s %s %.60s: got %q, want %q", tc.method, tc.target, tc.body, p.Detail, tc.detail)
		}
		if len(f.asked)+len(fg.asked) > 0 {
			t.Errorf("%s %s %.60s: the backend was asked to %v %v", tc.method, tc.target, tc.body, f.asked, fg.asked)
		}
	}
}

// TestStreamBackendErrors checks that each route answers with the backend's error.
func TestStreamBackendErrors(t *testing.T) {
	const group = "/v1/streams/orders/groups/mail"
	routes := []struct {
		method, target, body string
		headers              []string
	}{
		{"GET", "/v1/streams", "", nil},
		{"GET", "/v1/streams/orders", "", nil},
		{"GET", "/v1/streams/orders?from=start", "", nil},
		{"GET", "/v1/streams/orders", "", []string{wantEvents}},
		{"PUT", "/v1/streams/orders", "", nil},
		{"POST", "/v1/streams/orders", "", nil},
		{"DELETE", "/v1/streams/orders", "", nil},
		{"POST", "/v1/streams/orders/trim", `{"before":1}`, nil},
		{"GET", "/v1/streams/orders/messages/a", "", nil},
		{"GET", "/v1/streams/orders/groups", "", nil},
		{"GET", group, "", nil},
		{"PUT", group, "", nil},
		{"DELETE", group, "", nil},
		{"POST", group + "/reset", `{"to":1}`, nil},
		{"POST", group + "/read", `{"member":"m"}`, nil},
		{"POST", group + "/ack", `{"leases":["a"]}`, nil},
		{"POST", group + "/reject", `{"leases":["a"]}`, nil},
		{"POST", group + "/extend", `{"leases":["a"]}`, nil},
	}
	for _, reason := range []edda.Reason{
		edda.NoStream, edda.NoShard, edda.NoGroup, edda.NoMessage, edda.ExpectedOffset, edda.GroupFull, edda.Conflict, edda.TooLarge, edda.BadName,
		edda.BadValue, edda.Overloaded, edda.Draining, edda.OutcomeUnknown, edda.Unavailable, edda.Timeout,
	} {
		err := &edda.Error{Op: "do", Reason: reason, Err: errors.New("because")}
		g := streamsOf(t, &fakeStreams{fails: err}, &fakeGroups{fails: err}, Options{})
		for _, r := range routes {
			w := refused(t, g, reason, r.method, r.target, r.body, r.headers...)
			if p := wantProblem(t, w); w.Code != reason.HTTPStatus() || p.Detail != "because" || httpio.Titles[reason] == "" {
				t.Errorf("%s %s: got %d %s", r.method, r.target, w.Code, w.Body)
			}
			if reason == edda.GroupFull && w.Header().Get("Retry-After") != "1" {
				t.Errorf("%s %s: got no Retry-After", r.method, r.target)
			}
		}
	}
}

// TestStreamSchemas checks /openapi.json against what is taken and what is shown.
func TestStreamSchemas(t *testing.T) {
	g := streamsOf(t, &fakeStreams{}, &fakeGroups{names: []string{"mail"}}, Options{})
	fits := schemasOf(t, g)
	const group = "/v1/streams/orders/groups/mail"
	answer := func(method, target, body string, headers ...string) string {
		t.Helper()
		w := do(g, method, target, body, headers...)
		if w.Code > 201 {
			t.Fatalf("%s %s: got %d %s", method, target, w.Code, w.Body)
		}
		return w.Body.String()
	}
	const batch = `[{"id":"a","type":"t","key":"k","source":"s","replyTo":"r","headers":{"x":"1"},"contentType":"text/plain","data":"hi"},{"dataBase64":"/w=="}]`
	for _, tc := range []struct{ name, instance string }{
		{"MessageBatch", batch},
		{"AppendAnswer", answer("POST", "/v1/streams/orders", batch, "Content-Type: "+batchMedia)},
		{"Appended", answer("POST", "/v1/streams/orders", "x", "Edda-Id: x")},
		{"Stream", answer("PUT", "/v1/streams/orders", `{"shards":["default"],"retention":{"count":1}}`)},
		{"StreamSpec", `{"shards":["default"],"retention":{"age":"1h"},"dedupe":"1h"}`}, {"StreamSpec", `{}`},
		{"StreamList", answer("GET", "/v1/streams", "")},
		{"StreamPage", answer("GET", "/v1/streams/orders?from=0", "")}, {"StreamAnswer", answer("GET", "/v1/streams/orders", "")},
		{"StreamMessage", answer("GET", "/v1/streams/orders/messages/x", "")},
		{"StreamTrim", `{"before":4,"shard":"a"}`}, {"StreamTrim", `{"before":"end"}`},
		{"Group", answer("GET", group, "")}, {"GroupList", answer("GET", "/v1/streams/orders/groups", "")},
		{"GroupSpec", `{"from":0,"minMembers":1,"maxMembers":0,"processingTimeout":"1s","idleTimeout":"1s","retry":{"max":3}}`},
		{"GroupReset", `{"to":"start"}`}, {"GroupRead", `{"member":"m","max":1,"wait":"1s"}`},
		{"DeliveryList", answer("POST", group+"/read", `{"member":"m"}`)},
		{"LeaseAck", `{"leases":["a"]}`}, {"LeaseReject", `{"leases":["a"],"error":"no","for":"1s"}`}, {"LeaseExtend", `{"leases":["a"],"for":"1s"}`},
		{"Settled", answer("POST", group+"/ack", `{"leases":["a","b"]}`)},
	} {
		if err := fits(tc.name, tc.instance); err != nil {
			t.Errorf("%s does not fit %s: %v", tc.instance, tc.name, err)
		}
	}
	for _, tc := range []struct{ name, instance string }{
		{"MessageBatch", `[{"shard":"a"}]`}, {"StreamSpec", `{"name":"a"}`}, {"StreamSpec", `{"retention":{"days":1}}`}, {"StreamTrim", `{}`},
		{"GroupSpec", `{"minMembers":0}`}, {"GroupRead", `{}`}, {"LeaseAck", `{"leases":["a"],"for":"1s"}`}, {"LeaseAck", `{"leases":[]}`},
		{"StreamMessage", `{"id":"a"}`}, {"Group", `{"name":"a"}`},
	} {
		if fits(tc.name, tc.instance) == nil {
			t.Errorf("%s fits %s", tc.instance, tc.name)
		}
	}
}

// schemasOf returns what says whether an instance fits one of the schemas that the
// gateway shows.
func schemasOf(t testing.TB, g *Gateway) func(name, instance string) error {
	t.Helper()
	doc, err := json.Marshal(openAPIOf(t, g, nil)["components"].(obj)["schemas"])
	if err != nil {
		t.Fatal(err)
	}
	defs := strings.ReplaceAll(string(doc), "#/components/schemas/", "#/$defs/")
	schemas := map[string]*jsonschema.Resolved{}
	return func(name, instance string) error {
		t.Helper()
		if schemas[name] == nil {
			schema := &jsonschema.Schema{}
			err := json.Unmarshal([]byte(`{"$ref":"#/$defs/`+name+`","$defs":`+defs+`}`), schema)
			if err == nil {
				schemas[name], err = schema.Resolve(nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		var v any
		if err := json.Unmarshal([]byte(instance), &v); err != nil {
			t.Fatal(err)
		}
		return schemas[name].Validate(v)
	}
}
