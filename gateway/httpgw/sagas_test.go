package httpgw

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// sagasOf returns a gateway to a backend of sagas alone.
func sagasOf(t testing.TB, f *fakeSagas, opts Options) *Gateway {
	t.Helper()
	g, err := build(nil, backends{calls: &fake{}, sagas: f}, edda.Fsync, opts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

const tripSpec = `{"id":"trip","name":"travel","deadline":"1h","steps":[{"id":"flight","service":"flights","key":"LH/1","method":"book",` +
	`"compensate":{"service":"flights","method":"drop"}},{"id":"rest","after":["flight"],"saga":{"steps":[{"id":"car","service":"cars","method":"rent"}]}}]}`

// TestSagaRoutes checks what each route asks of the backend, and its answer.
func TestSagaRoutes(t *testing.T) {
	for _, tc := range []struct {
		method, target, body string
		status               int
		asked                string
		check                func(f *fakeSagas, doc obj) bool
	}{
		{"POST", "/v1/sagas", tripSpec, 201, "create show", func(f *fakeSagas, doc obj) bool {
			return f.spec.Namespace == "default" && f.spec.Principal == edda.Anonymous && f.spec.Start && f.spec.DeadlineAfter == time.Hour &&
				len(f.spec.Steps) == 2 && f.spec.Steps[1].Saga.Steps[0].Service == "cars" && doc["id"] == "trip" && len(doc["steps"].([]any)) == 2
		}},
		{"POST", "/v1/ns/blue/sagas", tripSpec, 201, "create show", func(f *fakeSagas, _ obj) bool { return f.spec.Namespace == "blue" }},
		{"GET", "/v1/sagas/trip", "", 200, "show", func(_ *fakeSagas, doc obj) bool { return doc["id"] == "trip" && doc["state"] == "compensating" }},
		{"HEAD", "/v1/sagas/trip", "", 200, "show", nil},
		{"GET", "/v1/sagas/trip?wait=0s", "", 200, "show", nil},
		{"GET", "/v1/sagas/trip?wait=30s", "", 200, "wait", func(f *fakeSagas, doc obj) bool { return f.wait == 30*time.Second && doc["id"] == "trip" }},
		{"GET", "/v1/sagas", "", 200, "list", func(f *fakeSagas, doc obj) bool {
			return f.found == edda.SagaFilter{Namespace: "default"} && f.limit == 100 && doc["next"] == "more" && len(doc["items"].([]any)) == 1
		}},
		{"GET", "/v1/ns/blue/sagas?name=travel&state=running&principal=ada&since=2026-01-02T04:04:05%2B01:00&until=2026-01-03T00:00:00Z&limit=7", "", 200, "list",
			func(f *fakeSagas, _ obj) bool {
				return f.limit == 7 && f.found == edda.SagaFilter{
					Namespace: "blue", Name: "travel", State: edda.SagaRunning, Principal: "ada",
					Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Until: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC),
				}
			}},
		{"GET", "/v1/sagas?after=more", "", 200, "list", func(f *fakeSagas, doc obj) bool {
			return f.after == "more" && doc["next"] == nil && len(doc["items"].([]any)) == 0
		}},
		{"POST", "/v1/sagas/trip/start", "", 200, "start", func(_ *fakeSagas, doc obj) bool { return doc["id"] == "trip" }},
		{"POST", "/v1/sagas/trip/cancel", "{}", 200, "cancel", func(_ *fakeSagas, doc obj) bool { return doc["id"] == "trip" }},
		{"POST", "/v1/sagas/trip/steps", `{"id":"a","service":"s","method":"m"}`, 201, "add", func(f *fakeSagas, doc obj) bool {
			return len(f.steps) == 1 && f.steps[0].ID == "a" && doc["id"] == "trip"
		}},
		{"POST", "/v1/sagas/trip/steps", `[{"id":"a"},{"id":"b","after":["a"]}]`, 201, "add", func(f *fakeSagas, _ obj) bool {
			return len(f.steps) == 2 && f.steps[1].After[0] == "a"
		}},
		{"POST", "/v1/sagas/trip/steps/car/complete", `{"result":{"n":[1]}}`, 200, "finish", func(f *fakeSagas, doc obj) bool {
			return f.step == "car" && string(f.given.Result) == `{"n":[1]}` && f.given.Error == nil && doc["applied"] == false && doc["state"] == "failed"
		}},
		{"POST", "/v1/sagas/trip/steps/car/complete", "", 200, "finish", func(f *fakeSagas, _ obj) bool { return f.given.Result == nil }},
		{"POST", "/v1/sagas/trip/steps/car/complete", `{}`, 200, "finish", func(f *fakeSagas, _ obj) bool { return f.given.Result == nil }},
		{"POST", "/v1/sagas/trip/steps/car/complete", `{"result":null}`, 200, "finish", func(f *fakeSagas, _ obj) bool { return string(f.given.Result) == "null" }},
		{"POST", "/v1/ns/blue/sagas/trip/steps/car/complete?completionKey=k%2By", "", 200, "finish", func(f *fakeSagas, _ obj) bool {
			return f.given.CompletionKey == "k+y"
		}},
		{"POST", "/v1/sagas/trip/steps/car/fail", `{"error":{"message":"none left"}}`, 200, "finish", func(f *fakeSagas, _ obj) bool {
			return *f.given.Error == edda.StepError{Reason: edda.Failed, Message: "none left"}
		}},
		{"POST", "/v1/sagas/trip/steps/car/fail", "", 200, "finish", func(f *fakeSagas, _ obj) bool {
			return *f.given.Error == edda.StepError{Reason: edda.Failed}
		}},
		{"POST", "/v1/sagas/trip/steps/flight/compensation/retry", "", 200, "compensate", func(f *fakeSagas, doc obj) bool {
			return f.step == "flight" && f.what == edda.RetryCompensation && doc["id"] == "trip"
		}},
		{"POST", "/v1/sagas/trip/steps/flight/compensation/skip", "", 200, "compensate", func(f *fakeSagas, _ obj) bool { return f.what == edda.SkipCompensation }},
		{"POST", "/v1/ns/blue/sagas/trip/steps/flight/compensation/resolve", "", 200, "compensate", func(f *fakeSagas, _ obj) bool {
			return f.what == edda.ResolveCompensation
		}},
		{"DELETE", "/v1/sagas?name=travel&state=compensation_failed&until=2026-01-03T00:00:00Z", "", 200, "prune", func(f *fakeSagas, doc obj) bool {
			return doc["removed"] == 1.0 && f.found == edda.SagaFilter{
				Namespace: "default", Name: "travel", State: edda.SagaCompensationFailed, Until: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC),
			}
		}},
		{"OPTIONS", "/v1/sagas/trip~rest", "", 204, "", nil},
	} {
		f := &fakeSagas{}
		doc, _ := want(t, sagasOf(t, f, Options{}), tc.status, tc.method, tc.target, tc.body)
		if got := strings.Join(f.asked, " "); got != tc.asked {
			t.Errorf("%s %s: backend was asked to %q, want %q", tc.method, tc.target, got, tc.asked)
		}
		if tc.check != nil && !tc.check(f, doc) {
			t.Errorf("%s %s: got %v, backend got %+v", tc.method, tc.target, doc, f)
		}
	}
}

