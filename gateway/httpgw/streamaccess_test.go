package httpgw

import (
	"net/http"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

// TestStreamAccess walks all routes as principals with different rights.
func TestStreamAccess(t *testing.T) {
	authenticator := byName(map[string]auth.Rights{
		"producer": {Append: []auth.Pattern{"orders", "shop:*"}, Call: []auth.Pattern{"*:*"}},
		"consumer": {Read: []auth.Pattern{"orders"}, Host: []auth.Pattern{"*:*"}},
		"both":     {Append: []auth.Pattern{"orders", "replies"}, Read: []auth.Pattern{"orders"}},
		"ops":      {Manage: true},
		"nobodys":  {},
	})
	const (
		one   = "/v1/streams/orders"
		group = one + "/groups/mail"
		all   = "producer consumer both ops nobodys"
	)
	for _, tc := range []struct {
		method, target, body string
		headers              []string
		may                  string
	}{
		{"POST", one, "x", nil, "producer both"},
		{"POST", "/v1/ns/shop/streams/orders", "x", nil, "producer"},
		{"POST", "/v1/streams/other", "x", nil, ""},
		{"POST", one, "x", []string{"Edda-Reply-To: replies/eu"}, "both"},
		{"POST", one, "x", []string{"Edda-Reply-To: shop:replies"}, "producer"},
		{"POST", one, `[{},{"replyTo":"orders"},{"replyTo":"replies"}]`, []string{"Content-Type: " + batchMedia}, "both"},

		{"GET", one, "", nil, "producer consumer both ops"},
		{"GET", "/v1/streams", "", nil, all},
		{"GET", one + "/groups", "", nil, "producer consumer both ops"},
		{"GET", group, "", nil, "producer consumer both ops"},

		{"GET", one + "?from=start", "", nil, "consumer both ops"},
		{"GET", one, "", []string{"Accept: " + eventBatchMedia}, "consumer both ops"},
		{"HEAD", one, "", []string{wantEvents}, "consumer both ops"},
		{"GET", one + "/messages/known", "", nil, "consumer both ops"},
		{"POST", group + "/read", `{"member":"m"}`, nil, "consumer both"},
		{"POST", group + "/ack", `{"leases":["a"]}`, nil, "consumer both"},
		{"POST", group + "/reject", `{"leases":["a"]}`, nil, "consumer both"},
		{"POST", group + "/extend", `{"leases":["a"]}`, nil, "consumer both"},

		{"PUT", one, "", nil, "ops"},
		{"POST", one + "/trim", `{"before":1}`, nil, "ops"},
		{"PUT", group, "", nil, "ops"},
		{"POST", group + "/reset", `{"to":1}`, nil, "ops"},
		{"DELETE", group, "", nil, "ops"},
		{"DELETE", one, "", nil, "ops"},
	} {
		for who := range strings.FieldsSeq(all) {
			f := &fakeStreams{}
			fill(t, f, 1)
			f.streams["default:orders"].messages["eu"][0].ID = "known"
			before := len(f.asked)
			g := streamsOf(t, f, &fakeGroups{names: []string{"mail"}}, Options{Authenticator: authenticator})
			w := do(g, tc.method, tc.target, tc.body, append(tc.headers, "Authorization: Bearer "+who)...)
			may := strings.Contains(" "+tc.may+" ", " "+who+" ")
			if may != (w.Code < 300) || !may && w.Code != http.StatusForbidden {
				t.Errorf("%s %s %v as %s: got %d %s, want it allowed: %v", tc.method, tc.target, tc.headers, who, w.Code, w.Body, may)
			}
			if !may && len(f.asked) > before {
				t.Errorf("%s %s as %s: the backend was asked to %v", tc.method, tc.target, who, f.asked[before:])
			}
		}
	}
}

// Who appends comes from the credentials, whatever the body says.
func TestStreamPrincipal(t *testing.T) {
	authenticator := byName(map[string]auth.Rights{"ada": {Append: []auth.Pattern{"orders"}}})
	for _, headers := range [][]string{nil, {"Content-Type: " + batchMedia}, {"Content-Type: " + eventBatchMedia}} {
		f := &fakeStreams{}
		body := "[{}]"
		if len(headers) > 0 && strings.Contains(headers[0], "cloudevents") {
			body = strings.Replace(eventBatch, `"comexample":5`, `"principal":"root"`, 1)
		}
		g := streamsOf(t, f, nil, Options{Authenticator: authenticator})
		want(t, g, 201, "POST", "/v1/streams/orders", body, append(headers, "Authorization: Bearer ada", "Edda-Header-Principal: root", "Edda-Principal: root")...)
		if f.append.Principal != "ada" {
			t.Errorf("%v: the append is %q's, want ada's", headers, f.append.Principal)
		}
		for _, m := range f.append.Messages {
			if m.Principal != "ada" {
				t.Errorf("%v: a message is %q's, want ada's", headers, m.Principal)
			}
		}
	}
}

// The list shows what its reader may see.
func TestStreamListIsOnesOwn(t *testing.T) {
	f := &fakeStreams{}
	g := streamsOf(t, f, nil, Options{Authenticator: byName(map[string]auth.Rights{
		"ada": {Append: []auth.Pattern{"orders"}}, "bob": {Read: []auth.Pattern{"aud*"}}, "ops": {Manage: true}, "zoe": {Call: []auth.Pattern{"*:*"}},
	})})
	for _, name := range []string{"orders", "audit", "other"} {
		f.ensure(edda.DefaultNamespace, name)
	}
	for who, sees := range map[string]string{"ada": "orders ", "bob": "audit ", "ops": "audit orders other ", "zoe": ""} {
		doc, _ := want(t, g, 200, "GET", "/v1/streams", "", "Authorization: Bearer "+who)
		got := ""
		for _, s := range doc["items"].([]any) {
			got += s.(obj)["name"].(string) + " "
		}
		if got != sees {
			t.Errorf("%s sees %q, want %q", who, got, sees)
		}
	}
}
