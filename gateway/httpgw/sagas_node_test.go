package httpgw

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/examples"
	"github.com/edda-io/edda/node"
)

// openSagas returns a gateway to a real node, with a service whose steps somebody
// else finishes: what each was sent comes out of the channel.
func openSagas(t testing.TB, opts Options) (*Gateway, <-chan edda.StepInput) {
	t.Helper()
	sent := make(chan edda.StepInput, 8)
	pends := edda.NewBalanced("pends")
	pends.HandleAny(func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		var in edda.StepInput
		if err := json.Unmarshal(m.Payload, &in); err != nil {
			return nil, err
		}
		sent <- in
		return nil, edda.ErrPending
	})
	breaks := edda.NewBalanced("breaks")
	breaks.HandleAny(func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		if m.Type == "reply" {
			return edda.TextReply(http.StatusConflict, "none left"), nil
		}
		return nil, edda.Final("COLD", "the fire is out")
	})
	n, err := node.Open(t.Context(), node.Options{
		Durability: edda.Memory, Partitions: 4, Services: append(examples.Services(), pends, breaks),
		Limits: node.Limits{NoServiceWait: 10 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	g, err := New(n, opts)
	if err != nil {
		t.Fatal(err)
	}
	return g, sent
}

const hammerSpec = `{"name":"hammer","steps":[
	{"id":"head","service":"smithy","method":"forge-head","args":["iron"],"compensate":{"service":"smithy","method":"melt-head","args":["no use"]}},
	{"id":"handle","service":"smithy","method":"carve-handle","args":["short"]},
	{"id":"hammer","service":"smithy","method":"assemble","after":["head","handle"]}]}`

// stepOf returns a step of a saga's document.
func stepOf(t *testing.T, doc obj, id string) obj {
	t.Helper()
	steps, _ := doc["steps"].([]any)
	for _, s := range steps {
		if s := s.(obj); s["id"] == id {
			return s
		}
	}
	t.Fatalf("saga %v has no step %s", doc, id)
	return nil
}

func TestSagaOverHTTP(t *testing.T) {
	g, _ := openSagas(t, Options{})
	doc, w := want(t, g, 201, "POST", "/v1/sagas", hammerSpec, "Idempotency-Key: k1", "Edda-Correlation-Id: story")
	at := w.Header().Get("Location")
	if doc["name"] != "hammer" || doc["correlationId"] != "story" || doc["stepCount"] != 3.0 || w.Header().Get("Edda-Durability") != "memory" {
		t.Errorf("got %v, %v", doc, w.Header())
	}
	doc, _ = want(t, g, 200, "GET", at+"?wait=10s", "")
	hammer := stepOf(t, doc, "hammer")
	result, _ := hammer["result"].(obj)
	if doc["state"] != "succeeded" || doc["succeededCount"] != 3.0 || hammer["attempts"] != 1.0 || result["handle"].(obj)["size"] != "short" {
		t.Errorf("got %v, want that it succeeded", doc)
	}
	again, w := want(t, g, 200, "POST", "/v1/sagas", hammerSpec, "Idempotency-Key: k1", "Edda-Correlation-Id: story")
	if again["id"] != doc["id"] || again["state"] != "succeeded" || w.Header().Get("Location") != at || w.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("again: got %v, %v, want the same saga", again, w.Header())
	}
	refused(t, g, edda.IdempotencyMismatch, "POST", "/v1/sagas", strings.Replace(hammerSpec, "short", "long", 1), "Idempotency-Key: k1", "Edda-Correlation-Id: story")
	refused(t, g, edda.SagaEnded, "POST", at+"/steps", `{"id":"more","service":"smithy","method":"carve-handle"}`)
	refused(t, g, edda.NoSaga, "GET", "/v1/ns/blue"+strings.TrimPrefix(at, "/v1"), "")
	for _, action := range []string{"/start", "/cancel"} {
		if doc, _ := want(t, g, 200, "POST", at+action, ""); doc["state"] != "succeeded" {
			t.Errorf("%s of a saga that has ended: got %v", action, doc["state"])
		}
	}
	late, _ := want(t, g, 200, "POST", at+"/steps/hammer/fail", "")
	if late["applied"] != false || late["state"] != "succeeded" {
		t.Errorf("failing a step that has succeeded: got %v", late)
	}
	refused(t, g, edda.NoStep, "POST", at+"/steps/none/complete", "")
	refused(t, g, edda.NoStep, "POST", at+"/steps/none/compensation/skip", "")
}

// A deadline that is a duration counts from the first request, and is the same in the
// second.
func TestRepeatedSagaWithDeadline(t *testing.T) {
	g, sent := openSagas(t, Options{})
	const spec = `{"deadline":"1h","steps":[{"id":"a","service":"pends","method":"x"}]}`
	doc, _ := want(t, g, 201, "POST", "/v1/sagas", spec, "Idempotency-Key: k")
	<-sent
	again, _ := want(t, g, 200, "POST", "/v1/sagas", spec, "Idempotency-Key: k")
	if again["id"] != doc["id"] || again["deadline"] != doc["deadline"] || doc["deadline"] == nil {
		t.Errorf("got %v, then %v, want the same", doc, again)
	}
	refused(t, g, edda.DeadlineExceeded, "POST", "/v1/sagas", strings.Replace(spec, "1h", "2020-01-01T00:00:00Z", 1))
}

func TestSagaDefinitionsRefused(t *testing.T) {
	g, _ := openSagas(t, Options{})
	step := func(id, more string) string { return `{"id":"` + id + `","service":"echo","method":"x"` + more + `}` }
	want(t, g, 201, "POST", "/v1/sagas", `{"id":"taken","start":false,"steps":[`+step("a", "")+`]}`)
	for _, tc := range []struct {
		spec   string
		reason edda.Reason
		names  string
	}{
		{`{}`, edda.BadSchema, "no steps"},
		{`{"steps":[]}`, edda.BadSchema, "no steps"},
		{`{"steps":[` + step("a", `,"after":["b"]`) + `]}`, edda.BadSchema, `step a: it depends on "b"`},
		{`{"steps":[` + step("a", "") + `,` + step("a", "") + `]}`, edda.Exists, `step "a"`},
		{`{"steps":[` + step("a", `,"after":["b"]`) + `,` + step("b", `,"after":["a"]`) + `]}`, edda.Cycle, "a after b after a"},
		{`{"steps":[` + step("a", `,"after":["a"]`) + `]}`, edda.Cycle, "a after a"},
		{`{"steps":[{"id":"a","method":"x"}]}`, edda.BadSchema, "step a: service is missing"},
		{`{"steps":[{"id":"a","service":"echo"}]}`, edda.BadSchema, "step a: method is missing"},
		{`{"steps":[{"service":"echo","method":"x"}]}`, edda.BadName, "step id"},
		{`{"steps":[` + step("a/b", "") + `]}`, edda.BadName, "step id"},
		{`{"steps":[` + step("a", `,"saga":{"steps":[`+step("b", "")+`]}`) + `]}`, edda.BadSchema, "step a: it is a saga itself"},
		{`{"id":"a~b","steps":[` + step("a", "") + `]}`, edda.BadName, "saga id"},
		{`{"id":"taken","steps":[` + step("a", "") + `]}`, edda.Exists, "taken"},
		{`{"steps":[` + step("a", `,"key":"k"`) + `]}`, edda.WrongKind, "step a"},
		{`{"steps":[{"id":"a","service":"flights","method":"book"}]}`, edda.WrongKind, "step a"},
		{`{"steps":[{"id":"a","service":"counter","key":"k","method":"mul"}]}`, edda.NoMethod, "step a"},
	} {
		w := refused(t, g, tc.reason, "POST", "/v1/sagas", tc.spec)
		if p := wantProblem(t, w); !strings.Contains(p.Detail, tc.names) {
			t.Errorf("%s: got %q, want it to name %s", tc.spec, p.Detail, tc.names)
		}
	}
	refused(t, g, edda.BadSchema, "POST", "/v1/sagas/taken/steps", step("b", `,"after":["c"]`))
	refused(t, g, edda.Exists, "POST", "/v1/sagas/taken/steps", step("a", ""))
	refused(t, g, edda.Cycle, "POST", "/v1/sagas/taken/steps", `[`+step("b", `,"after":["c"]`)+`,`+step("c", `,"after":["b"]`)+`]`)
	refused(t, g, edda.NoSaga, "POST", "/v1/sagas/none/steps", step("b", ""))
	doc, w := want(t, g, 201, "POST", "/v1/sagas/taken/steps", `[`+step("b", `,"after":["a"]`)+`,`+step("c", `,"after":["b"]`)+`]`)
	if doc["stepCount"] != 3.0 || doc["state"] != "created" || w.Header().Get("Location") != "/v1/sagas/taken" {
		t.Errorf("got %v", doc)
	}
	want(t, g, 200, "POST", "/v1/sagas/taken/start", "")
	if doc, _ := want(t, g, 200, "GET", "/v1/sagas/taken?wait=10s", ""); doc["state"] != "succeeded" || doc["succeededCount"] != 3.0 {
		t.Errorf("got %v, want that it succeeded", doc)
	}
}

// A step is finished by somebody who has nothing but its completion key.
func TestStepsAreFinishedOverHTTP(t *testing.T) {
	g, sent := openSagas(t, Options{Authenticator: byName(map[string]auth.Rights{
		"ada": {Call: []auth.Pattern{"*"}}, "carver": {Host: []auth.Pattern{"pends"}}, "bob": {Call: []auth.Pattern{"*"}},
	})})
	w := as(g, "ada", "POST", "/v1/sagas", `{"id":"s1","steps":[{"id":"a","service":"pends","method":"x"},{"id":"b","service":"pends","method":"x","after":["a"]},`+
		`{"id":"c","service":"pends","method":"x","after":["b"]},{"id":"d","service":"echo","method":"x","after":["a","b","c"]}]}`)
	if w.Code != 201 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	finish := func(who, target, body string, status int, want string) {
		t.Helper()
		w := as(g, who, "POST", "/v1/sagas/s1/steps/"+target, body)
		if w.Code != status || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s as %q: got %d %s, want %d %s", target, who, w.Code, w.Body, status, want)
		}
	}
	in := <-sent
	finish("", "a/complete", `{"result":1}`, 401, "NO_CREDENTIALS")
	finish("", "a/complete?completionKey="+in.CompletionKey+"0", `{"result":1}`, 403, "the completion key is not the step's")
	finish("bob", "a/complete", `{"result":1}`, 403, "NOT_ALLOWED")
	finish("", "a/complete?completionKey="+in.CompletionKey, `{"result":{"n":1}}`, 200, `{"applied":true,"state":"succeeded"}`)
	finish("", "a/complete?completionKey="+in.CompletionKey, `{"result":{"n":2}}`, 200, `{"applied":false,"state":"succeeded"}`)
	<-sent
	finish("", "b/complete?completionKey="+in.CompletionKey, `{"result":1}`, 403, "NOT_ALLOWED") // the key of another step
	finish("carver", "b/complete", "", 200, `"applied":true`)
	<-sent
	finish("carver", "d/complete", "", 403, "NOT_ALLOWED") // hosts another service
	large := `"` + strings.Repeat("x", 1<<20) + `"`
	finish("ada", "c/complete", `{"result":`+large+`}`, 200, `"applied":true`)
	w = as(g, "ada", "GET", "/v1/sagas/s1?wait=10s", "")
	var s edda.Saga
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil || s.State != edda.SagaSucceeded || len(s.Steps) != 4 || string(s.Steps[0].Result) != `{"n":1}` ||
		string(s.Steps[1].Result) != "null" || len(s.Steps[2].Result) != len(large) || !strings.Contains(string(s.Steps[3].Result), `"dependencies":[{"n":1},null,"xxx`) {
		t.Errorf("got %.500s, %v, want each result", w.Body, err)
	}
}

