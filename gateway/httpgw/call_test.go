package httpgw

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
)

func TestCallDecodes(t *testing.T) {
	f := &fake{}
	g := gatewayOf(t, f, Options{})
	w := do(g, http.MethodPost, "/v1/ns/shop/call/users/a%2Fb%20%C3%A9/login", `{"x":1}`,
		"Content-Type: application/json; charset=utf-8", `Idempotency-Key: "abc"`, "Edda-Correlation-Id: story",
		"Edda-Header-X-One: 1", "Edda-Header-X-One: 2", "Edda-Header-Accept: b",
		"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Tracestate: a=1",
		"Edda-At: 2100-01-02T03:04:05+01:00", "Edda-Deadline: 2100-01-03T00:00:00Z", "Edda-Unknown: x", "Other: y")
	if w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	m := f.message
	if want := (edda.Address{Namespace: "shop", Name: "users", Key: "a/b é"}); m.To != want || m.Type != "login" {
		t.Errorf("got %v %s, want %v login", m.To, m.Type, want)
	}
	if m.Principal != edda.Anonymous || m.IdempotencyKey != "abc" || m.CorrelationID != "story" {
		t.Errorf("got principal %q, idempotency key %q, correlation %q", m.Principal, m.IdempotencyKey, m.CorrelationID)
	}
	if m.ContentType != "application/json; charset=utf-8" || string(m.Payload) != `{"x":1}` {
		t.Errorf("got %q %q", m.ContentType, m.Payload)
	}
	slices.SortFunc(m.Headers, func(a, b edda.Header) int { return strings.Compare(a.Name+a.Value, b.Name+b.Value) })
	if want := (edda.Headers{{Name: "Accept", Value: "b"}, {Name: "X-One", Value: "1"}, {Name: "X-One", Value: "2"}}); !slices.Equal(m.Headers, want) {
		t.Errorf("got headers %v, want %v", m.Headers, want)
	}
	if want := time.Date(2100, 1, 2, 2, 4, 5, 0, time.UTC); m.Due != want {
		t.Errorf("got due %v, want %v", m.Due, want)
	}
	if want := time.Date(2100, 1, 3, 0, 0, 0, 0, time.UTC); m.Deadline != want {
		t.Errorf("got deadline %v, want %v", m.Deadline, want)
	}
	if !strings.HasPrefix(m.TraceParent, "00-4bf92f3577b34da6a3ce929d0e0e4736-") || m.TraceState != "a=1" {
		t.Errorf("got trace %q %q", m.TraceParent, m.TraceState)
	}
	do(g, http.MethodPost, "/v1/call/echo/x", "")
	if m := f.message; m.To.Namespace != "default" || m.TraceParent != "" || m.Payload != nil || !m.Due.IsZero() || !m.Deadline.IsZero() {
		t.Errorf("got %+v from nothing", m)
	}
}

func TestCallKeys(t *testing.T) {
	f := &fake{}
	g := gatewayOf(t, f, Options{})
	for _, tc := range []struct{ path, header, key, method string }{
		{"/v1/call/users/42/get", "", "42", "get"},
		{"/v1/call/users/get", "42", "42", "get"},
		{"/v1/call/users/get", "a%2Fb", "a/b", "get"},
		{"/v1/call/users/get", "a/b+c", "a/b+c", "get"},
		{"/v1/call/users/42/get", "42", "42", "get"},
		{"/v1/call/users/a+b/get", "", "a+b", "get"},
		{"/v1/call/users/a%252Fb/get", "", "a%2Fb", "get"},
		{"/v1/call/users/..%2F..%2Fx/get", "", "../../x", "get"},
		{"/v1/call/users/%25/get", "", "%", "get"},
		{"/v1/call/users/a;b=c,d@e:f$&/get", "", "a;b=c,d@e:f$&", "get"},
		{"/v1/call/users/...%20/get?x=1", "", "... ", "get"},
		{"/v1/call/users/" + strings.Repeat("k", 512) + "/get", "", strings.Repeat("k", 512), "get"},
		{"/v1/call/call/call/call", "", "call", "call"},
		{"/v1/call/ns/x", "", "", "x"},
	} {
		f.message = nil
		headers := []string{}
		if tc.header != "" {
			headers = append(headers, "Edda-Key: "+tc.header)
		}
		w := do(g, http.MethodPost, tc.path, "", headers...)
		if f.message == nil {
			t.Errorf("%s: got %d %s", tc.path, w.Code, w.Body)
			continue
		}
		if f.message.To.Key != tc.key || f.message.Type != tc.method {
			t.Errorf("%s: got key %q, method %q, want %q, %q", tc.path, f.message.To.Key, f.message.Type, tc.key, tc.method)
		}
	}
}

