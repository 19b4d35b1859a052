package httppush

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
)

// envelope returns the specification with the envelope protocol.
func envelope(spec edda.EndpointSpec) edda.EndpointSpec {
	spec.Protocol = edda.Envelope
	return spec
}

func TestEnvelopeRequest(t *testing.T) {
	for _, tc := range []struct {
		name string
		spec func(string) edda.EndpointSpec
		m    edda.Message
		st   edda.StateReader
		want string
	}{
		{
			"everything", users,
			edda.Message{
				ContentType: "application/json", Payload: []byte(`{"n":12345678901234567890}`),
				Headers: edda.Headers{{Name: "X-A", Value: "1"}, {Name: "x-a", Value: "2"}, {Name: "B", Value: `"`}},
			},
			state{"a": `{"x": 1}`, "b": `"text"`, "n": `null`, "plain": "text", "bin": "\xff\x00", "empty": "", "odd": "\"\xff\""},
			`{"id":"ID","key":"a\"da","method":"login","attempt":3,"fence":77,"headers":{"X-A":"1, 2","B":"\""},` +
				`"contentType":"application/json","data":{"n":12345678901234567890},` +
				`"state":{"a":{"x": 1},"b":"text","n":null},"stateBase64":{"bin":"/wA=","empty":"","odd":"Iv8i","plain":"dGV4dA=="}}`,
		},
		{
			"text", users, edda.Message{ContentType: "text/plain", Payload: []byte(`say "hi"`)}, state{},
			`{"id":"ID","key":"a\"da","method":"login","attempt":3,"fence":77,"headers":{},"contentType":"text/plain","data":"say \"hi\"","state":{}}`,
		},
		{
			"binary", users, edda.Message{Payload: []byte("\xff\x00")}, state{},
			`{"id":"ID","key":"a\"da","method":"login","attempt":3,"fence":77,"headers":{},"dataBase64":"/wA=","state":{}}`,
		},
		{
			"balanced", echo, edda.Message{}, nil,
			`{"id":"ID","method":"login","attempt":3,"headers":{}}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url, seen := recorder(t, answerWith(200, "{}"))
			spec := envelope(tc.spec(url + "/x"))
			m := tc.m
			m.To = edda.Address{Name: spec.Name}
			if spec.Kind == edda.Ordered {
				m.To.Key = `a"da`
			}
			if out := try1(t, spec, &m, tc.st); out.Err != nil || out.Reply.EffectiveStatus() != 204 {
				t.Fatalf("got %+v, want an empty reply", out)
			}
			g := <-seen
			if got := strings.Replace(g.body, m.ID.String(), "ID", 1); got != tc.want || !json.Valid([]byte(g.body)) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if g.uri != "/x/login" || g.header.Get("Content-Type") != "application/json" || g.header.Get("Edda-Attempt") != "3" || g.header["X-A"] != nil {
				t.Errorf("got %s %v", g.uri, g.header)
			}
		})
	}
}

