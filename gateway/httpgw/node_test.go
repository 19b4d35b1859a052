package httpgw

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/worker/httppush"
	"github.com/prometheus/client_golang/prometheus"
)

// open returns a gateway to a real node with the example services and some that
// get into trouble.
func open(t testing.TB) (*Gateway, *node.Node) {
	t.Helper()
	reg := prometheus.NewRegistry()
	n, err := node.Open(t.Context(), node.Options{
		Durability: edda.Memory, Partitions: 4, Services: append(examples.Services(), troubled()...), Metrics: reg,
		Endpoints: func(spec edda.EndpointSpec) (node.Endpoint, error) { return httppush.New(spec, httppush.Options{}) },
		Limits:    node.Limits{NoServiceWait: 50 * time.Millisecond, NoWorkerWait: 50 * time.Millisecond, KeyQueue: 3},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_ = n.Stop(ctx)
	})
	g, err := New(n, Options{Gatherer: reg, Registerer: reg, MaxBody: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return g, n
}

// opened counts the services of the node in the default namespace; one is elsewhere.
var opened = len(examples.Services()) + len(troubled()) - 1

// troubled returns services whose requests end badly.
func troubled() []*edda.Service {
	fails := func(*edda.Context, *edda.Message) (*edda.Reply, error) { return nil, errors.New("boom") }
	stops := edda.NewOrdered("stops")
	stops.Retry, stops.OnDead = edda.RetryPolicy{Max: 1}, edda.StopKey
	stops.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		if m.Type == "fail" {
			return fails(ctx, m)
		}
		return edda.TextReply(200, "fine"), nil
	})
	dies := edda.NewBalanced("dies")
	dies.Retry = edda.RetryPolicy{Max: 1}
	dies.HandleAny(fails)
	final := edda.NewBalanced("final")
	final.HandleAny(func(*edda.Context, *edda.Message) (*edda.Reply, error) {
		return nil, edda.Final("NO_FUNDS", "account is %s", "empty")
	})
	there := edda.NewBalanced("there")
	there.Namespace = "shop"
	there.HandleAny(func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{Status: 201, Payload: m.Payload, Headers: edda.Headers{{Name: "X-Trace", Value: m.TraceParent}}}, nil
	})
	holds := edda.NewOrdered("holds")
	holds.HandleAny(func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	return []*edda.Service{stops, dies, final, there, holds}
}

// want sends a request and checks the status. It returns the answer's document.
func want(t *testing.T, g *Gateway, status int, method, target, body string, headers ...string) (obj, *httptest.ResponseRecorder) {
	t.Helper()
	w := do(g, method, target, body, headers...)
	if w.Code != status {
		t.Fatalf("%s %s: got %d %s, want %d", method, target, w.Code, w.Body, status)
	}
	var doc obj
	if strings.HasSuffix(w.Header().Get("Content-Type"), "json") && w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Fatalf("%s %s: %s: %v", method, target, w.Body, err)
		}
		noNulls(t, target, doc)
	}
	return doc, w
}

func noNulls(t *testing.T, at string, v any) {
	t.Helper()
	switch v := v.(type) {
	case nil:
		t.Errorf("%s is null", at)
	case []any:
		for _, e := range v {
			noNulls(t, at+"[]", e)
		}
	case obj:
		for name, e := range v {
			noNulls(t, at+"."+name, e)
			if s, ok := e.(string); ok && strings.HasSuffix(name, "At") && !strings.HasSuffix(s, "Z") {
				t.Errorf("%s.%s is %s, not in UTC", at, name, s)
			}
		}
	}
}

// refused sends a request that is to be refused for the reason.
func refused(t *testing.T, g *Gateway, reason edda.Reason, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	w := do(g, method, target, body, headers...)
	if p := wantProblem(t, w); p.Reason != reason {
		t.Fatalf("%s %s: got %s %s, want %s", method, target, p.Reason, p.Detail, reason)
	}
	return w
}