func TestCreateSagaHeaders(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	f := &fakeSagas{}
	_, w := want(t, sagasOf(t, f, Options{}), 201, "POST", "/v1/ns/blue/sagas", tripSpec, "Content-Type: application/json; charset=utf-8",
		`Idempotency-Key: "k1"`, "Edda-Correlation-Id: story", "Traceparent: "+parent, "Tracestate: vendor=1")
	if s := f.spec; s.IdempotencyKey != "k1" || s.CorrelationID != "story" || s.TraceState != "vendor=1" ||
		!strings.HasPrefix(s.TraceParent, parent[:36]) || s.TraceParent == parent {
		t.Errorf("backend got %+v", s)
	}
	if h := w.Header(); h.Get("Location") != "/v1/ns/blue/sagas/trip" || h.Get("Edda-Durability") != "fsync" || h.Get("Idempotency-Replayed") != "" {
		t.Errorf("got headers %v", h)
	}

	f.joined = true
	_, w = want(t, sagasOf(t, f, Options{}), 200, "POST", "/v1/sagas", tripSpec, "Idempotency-Key: k1")
	if h := w.Header(); h.Get("Location") != "/v1/sagas/trip" || h.Get("Idempotency-Replayed") != "true" {
		t.Errorf("again: got headers %v", h)
	}

	f.gone = true
	w = refused(t, sagasOf(t, f, Options{}), edda.OutcomeUnknown, "POST", "/v1/sagas", tripSpec)
	if h := w.Header(); h.Get("Location") != "/v1/sagas/trip" || !strings.Contains(w.Body.String(), "saga trip is stored") {
		t.Errorf("a saga that cannot be shown: got %s, %v", w.Body, h)
	}
}

