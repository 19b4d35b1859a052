package httpgw

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
)

func TestChannels(t *testing.T) {
	f := &fakeChannels{names: []string{"side"}}
	g := channelsOf(t, f, nil, Options{})
	doc, w := want(t, g, 201, "PUT", "/v1/channels/chat", `{"from":[{"stream":"orders","patterns":["paid.*",":x"]},{"stream":"audit"}],"history":{"count":5,"age":"1h"}}`)
	spec := edda.ChannelSpec{
		Namespace: "default", Name: "chat", From: []edda.ChannelSource{{Stream: "orders", Patterns: []string{"paid.*", ":x"}}, {Stream: "audit"}},
		History: edda.History{Count: 5, Age: time.Hour},
	}
	if !reflect.DeepEqual(f.spec, spec) || w.Header().Get("Location") != "/v1/channels/chat" || doc["createdAt"] != "2026-01-02T03:04:01Z" || doc["subscribers"] != 0.0 {
		t.Errorf("got %+v, %v, %v", f.spec, doc, w.Header())
	}
	if !reflect.DeepEqual(doc["from"], []any{obj{"stream": "orders", "patterns": []any{"paid.*", ":x"}}, obj{"stream": "audit"}}) {
		t.Errorf("got from %v", doc["from"])
	}
	doc, _ = want(t, g, 200, "PUT", "/v1/ns/shop/channels/room", "")
	if f.spec.Namespace != "shop" || f.spec.From != nil || !reflect.DeepEqual(doc["history"], obj{"count": 1000.0, "age": "24h0m0s"}) || len(doc["from"].([]any)) != 0 {
		t.Errorf("without a body: got %+v, %v", f.spec, doc)
	}
	doc, _ = want(t, g, 200, "GET", "/v1/channels/room", "", "Accept: */*")
	if doc["name"] != "room" || doc["subscribers"] != 3.0 {
		t.Errorf("show: got %v", doc)
	}
	doc, _ = want(t, g, 200, "GET", "/v1/channels?limit=2&after=a", "")
	if items := doc["items"].([]any); len(items) != 2 || doc["next"] != "more" || f.asked[len(f.asked)-1] != "list 2 a" {
		t.Errorf("list: got %v", doc)
	}
	doc, _ = want(t, g, 200, "GET", "/v1/channels/room/presence", "")
	if !reflect.DeepEqual(doc, obj{"items": []any{obj{"principal": "ada", "since": "2026-01-02T03:04:02Z"}}}) {
		t.Errorf("presence: got %v", doc)
	}
	f.others = 4
	doc, _ = want(t, g, 200, "GET", "/v1/channels/room/presence?limit=2&after=ada", "")
	if items := doc["items"].([]any); len(items) != 2 || items[0].(obj)["principal"] != "b0000" || doc["next"] != "b0001" {
		t.Errorf("a page of presence: got %v", doc)
	}
	if n := pages(t, g, "/v1/channels/room/presence?limit=2"); n != 5 {
		t.Errorf("the pages of presence have %d, want 5", n)
	}
	want(t, g, 204, "DELETE", "/v1/channels/room", "")
	for _, tc := range []struct {
		reason edda.Reason
		method string
		target string
		body   string
	}{
		{edda.NoChannel, "GET", "/v1/channels/none", ""},
		{edda.NoChannel, "DELETE", "/v1/channels/none", ""},
		{edda.NoChannel, "GET", "/v1/channels/none/presence", ""},
		{edda.BadValue, "GET", "/v1/channels/room/presence?limit=0", ""},
		{edda.NoChannel, "GET", "/v1/channels/none/history", ""},
		{edda.BadName, "GET", "/v1/channels/a%20b", ""},
		{edda.BadName, "PUT", "/v1/channels/edda.x", ""},
		{edda.BadJSON, "PUT", "/v1/channels/room", "[]"},
		{edda.UnknownField, "PUT", "/v1/channels/room", `{"streams":[]}`},
		{edda.UnknownField, "PUT", "/v1/channels/room", `{"from":[{"stream":"a"},{"name":"b"}]}`},
		{edda.UnknownField, "PUT", "/v1/channels/room", `{"history":{"bytes":1}}`},
		{edda.BadValue, "PUT", "/v1/channels/room", `{"from":"orders"}`},
		{edda.BadValue, "PUT", "/v1/channels/room", `{"from":null}`},
		{edda.BadValue, "PUT", "/v1/channels/room", `{"from":["orders"]}`},
		{edda.BadValue, "PUT", "/v1/channels/room", `{"from":[{"stream":1}]}`},
		{edda.BadValue, "PUT", "/v1/channels/room", `{"from":[{"stream":"a","patterns":"x"}]}`},
		{edda.BadValue, "PUT", "/v1/channels/room", `{"from":[{"stream":"a","patterns":["x.:"]}]}`},
		{edda.BadName, "PUT", "/v1/channels/room", `{"from":[{}]}`},
		{edda.TooLarge, "PUT", "/v1/channels/room", `{"from":[` + strings.Repeat(`{"stream":"a"},`, edda.MaxChannelSources) + `{"stream":"a"}]}`},
		{edda.BadValue, "PUT", "/v1/channels/room", `{"history":{"count":0}}`},
		{edda.BadValue, "PUT", "/v1/channels/room", `{"history":{"age":"-1s"}}`},
		{edda.BadValue, "GET", "/v1/channels/room/history?from=", ""},
		{edda.BadValue, "GET", "/v1/channels/room/history?limit=1001", ""},
		{edda.NoRoute, "GET", "/v1/channels/room/more", ""},
		{edda.BadMethod, "POST", "/v1/channels/room/history", ""},
	} {
		refused(t, g, tc.reason, tc.method, tc.target, tc.body)
	}
}