func TestPathsAreNeverCleaned(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{})
	for _, tc := range []struct {
		path   string
		reason edda.Reason
	}{
		{"/", edda.NoRoute},
		{"/v1", edda.NoRoute},
		{"/v1/nothing", edda.NoRoute},
		{"/v1/call", edda.NoRoute},
		{"/v1/call/users", edda.NoRoute},
		{"/v1/call/users/1/2/3", edda.NoRoute},
		{"/v1/ns/shop", edda.NoRoute},
		{"/v1/ns/shop/node", edda.NoRoute},
		{"/v1/ns/shop/healthz", edda.NoRoute},
		{"/v1/ns/shop/v1/requests", edda.NoRoute},
		{"/v1/ns/a/ns/b/requests", edda.NoRoute},
		{"/V1/requests", edda.NoRoute},
		{"/v1/channels/x/y", edda.NoRoute},
		{"/metrics", edda.NoRoute}, // there is no Gatherer
		{"/1/2/3/4/5/6/7/8/9/10", edda.NoRoute},
		{"/v1%2Frequests", edda.NoRoute},

		{"//", edda.BadName},
		{"/v1/requests/", edda.BadName},
		{"/healthz/", edda.BadName},
		{"/v1//requests", edda.BadName},
		{"//v1/requests", edda.BadName},
		{"/v1/call/users//login", edda.BadName},
		{"/v1/call/users/42/", edda.BadName},
		{"/v1/call//42/login", edda.BadName},
		{"/v1/call/users/./login", edda.BadName},
		{"/v1/call/users/../login", edda.BadName},
		{"/v1/call/users/%2e%2E/login", edda.BadName},
		{"/v1/../v1/requests", edda.BadName},
		{"/1/2/3/4/5/6/7/8/9//", edda.BadName},
		{"/v1/call/users/%00/login", edda.BadName},
		{"/v1/call/users/a%0Ab/login", edda.BadName},
		{"/v1/call/users/%ff/login", edda.BadName},
		{"/v1/call/users/" + strings.Repeat("k", 513) + "/login", edda.BadName},
		{"/v1/call/us%20ers/42/login", edda.BadName},
		{"/v1/call/users/42/log%2Fin", edda.BadName},
		{"/v1/call/edda.users/42/login", edda.BadName},
		{"/v1/call/_users/42/login", edda.BadName},
		{"/v1/streams/a%20b", edda.BadName},
		{"/v1/streams/edda.x/trim", edda.BadName},
		{"/v1/channels/edda.x/presence", edda.BadName},
		{"/v1/channels/a%2Fb", edda.BadName},
		{"/v1/streams/x/groups/a%2Fb/ack", edda.BadName},
		{"/v1/call/" + strings.Repeat("s", 129) + "/x", edda.BadName},
		{"/v1/ns/a%20b/requests", edda.BadName},
		{"/v1/ns/edda.x/call/users/42/login", edda.BadName},
	} {
		w := do(g, http.MethodPost, tc.path, "x")
		if p := wantProblem(t, w); p.Reason != tc.reason {
			t.Errorf("%s: got %s %q, want %s", tc.path, p.Reason, p.Detail, tc.reason)
		}
		if w.Header().Get("Location") != "" {
			t.Errorf("%s: redirected to %s", tc.path, w.Header().Get("Location"))
		}
	}
}