func TestSagaSpan(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	f := &fakeSagas{}
	g := sagasOf(t, f, Options{TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))})
	want(t, g, 201, "POST", "/v1/sagas", tripSpec, "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	ended := recorder.Ended()
	if len(ended) != 1 || ended[0].Name() != "POST /v1/sagas" || ended[0].Parent().SpanID().String() != "b7ad6b7169203331" {
		t.Fatalf("got spans %v, want one under the caller's", ended)
	}
	if span := ended[0].SpanContext().SpanID().String(); !strings.Contains(f.spec.TraceParent, span) {
		t.Errorf("the saga has trace context %q, want that of span %s", f.spec.TraceParent, span)
	}
}

// A saga that the backend shares with others is not changed by being shown.
func TestSagaTimesAreInUTC(t *testing.T) {
	g := sagasOf(t, &fakeSagas{}, Options{})
	doc, _ := want(t, g, 200, "GET", "/v1/sagas/trip", "")
	if got := doc["deadline"]; got != "2026-01-02T03:04:10Z" {
		t.Errorf("got deadline %v, want it in UTC", got)
	}
	step := doc["steps"].([]any)[0].(obj)
	if got := step["compensation"].(obj)["endedAt"]; got != "2026-01-02T03:04:06Z" {
		t.Errorf("got end of the compensation %v, want it in UTC", got)
	}
	shared := (&fakeSagas{}).trip("default")
	before := (&fakeSagas{}).trip("default")
	x := &exchange{w: httptest.NewRecorder(), r: httptest.NewRequest(http.MethodGet, "/", nil)}
	if err := x.saga(http.StatusOK, shared); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(shared, before) { // the times' zones too
		t.Errorf("showing it changed it: got %+v, want %+v", shared, before)
	}
}