func TestExampleCalls(t *testing.T) {
	g, _ := open(t)
	login := func(status int, method, text string) {
		t.Helper()
		_, w := want(t, g, status, "POST", "/v1/call/users/42/"+method, `{"email":"a@b.c"}`, "Content-Type: application/json")
		if w.Body.String() != text {
			t.Errorf("%s: got %q, want %q", method, w.Body, text)
		}
		h := w.Header()
		if h.Get("Edda-Request-Id") == "" || h.Get("Edda-Position") == "" || h.Get("Edda-Durability") != "memory" || h.Get("Edda-Attempts") != "1" {
			t.Errorf("%s: got headers %v", method, h)
		}
	}
	login(403, "login", "forbidden")
	login(200, "allow", "ok")
	login(200, "login", "ok")
	login(404, "other", "not found")

	_, w := want(t, g, 200, "POST", "/v1/call/echo/x", "hi", "Content-Type: text/x-y", "Edda-Header-X-A: 1")
	if w.Body.String() != "hi" || w.Header().Get("Content-Type") != "text/x-y" || w.Header().Get("X-A") != "1" {
		t.Errorf("echo: got %q %v", w.Body, w.Header())
	}
	want(t, g, 204, "POST", "/v1/call/echo/x", "")
	doc, _ := want(t, g, 200, "POST", "/v1/call/counter/add", `{"n":2}`, "Edda-Key: a%2Fb", "Content-Type: application/json")
	if doc["value"] != 2.0 {
		t.Errorf("counter: got %v", doc)
	}
	doc, _ = want(t, g, 200, "POST", "/v1/call/counter/a%2Fb/get", "")
	if doc["value"] != 2.0 {
		t.Errorf("counter: got %v", doc)
	}
	doc, w = want(t, g, 200, "POST", "/v1/call/flaky/1/x", `{"fail":1}`)
	if doc["attempts"] != 2.0 || w.Header().Get("Edda-Attempts") != "2" {
		t.Errorf("flaky: got %v, %s attempts", doc, w.Header().Get("Edda-Attempts"))
	}
}

// TestRefusedBeforeTheLog checks that what is refused is not stored.
func TestRefusedBeforeTheLog(t *testing.T) {
	g, _ := open(t)
	for _, tc := range []struct {
		path, body, header string
		reason             edda.Reason
	}{
		{"/v1/call/nobody/x", "", "", edda.NoService},
		{"/v1/ns/other/call/echo/x", "", "", edda.NoService},
		{"/v1/call/users/login", "", "", edda.WrongKind},
		{"/v1/call/echo/42/x", "", "", edda.WrongKind},
		{"/v1/call/echo/x", "", "Edda-Key: 42", edda.WrongKind},
		{"/v1/call/counter/1/divide", "", "", edda.NoMethod},
		{"/v1/call/counter/1/add", `{"n":"x"}`, "Content-Type: application/json", edda.BadSchema},
		{"/v1/call/counter/1/add", `{"m":1}`, "Content-Type: application/json", edda.BadSchema},
		{"/v1/call/echo/x", "", "Edda-Deadline: -1s", edda.DeadlineExceeded},
		{"/v1/call/echo/x", "", "Edda-Deadline: 0s", edda.DeadlineExceeded},
		{"/v1/call/echo/x", "", "Edda-Deadline: 2020-01-01T00:00:00Z", edda.DeadlineExceeded},
		{"/v1/call/echo/x", strings.Repeat("x", 1<<20+1), "", edda.TooLarge},
	} {
		for _, prefer := range []string{"", "respond-async"} {
			w := refused(t, g, tc.reason, "POST", tc.path, tc.body, tc.header, "Prefer: "+prefer)
			if w.Header().Get("Edda-Request-Id") != "" || w.Header().Get("Edda-Position") != "" {
				t.Errorf("%s: got %v for what is not stored", tc.path, w.Header())
			}
		}
	}
	want(t, g, 200, "POST", "/v1/call/echo/x", strings.Repeat("x", 1<<20))
}