func TestMethods(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{})
	for _, tc := range []struct{ path, allow string }{
		{"/v1/call/echo/x", "POST, OPTIONS"},
		{"/v1/requests", "GET, HEAD, OPTIONS"},
		{"/v1/requests/x/cancel", "POST, OPTIONS"},
		{"/v1/services/x", "GET, HEAD, PUT, DELETE, OPTIONS"},
		{"/v1/ns/a/deadletters/x", "GET, HEAD, DELETE, OPTIONS"},
		{"/healthz", "GET, HEAD, OPTIONS"},
	} {
		w := do(g, http.MethodOptions, tc.path, "")
		if w.Code != 204 || w.Header().Get("Allow") != tc.allow || w.Body.Len() > 0 {
			t.Errorf("OPTIONS %s: got %d, Allow %q, %q", tc.path, w.Code, w.Header().Get("Allow"), w.Body)
		}
		for _, method := range []string{"PUT", "PATCH", "BREW", "TRACE"} {
			if strings.Contains(tc.allow, method) {
				continue
			}
			w := do(g, method, tc.path, "")
			wantReason(t, w, edda.BadMethod, "")
			if w.Header().Get("Allow") != tc.allow {
				t.Errorf("%s %s: got Allow %q, want %q", method, tc.path, w.Header().Get("Allow"), tc.allow)
			}
		}
	}
	wantReason(t, do(g, http.MethodGet, "/v1/call/echo/x", ""), edda.BadMethod, "")
	if w := do(g, http.MethodHead, "/v1/call/echo/x", ""); w.Code != 405 || w.Body.Len() > 0 {
		t.Errorf("HEAD of a call: got %d %q", w.Code, w.Body)
	}
	wantReason(t, do(g, http.MethodOptions, "/v1/nothing", ""), edda.NoRoute, "")
}

func TestCallHeadersRefused(t *testing.T) {
	f := &fake{}
	g := gatewayOf(t, f, Options{})
	for _, tc := range []struct {
		headers string // separated by |
		reason  edda.Reason
		names   string
	}{
		{`Idempotency-Key: "x`, edda.BadValue, "Idempotency-Key"},
		{"Idempotency-Key: a|Idempotency-Key: a", edda.BadValue, "Idempotency-Key"},
		{"Edda-Delay: soon", edda.BadValue, "Edda-Delay"},
		{"Edda-Delay: 5", edda.BadValue, "Edda-Delay"},
		{"Edda-Delay:", edda.BadValue, "Edda-Delay"},
		{"Edda-Delay: 2500000h", edda.BadValue, "Edda-Delay"},
		{"Edda-At: tomorrow", edda.BadValue, "Edda-At"},
		{"Edda-At: 2026-01-02", edda.BadValue, "Edda-At"},
		{"Edda-At: 9999-12-31T23:59:59Z", edda.BadValue, "Edda-At"},
		{"Edda-At: 2026-01-02T00:00:00Z|Edda-Delay: 1s", edda.BadValue, "Edda-Delay and Edda-At"},
		{"Edda-At: 1026-01-02T00:00:00Z|Edda-Delay: -1s", edda.BadValue, "Edda-Delay and Edda-At"},
		{"Edda-Delay: 1s|Edda-Delay: 1s", edda.BadValue, "Edda-Delay"},
		{"Edda-Deadline: 12:00", edda.BadValue, "Edda-Deadline"},
		{"Edda-Deadline: 2026-01-02T", edda.BadValue, "Edda-Deadline"},
		{"Edda-Deadline: 9999-12-31T23:59:59Z", edda.BadValue, "Edda-Deadline"},
		{"Edda-Correlation-Id: \xff", edda.BadValue, "Edda-Correlation-Id"},
		{"Content-Type: \xff", edda.BadValue, "Content-Type"},
		{"Edda-Header-X: \xff", edda.BadValue, "Edda-Header-X"},
		{"Edda-Header-: x", edda.BadValue, "Edda-Header-"},
		{"Edda-Key: %zz", edda.BadName, "Edda-Key"},
		{"Edda-Key: %00", edda.BadName, "control"},
		{"Edda-Key:", edda.BadName, "empty"},
		{"Edda-Key: ..", edda.BadName, "reserved"},
	} {
		wantReason(t, do(g, http.MethodPost, "/v1/call/echo/x", "x", strings.Split(tc.headers, "|")...), tc.reason, tc.names)
	}
	wantReason(t, do(g, http.MethodPost, "/v1/call/users/42/x", "x", "Edda-Key: 43"), edda.BadValue, "Edda-Key")
	if f.message != nil {
		t.Errorf("a refused call reached the node: %+v", f.message)
	}
}

func TestTimesOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		g := gatewayOf(t, f, Options{})
		now := time.Now().UTC()
		first := time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC) // that a record can hold
		for _, tc := range []struct {
			header        string
			due, deadline time.Time
		}{
			{"Edda-Delay: 1.5s", now.Add(1500 * time.Millisecond), time.Time{}},
			{"Edda-Delay: -1h", now.Add(-time.Hour), time.Time{}},
			{"Edda-At: 0001-01-01T00:00:00Z", first, time.Time{}},
			{"Edda-Deadline: 2m", time.Time{}, now.Add(2 * time.Minute)},
			{"Edda-Deadline: -2m", time.Time{}, now.Add(-2 * time.Minute)},
			{"Edda-Deadline: 1000-01-01T00:00:00Z", time.Time{}, first},
			{"Edda-Deadline: -2500000h", time.Time{}, first},
		} {
			do(g, http.MethodPost, "/v1/call/echo/x", "x", tc.header)
			if m := f.message; !m.Due.Equal(tc.due) || !m.Deadline.Equal(tc.deadline) {
				t.Errorf("%s: got due %v, deadline %v, want %v, %v", tc.header, m.Due, m.Deadline, tc.due, tc.deadline)
			}
		}
	})
}

// TestPreferences asks for an answer in every way, of a request that takes 10 s.
func TestPreferences(t *testing.T) {
	for _, tc := range []struct {
		prefer string
		status int
		took   time.Duration
		wait   int // of Preference-Applied, -1 for none
	}{
		{"", 200, 10 * time.Second, -1},
		{"wait=5", 504, 5 * time.Second, -1},
		{"wait=15", 200, 10 * time.Second, -1},
		{"wait=0", 504, 0, -1},
		{"wait=bad", 200, 10 * time.Second, -1},
		{"respond-async", 202, 0, -1},
		{"respond-async, wait=0", 202, 0, 0},
		{"respond-async, wait=5", 202, 5 * time.Second, 5},
		{"respond-async, wait=600", 200, 10 * time.Second, -1},
	} {
		t.Run(tc.prefer, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testPreference(t, tc.prefer, tc.status, tc.took, tc.wait) })
		})
	}
}

func testPreference(t *testing.T, prefer string, status int, took time.Duration, wait int) {
	t.Helper()
	answer := func(ctx context.Context) (*edda.Reply, error) {
		select {
		case <-time.After(10 * time.Second):
			return &edda.Reply{Payload: []byte("done"), RequestID: fakeID, Position: "1-1", Attempts: 1}, nil
		case <-ctx.Done():
			return nil, &edda.Error{Reason: edda.Timeout, RequestID: fakeID, Position: "1-1"}
		}
	}
	g := gatewayOf(t, &fake{
		call: func(ctx context.Context, _ *edda.Message) (*edda.Reply, error) { return answer(ctx) },
		wait: func(ctx context.Context, _ edda.ID) (*edda.Reply, error) { return answer(ctx) },
	}, Options{})
	start := time.Now()
	w := do(g, http.MethodPost, "/v1/ns/shop/call/echo/x", "x", "Prefer: "+prefer)
	if w.Code != status || time.Since(start) != took {
		t.Fatalf("got %d after %v, want %d after %v", w.Code, time.Since(start), status, took)
	}
	if w.Header().Get("Edda-Request-Id") != fakeID.String() || w.Header().Get("Edda-Position") != "1-1" {
		t.Errorf("got headers %v", w.Header())
	}
	switch status {
	case 504:
		wantReason(t, w, edda.Timeout, "")
	case 202:
		wantAccepted(t, w, wait)
	}
}

func wantAccepted(t *testing.T, w *httptest.ResponseRecorder, wait int) {
	t.Helper()
	applied := map[int]string{-1: "respond-async", 0: "respond-async, wait=0", 5: "respond-async, wait=5"}[wait]
	want := map[string]string{
		"Location": "/v1/ns/shop/requests/" + fakeID.String(), "Preference-Applied": applied,
		"Edda-Durability": "fsync", "Content-Type": "application/json", "Edda-Attempts": "",
	}
	for name, v := range want {
		if got := w.Header().Get(name); got != v {
			t.Errorf("got %s %q, want %q", name, got, v)
		}
	}
	var doc map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc["id"] != fakeID.String() || doc["position"] != "1-1" || doc["durability"] != "fsync" ||
		doc["acceptedAt"] != "2023-11-14T22:13:20.5Z" || len(doc) != 4 {
		t.Errorf("got %s", w.Body)
	}
}

func TestDefaultWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gatewayOf(t, &fake{call: func(ctx context.Context, _ *edda.Message) (*edda.Reply, error) {
			<-ctx.Done()
			return nil, &edda.Error{Reason: edda.Timeout}
		}}, Options{})
		start := time.Now()
		wantReason(t, do(g, http.MethodPost, "/v1/call/echo/x", "x"), edda.Timeout, "")
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("waited %v, want 30s", took)
		}
	})
}