// TestSagaRefusals checks what never reaches the backend.
func TestSagaRefusals(t *testing.T) {
	long := strings.Repeat("x", edda.MaxNameBytes+1)
	for _, tc := range []struct {
		method, target, body string
		reason               edda.Reason
		detail               string
		headers              []string
	}{
		{"POST", "/v1/sagas", "", edda.BadJSON, "the body must be a JSON object", nil},
		{"POST", "/v1/sagas", "[]", edda.BadJSON, "the body must be an object", nil},
		{"POST", "/v1/sagas", `{"steps":[{"args":[],"name":"a"}]}`, edda.UnknownField, `unknown member "steps[0].name"`, nil},
		{"POST", "/v1/sagas", `{"deadline":"soon"}`, edda.BadValue, "deadline must be a duration above zero or a time", nil},
		{"POST", "/v1/sagas", `{}`, edda.BadMediaType, "application/json", []string{"Content-Type: text/plain"}},
		{"POST", "/v1/sagas", `{}`, edda.BadValue, "Idempotency-Key", []string{"Idempotency-Key: " + strings.Repeat("k", 256)}},
		{"POST", "/v1/sagas", `{}`, edda.BadValue, "Idempotency-Key is given more than once", []string{"Idempotency-Key: a", "Idempotency-Key: b"}},
		{"POST", "/v1/sagas", `{}`, edda.BadValue, "Edda-Correlation-Id is not UTF-8", []string{"Edda-Correlation-Id: \xff"}},
		{"POST", "/v1/sagas", strings.Repeat(" ", 1<<12), edda.TooLarge, "more than 4095 bytes", nil},
		{"POST", "/v1/sagas/trip/steps", strings.Repeat(" ", 1<<12), edda.TooLarge, "more than 4095 bytes", nil},
		{"POST", "/v1/sagas/trip/steps/car/complete", strings.Repeat(" ", 1<<12), edda.TooLarge, "more than 4095 bytes", nil},
		{"PUT", "/v1/sagas", "", edda.BadMethod, "POST, GET, HEAD, DELETE, OPTIONS", nil},
		{"POST", "/v1/sagas/trip", "", edda.BadMethod, "GET, HEAD, DELETE, OPTIONS", nil},
		{"GET", "/v1/sagas/trip/start", "", edda.BadMethod, "POST, OPTIONS", nil},
		{"GET", "/v1/sagas/trip/steps", "", edda.BadMethod, "POST, OPTIONS", nil},
		{"POST", "/v1/sagas/trip/steps/car/compensation/undo", "", edda.NoRoute, "there is no such route", nil},
		{"GET", "/v1/sagas/tr%2Fip", "", edda.BadName, "saga id", nil},
		{"GET", "/v1/sagas/trip~", "", edda.BadName, "saga id is empty", nil},
		{"GET", "/v1/sagas/trip~edda.x", "", edda.BadName, "reserved", nil},
		{"GET", "/v1/sagas/" + long, "", edda.BadName, "at most 128", nil},
		{"POST", "/v1/sagas/trip/steps/c~r/fail", "", edda.BadName, "step", nil},
		{"POST", "/v1/sagas/trip/steps/-/compensation/skip", "", edda.BadName, "step", nil},
		{"GET", "/v1/ns/a~b/sagas/trip", "", edda.BadName, "namespace", nil},
		{"GET", "/v1/sagas/trip?wait=1", "", edda.BadValue, "wait must be a duration from 0s to 10m", nil},
		{"GET", "/v1/sagas/trip?wait=11m", "", edda.BadValue, "wait must be a duration from 0s to 10m", nil},
		{"GET", "/v1/sagas/trip?%zz", "", edda.BadValue, "the query is malformed", nil},
		{"GET", "/v1/sagas?%zz", "", edda.BadValue, "the query is malformed", nil},
		{"DELETE", "/v1/sagas?%zz", "", edda.BadValue, "the query is malformed", nil},
		{"GET", "/v1/sagas?limit=1001", "", edda.BadValue, "limit must be", nil},
		{"GET", "/v1/sagas?state=done", "", edda.BadValue, "state must be one of created, running, succeeded, compensating, compensated, compensation_failed, cancelled", nil},
		{"GET", "/v1/sagas?since=yesterday", "", edda.BadValue, "since must be a time", nil},
		{"GET", "/v1/sagas?until=", "", edda.BadValue, "until must be a time", nil},
		{"DELETE", "/v1/sagas?state=running", "", edda.BadValue, "succeeded, compensated, compensation_failed, cancelled", nil},
		{"DELETE", "/v1/sagas?state=done", "", edda.BadValue, "state must be one of", nil},
		{"DELETE", "/v1/sagas?sate=cancelled&age=1", "", edda.BadValue, "there is no parameter age, only name, state, since, until", nil},
		{"DELETE", "/v1/sagas", `{"state":"cancelled"}`, edda.UnknownField, `"state"`, nil},
		{"POST", "/v1/sagas/trip/start", `{"now":true}`, edda.UnknownField, `unknown member "now"; there are none`, nil},
		{"POST", "/v1/sagas/trip/cancel", `[]`, edda.BadJSON, "the body must be a JSON object, or empty", nil},
		{"POST", "/v1/sagas/trip/steps", `"a"`, edda.BadJSON, "the body must be a step or an array of steps", nil},
		{"POST", "/v1/sagas/trip/steps", "", edda.BadJSON, "the body must be a step or an array of steps", nil},
		{"POST", "/v1/sagas/trip/steps", `[{"id":"a"},{"ID":"b"}]`, edda.UnknownField, `unknown member "[1].ID"`, nil},
		{"POST", "/v1/sagas/trip/steps", `{}`, edda.BadMediaType, "application/json", []string{"Content-Type: text/yaml"}},
		{"POST", "/v1/sagas/trip/steps/car/complete", `{"result":`, edda.BadJSON, "the body must be a JSON object, or empty", nil},
		{"POST", "/v1/sagas/trip/steps/car/complete", "{\"result\":\"\xff\"}", edda.BadJSON, "the body must be a JSON object, or empty", nil},
		{"POST", "/v1/sagas/trip/steps/car/complete", `{"results":1}`, edda.UnknownField, `unknown member "results"`, nil},
		{"POST", "/v1/sagas/trip/steps/car/complete", `{"result":1}`, edda.BadMediaType, "application/json", []string{"Content-Type: text/plain"}},
		{"POST", "/v1/sagas/trip/steps/car/complete?%zz", "", edda.BadValue, "the query is malformed", nil},
		{"POST", "/v1/sagas/trip/steps/car/complete?completionKey=", "", edda.NotAllowed, "completionKey is empty", nil},
		{"POST", "/v1/sagas/trip/steps/car/fail", `{"error":"none left"}`, edda.BadValue, "error must be an object", nil},
		{"POST", "/v1/sagas/trip/steps/car/fail", `{"error":{"text":"none"}}`, edda.UnknownField, `unknown member "error.text"`, nil},
		{"POST", "/v1/sagas/trip/steps/car/fail", `{"error":{"message":7}}`, edda.BadValue, "error.message must be a string", nil},
		{"POST", "/v1/sagas/trip/steps/car/fail", `{"result":7}`, edda.UnknownField, `unknown member "result"`, nil},
		{"POST", "/v1/sagas/trip/steps/flight/compensation/retry", `{"max":1}`, edda.UnknownField, `unknown member "max"`, nil},
	} {
		f := &fakeSagas{}
		w := refused(t, sagasOf(t, f, Options{MaxBody: 4095}), tc.reason, tc.method, tc.target, tc.body, tc.headers...)
		if p := wantProblem(t, w); !strings.Contains(p.Detail, tc.detail) {
			t.Errorf("%s %s %.60s: got %q, want %q", tc.method, tc.target, tc.body, p.Detail, tc.detail)
		}
		if len(f.asked) > 0 {
			t.Errorf("%s %s %.60s: the backend was asked to %v", tc.method, tc.target, tc.body, f.asked)
		}
	}
}

