package httpgw

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/node"
	"github.com/edda-io/edda/worker/httppush"
)

// endpoint answers every attempt with its method until the test ends.
func endpoint(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "did "+strings.TrimPrefix(r.URL.Path, "/"))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestPutService(t *testing.T) {
	g, _ := open(t)
	url := endpoint(t)
	doc, _ := want(t, g, 201, "PUT", "/v1/services/far", `{"kind":"ordered","endpoint":"`+url+`"}`)
	secret, _ := doc["secret"].(string)
	if !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("got secret %q", secret)
	}
	delete(doc, "secret")
	wantDoc := obj{
		"name": "far", "kind": "ordered", "workers": 1.0, "inFlight": 0.0, "queued": 0.0, "paused": false, "stoppedKeyCount": 0.0,
		"endpoint": url, "protocol": "plain", "concurrency": 64.0, "attemptTimeout": "30s", "onDead": "continue",
		"retry": obj{"max": 10.0, "delay": "100ms", "maxDelay": "30s", "backoff": 2.0, "jitter": 0.2},
	}
	sameDoc(t, doc, wantDoc)
	_, w := want(t, g, 200, "POST", "/v1/call/far/k/go", "")
	if w.Body.String() != "did go" {
		t.Errorf("got %q", w.Body)
	}

	doc, _ = want(t, g, 200, "PUT", "/v1/services/far", `{"kind":"ordered","methods":["go","stop"],"endpoint":"`+url+`/","protocol":"envelope",
		"concurrency":3,"attemptTimeout":"1m","retry":{"max":-1,"delay":"1s","maxDelay":"1h","backoff":1,"jitter":0},"onDead":"stop-key",
		"health":{"path":"/healthz","interval":"1m30s"},"secret":"whsec_c2VjcmV0"}`, "Content-Type: application/json")
	changed := obj{
		"methods": []any{"go", "stop"}, "endpoint": url + "/", "protocol": "envelope", "concurrency": 3.0, "attemptTimeout": "1m0s", "onDead": "stop-key",
		"retry":  obj{"max": -1.0, "delay": "1s", "maxDelay": "1h0m0s", "backoff": 1.0, "jitter": 0.0},
		"health": obj{"path": "/healthz", "interval": "1m30s"},
	}
	maps.Copy(wantDoc, changed)
	sameDoc(t, doc, wantDoc)
	doc, _ = want(t, g, 200, "GET", "/v1/services/far", "")
	sameDoc(t, doc, wantDoc)
	refused(t, g, edda.NoMethod, "POST", "/v1/call/far/k/other", "")

	refused(t, g, edda.Exists, "PUT", "/v1/services/counter", `{"kind":"ordered","endpoint":"`+url+`"}`)
	want(t, g, 204, "DELETE", "/v1/services/far", "")
	refused(t, g, edda.UnknownService, "GET", "/v1/services/far", "")
	want(t, g, 201, "PUT", "/v1/ns/shop/services/far", `{"kind":"balanced","endpoint":"`+url+`"}`)
	want(t, g, 200, "POST", "/v1/ns/shop/call/far/go", "")
	refused(t, g, edda.UnknownService, "GET", "/v1/services/far", "")
}

// sameDoc compares documents member by member.
func sameDoc(t *testing.T, got, want obj) {
	t.Helper()
	for name := range got {
		if want[name] == nil {
			t.Errorf("got member %s: %v, want none", name, got[name])
		}
	}
	for name, v := range want {
		if a, b := string(edda.JSON(got[name])), string(edda.JSON(v)); a != b {
			t.Errorf("got %s %s, want %s", name, a, b)
		}
	}
}