func TestSagasAreUndoneOverHTTP(t *testing.T) {
	g, sent := openSagas(t, Options{})
	doc, _ := want(t, g, 201, "POST", "/v1/sagas", `{"id":"s1","name":"undone","steps":[
		{"id":"head","service":"smithy","method":"forge-head","args":["iron"],"compensate":{"service":"breaks","method":"x","retry":{"max":1}}},
		{"id":"rest","after":["head"],"saga":{"name":"inner","steps":[{"id":"handle","service":"smithy","method":"carve-handle","args":["short"]}]}},
		{"id":"bad","service":"breaks","method":"reply","after":["rest"]},{"id":"never","service":"echo","method":"x","after":["bad"]}]}`)
	doc, _ = want(t, g, 200, "GET", "/v1/sagas/"+doc["id"].(string)+"?wait=10s", "")
	failed, head := stepOf(t, doc, "bad")["error"].(obj), stepOf(t, doc, "head")["compensation"].(obj)
	if doc["state"] != "compensation_failed" || doc["reason"] != "STEP_FAILED" || failed["status"] != 409.0 || failed["message"] != "none left" ||
		head["state"] != "failed" || head["error"].(obj)["message"] == nil || stepOf(t, doc, "never")["state"] != "skipped" {
		t.Errorf("got %v, want a failed compensation", doc)
	}
	inner, _ := want(t, g, 200, "GET", "/v1/sagas/s1~rest", "")
	if inner["id"] != "s1~rest" || inner["state"] != "compensated" || stepOf(t, doc, "rest")["sagaId"] != "s1~rest" {
		t.Errorf("got %v, want the saga that the step is", inner)
	}
	list, _ := want(t, g, 200, "GET", "/v1/sagas?state=compensation_failed", "")
	if items := list["items"].([]any); len(items) != 1 || items[0].(obj)["id"] != "s1" || items[0].(obj)["steps"] != nil {
		t.Errorf("got %v, want the saga", list)
	}
	if doc, _ := want(t, g, 200, "DELETE", "/v1/sagas", ""); doc["removed"] != 0.0 {
		t.Errorf("got %v, want that somebody deals with it first", doc)
	}
	w := refused(t, g, edda.Conflict, "DELETE", "/v1/sagas/s1~rest", "")
	if p := wantProblem(t, w); p.Detail != "the saga is a step, and is removed with saga s1" {
		t.Errorf("removing the saga of a step: got %q", p.Detail)
	}
	const at = "/v1/sagas/s1/steps/head/compensation/"
	want(t, g, 200, "POST", at+"retry", "")
	if doc, _ := want(t, g, 200, "GET", "/v1/sagas/s1?wait=10s", ""); doc["state"] != "compensation_failed" {
		t.Errorf("tried again: got %v", doc)
	}
	doc, _ = want(t, g, 200, "POST", at+"resolve", "")
	if doc["state"] != "compensated" || stepOf(t, doc, "head")["compensation"].(obj)["state"] != "resolved" {
		t.Errorf("resolved: got %v", doc)
	}
	want(t, g, 204, "DELETE", "/v1/sagas/s1", "")
	refused(t, g, edda.NoSaga, "GET", "/v1/sagas/s1", "")

	want(t, g, 201, "POST", "/v1/sagas", `{"id":"s2","steps":[{"id":"a","service":"pends","method":"x"}]}`)
	want(t, g, 201, "POST", "/v1/sagas", `{"id":"s3","start":false,"steps":[{"id":"a","service":"pends","method":"x"}]}`)
	<-sent
	refused(t, g, edda.Conflict, "DELETE", "/v1/sagas/s2", "")
	doc, _ = want(t, g, 200, "POST", "/v1/sagas/s2/cancel", "")
	if doc["reason"] != "CANCELLED" {
		t.Errorf("cancelled: got %v", doc)
	}
	if doc, _ = want(t, g, 200, "POST", "/v1/sagas/s3/cancel", ""); doc["state"] != "cancelled" {
		t.Errorf("cancelled before it started: got %v", doc)
	}
	want(t, g, 200, "GET", "/v1/sagas/s2?wait=10s", "")
	if doc, _ := want(t, g, 200, "DELETE", "/v1/sagas?state=cancelled", ""); doc["removed"] != 1.0 {
		t.Errorf("pruned %v, want one", doc)
	}
	want(t, g, 200, "GET", "/v1/sagas/s2", "")
}

func TestSagasInPages(t *testing.T) {
	g, _ := openSagas(t, Options{})
	for range 5 {
		want(t, g, 201, "POST", "/v1/sagas", `{"name":"paged","start":false,"steps":[{"id":"a","service":"echo","method":"x"}]}`)
	}
	if n := pages(t, g, "/v1/sagas?name=paged&limit=2"); n != 5 {
		t.Errorf("got %d sagas, want 5", n)
	}
	if n := pages(t, g, "/v1/sagas?name=other"); n != 0 {
		t.Errorf("got %d sagas of another name, want 0", n)
	}
	refused(t, g, edda.BadValue, "GET", "/v1/sagas?after=x", "")
	if doc, _ := want(t, g, 200, "GET", "/v1/sagas?until=2020-01-01T00:00:00Z", ""); len(doc["items"].([]any)) != 0 {
		t.Errorf("got %v, want none that old", doc)
	}
}