// TestSagaBackendErrors checks that each route answers with the backend's error.
func TestSagaBackendErrors(t *testing.T) {
	routes := []struct{ method, target, body string }{
		{"POST", "/v1/sagas", tripSpec},
		{"GET", "/v1/sagas", ""},
		{"DELETE", "/v1/sagas", ""},
		{"GET", "/v1/sagas/trip?wait=1s", ""},
		{"DELETE", "/v1/sagas/trip", ""},
		{"POST", "/v1/sagas/trip/start", ""},
		{"POST", "/v1/sagas/trip/cancel", ""},
		{"POST", "/v1/sagas/trip/steps", `{"id":"a"}`},
		{"POST", "/v1/sagas/trip/steps/car/complete", ""},
		{"POST", "/v1/sagas/trip/steps/car/fail", ""},
		{"POST", "/v1/sagas/trip/steps/car/compensation/retry", ""},
	}
	for _, reason := range []edda.Reason{
		edda.BadSchema, edda.BadName, edda.BadValue, edda.WrongKind, edda.NoMethod, edda.Exists, edda.Cycle, edda.IdempotencyMismatch, edda.TooLarge,
		edda.NoSaga, edda.NoStep, edda.SagaEnded, edda.NotAllowed, edda.Overloaded, edda.Draining, edda.OutcomeUnknown, edda.Unavailable,
		edda.DeadlineExceeded, edda.Timeout,
	} {
		for _, r := range routes {
			f := &fakeSagas{fails: &edda.Error{Op: "do", Reason: reason, Err: errors.New("because")}}
			w := refused(t, sagasOf(t, f, Options{}), reason, r.method, r.target, r.body)
			if p := wantProblem(t, w); w.Code != reason.HTTPStatus() || p.Detail != "because" || httpio.Titles[reason] == "" {
				t.Errorf("%s %s: got %d %s", r.method, r.target, w.Code, w.Body)
			}
			if slices.Contains(f.asked, "show") {
				t.Errorf("%s %s: the saga was looked at for nothing: %v", r.method, r.target, f.asked)
			}
		}
	}
	for _, target := range []string{"/v1/sagas/other", "/v1/sagas/trip~car"} {
		refused(t, sagasOf(t, &fakeSagas{}, Options{}), edda.NoSaga, "GET", target, "")
	}
}

