package routegw_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/routegw"
	"github.com/edda-io/edda/route"
)

// text writes a message as a test wants it.
func text(headers edda.Headers) string {
	var b strings.Builder
	for _, h := range headers {
		fmt.Fprintf(&b, "%s=%s|", h.Name, h.Value)
	}
	return b.String()
}

func TestRequestBecomesMessage(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{KeyHeaders: []string{"X-Api-Key"}},
		routegw.Route{Route: "POST /users/{id}/{do}", Namespace: "shop", Service: "users", Method: "path.do", Key: "path.id"})
	w := do(g, "POST", "/users/a%2Fb%20c/login?page=2&x=%C3%A4", `{"email":"a@x"}`,
		"Content-Type: application/json", "X-Two: 2", "Accept: text/html", "X-Two: 3", "Idempotency-Key: k", "Traceparent: "+parent,
		"Authorization: Bearer t", "Cookie: a=b", "Edda-Key: other", "Edda-Header-X: y", "Connection: x-hop", "X-Hop: 1", "Te: trailers",
		"X-Api-Key: secret", "Proxy-Authorization: p")
	answered(t, w, 200, `{"email":"a@x"}`)
	m := f.message
	want := edda.Address{Namespace: "shop", Name: "users", Key: "a/b c"}
	if m.To != want || m.Type != "login" || m.ContentType != "application/json" || string(m.Payload) != `{"email":"a@x"}` {
		t.Errorf("got %+v", m)
	}
	if m.Principal != edda.Anonymous || m.IdempotencyKey != "k" || !strings.HasPrefix(m.TraceParent, parent[:36]) {
		t.Errorf("got principal %q, idempotency key %q, trace parent %q", m.Principal, m.IdempotencyKey, m.TraceParent)
	}
	const headers = "Accept=text/html|X-Two=2|X-Two=3|Edda-Http-Method=POST|Edda-Http-Path=/users/a%2Fb%20c/login|" +
		"Edda-Http-Params=id=a%2Fb+c&do=login|Edda-Http-Query=page=2&x=%C3%A4|"
	if got := text(m.Headers); got != headers {
		t.Errorf("got headers  %s\nwant headers %s", got, headers)
	}
	if route.Param(m, "id") != "a/b c" || route.Query(m).Get("x") != "ä" || route.Method(m) != "POST" {
		t.Errorf("the helpers read %q, %v", route.Param(m, "id"), route.Query(m))
	}
	for name, v := range map[string]string{
		"Edda-Request-Id": fakeID.String(), "Edda-Position": "1-1", "Edda-Durability": "fsync", "Edda-Attempts": "1",
		"Content-Type": "application/json",
	} {
		if got := w.Header().Get(name); got != v {
			t.Errorf("got %s %q, want %q", name, got, v)
		}
	}
}

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestListedHeaders(t *testing.T) {
	for _, tc := range []struct {
		list []string
		want string
	}{
		{nil, "X-A=1|Edda-Http-Method=GET|Edda-Http-Path=/|"},
		{[]string{}, "Edda-Http-Method=GET|Edda-Http-Path=/|"},
		{[]string{"x-b", "cookie", "Authorization"}, "Authorization=Bearer t|Cookie=c|Edda-Http-Method=GET|Edda-Http-Path=/|"},
	} {
		f := &fake{}
		g := serving(t, f, routegw.Options{}, routegw.Route{Route: "GET /{$}", Service: "s", Method: "m", Headers: tc.list})
		do(g, "GET", "/", "", "X-A: 1", "Cookie: c", "Authorization: Bearer t")
		if got := text(f.message.Headers); got != tc.want {
			t.Errorf("%q: got %s, want %s", tc.list, got, tc.want)
		}
	}
}