func TestAsynchronousCall(t *testing.T) {
	g, _ := open(t)
	doc, w := want(t, g, 202, "POST", "/v1/call/slow/x", `{"ms":50}`, "Prefer: respond-async", "Content-Type: application/json")
	at := w.Header().Get("Location")
	if at != "/v1/requests/"+doc["id"].(string) || doc["durability"] != "memory" || w.Header().Get("Edda-Request-Id") != doc["id"] {
		t.Fatalf("got %v, %v", doc, w.Header())
	}
	_, w = want(t, g, 202, "POST", "/v1/call/holds/1/x", "", "Prefer: respond-async")
	held := w.Header().Get("Location")
	_, w = want(t, g, 202, "GET", held+"/reply", "")
	if w.Header().Get("Location") != held {
		t.Errorf("got Location %q, want %q", w.Header().Get("Location"), held)
	}
	doc, _ = want(t, g, 200, "GET", at+"?wait=10s", "")
	if doc["state"] != "succeeded" || doc["service"] != "slow" || doc["method"] != "x" || doc["attempts"] != 1.0 ||
		doc["principal"] != "anonymous" || doc["correlationId"] != doc["id"] || doc["completedAt"] == nil {
		t.Errorf("got %v", doc)
	}
	if reply := doc["reply"].(obj); reply["status"] != 200.0 || reply["size"] != 9.0 || reply["contentType"] != "application/json" {
		t.Errorf("got reply %v", reply)
	}
	for range 2 {
		_, w = want(t, g, 200, "GET", at+"/reply", "")
		if w.Body.String() != `{"ms":50}` || w.Header().Get("Edda-Attempts") != "1" || w.Header().Get("Edda-Position") == "" {
			t.Errorf("got %s %v", w.Body, w.Header())
		}
	}
	_, w = want(t, g, 200, "HEAD", at+"/reply", "")
	if w.Body.Len() > 0 || w.Header().Get("Content-Length") != "9" {
		t.Errorf("HEAD: got %q %v", w.Body, w.Header())
	}
	_, w = want(t, g, 200, "POST", "/v1/call/slow/x", `{"ms":1}`, "Prefer: respond-async, wait=20")
	if w.Body.String() != `{"ms":1}` {
		t.Errorf("got %s, want the reply itself", w.Body)
	}
}

func TestReplyWaits(t *testing.T) {
	g, _ := open(t)
	_, w := want(t, g, 202, "POST", "/v1/call/slow/x", `{"ms":50}`, "Prefer: respond-async")
	_, w = want(t, g, 200, "GET", w.Header().Get("Location")+"/reply?wait=10s", "")
	if w.Body.String() != `{"ms":50}` {
		t.Errorf("got %s", w.Body)
	}
	_, w = want(t, g, 202, "POST", "/v1/call/holds/1/x", "", "Prefer: respond-async")
	at := w.Header().Get("Location")
	doc, _ := want(t, g, 200, "GET", at+"?wait=1ms", "")
	if s := doc["state"]; s != "accepted" && s != "dispatched" && s != "taken" {
		t.Errorf("got state %v", s)
	}
	want(t, g, 202, "GET", at+"/reply?wait=1ms", "")
	w = refused(t, g, edda.Timeout, "POST", "/v1/call/holds/2/x", "", "Prefer: wait=0")
	if w.Header().Get("Edda-Position") == "" {
		t.Errorf("got %v for what is stored", w.Header())
	}
}

func TestCancel(t *testing.T) {
	g, _ := open(t)
	_, w := want(t, g, 202, "POST", "/v1/call/holds/1/x", "", "Prefer: respond-async")
	at := w.Header().Get("Location")
	refused(t, g, edda.UnknownField, "POST", at+"/cancel", `{"why":"x"}`)
	refused(t, g, edda.BadJSON, "POST", at+"/cancel", `[]`)
	refused(t, g, edda.BadMediaType, "POST", at+"/cancel", `a=b`, "Content-Type: application/x-www-form-urlencoded")
	doc, _ := want(t, g, 200, "POST", at+"/cancel", " {} ", "Content-Type: application/json")
	if doc["state"] != "cancelled" {
		t.Errorf("got %v", doc)
	}
	doc, _ = want(t, g, 200, "POST", at+"/cancel", "")
	if doc["state"] != "cancelled" {
		t.Errorf("again: got %v", doc)
	}
	w = refused(t, g, edda.Cancelled, "GET", at+"/reply", "")
	if w.Header().Get("Edda-Attempts") == "" || w.Header().Get("Edda-Position") == "" {
		t.Errorf("got %v", w.Header())
	}

	// Somebody else cancels while the caller waits.
	var wg sync.WaitGroup
	defer wg.Wait()
	answered := make(chan *httptest.ResponseRecorder, 1)
	wg.Go(func() { answered <- do(g, "POST", "/v1/call/holds/2/x", "", "Idempotency-Key: k") })
	find := "/v1/requests?service=holds&key=2&idempotencyKey=k"
	id := ""
	for id == "" {
		doc, _ := want(t, g, 200, "GET", find, "")
		if items := doc["items"].([]any); len(items) > 0 {
			id = items[0].(obj)["id"].(string)
		}
	}
	want(t, g, 200, "POST", "/v1/requests/"+id+"/cancel", "")
	w = <-answered
	wantReason(t, w, edda.Cancelled, "")
	w = refused(t, g, edda.Cancelled, "POST", "/v1/call/holds/2/x", "", "Idempotency-Key: k", "Prefer: respond-async")
	if w.Header().Get("Idempotency-Replayed") != "true" || w.Header().Get("Edda-Request-Id") != id {
		t.Errorf("got %v", w.Header())
	}
}