func TestRemoveSaga(t *testing.T) {
	f := &fakeSagas{state: edda.SagaCompensationFailed}
	want(t, sagasOf(t, f, Options{}), 204, "DELETE", "/v1/ns/blue/sagas/trip", "")
	if f.found != (edda.SagaFilter{Namespace: "blue", ID: "trip"}) {
		t.Errorf("backend got %+v, want the saga alone", f.found)
	}
	w := refused(t, sagasOf(t, &fakeSagas{state: edda.SagaRunning}, Options{}), edda.Conflict, "DELETE", "/v1/sagas/trip", "")
	if p := wantProblem(t, w); p.Detail != "the saga is running: only one that has ended can be removed" {
		t.Errorf("got %q", p.Detail)
	}
	refused(t, sagasOf(t, &fakeSagas{gone: true}, Options{}), edda.NoSaga, "DELETE", "/v1/sagas/trip", "")
}

// TestSagaSchemas checks /openapi.json against what is taken and what is shown.
func TestSagaSchemas(t *testing.T) {
	g := sagasOf(t, &fakeSagas{}, Options{})
	fits := schemasOf(t, g)
	shown := do(g, http.MethodGet, "/v1/sagas/trip", "").Body.String()
	list := do(g, http.MethodGet, "/v1/sagas", "").Body.String()
	answer := do(g, http.MethodPost, "/v1/sagas/trip/steps/car/fail", "").Body.String()
	removed := do(g, http.MethodDelete, "/v1/sagas", "").Body.String()
	for _, tc := range []struct{ name, instance string }{
		{"SagaSpec", tripSpec}, {"Saga", shown}, {"SagaList", list}, {"StepAnswer", answer}, {"Pruned", removed},
		{"SagaSpec", `{"start":false,"onFailure":"cancel","steps":[{"id":"a","service":"s","method":"m","args":[1,null],"attemptTimeout":"1s","retry":{"max":-1}}]}`},
		{"SagaSteps", `{"id":"a","service":"s","method":"m"}`}, {"SagaSteps", `[{"id":"a","service":"s","method":"m","after":["b"]}]`},
		{"StepResult", `{"result":null}`}, {"StepResult", `{}`}, {"StepFailure", `{"error":{"message":"no"}}`},
	} {
		if err := fits(tc.name, tc.instance); err != nil {
			t.Errorf("%s does not fit %s: %v", tc.instance, tc.name, err)
		}
	}
	for _, tc := range []struct{ name, instance string }{
		{"SagaSpec", `{}`}, {"SagaSpec", `{"steps":[{"id":"a","arguments":[]}]}`}, {"SagaSpec", `{"steps":[],"namespace":"a"}`},
		{"SagaSpec", `{"steps":[{"id":"a","saga":{"steps":[],"start":true}}]}`}, {"SagaSpec", `{"steps":[{"id":"a","compensate":{"after":[]}}]}`},
		{"SagaSteps", `[{}]`}, {"StepResult", `{"error":{}}`}, {"Saga", `{"id":"a"}`},
	} {
		if fits(tc.name, tc.instance) == nil {
			t.Errorf("%s fits %s", tc.instance, tc.name)
		}
	}
}
