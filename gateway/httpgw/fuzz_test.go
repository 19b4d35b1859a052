package httpgw

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/node"
	"github.com/prometheus/client_golang/prometheus"
)

// FuzzHTTP sends requests as they come from a socket to a real node. Whatever
// comes, the answer is one that the documentation knows: never a panic, never a
// defect, and every problem document valid.
func FuzzHTTP(f *testing.F) {
	n, err := node.Open(f.Context(), node.Options{
		Durability: edda.Memory, Partitions: 2,
		Services: []*edda.Service{examples.Echo(), examples.Counter(), examples.Users()},
		Limits:   node.Limits{NoServiceWait: time.Millisecond, NoWorkerWait: time.Millisecond},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = n.Stop(context.Background()) })
	reg := prometheus.NewRegistry()
	g, err := New(n, Options{Listen: []string{"127.0.0.1:7400"}, Gatherer: reg, Registerer: reg, MaxBody: 1 << 16})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range fuzzSeeds {
		f.Add([]byte(strings.ReplaceAll(seed, "\n", "\r\n")))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return // net/http answers these
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r.WithContext(ctx))
		checkAnswer(t, r, w)
	})
}

var fuzzSeeds = []string{
	"POST /v1/call/echo/x HTTP/1.1\nHost: localhost\nContent-Length: 2\nContent-Type: text/plain\n\nhi",
	"POST /v1/call/counter/k%2F1/add HTTP/1.1\nHost: 127.0.0.1:7400\nContent-Type: application/json\nContent-Length: 7\n\n{\"n\":1}",
	"POST /v1/call/users/login HTTP/1.1\nHost: localhost\nEdda-Key: a%20b\nIdempotency-Key: \"k\"\nPrefer: respond-async, wait=1\n\n",
	"POST /v1/ns/default/call/echo/x HTTP/1.1\nHost: [::1]\nEdda-Delay: 1s\nEdda-Deadline: 2s\nTransfer-Encoding: chunked\n\n2\nhi\n0\n\n",
	"POST /v1/call/echo/x HTTP/1.1\nHost: localhost\nEdda-Header-X: \xff\nTraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n\n",
	"GET /v1/requests?limit=2&state=accepted&after=0.1 HTTP/1.1\nHost: localhost\n\n",
	"GET /v1/requests/018bcfe5-6800-7000-8000-000000000001/reply?wait=1ms HTTP/1.1\nHost: localhost\n\n",
	"GET /v1/requests/018bcfe5-6800-7000-8000-000000000001/parts?after=2.7&limit=1&wait=1ms HTTP/1.1\nHost: localhost\nLast-Event-ID: 1.1\nAccept: text/event-stream;q=1\n\n",
	"POST /v1/call/echo/x HTTP/1.1\nHost: localhost\nAccept: application/json, text/event-stream\nContent-Length: 2\n\nhi",
	"POST /v1/call/echo/x HTTP/1.1\nHost: localhost\nPrefer: parts, wait=1\nContent-Length: 2\n\nhi",
	"POST /v1/requests/018bcfe5-6800-7000-8000-000000000001/cancel HTTP/1.1\nHost: localhost\nContent-Length: 7\n\n{\"a\":1}",
	"GET /v1/services?limit=1&after=echo HTTP/1.1\nHost: localhost\n\n",
	"POST /v1/services/echo/pause HTTP/1.1\nHost: localhost\n\n",
	"POST /v1/services/echo/resume HTTP/1.1\nHost: localhost\n\n",
	"POST /v1/services/counter/keys/k/resume HTTP/1.1\nHost: localhost\n\n",
	"DELETE /v1/services/echo?force=true HTTP/1.1\nHost: localhost\n\n",
	"GET /v1/deadletters?reason=x HTTP/1.1\nHost: localhost\n\n",
	"DELETE /v1/deadletters/1 HTTP/1.1\nHost: localhost\n\n",
	"POST /v1/sagas HTTP/1.1\nHost: localhost\nIdempotency-Key: k\nContent-Length: 77\n\n" +
		`{"id":"s","deadline":"1s","steps":[{"id":"a","service":"echo","method":"x"}]}`,
	"POST /v1/sagas HTTP/1.1\nHost: localhost\nContent-Length: 123\n\n" +
		`{"steps":[{"id":"a","after":["b"],"saga":{"steps":[{"id":"c","service":"echo","method":"x"}]}},{"id":"b","compensate":{}}]}`,
	"GET /v1/sagas/s~a?wait=1ms HTTP/1.1\nHost: localhost\n\n",
	"GET /v1/sagas?name=n&state=running&since=2026-01-02T03:04:05Z&limit=1&after=x HTTP/1.1\nHost: localhost\n\n",
	"POST /v1/sagas/s/steps HTTP/1.1\nHost: localhost\nContent-Length: 56\n\n" +
		`[{"id":"d","service":"echo","method":"x","after":["a"]}]`,
	"POST /v1/sagas/s/steps/a/complete?completionKey=k HTTP/1.1\nHost: localhost\nContent-Length: 12\n\n" + `{"result":1}`,
	"POST /v1/sagas/s/steps/a/fail HTTP/1.1\nHost: localhost\nContent-Length: 28\n\n" + `{"error":{"message":"none"}}`,
	"POST /v1/sagas/s/steps/a/compensation/retry HTTP/1.1\nHost: localhost\n\n",
	"POST /v1/sagas/s/cancel HTTP/1.1\nHost: localhost\n\n",
	"DELETE /v1/sagas?state=cancelled HTTP/1.1\nHost: localhost\n\n",
	"DELETE /v1/sagas/s HTTP/1.1\nHost: localhost\n\n",
	"POST /v1/streams/s HTTP/1.1\nHost: localhost\nEdda-Type: t\nEdda-Key: a%2Fb\nEdda-Id: x\nEdda-Shard: eu\nEdda-Reply-To: r/eu\n" +
		"Edda-Time: 2026-01-02T03:04:05Z\nIf-None-Match: *\nContent-Length: 2\n\nhi",
	"POST /v1/streams/s HTTP/1.1\nHost: localhost\nContent-Type: application/vnd.edda.batch+json\nContent-Length: 53\n\n" +
		`[{"id":"y","key":"k","data":{"a":1}},{"data":"text"}]`,
	"POST /v1/streams/s HTTP/1.1\nHost: localhost\nContent-Type: application/cloudevents+json\nContent-Length: 67\n\n" +
		`{"specversion":"1.0","id":"1","type":"t","source":"/s","data":null}`,
	"POST /v1/ns/n/streams/s HTTP/1.1\nHost: localhost\nCe-Specversion: 1.0\nCe-Id: 1\nCe-Type: t\nCe-Source: /s\nCe-X: %20\n\n",
	"GET /v1/streams/s?shard=eu&from=0&limit=2&wait=1ms HTTP/1.1\nHost: localhost\nAccept: application/cloudevents-batch+json\n\n",
	"GET /v1/streams/s HTTP/1.1\nHost: localhost\nAccept: text/event-stream\nLast-Event-ID: 0\n\n",
	"GET /v1/streams/s/messages/x?wait=1ms HTTP/1.1\nHost: localhost\nAccept: application/cloudevents+json\n\n",
	"PUT /v1/streams/s HTTP/1.1\nHost: localhost\nContent-Length: 35\n\n" + `{"shards":["eu"],"dedupe":"1h0m0s"}`,
	"POST /v1/streams/s/trim HTTP/1.1\nHost: localhost\nContent-Length: 27\n\n" + `{"before":1,"shard":"eu"}  `,
	"PUT /v1/streams/s/groups/g HTTP/1.1\nHost: localhost\nContent-Length: 16\n\n" + `{"from":"start"}`,
	"POST /v1/streams/s/groups/g/read HTTP/1.1\nHost: localhost\nContent-Length: 39\n\n" + `{"member":"m","max":1,"wait":"1ms"}    `,
	"POST /v1/streams/s/groups/g/ack HTTP/1.1\nHost: localhost\nContent-Length: 18\n\n" + `{"leases":["a-1"]}`,
	"POST /v1/streams/s/groups/g/reset HTTP/1.1\nHost: localhost\nContent-Length: 12\n\n" + `{"to":"end"}`,
	"PUT /v1/channels/c HTTP/1.1\nHost: localhost\nContent-Length: 82\n\n" +
		`{"from":[{"stream":"s","patterns":["a.:b","*"]}],"history":{"count":5,"age":"1h"}}`,
	"PUT /v1/channels/c HTTP/1.1\nHost: localhost\nContent-Length: 25\n\n" + `{"from":[{"stream":"s"}]}`,
	"POST /v1/channels/c HTTP/1.1\nHost: localhost\nEdda-Type: t\nEdda-Id: x\nContent-Length: 2\n\nhi",
	"GET /v1/channels/c?patterns=a.:b,*&patterns=t&from=start HTTP/1.1\nHost: localhost\n\n",
	"GET /v1/channels/c?from=2026-01-02T03:04:05Z HTTP/1.1\nHost: localhost\nLast-Event-ID: pAQID\nAccept: text/event-stream\n\n",
	"GET /v1/channels/c/history?from=pAQID&limit=1 HTTP/1.1\nHost: localhost\n\n",
	"GET /v1/ns/n/channels/c/presence HTTP/1.1\nHost: localhost\n\n",
	"DELETE /v1/channels/c HTTP/1.1\nHost: localhost\n\n",
	"DELETE /v1/streams/s HTTP/1.1\nHost: localhost\n\n",
	"OPTIONS /v1/node HTTP/1.1\nHost: localhost\nOrigin: http://localhost:7400\n\n",
	"HEAD /openapi.json HTTP/1.1\nHost: localhost\n\n",
	"GET //v1/../metrics/%2e%2E HTTP/1.1\nHost: evil.example\nOrigin: null\n\n",
	"CONNECT localhost:80 HTTP/1.1\nHost: localhost\n\n",
	"OPTIONS * HTTP/1.1\nHost: localhost\n\n",
}

// checkAnswer checks that an answer is well-formed.
func checkAnswer(t *testing.T, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	kind := w.Header().Get("Content-Type")
	if kind == "application/problem+json" {
		if r.Method == http.MethodHead {
			return
		}
		if p := wantProblem(t, w); p.Reason == edda.Internal || httpio.Titles[p.Reason] == "" {
			t.Errorf("%s %s: got %s %s", r.Method, r.URL, p.Reason, p.Detail)
		}
		return
	}
	if w.Code >= 500 || w.Code < 200 {
		t.Errorf("%s %s: got %d without a problem document: %s", r.Method, r.URL, w.Code, w.Body)
	}
	own := !strings.Contains(r.URL.Path, "/call/") && kind == "application/json"
	if own && w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) {
		t.Errorf("%s %s: got %s, which is not JSON", r.Method, r.URL, w.Body)
	}
}