func TestReplayUnderRespondAsync(t *testing.T) {
	joined := func(done bool) func(context.Context, *edda.Message) (*edda.Ack, error) {
		return func(context.Context, *edda.Message) (*edda.Ack, error) {
			return &edda.Ack{ID: fakeID, Position: "1-1", Durability: edda.Fsync, Joined: true, Done: done}, nil
		}
	}
	f := &fake{send: joined(false)}
	g := gatewayOf(t, f, Options{})
	post := func() *httptest.ResponseRecorder {
		return do(g, http.MethodPost, "/v1/call/echo/x", "x", "Prefer: respond-async", "Idempotency-Key: k")
	}
	if w := post(); w.Code != 202 || w.Header().Get("Idempotency-Replayed") != "" {
		t.Errorf("running: got %d %v", w.Code, w.Header())
	}
	f.send = joined(true)
	f.wait = func(context.Context, edda.ID) (*edda.Reply, error) {
		return &edda.Reply{Status: 201, Payload: []byte("first"), RequestID: fakeID, Position: "1-1", Attempts: 4}, nil
	}
	if w := post(); w.Code != 201 || w.Body.String() != "first" || w.Header().Get("Idempotency-Replayed") != "true" ||
		w.Header().Get("Edda-Attempts") != "4" {
		t.Errorf("succeeded: got %d %s %v", w.Code, w.Body, w.Header())
	}
	for _, reason := range []edda.Reason{edda.Failed, edda.Dead, edda.Cancelled, edda.DeadlineExceeded, edda.ReplyExpired} {
		f.wait = func(context.Context, edda.ID) (*edda.Reply, error) {
			return nil, &edda.Error{Reason: reason, Attempts: 4}
		}
		w := post()
		wantReason(t, w, reason, "")
		if w.Header().Get("Idempotency-Replayed") != "true" || w.Header().Get("Edda-Position") != "1-1" {
			t.Errorf("%s: got %v", reason, w.Header())
		}
	}
}

func TestBodySizes(t *testing.T) {
	f := &fake{}
	g := gatewayOf(t, f, Options{MaxBody: 100_000})
	for _, tc := range []struct {
		size    int
		chunked bool
		status  int
	}{
		{1, false, 200}, {1, true, 200}, {65_536, false, 200}, {65_537, false, 200}, {65_537, true, 200},
		{99_999, true, 200}, {100_000, false, 200}, {100_000, true, 200}, {100_001, false, 413}, {100_001, true, 413},
		{1_000_000, true, 413},
	} {
		f.message = nil
		body := bytes.Repeat([]byte("ab"), tc.size/2+1)[:tc.size]
		r := httptest.NewRequest(http.MethodPost, "/v1/call/echo/x", bytes.NewReader(body))
		r.Host = "localhost"
		read := &counting{r: bytes.NewReader(body)}
		r.Body = io.NopCloser(read)
		if tc.chunked {
			r.ContentLength = -1
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != tc.status {
			t.Errorf("%d bytes, chunked %v: got %d, want %d", tc.size, tc.chunked, w.Code, tc.status)
			continue
		}
		if tc.status == 200 {
			if !bytes.Equal(f.message.Payload, body) {
				t.Errorf("%d bytes, chunked %v: got another payload", tc.size, tc.chunked)
			}
			continue
		}
		wantReason(t, w, edda.TooLarge, "100000")
		if w.Header().Get("Connection") != "close" || read.n > 100_001 || !tc.chunked && read.n > 0 {
			t.Errorf("%d bytes, chunked %v: read %d, %v", tc.size, tc.chunked, read.n, w.Header())
		}
	}
}

// counting counts what is read, and gives little at a time.
type counting struct {
	r io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p[:min(len(p), 3000)])
	c.n += n
	return n, err
}

func TestBrokenBody(t *testing.T) {
	f := &fake{}
	g := gatewayOf(t, f, Options{})
	for _, length := range []int64{10, 100_000, -1} {
		r := httptest.NewRequest(http.MethodPost, "/v1/call/echo/x", nil)
		r.Host = "localhost"
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader("abc"), brokenReader{}))
		r.ContentLength = length
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		wantReason(t, w, edda.BadValue, "body")
	}
	if f.message != nil {
		t.Errorf("half a body reached the node")
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