func TestWholeRequestAsPayload(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{}, routegw.Route{
		Route: "/a/{x}/{rest...}", Service: "s", Method: "m", Payload: routegw.Request, Headers: []string{"X-A", "X-B"},
	})
	for _, tc := range []struct{ method, target, body, contentType, want string }{
		{
			"PATCH", `/a/1/b/c%2F"?q=1&q=2&p=`, `{"n":1}`, "application/json",
			`{"method":"PATCH","path":"/a/1/b/c%2F%22","params":{"x":"1","rest":"b/c/\""},"query":{"p":[""],"q":["1","2"]},` +
				`"headers":{"X-A":"1, 2","X-B":"\"3\""},"contentType":"application/json","data":{"n":1}}`,
		},
		{"GET", "/a/1/", "", "", `{"method":"GET","path":"/a/1/","params":{"x":"1","rest":""},"query":{},"headers":{"X-A":"1, 2","X-B":"\"3\""}}`},
		{
			"POST", "/a/1/", "\xff", "image/png",
			`{"method":"POST","path":"/a/1/","params":{"x":"1","rest":""},"query":{},"headers":{"X-A":"1, 2","X-B":"\"3\""},"contentType":"image/png","dataBase64":"/w=="}`,
		},
	} {
		w := do(g, tc.method, strings.ReplaceAll(tc.target, `"`, "%22"), tc.body, "Content-Type: "+tc.contentType, "X-A: 1", "X-A: 2", `X-B: "3"`, "X-C: 4")
		answered(t, w, 200, tc.want)
		if m := f.message; m.ContentType != "application/json" || len(m.Headers) != 0 {
			t.Errorf("got content type %q and headers %v", m.ContentType, m.Headers)
		}
	}
	refused(t, do(g, "GET", "/a/1/?a=%zz", ""), edda.BadValue, "query")
}

func TestReplyBecomesResponse(t *testing.T) {
	f := &fake{call: func(context.Context, *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{
			Status: 418, ContentType: "text/plain", Payload: []byte("teapot"), RequestID: fakeID, Position: "1-1", Attempts: 2, Replayed: true,
			Headers: edda.Headers{{Name: "Set-Cookie", Value: "a=1"}, {Name: "set-cookie", Value: "b=2"}, {Name: "Edda-Position", Value: "forged"}, {Name: "Connection", Value: "close"}},
		}, nil
	}}
	g := serving(t, f, routegw.Options{}, routegw.Route{Route: "GET /tea", Service: "s", Method: "m"})
	w := do(g, "GET", "/tea", "")
	answered(t, w, 418, "teapot")
	h := w.Header()
	if c := h["Set-Cookie"]; len(c) != 2 || h.Get("Edda-Position") != "1-1" || h.Get("Connection") != "" || h.Get("Idempotency-Replayed") != "true" || h.Get("Edda-Attempts") != "2" {
		t.Errorf("got headers %v", h)
	}
	if w := do(g, "HEAD", "/tea", ""); w.Code != 418 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "6" {
		t.Errorf("HEAD: got %d, %d bytes, Content-Length %q", w.Code, w.Body.Len(), w.Header().Get("Content-Length"))
	}
	if got := route.Method(f.message); got != "HEAD" {
		t.Errorf("the handler is told of %s, want HEAD", got)
	}
	f.call = func(context.Context, *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{RequestID: fakeID, Position: "1-1", Attempts: 1}, nil
	}
	answered(t, do(g, "GET", "/tea", ""), 204, "")
	f.call = func(context.Context, *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{Status: 99, RequestID: fakeID, Position: "1-1"}, nil
	}
	refused(t, do(g, "GET", "/tea", ""), edda.Internal, "log")
}

