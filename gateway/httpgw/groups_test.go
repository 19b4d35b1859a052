package httpgw

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
)

// TestGroupRoutes checks what each route asks of the backend, and its answer.
func TestGroupRoutes(t *testing.T) {
	const at = "/v1/streams/orders/groups/mail"
	ref := edda.GroupRef{Namespace: "default", Stream: "orders", Group: "mail"}
	isMail := func(_ *fakeGroups, doc obj) bool {
		return doc["name"] == "mail" && doc["stream"] == "orders" && doc["lag"] == 3.0 && doc["pending"] == 2.0 && doc["processingTimeout"] == "30s" &&
			doc["idleTimeout"] == "1m0s" && doc["minMembers"] == 1.0 && doc["maxMembers"] == 5.0 &&
			reflect.DeepEqual(doc["cursor"], any(obj{"default": 4.0})) &&
			reflect.DeepEqual(doc["members"], []any{obj{"name": "m1", "leases": 2.0, "lastSeen": "2026-01-02T03:04:02Z"}})
	}
	for _, tc := range []struct {
		method, target, body string
		status               int
		asked                string
		check                func(f *fakeGroups, doc obj) bool
	}{
		{"PUT", at, `{"from":7,"minMembers":2,"maxMembers":3,"processingTimeout":"5s","idleTimeout":"1m","retry":{"max":3,"jitter":0}}`, 200, "set",
			func(f *fakeGroups, doc obj) bool {
				return isMail(f, doc) && f.spec == edda.GroupSpec{
					Namespace: "default", Stream: "orders", Name: "mail", From: "7", MinMembers: 2, MaxMembers: 3,
					ProcessingTimeout: 5 * time.Second, IdleTimeout: time.Minute, Retry: edda.RetryPolicy{Max: 3, Jitter: -1},
				}
			}},
		{"PUT", "/v1/ns/shop/streams/orders/groups/new", "", 201, "set", func(f *fakeGroups, _ obj) bool {
			return f.spec == edda.GroupSpec{Namespace: "shop", Stream: "orders", Name: "new"}
		}},
		{"PUT", at, `{"from":"start","maxMembers":0}`, 200, "set", func(f *fakeGroups, _ obj) bool { return f.spec.From == edda.FromStart }},
		{"GET", at, "", 200, "show", isMail},
		{"HEAD", at, "", 200, "show", nil},
		{"DELETE", at, "", 204, "delete", nil},
		{"POST", at + "/reset", `{"to":"2026-01-02T15:04:05Z","shard":"eu"}`, 200, "reset", func(f *fakeGroups, doc obj) bool {
			return isMail(f, doc) && f.reset == "eu 2026-01-02T15:04:05Z"
		}},
		{"POST", at + "/reset", `{"to":0}`, 200, "reset", func(f *fakeGroups, _ obj) bool { return f.reset == " 0" }},
		{"POST", at + "/read", `{"member":"m","max":5,"wait":"30s"}`, 200, "read", func(f *fakeGroups, doc obj) bool {
			item := obj{
				"shard": "default", "offset": 7.0, "id": "a", "type": "placed", "time": "2026-01-02T03:04:03Z", "data": "hi", "lease": "l-1", "attempt": 2.0,
			}
			return f.read == edda.GroupRead{GroupRef: ref, Member: "m", Max: 5, Wait: 30 * time.Second} &&
				reflect.DeepEqual(doc, obj{"items": []any{item}})
		}},
		{"POST", at + "/read", `{"member":"m"}`, 200, "read", func(f *fakeGroups, _ obj) bool { return f.read.Max == 0 && f.read.Wait == 0 }},
		{"POST", at + "/ack", `{"leases":["a","b"]}`, 200, "ack", func(f *fakeGroups, doc obj) bool {
			return reflect.DeepEqual(f.settle, edda.Settle{GroupRef: ref, Leases: []string{"a", "b"}}) &&
				reflect.DeepEqual(doc, obj{"done": 1.0, "stale": []any{"b"}})
		}},
		{"POST", at + "/reject", `{"leases":["a"],"error":"no stock","for":"1m"}`, 200, "reject", func(f *fakeGroups, doc obj) bool {
			return reflect.DeepEqual(f.settle, edda.Settle{GroupRef: ref, Leases: []string{"a"}, Error: "no stock", For: time.Minute}) &&
				reflect.DeepEqual(doc, obj{"done": 1.0, "stale": []any{}})
		}},
		{"POST", "/v1/ns/default/streams/orders/groups/mail/extend", `{"leases":["a"],"for":"1m"}`, 200, "extend", func(f *fakeGroups, _ obj) bool {
			return reflect.DeepEqual(f.settle, edda.Settle{GroupRef: ref, Leases: []string{"a"}, For: time.Minute})
		}},
	} {
		f := &fakeGroups{}
		doc, w := want(t, streamsOf(t, &fakeStreams{}, f, Options{}), tc.status, tc.method, tc.target, tc.body)
		if got := strings.Join(f.asked, " "); got != tc.asked {
			t.Errorf("%s %s: the backend was asked to %q, want %q", tc.method, tc.target, got, tc.asked)
		}
		if tc.check != nil && !tc.check(f, doc) {
			t.Errorf("%s %s: got %v, the backend got %+v", tc.method, tc.target, doc, f)
		}
		if got := w.Header().Get("Location"); tc.status == 201 && got != "/v1/ns/shop/streams/orders/groups/new" {
			t.Errorf("got Location %q", got)
		}
	}
	refused(t, streamsOf(t, &fakeStreams{}, &fakeGroups{}, Options{}), edda.NoGroup, "GET", "/v1/streams/orders/groups/other", "")
}

func TestListGroups(t *testing.T) {
	g := streamsOf(t, &fakeStreams{}, &fakeGroups{names: []string{"a", "b", "c"}}, Options{})
	for query, names := range map[string]string{
		"": "a b c ", "?limit=3": "a b c ", "?limit=2": "a b b", "?limit=2&after=b": "c ", "?after=aa": "b c ", "?after=c": "", "?after=z": "",
	} {
		doc, _ := want(t, g, 200, "GET", "/v1/streams/orders/groups"+query, "")
		got := ""
		for _, it := range doc["items"].([]any) {
			got += it.(obj)["name"].(string) + " "
		}
		if next := doc["next"]; next != nil {
			got += fmt.Sprint(next)
		}
		if got != names {
			t.Errorf("%s: got %q, want %q", query, got, names)
		}
	}
	doc, _ := want(t, streamsOf(t, &fakeStreams{}, &fakeGroups{}, Options{}), 200, "GET", "/v1/streams/orders/groups", "")
	if !reflect.DeepEqual(doc, obj{"items": []any{}}) {
		t.Errorf("no groups: got %v", doc)
	}
}