func TestIdempotency(t *testing.T) {
	g, _ := open(t)
	const path = "/v1/call/counter/1/add"
	add := func(body, key string, more ...string) *httptest.ResponseRecorder {
		return do(g, "POST", path, body, append(more, "Idempotency-Key: "+key, "Content-Type: application/json")...)
	}
	first := add(`{"n":1}`, `"k1"`)
	for _, prefer := range []string{"", "respond-async", "respond-async, wait=1", "wait=0"} {
		w := add(`{"n":1}`, "k1", "Prefer: "+prefer)
		if w.Code != 200 || w.Body.String() != first.Body.String() || w.Header().Get("Idempotency-Replayed") != "true" {
			t.Errorf("Prefer: %s: got %d %s %v", prefer, w.Code, w.Body, w.Header())
		}
		for _, name := range []string{"Edda-Request-Id", "Edda-Position", "Edda-Attempts", "Content-Type"} {
			if got, want := w.Header().Get(name), first.Header().Get(name); got != want || got == "" {
				t.Errorf("Prefer: %s: got %s %q, want %q", prefer, name, got, want)
			}
		}
	}
	wantReason(t, add(`{"n":2}`, "k1"), edda.IdempotencyMismatch, "")
	wantReason(t, do(g, "POST", path, `{"n":1}`, "Idempotency-Key: k1", "Content-Type: application/json; charset=utf-8"), edda.IdempotencyMismatch, "")
	if w := add(`{"n":1}`, "k2"); w.Header().Get("Idempotency-Replayed") != "" || w.Body.String() != `{"value":2}` {
		t.Errorf("another key: got %s %v", w.Body, w.Header())
	}
	// A refusal is not kept, a bad outcome is.
	refused(t, g, edda.NoMethod, "POST", "/v1/call/counter/1/divide", "", "Idempotency-Key: k3")
	w := refused(t, g, edda.Failed, "POST", "/v1/call/final/x", "", "Idempotency-Key: k4")
	again := refused(t, g, edda.Failed, "POST", "/v1/call/final/x", "", "Idempotency-Key: k4")
	if again.Header().Get("Idempotency-Replayed") != "true" || again.Header().Get("Edda-Request-Id") != w.Header().Get("Edda-Request-Id") {
		t.Errorf("got %v", again.Header())
	}
	if !strings.Contains(w.Body.String(), "account is empty") {
		t.Errorf("got %s, want the handler's message", w.Body)
	}
	// Joined while it runs.
	_, w = want(t, g, 202, "POST", "/v1/call/holds/1/x", "", "Idempotency-Key: k5", "Prefer: respond-async")
	_, again = want(t, g, 202, "POST", "/v1/call/holds/1/x", "", "Idempotency-Key: k5", "Prefer: respond-async")
	if again.Header().Get("Edda-Request-Id") != w.Header().Get("Edda-Request-Id") || again.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("joined: got %v, want the id in %v", again.Header(), w.Header())
	}
}