func TestPutServiceRefuses(t *testing.T) {
	g, n := open(t)
	const ok = `"kind":"ordered","endpoint":"http://127.0.0.1:1"`
	for _, tc := range []struct {
		body   string
		reason edda.Reason
		names  string
	}{
		{"", edda.BadJSON, "JSON object"},
		{"{", edda.BadJSON, "JSON object"},
		{"[]", edda.BadJSON, "JSON object"},
		{"null", edda.BadJSON, "JSON object"},
		{`{}`, edda.BadValue, "kind"},
		{`{"kind":"ordered"}`, edda.BadValue, "endpoint"},
		{`{"kind":"odd","endpoint":"http://a"}`, edda.BadValue, "kind"},
		{`{"kind":1,"endpoint":"http://a"}`, edda.BadValue, "kind"},
		{`{"kind":"ordered","endpoint":"ftp://a"}`, edda.BadValue, "endpoint"},
		{`{"kind":"ordered","endpoint":"http://u:p@a"}`, edda.BadValue, "endpoint"},
		{`{"kind":"ordered","endpoint":null}`, edda.BadValue, "endpoint"},
		{`{` + ok + `,"url":"x"}`, edda.UnknownField, `"url"`},
		{`{` + ok + `,"Secret":"x"}`, edda.UnknownField, `"Secret"`},
		{`{` + ok + `,"retry":{"times":3}}`, edda.UnknownField, `"retry.times"`},
		{`{` + ok + `,"health":{"path":"/","port":3}}`, edda.UnknownField, `"health.port"`},
		{`{` + ok + `,"methods":"go"}`, edda.BadValue, "methods"},
		{`{` + ok + `,"methods":["no/name"]}`, edda.BadName, "method"},
		{`{` + ok + `,"protocol":"grpc"}`, edda.BadValue, "protocol"},
		{`{` + ok + `,"protocol":""}`, edda.BadValue, "protocol"},
		{`{` + ok + `,"concurrency":0}`, edda.BadValue, "concurrency"},
		{`{` + ok + `,"concurrency":65537}`, edda.BadValue, "must be at most 65536"},
		{`{` + ok + `,"concurrency":1.5}`, edda.BadValue, "concurrency"},
		{`{` + ok + `,"concurrency":"4"}`, edda.BadValue, "concurrency"},
		{`{` + ok + `,"attemptTimeout":"soon"}`, edda.BadValue, "attemptTimeout"},
		{`{` + ok + `,"attemptTimeout":30}`, edda.BadValue, "attemptTimeout"},
		{`{` + ok + `,"attemptTimeout":"0s"}`, edda.BadValue, "attemptTimeout"},
		{`{` + ok + `,"retry":3}`, edda.BadValue, "retry"},
		{`{` + ok + `,"retry":null}`, edda.BadValue, "retry"},
		{`{` + ok + `,"retry":{"max":0}}`, edda.BadValue, "retry.max"},
		{`{` + ok + `,"retry":{"delay":"-1s"}}`, edda.BadValue, "retry.delay"},
		{`{` + ok + `,"retry":{"maxDelay":"x"}}`, edda.BadValue, "retry.maxDelay"},
		{`{` + ok + `,"retry":{"backoff":0.5}}`, edda.BadValue, "retry.backoff"},
		{`{` + ok + `,"retry":{"jitter":2}}`, edda.BadValue, "retry.jitter"},
		{`{` + ok + `,"onDead":"explode"}`, edda.BadValue, "onDead"},
		{`{"kind":"balanced","endpoint":"http://a","onDead":"stop-key"}`, edda.BadValue, "onDead"},
		{`{` + ok + `,"health":{"path":"healthz"}}`, edda.BadValue, "health.path"},
		{`{` + ok + `,"health":{"path":""}}`, edda.BadValue, "health.path must not be empty"},
		{`{` + ok + `,"health":{"interval":"1s"}}`, edda.BadValue, "health.path"},
		{`{` + ok + `,"health":{}}`, edda.BadValue, "health.path"},
		{`{` + ok + `,"methods":["a","a"]}`, edda.BadValue, "methods"},
		{`{` + ok + `,"health":{"path":"/h","interval":"1ms"}}`, edda.BadValue, "health.interval"},
		{`{` + ok + `,"secret":""}`, edda.BadValue, "secret"},
		{`{` + ok + `,"secret":"whsec_!"}`, edda.BadValue, "secret"},
	} {
		wantReason(t, do(g, "PUT", "/v1/services/far", tc.body), tc.reason, tc.names)
	}
	refused(t, g, edda.BadMediaType, "PUT", "/v1/services/far", `{`+ok+`}`, "Content-Type: text/plain")
	refused(t, g, edda.BadName, "PUT", "/v1/services/edda.x", `{`+ok+`}`)
	if all, _, err := n.Services(t.Context(), "", node.Page{}); err != nil || len(all) != opened {
		t.Errorf("got %d services, %v, want those of before", len(all), err)
	}

	want(t, g, 201, "PUT", "/v1/services/far", `{`+ok+`}`)
	want(t, g, 202, "POST", "/v1/call/far/k/x", "", "Prefer: respond-async")
	refused(t, g, edda.KindInUse, "PUT", "/v1/services/far", `{"kind":"balanced","endpoint":"http://127.0.0.1:1"}`)
}