func TestEnvelopeReply(t *testing.T) {
	type sent struct{ To, Method, ContentType, Payload, Key string }
	type result struct {
		Status  int
		Headers edda.Headers
		Type    string
		Payload string
		Set     map[string]string
		Delete  []string
		Sends   []sent
	}
	for _, tc := range []struct {
		name, body string
		want       result
	}{
		{"nothing", `{}`, result{Status: 204}},
		{"a value", ` {"data": {"a": 1}} `, result{Status: 200, Type: "application/json", Payload: `{"a": 1}`}},
		{"a number as it is", `{"data":12345678901234567890.10}`, result{Status: 200, Type: "application/json", Payload: `12345678901234567890.10`}},
		{"text", `{"data":"ok"}`, result{Status: 200, Payload: "ok"}},
		{"text of a type", `{"data":"a,b","contentType":"text/csv"}`, result{Status: 200, Type: "text/csv", Payload: "a,b"}},
		{"a JSON string", `{"data":"ok","contentType":"application/json"}`, result{Status: 200, Type: "application/json", Payload: `"ok"`}},
		{"binary", `{"status":201,"dataBase64":"/wA=","contentType":"x/y"}`, result{Status: 201, Type: "x/y", Payload: "\xff\x00"}},
		{"headers", `{"headers":{"X-B":"2","X-A":"1"}}`, result{Status: 204, Headers: edda.Headers{{Name: "X-B", Value: "2"}, {Name: "X-A", Value: "1"}}}},
		{
			"state kept with an error status", `{"status":422,"data":"no","state":{"set":{"b":{"x": 1},"a":null},"setBase64":{"c":"/wA="},"delete":["z","y"]}}`,
			result{Status: 422, Payload: "no", Set: map[string]string{"a": "null", "b": `{"x": 1}`, "c": "\xff\x00"}, Delete: []string{"y", "z"}},
		},
		{
			"sends", `{"send":[{"service":"mail","method":"post","data":{"to":"a@x"}},
				{"service":"users","key":"k/2","method":"allow","contentType":"text/plain","data":"hi","headers":{"X":"1"},"idempotencyKey":"once","delay":"1h"}]}`,
			result{Status: 204, Sends: []sent{{"mail", "post", "application/json", `{"to":"a@x"}`, ""}, {"users/k/2", "allow", "text/plain", "hi", "once"}}},
		},
		{"not pending, no error", `{"pending":false,"error":null}`, result{Status: 204}},
		{"nulls", `{"status":null,"headers":null,"contentType":null,"state":{"set":null,"delete":null},"send":null,"addSteps":null,"pending":null}`, result{Status: 204}},
		{"null is a value", `{"data":null}`, result{Status: 200, Type: "application/json", Payload: "null"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := &edda.Message{Principal: "ada", CorrelationID: "story"}
			out := try1(t, envelope(users(server(t, answerWith(200, tc.body)))), m, state{"z": "1"})
			if out.Err != nil {
				t.Fatal(out.Err)
			}
			r := out.Reply
			got := result{Status: r.EffectiveStatus(), Headers: r.Headers, Type: r.ContentType, Payload: string(r.Payload), Delete: out.Delete}
			for _, e := range out.Set {
				if got.Set == nil {
					got.Set = map[string]string{}
				}
				got.Set[e.Name] = string(e.Value)
			}
			for _, s := range out.Sends {
				got.Sends = append(got.Sends, sent{s.To.String(), s.Type, s.ContentType, string(s.Payload), s.IdempotencyKey})
				if s.CausationID != m.ID || s.CorrelationID != "story" || s.Principal != "ada" {
					t.Errorf("send has causation %s, correlation %s, principal %s", s.CausationID, s.CorrelationID, s.Principal)
				}
				if in := time.Until(s.Due); s.IdempotencyKey == "once" && (in > time.Hour || in < 59*time.Minute) {
					t.Errorf("send is due in %v, want 1h", in)
				}
			}
			if len(got.Headers) == 0 {
				got.Headers = nil
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEnvelopeErrors(t *testing.T) {
	for _, tc := range []struct {
		name, body, text string
		final            bool
	}{
		{"failed", `{"error":{"reason":"NO_FUNDS","message":"account is empty"},"state":{"set":{"a":1}},"send":[{}]}`, "NO_FUNDS: account is empty", false},
		{"final", `{"error":{"reason":"NO_FUNDS","message":"account is empty","final":true}}`, "NO_FUNDS: account is empty", true},
		{"says nothing", `{"error":{}}`, "did not say which", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := try1(t, envelope(users(server(t, answerWith(200, tc.body)))), &edda.Message{}, state{})
			he, ok := errors.AsType[*edda.HandlerError](out.Err)
			if !ok || he.Final != tc.final || !strings.Contains(he.Error(), tc.text) {
				t.Errorf("got %v, want %q, final %v", out.Err, tc.text, tc.final)
			}
			if len(out.Set)+len(out.Sends) > 0 {
				t.Errorf("got changes %v and sends %v of an error", out.Set, out.Sends)
			}
		})
	}
}

func TestNoEnvelopes(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		text   string
	}{
		{"empty", 200, "", "no envelope"},
		{"no content", 204, "", "no envelope"},
		{"text", 200, "ok", "no envelope"},
		{"a list", 200, "[]", "not a JSON object"},
		{"null", 200, "null", "not a JSON object"},
		{"half", 200, `{"status":200`, "no envelope"},
		{"two", 200, `{} {}`, "something follows"},
		{"unknown member", 200, `{"value":1}`, `"value"`},
		{"unknown member of state", 200, `{"state":{"clear":true}}`, `"clear"`},
		{"unknown member of a send", 200, `{"send":[{"service":"a","method":"b","after":"1s"}]}`, `"after"`},
		{"status of another type", 200, `{"status":"200"}`, "status"},
		{"bad status", 200, `{"status":99}`, "99"},
		{"two payloads", 200, `{"data":"a","dataBase64":"YQ=="}`, "dataBase64"},
		{"not text", 200, `{"data":{},"contentType":"text/plain"}`, "data"},
		{"pending", 200, `{"pending":true}`, "pending"},
		{"steps outside of a saga", 200, `{"addSteps":{"id":"a","service":"cars","method":"rent"}}`, "addSteps: add steps: the request is no step of a saga"},
		{"set and deleted", 200, `{"state":{"set":{"a":1},"delete":["a"]}}`, `"a"`},
		{"set twice", 200, `{"state":{"set":{"a":1},"setBase64":{"a":""}}}`, `"a"`},
		{"no name", 200, `{"state":{"set":{"":1}}}`, "state.set"},
		{"value too large", 200, `{"state":{"set":{"a":"` + strings.Repeat("x", edda.MaxStateValueBytes) + `"}}}`, "state.set"},
		{"send to nowhere", 200, `{"send":[{"method":"x"}]}`, "send[0]"},
		{"send without a method", 200, `{"send":[{"service":"a","method":"x"},{"service":"a"}]}`, "send[1]"},
		{"bad delay", 200, `{"send":[{"service":"a","method":"x","delay":"soon"}]}`, "delay"},
		{"negative delay", 200, `{"send":[{"service":"a","method":"x","delay":"-1s"}]}`, "delay"},
		{"endless delay", 200, `{"send":[{"service":"a","method":"x","delay":"2000000h"}]}`, "delay"},
		{"retried", 503, `{}`, "503"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := try1(t, envelope(users(server(t, answerWith(tc.status, tc.body)))), &edda.Message{}, state{})
			if out.Err == nil || !strings.Contains(out.Err.Error(), tc.text) {
				t.Fatalf("got %v, want a failed attempt that says %q", out.Err, tc.text)
			}
			if he, ok := errors.AsType[*edda.HandlerError](out.Err); ok && he.Final {
				t.Errorf("got a final error: %v", out.Err)
			}
		})
	}
}

func TestEnvelopeStatusesCountAsForPlain(t *testing.T) {
	url := server(t, answerWith(404, `{"status":200}`, "Content-Type", "application/json"))
	out := try1(t, envelope(users(url)), &edda.Message{}, state{})
	if out.Err != nil || out.Reply.Status != 404 || string(out.Reply.Payload) != `{"status":200}` {
		t.Errorf("got %+v, want the answer as it came", out)
	}
	out = try1(t, envelope(users(server(t, answerWith(410, "gone", "Edda-Error", "final")))), &edda.Message{}, state{})
	if he, ok := errors.AsType[*edda.HandlerError](out.Err); !ok || !he.Final {
		t.Errorf("got %v, want a final error", out.Err)
	}
}

func TestBalancedEnvelopeKeepsNoState(t *testing.T) {
	out := try1(t, envelope(echo(server(t, answerWith(200, `{"state":{"set":{"a":1}}}`)))), &edda.Message{}, nil)
	if out.Err == nil || !strings.Contains(out.Err.Error(), "balanced") {
		t.Errorf("got %v", out.Err)
	}
}

// All of the state goes along, or the endpoint is not asked.
func TestStateBound(t *testing.T) {
	const half = maxState / 2
	for _, tc := range []struct {
		name string
		st   state
		fits bool
	}{
		{"fits", state{"a": strings.Repeat("1", half-1), "b": strings.Repeat("\xff", half-1)}, true},
		{"too large", state{"a": strings.Repeat("1", half), "b": strings.Repeat("\xff", half-1)}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url, seen := recorder(t, answerWith(200, "{}"))
			out := try1(t, envelope(users(url)), &edda.Message{}, tc.st)
			if tc.fits != (out.Err == nil) {
				t.Errorf("got %v", out.Err)
			}
			if !tc.fits && !strings.Contains(out.Err.Error(), "more than 1048576 bytes") {
				t.Errorf("got %v", out.Err)
			}
			if tc.fits != (len(seen) == 1) {
				t.Errorf("the endpoint was asked %d times", len(seen))
			}
		})
	}
}

func TestStateNamesAreUTF8(t *testing.T) {
	out := try1(t, envelope(users("http://127.0.0.1:1")), &edda.Message{}, state{"\xff": "1"})
	if out.Err == nil || !strings.Contains(out.Err.Error(), "not UTF-8") {
		t.Errorf("got %v", out.Err)
	}
}

func TestEnvelopeBounds(t *testing.T) {
	const limit = 100_000
	for body, text := range map[string]string{
		`{"data":"` + strings.Repeat("x", limit) + `"}`:   "",
		`{"data":"` + strings.Repeat("x", limit+1) + `"}`: "data has",
		`{"data":"` + strings.Repeat("x", 3*limit) + `"}`: "more than",
	} {
		url := server(t, answerWith(200, body))
		r, _ := serveRunner(t, envelope(users(url)), Options{MaxReply: limit})
		a := attemptAt(t.Context(), &edda.Message{Type: "x", To: edda.Address{Name: "users", Key: "k"}}, state{})
		r.start(a)
		if out := a.outcome(t); (out.Err == nil) != (text == "") || out.Err != nil && !strings.Contains(out.Err.Error(), text) {
			t.Errorf("%d bytes: got %v, want %q", len(body), out.Err, text)
		}
	}
}

func FuzzOpened(f *testing.F) {
	for _, s := range []string{`{}`, `{"status":200,"data":{},"state":{"set":{"a":1},"delete":["b"]},"send":[{"service":"a","method":"b"}]}`, `{"error":{"final":true}}`, `{"dataBase64":"/wA="}`} {
		f.Add([]byte(s))
	}
	target, err := newTarget(envelope(users("http://127.0.0.1:1")), &Options{MaxReply: DefaultMaxReply})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := edda.NewOrdered("users")
		s.HandleAny(func(c *edda.Context, _ *edda.Message) (*edda.Reply, error) { return target.opened(c, body) })
		m := &edda.Message{To: edda.Address{Name: "users", Key: "k"}, Type: "x", ID: edda.NewID(1, time.Now())}
		out := s.Invoke(t.Context(), &edda.Dispatch{Message: m, Attempt: 1, State: state{}})
		if out.Stack != nil {
			t.Fatalf("it panicked: %v", out.Err)
		}
		if (out.Err == nil) == (out.Reply == nil) {
			t.Fatalf("got %+v, want a reply or an error", out)
		}
		if out.Err == nil && !json.Valid(body) {
			t.Fatal("what is not JSON was taken for an envelope")
		}
	})
}