func TestDeadLetters(t *testing.T) {
	g, _ := open(t)
	w := refused(t, g, edda.Dead, "POST", "/v1/call/dies/x", `{"a":[1]}`, "Content-Type: application/json", "Edda-Header-X-A: 1", "Edda-Header-X-A: 2")
	if !strings.Contains(w.Body.String(), "boom") || w.Header().Get("Edda-Attempts") != "1" {
		t.Errorf("got %s %v, want the last error", w.Body, w.Header())
	}
	id := w.Header().Get("Edda-Request-Id")
	refused(t, g, edda.Dead, "POST", "/v1/call/dies/y", "text")
	refused(t, g, edda.Dead, "POST", "/v1/call/dies/z", "\xff")

	doc, _ := want(t, g, 200, "GET", "/v1/deadletters/"+id, "")
	if doc["id"] != id || doc["service"] != "dies" || doc["method"] != "x" || doc["attempts"] != 1.0 || doc["reason"] == "" ||
		doc["data"].(obj)["a"] == nil || doc["contentType"] != "application/json" || doc["headers"].(obj)["X-A"] != "1, 2" {
		t.Errorf("got %v", doc)
	}
	doc, _ = want(t, g, 200, "GET", "/v1/deadletters?service=dies&limit=1000", "")
	datas := map[any]bool{}
	for _, item := range doc["items"].([]any) {
		datas[item.(obj)["method"].(string)+":"+jsonOf(item.(obj)["data"])+":"+jsonOf(item.(obj)["dataBase64"])] = true
	}
	for _, w := range []string{`x:{"a":[1]}:null`, `y:"text":null`, `z:null:"/w=="`} {
		if !datas[w] {
			t.Errorf("got %v, want %s among them", datas, w)
		}
	}
	doc, _ = want(t, g, 200, "GET", "/v1/deadletters?service=other", "")
	if items := doc["items"].([]any); len(items) != 0 || doc["next"] != nil {
		t.Errorf("got %v", doc)
	}
	if n := pages(t, g, "/v1/deadletters?limit=2"); n != 3 {
		t.Errorf("went through %d dead letters, want 3", n)
	}
	if n := pages(t, g, "/v1/requests?state=dead&limit=1"); n != 3 {
		t.Errorf("went through %d dead requests, want 3", n)
	}

	_, w = want(t, g, 202, "POST", "/v1/deadletters/"+id+"/retry", "")
	if w.Header().Get("Location") != "/v1/requests/"+id {
		t.Errorf("got Location %q", w.Header().Get("Location"))
	}
	doc, _ = want(t, g, 200, "GET", "/v1/requests/"+id+"?wait=10s", "")
	if doc["state"] != "dead" || doc["attempts"] != 2.0 || doc["error"].(obj)["reason"] == "" {
		t.Errorf("got %v", doc)
	}
	_, w = want(t, g, 204, "DELETE", "/v1/deadletters/"+id, "")
	if w.Body.Len() > 0 {
		t.Errorf("got %q", w.Body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		refused(t, g, edda.NoDeadLetter, method, "/v1/deadletters/"+id, "")
	}
	refused(t, g, edda.NoDeadLetter, "POST", "/v1/deadletters/"+id+"/retry", "")
	doc, _ = want(t, g, 200, "GET", "/v1/requests/"+id, "")
	if doc["state"] != "dead" {
		t.Errorf("got %v", doc)
	}
}

func jsonOf(v any) string { return string(edda.JSON(v)) }

// pages goes through a list and returns the number of items.
func pages(t *testing.T, g *Gateway, target string) int {
	t.Helper()
	n, after := 0, ""
	for {
		doc, _ := want(t, g, 200, "GET", target+after, "")
		n += len(doc["items"].([]any))
		next, more := doc["next"].(string)
		if !more || n > 1000 {
			return n
		}
		after = "&after=" + next
	}
}

func TestServices(t *testing.T) {
	g, _ := open(t)
	doc, _ := want(t, g, 200, "GET", "/v1/services/counter", "")
	if doc["kind"] != "ordered" || len(doc["methods"].([]any)) != 2 || doc["schemas"].(obj)["add"] == nil || doc["paused"] != false || doc["workers"] != 1.0 {
		t.Errorf("got %v", doc)
	}
	if n := pages(t, g, "/v1/services?limit=2"); n != opened {
		t.Errorf("got %d services, want %d", n, opened)
	}
	if n := pages(t, g, "/v1/ns/shop/services?"); n != 1 {
		t.Errorf("got %d services in shop, want 1", n)
	}
	if n := pages(t, g, "/v1/ns/empty/services?"); n != 0 {
		t.Errorf("got %d services in empty, want 0", n)
	}
	for _, target := range []string{"/v1/services/none", "/v1/ns/shop/services/echo"} {
		refused(t, g, edda.UnknownService, "GET", target, "")
	}
	for _, target := range []string{"/v1/services/none/pause", "/v1/services/none/resume", "/v1/services/none/keys/k/resume"} {
		refused(t, g, edda.UnknownService, "POST", target, "")
	}
	refused(t, g, edda.UnknownService, "DELETE", "/v1/services/none", "")
	refused(t, g, edda.BadValue, "DELETE", "/v1/services/echo?force=maybe", "")
	refused(t, g, edda.UnknownField, "POST", "/v1/services/echo/pause", `{"for":"1m"}`)

	doc, _ = want(t, g, 200, "POST", "/v1/services/echo/pause", "")
	if doc["paused"] != true {
		t.Errorf("got %v", doc)
	}
	w := refused(t, g, edda.ServicePaused, "POST", "/v1/call/echo/x", "hi")
	if w.Header().Get("Edda-Position") == "" || w.Header().Get("Retry-After") != "" {
		t.Errorf("got %v, want a stored request", w.Header())
	}
	_, w = want(t, g, 202, "POST", "/v1/call/echo/x", "hi", "Prefer: respond-async")
	doc, _ = want(t, g, 200, "POST", "/v1/services/echo/resume", "")
	if doc["paused"] != false {
		t.Errorf("got %v", doc)
	}
	want(t, g, 200, "GET", w.Header().Get("Location")+"/reply?wait=10s", "")
}

func TestStoppedKey(t *testing.T) {
	g, _ := open(t)
	refused(t, g, edda.Dead, "POST", "/v1/call/stops/a%2Fb/fail", "")
	w := refused(t, g, edda.KeyStopped, "POST", "/v1/call/stops/a%2Fb/x", "")
	doc, _ := want(t, g, 200, "GET", "/v1/services/stops", "")
	if doc["stoppedKeyCount"] != 1.0 || doc["stoppedKeys"].([]any)[0] != "a/b" {
		t.Errorf("got %v", doc)
	}
	doc, _ = want(t, g, 200, "POST", "/v1/services/stops/keys/a%2Fb/resume", "")
	if doc["stoppedKeyCount"] != 0.0 {
		t.Errorf("got %v", doc)
	}
	doc, _ = want(t, g, 200, "GET", "/v1/requests/"+w.Header().Get("Edda-Request-Id")+"?wait=10s", "")
	if doc["state"] != "succeeded" {
		t.Errorf("got %v", doc)
	}
}

func TestKeyOverloaded(t *testing.T) {
	g, _ := open(t)
	for range 3 {
		want(t, g, 202, "POST", "/v1/call/holds/1/x", "", "Prefer: respond-async")
	}
	w := refused(t, g, edda.KeyOverloaded, "POST", "/v1/call/holds/1/x", "", "Prefer: respond-async")
	if w.Header().Get("Retry-After") == "" || w.Header().Get("Edda-Position") != "" {
		t.Errorf("got %v", w.Header())
	}
	if n := pages(t, g, "/v1/requests?service=holds&key=1&limit=1"); n != 3 {
		t.Errorf("went through %d requests, want 3", n)
	}
	if n := pages(t, g, "/v1/requests?service=holds&state=retrying"); n != 0 {
		t.Errorf("went through %d retrying requests, want 0", n)
	}
}

func TestDelay(t *testing.T) {
	g, _ := open(t)
	_, w := want(t, g, 202, "POST", "/v1/call/echo/x", "hi", "Prefer: respond-async", "Edda-Delay: 1h")
	doc, _ := want(t, g, 200, "GET", w.Header().Get("Location"), "")
	if doc["state"] != "accepted" || doc["nextAttemptAt"] == nil {
		t.Errorf("got %v", doc)
	}
	want(t, g, 200, "POST", "/v1/call/echo/x", "hi", "Edda-Delay: 10ms")
	want(t, g, 200, "POST", "/v1/call/echo/x", "hi", "Edda-At: 2020-01-01T00:00:00Z")
}

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := open(t)
		begin := time.Now()
		w := refused(t, g, edda.DeadlineExceeded, "POST", "/v1/call/slow/x", `{"ms":5000}`, "Edda-Deadline: 20ms")
		if took := time.Since(begin); w.Header().Get("Edda-Attempts") == "" || took != 20*time.Millisecond {
			t.Errorf("got %v after %v, want an outcome after 20ms", w.Header(), took)
		}
	})
}