func TestErrorsBecomeProblems(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{}, routegw.Route{Route: "POST /x", Service: "s", Method: "m"})
	for _, reason := range []edda.Reason{
		edda.Failed, edda.Dead, edda.NoService, edda.NoWorker, edda.Overloaded, edda.OutcomeUnknown, edda.IdempotencyMismatch, edda.DeadlineExceeded,
	} {
		f.call = func(context.Context, *edda.Message) (*edda.Reply, error) {
			return nil, &edda.Error{Reason: reason, RequestID: fakeID, Position: "1-7", Attempts: 3, RetryAfter: 1500 * time.Millisecond, Err: errors.New("because")}
		}
		w := do(g, "POST", "/x", "x")
		refused(t, w, reason, "because")
		if w.Header().Get("Edda-Request-Id") != fakeID.String() || w.Header().Get("Edda-Position") != "1-7" || w.Header().Get("Edda-Durability") != "fsync" {
			t.Errorf("%s: got headers %v", reason, w.Header())
		}
	}
	f.call = func(context.Context, *edda.Message) (*edda.Reply, error) { return nil, errors.New("a secret") }
	w := do(g, "POST", "/x", "x")
	refused(t, w, edda.Internal, "")
	if strings.Contains(w.Body.String(), "secret") {
		t.Errorf("a defect is told: %s", w.Body)
	}
}

// The original had its timeout fixed at 3 s whatever a route said (S46).
func TestWaitIsObeyed(t *testing.T) {
	for _, tc := range []struct{ route, all, want time.Duration }{
		{time.Second, 0, time.Second},
		{time.Second, time.Minute, time.Second},
		{0, 4 * time.Second, 4 * time.Second},
		{0, 0, 30 * time.Second},
		{10 * time.Minute, 0, 10 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{call: func(ctx context.Context, _ *edda.Message) (*edda.Reply, error) {
				<-ctx.Done()
				return nil, &edda.Error{Reason: edda.Timeout, RequestID: fakeID, Position: "1-1", Err: ctx.Err()}
			}}
			g := serving(t, f, routegw.Options{Wait: tc.all}, routegw.Route{Route: "GET /slow", Service: "s", Method: "m", Wait: tc.route})
			start := time.Now()
			w := do(g, "GET", "/slow", "")
			if took := time.Since(start); took != tc.want {
				t.Errorf("wait %v, default %v: took %v", tc.route, tc.all, took)
			}
			refused(t, w, edda.Timeout, "")
			if w.Header().Get("Edda-Position") != "1-1" {
				t.Error("the position is not told, though the request is stored")
			}
		})
	}
}

func TestAsync(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{}, routegw.Route{Route: "POST /x/{id}", Namespace: "shop", Service: "s", Method: "m", Key: "path.id", Async: true})
	w := do(g, "POST", "/x/1", "x", "Idempotency-Key: k")
	answered(t, w, http.StatusAccepted, `{"id":"`+fakeID.String()+`","position":"1-1","durability":"fsync","acceptedAt":"2023-11-14T22:13:20.5Z"}`)
	if got := w.Header().Get("Location"); got != "/v1/ns/shop/requests/"+fakeID.String() {
		t.Errorf("got Location %q", got)
	}
	if f.message.To.Key != "1" || f.message.IdempotencyKey != "k" || w.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("got message %+v", f.message)
	}
	f.send = func(*edda.Message) (*edda.Ack, error) {
		return &edda.Ack{ID: fakeID, Position: "1-1", Joined: true}, nil
	}
	if w := do(g, "POST", "/x/1", "x", "Idempotency-Key: k"); w.Code != 202 || w.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("again: got %d %v", w.Code, w.Header())
	}
	f.send = func(*edda.Message) (*edda.Ack, error) { return nil, &edda.Error{Reason: edda.Draining} }
	refused(t, do(g, "POST", "/x/1", "x"), edda.Draining, "")
}