func TestChannelHistory(t *testing.T) {
	f := &fakeChannels{}
	g := channelsOf(t, f, nil, Options{})
	f.publish("said", hi)
	f.publish("paid", hi)
	f.messages[1].Message.Stream = "orders"
	doc, _ := want(t, g, 200, "GET", "/v1/channels/room/history?from=p0&limit=7", "")
	items := doc["items"].([]any)
	if len(items) != 2 || doc["next"] != "p2" || f.from != "p0" || f.limit != 7 {
		t.Fatalf("got %v from %s, %d", doc, f.from, f.limit)
	}
	first, second := items[0].(obj), items[1].(obj)
	if first["stream"] != nil || second["stream"] != "orders" || first["from"] != "p1" || first["data"] != "hi\nthere" || second["type"] != "paid" {
		t.Errorf("got %v", items)
	}
	f.messages = nil
	if doc, _ = want(t, g, 200, "GET", "/v1/channels/room/history", ""); len(doc["items"].([]any)) != 0 || doc["next"] != "p0" || f.from != "" || f.limit != 100 {
		t.Errorf("got %v from %q, %d", doc, f.from, f.limit)
	}
}

func TestPublish(t *testing.T) {
	fs := &fakeStreams{}
	g := channelsOf(t, &fakeChannels{}, fs, Options{})
	doc, w := want(t, g, 202, "POST", "/v1/ns/shop/channels/room", "hi", "Edda-Type: said", "Edda-Key: a%2Fb", "Content-Type: text/plain", "Edda-Header-X: y")
	a := fs.append
	if a.Namespace != "shop" || a.Channel != "room" || a.Stream != "" || a.Principal != edda.Anonymous || len(a.Messages) != 1 {
		t.Fatalf("got %+v", a)
	}
	if m := a.Messages[0]; m.Type != "said" || m.Key != "a/b" || m.ContentType != "text/plain" || string(m.Payload) != "hi" || m.Headers.Get("X") != "y" {
		t.Errorf("got %+v", m)
	}
	if !reflect.DeepEqual(doc, obj{"id": "made-0", "position": "3-9"}) || w.Header().Get("Edda-Position") != "3-9" || w.Header().Get("Edda-Durability") != "fsync" || w.Header().Get("ETag") != "" {
		t.Errorf("got %v with %v", doc, w.Header())
	}
	doc, _ = want(t, g, 202, "POST", "/v1/channels/room", `[{"id":"a","type":"said","data":"x"},{"data":{"y":1}}]`, "Content-Type: "+batchMedia)
	if !reflect.DeepEqual(doc, obj{"items": []any{obj{"id": "a", "position": "3-9"}, obj{"id": "made-1", "position": "3-9"}}}) {
		t.Errorf("a batch: got %v", doc)
	}
	if doc, _ = want(t, g, 202, "POST", "/v1/channels/room", eventBatch, "Content-Type: "+eventBatchMedia); len(doc["items"].([]any)) != 2 {
		t.Errorf("a batch of CloudEvents: got %v", doc)
	}
	fs.append = nil
	if doc, _ = want(t, g, 202, "POST", "/v1/channels/room", "[]", "Content-Type: "+eventBatchMedia); len(doc["items"].([]any)) != 0 || fs.append != nil {
		t.Errorf("an empty batch: got %v", doc)
	}
	for _, header := range []string{"Edda-Shard: default", `If-Match: "1"`, "If-None-Match: *"} {
		w := refused(t, g, edda.BadValue, "POST", "/v1/channels/room", "hi", header)
		if name, _, _ := strings.Cut(header, ":"); !strings.HasPrefix(wantProblem(t, w).Detail, name) {
			t.Errorf("%s: got %s", header, w.Body)
		}
	}
	refused(t, g, edda.BadValue, "POST", "/v1/channels/room", "[]", "Content-Type: "+batchMedia)
	refused(t, g, edda.BadName, "POST", "/v1/channels/a%20b", "x")
	fs.fails = &edda.Error{Op: "append", Reason: edda.NoChannel}
	if w := do(g, http.MethodPost, "/v1/channels/none", "x"); w.Code != 404 || wantProblem(t, w).Reason != edda.NoChannel {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