func TestNamespaces(t *testing.T) {
	g, _ := open(t)
	_, w := want(t, g, 201, "POST", "/v1/ns/shop/call/there/x", "hi", "Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	if !strings.HasPrefix(w.Header().Get("X-Trace"), "00-4bf92f3577b34da6a3ce929d0e0e4736-") {
		t.Errorf("got trace %q", w.Header().Get("X-Trace"))
	}
	_, w = want(t, g, 202, "POST", "/v1/ns/shop/call/there/x", "hi", "Prefer: respond-async")
	at := w.Header().Get("Location")
	if !strings.HasPrefix(at, "/v1/ns/shop/requests/") {
		t.Fatalf("got Location %q", at)
	}
	want(t, g, 200, "GET", at+"?wait=10s", "")
	want(t, g, 201, "GET", at+"/reply", "")
	refused(t, g, edda.NoRequest, "GET", strings.Replace(at, "/ns/shop", "", 1), "")
	want(t, g, 200, "POST", "/v1/ns/default/call/echo/x", "hi")
}

func TestQueries(t *testing.T) {
	g, _ := open(t)
	for _, tc := range []struct{ target, names string }{
		{"/v1/requests?limit=0", "limit"},
		{"/v1/requests?limit=1001", "limit"},
		{"/v1/requests?limit=", "limit"},
		{"/v1/services?limit=x", "limit"},
		{"/v1/deadletters?limit=-1", "limit"},
		{"/v1/requests?state=succeeded", "state"},
		{"/v1/requests?state=odd", "state"},
		{"/v1/requests?after=odd", "after"},
		{"/v1/requests?idempotencyKey=k", "service"},
		{"/v1/requests?service=%zz", "query"},
		{"/v1/requests?a;b", "query"},
		{"/v1/requests/" + fakeID.String() + "?wait=1", "wait"},
		{"/v1/requests/" + fakeID.String() + "?wait=-1s", "wait"},
		{"/v1/requests/" + fakeID.String() + "?wait=601s", "wait"},
		{"/v1/requests/" + fakeID.String() + "/reply?wait=", "wait"},
	} {
		wantReason(t, do(g, "GET", tc.target, ""), edda.BadValue, tc.names)
	}
	for _, id := range []string{fakeID.String(), "odd", "0"} {
		refused(t, g, edda.NoRequest, "GET", "/v1/requests/"+id, "")
		refused(t, g, edda.NoRequest, "GET", "/v1/requests/"+id+"/reply?wait=10m", "")
		refused(t, g, edda.NoRequest, "POST", "/v1/requests/"+id+"/cancel", "")
		refused(t, g, edda.NoDeadLetter, "GET", "/v1/deadletters/"+id, "")
	}
	want(t, g, 200, "GET", "/v1/requests?unknown=1&limit=1000", "")
	want(t, g, 200, "HEAD", "/v1/requests", "")
}