func TestSchemaAndSizeBeforeAnythingIsStored(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{MaxBody: 100},
		routegw.Route{
			Route: "POST /x", Service: "s", Method: "m", MaxBody: 20,
			Schema: []byte(`{"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"]}`),
		},
		routegw.Route{Route: "POST /big", Service: "s", Method: "m"})
	for _, tc := range []struct {
		path, body, contentType string
		reason                  edda.Reason
		detail                  string
	}{
		{"/x", `{"n":0}`, "application/json", edda.BadSchema, "minimum"},
		{"/x", `{}`, "application/json", edda.BadSchema, "n"},
		{"/x", ``, "", edda.BadSchema, "n"},
		{"/x", `{"n":`, "application/json", edda.BadSchema, "JSON"},
		{"/x", `{"n":1}`, "text/plain", edda.BadMediaType, "JSON"},
		{"/x", `{"n":1           }   `, "application/json", edda.TooLarge, "20 bytes"},
		{"/big", strings.Repeat("x", 101), "", edda.TooLarge, "100 bytes"},
	} {
		refused(t, do(g, "POST", tc.path, tc.body, "Content-Type: "+tc.contentType), tc.reason, tc.detail)
		if f.message != nil {
			t.Fatalf("%+v was stored", tc)
		}
	}
	answered(t, do(g, "POST", "/x", `{"n":1}`, "Content-Type: application/json"), 200, `{"n":1}`)
	answered(t, do(g, "POST", "/big", strings.Repeat("x", 100)), 200, strings.Repeat("x", 100))
}

func TestKeysFromEverywhere(t *testing.T) {
	for _, tc := range []struct {
		key, target string
		headers     []string
		want        string
		reason      edda.Reason
	}{
		{"path.id", "/k%20y", nil, "k y", ""},
		{"query.k", "/1?k=a%26b", nil, "a&b", ""},
		{"query.k", "/1?j=1", nil, "", edda.BadValue},
		{"query.k", "/1?k=", nil, "", edda.BadValue},
		{"query.k", "/1?k=1&k=2", nil, "", edda.BadValue},
		{"query.k", "/1?k=%zz", nil, "", edda.BadValue},
		{"header.x-tenant", "/1", []string{"X-Tenant: acme"}, "acme", ""},
		{"header.x-tenant", "/1", nil, "", edda.BadValue},
		{"header.x-tenant", "/1", []string{"X-Tenant: a", "X-Tenant: b"}, "", edda.BadValue},
		{"principal", "/1", nil, "anonymous", ""},
		{"all", "/1", nil, "all", ""},
		{"'path.id'", "/1", nil, "path.id", ""},
		{"", "/1", nil, "", ""},
		{"claim.sub", "/1", nil, "", edda.NotAllowed},
	} {
		f := &fake{}
		g := serving(t, f, routegw.Options{}, routegw.Route{Route: "GET /{id}", Service: "s", Method: "m", Key: tc.key})
		w := do(g, "GET", tc.target, "", tc.headers...)
		switch {
		case tc.reason != "":
			refused(t, w, tc.reason, "")
			if f.message != nil {
				t.Errorf("%+v was stored", tc)
			}
		case w.Code != 204 || f.message.To.Key != tc.want:
			t.Errorf("%s of %s: got %d, key %q, want %q", tc.key, tc.target, w.Code, f.message.To.Key, tc.want)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	f := &fake{}
	g := serving(t, f, routegw.Options{}, routegw.Route{Route: "/x/{rest...}", Service: "s", Method: "m"})
	for _, tc := range []struct {
		name    string
		headers []string
		reason  edda.Reason
	}{
		{"two idempotency keys", []string{"Idempotency-Key: a", "Idempotency-Key: b"}, edda.BadValue},
		{"an empty idempotency key", []string{"Idempotency-Key:"}, edda.BadValue},
		{"a header that is not UTF-8", []string{"X-A: \xff"}, edda.BadValue},
		{"a content type that is not UTF-8", []string{"Content-Type: \xff"}, edda.BadValue},
	} {
		refused(t, do(g, "POST", "/x/", "x", tc.headers...), tc.reason, "")
	}
	r := "/x/?a=\xff"
	refused(t, do(g, "POST", r, "x"), edda.BadValue, "query")
	for _, path := range []string{"/x//", "/x/./y", "/x/../y", "/x/%2e%2e/y", "//x/"} {
		refused(t, do(g, "POST", path, "x"), edda.BadName, "segment")
	}
	if f.message != nil {
		t.Error("something was stored")
	}
}