func TestWorkers(t *testing.T) {
	g, n := open(t)
	url := endpoint(t)
	want(t, g, 201, "PUT", "/v1/services/far", `{"kind":"balanced","endpoint":"`+url+`"}`)
	want(t, g, 201, "PUT", "/v1/ns/else/services/far", `{"kind":"balanced","endpoint":"`+url+`"}`)
	if got := pages(t, g, "/v1/workers?limit=1"); got != 2 {
		t.Errorf("got %d workers, want the node and the endpoint", got)
	}
	if got := pages(t, g, "/v1/ns/else/workers?"); got != 1 {
		t.Errorf("got %d workers of the other namespace, want 1", got)
	}
	refused(t, g, edda.BadValue, "GET", "/v1/workers?limit=0", "")
	const far = "/v1/workers/edda.endpoint.far"
	doc, _ := want(t, g, 200, "GET", far, "")
	if at, err := time.Parse(time.RFC3339, doc["lastBeat"].(string)); err != nil || time.Since(at) > time.Minute {
		t.Errorf("got lastBeat %v, %v", doc["lastBeat"], err)
	}
	delete(doc, "lastBeat")
	wantDoc := obj{"id": "edda.endpoint.far", "services": []any{"far"}, "transport": "http", "slots": 64.0, "inFlight": 0.0, "state": "ready"}
	sameDoc(t, doc, wantDoc)
	doc, _ = want(t, g, 200, "GET", "/v1/ns/else/workers/edda.endpoint.else:far", "")
	if doc["services"].([]any)[0] != "else/far" {
		t.Errorf("got %v", doc)
	}
	for _, step := range []struct{ do, state string }{{"pause", "paused"}, {"resume", "ready"}, {"drain", "draining"}} {
		if doc, _ := want(t, g, 200, "POST", far+"/"+step.do, ""); doc["state"] != step.state {
			t.Errorf("%s: got %v, want state %s", step.do, doc, step.state)
		}
	}
	refused(t, g, edda.UnknownField, "POST", far+"/drain", `{"now":true}`)
	refused(t, g, edda.Conflict, "POST", "/v1/workers/"+n.Info().ID+"/drain", "")
	for _, at := range []string{"/v1/workers/none", "/v1/workers/edda.endpoint.else:far", "/v1/ns/else/workers/edda.endpoint.far"} {
		refused(t, g, edda.NoWorkerID, "GET", at, "")
		refused(t, g, edda.NoWorkerID, "POST", at+"/drain", "")
	}
}

// Where a service runs is shown to those who manage it.
func TestEndpointIsForManagers(t *testing.T) {
	n, err := node.Open(t.Context(), node.Options{
		Durability: edda.Memory, Partitions: 1,
		Endpoints: func(spec edda.EndpointSpec) (node.Endpoint, error) { return httppush.New(spec, httppush.Options{}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop(context.Background()) })
	g, err := New(n, Options{Authenticator: byName(map[string]auth.Rights{
		"ada": {Call: []auth.Pattern{"far"}}, "ops": {Manage: true},
	})})
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"kind":"balanced","endpoint":"http://127.0.0.1:1"}`
	refused(t, g, edda.NotAllowed, "PUT", "/v1/services/far", body, "Authorization: Bearer ada")
	want(t, g, 201, "PUT", "/v1/services/far", body, "Authorization: Bearer ops")
	for _, target := range []string{"/v1/services", "/v1/services/far", "/openapi.json"} {
		_, w := want(t, g, 200, "GET", target, "", "Authorization: Bearer ada")
		if strings.Contains(w.Body.String(), "127.0.0.1") || !strings.Contains(w.Body.String(), "far") {
			t.Errorf("%s shows ada %s", target, w.Body)
		}
		if _, w := want(t, g, 200, "GET", target, "", "Authorization: Bearer ops"); target != "/openapi.json" && !strings.Contains(w.Body.String(), "127.0.0.1") {
			t.Errorf("%s shows ops %s", target, w.Body)
		}
	}
}