func TestNodeAndHealth(t *testing.T) {
	g, n := open(t)
	doc, w := want(t, g, 200, "GET", "/v1/node", "")
	if doc["id"] == "" || doc["durability"] != "memory" || doc["partitions"] != 4.0 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("got %v, %v", doc, w.Header())
	}
	want(t, g, 200, "GET", "/healthz", "")
	want(t, g, 200, "GET", "/readyz", "")
	_, w = want(t, g, 200, "GET", "/metrics", "")
	if !strings.Contains(w.Body.String(), `edda_http_requests_total{method="GET",route="/readyz",status="200"} 1`) {
		t.Errorf("got %s", w.Body)
	}
	doc, w = want(t, g, 200, "GET", "/openapi.json", "")
	checkOpenAPI(t, g, doc)
	for _, path := range []string{"/v1/call/counter/{key}/add", "/v1/call/users/{key}/{method}", "/v1/call/echo/{method}"} {
		if doc["paths"].(obj)[path] == nil {
			t.Errorf("%s is not described", path)
		}
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("the document may be cached: %v", w.Header())
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused(t, g, edda.Draining, "GET", "/readyz", "")
	w = refused(t, g, edda.Draining, "POST", "/v1/call/echo/x", "")
	if w.Header().Get("Retry-After") == "" {
		t.Errorf("got %v", w.Header())
	}
	want(t, g, 200, "GET", "/healthz", "")
}
