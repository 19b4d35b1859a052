package httpgw

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

// TestSagaAccess walks the routes as principals with different rights. The saga is
// ada's; its step flight is of the service flights.
func TestSagaAccess(t *testing.T) {
	authenticator := byName(map[string]auth.Rights{
		"ada":    {Call: []auth.Pattern{"flights", "cars"}},
		"eve":    {Call: []auth.Pattern{"flights"}},
		"bob":    {Call: []auth.Pattern{"*:*"}},
		"worker": {Host: []auth.Pattern{"flights"}},
		"ops":    {Manage: true},
	})
	const one = "/v1/sagas/trip"
	const complete, fail = one + "/steps/flight/complete", one + "/steps/flight/fail"
	for _, tc := range []struct {
		who, method, target, body string
		status                    int
	}{
		{"ada", "POST", "/v1/sagas", tripSpec, 201},
		{"bob", "POST", "/v1/sagas", tripSpec, 201},
		{"eve", "POST", "/v1/sagas", tripSpec, 403}, // may not call the service of the nested saga's step
		{"ops", "POST", "/v1/sagas", tripSpec, 403},
		{"ada", "POST", "/v1/ns/blue/sagas", tripSpec, 403},
		{"", "POST", "/v1/sagas", tripSpec, 401},

		{"ada", "GET", one, "", 200},
		{"ada", "GET", one + "?wait=1s", "", 200},
		{"bob", "GET", one, "", 403},
		{"bob", "GET", one + "?wait=1s", "", 403},
		{"worker", "GET", one, "", 403},
		{"ops", "GET", one, "", 200},
		{"ops", "GET", one + "?wait=1s", "", 200},
		{"bob", "GET", "/v1/sagas/other?wait=1s", "", 404},
		{"", "GET", one, "", 401},

		{"ada", "POST", one + "/start", "", 200},
		{"bob", "POST", one + "/start", "", 403},
		{"ops", "POST", one + "/start", "", 200},
		{"ada", "POST", one + "/cancel", "", 200},
		{"bob", "POST", one + "/cancel", "", 403},
		{"bob", "POST", "/v1/sagas/other/cancel", "", 404},
		{"ada", "POST", one + "/steps", `{"id":"a","service":"cars"}`, 201},
		{"ada", "POST", one + "/steps", `{"id":"a","service":"hotels"}`, 403},
		{"ada", "POST", one + "/steps", `{"id":"a","service":"cars","compensate":{"service":"hotels"}}`, 403},
		{"bob", "POST", one + "/steps", `{"id":"a","service":"cars"}`, 403},
		{"ops", "POST", one + "/steps", `{"id":"a","service":"cars"}`, 403},

		{"ada", "POST", complete, "", 200},
		{"bob", "POST", complete, "", 403},
		{"worker", "POST", complete, "", 200},
		{"worker", "POST", fail, "", 200},
		{"worker", "POST", one + "/steps/car/fail", "", 403},
		{"worker", "POST", one + "/steps/none/fail", "", 403},
		{"ada", "POST", one + "/steps/none/fail", "", 404},
		{"ops", "POST", fail, "", 200},
		{"bob", "POST", "/v1/sagas/other/steps/flight/fail", "", 404},
		{"", "POST", complete, "", 401},
		{"", "POST", fail, "", 401},
		{"", "POST", complete + "?completionKey=k%2By", "", 200},
		{"", "POST", fail + "?completionKey=k%2By", "", 200},
		{"", "POST", complete + "?completionKey=wrong", "", 403},
		{"", "POST", complete + "?completionKey=", "", 403},
		{"bob", "POST", complete + "?completionKey=k%2By", "", 200},
		{"ops", "POST", complete + "?completionKey=wrong", "", 403}, // who shows a key must show the right one
		{"wrong", "POST", complete + "?completionKey=k%2By", "", 401},
		{"", "GET", one + "?completionKey=k%2By", "", 401},
		{"", "POST", one + "/cancel?completionKey=k%2By", "", 401},

		{"ada", "POST", one + "/steps/flight/compensation/retry", "", 403},
		{"ada", "POST", one + "/steps/flight/compensation/skip", "", 403},
		{"ada", "POST", one + "/steps/flight/compensation/resolve", "", 403},
		{"ops", "POST", one + "/steps/flight/compensation/resolve", "", 200},
		{"ada", "DELETE", "/v1/sagas", "", 403},
		{"ops", "DELETE", "/v1/sagas", "", 200},
		{"ada", "DELETE", one, "", 403},
		{"ops", "DELETE", one, "", 204},
		{"bob", "GET", "/v1/sagas?principal=ada", "", 403},
	} {
		g := sagasOf(t, &fakeSagas{state: edda.SagaCompensated}, Options{Authenticator: authenticator})
		if w := as(g, tc.who, tc.method, tc.target, tc.body); w.Code != tc.status {
			t.Errorf("%s %s %.60s as %q: got %d %s, want %d", tc.method, tc.target, tc.body, tc.who, w.Code, w.Body, tc.status)
		}
	}
	for who, asked := range map[string]string{"ada": "glance finish", "ops": "finish", "worker": "glance show finish"} {
		f := &fakeSagas{}
		w := as(sagasOf(t, f, Options{Authenticator: authenticator}), who, "POST", "/v1/sagas/trip/steps/flight/complete", "")
		if got := strings.Join(f.asked, " "); w.Code != 200 || got != asked {
			t.Errorf("to let %s finish a step (%d) the backend was asked to %q, want %q: a saga may have many steps", who, w.Code, got, asked)
		}
	}
	for who, sees := range map[string]edda.Principal{"ada": "ada", "bob": "bob", "ops": ""} {
		f := &fakeSagas{}
		if w := as(sagasOf(t, f, Options{Authenticator: authenticator}), who, "GET", "/v1/sagas", ""); w.Code != 200 || f.found.Principal != sees {
			t.Errorf("the list of %s: got %d and the sagas of %q, want those of %q", who, w.Code, f.found.Principal, sees)
		}
	}
	f := &fakeSagas{}
	if as(sagasOf(t, f, Options{Authenticator: authenticator}), "ada", "POST", "/v1/sagas", tripSpec); f.spec.Principal != "ada" {
		t.Errorf("the saga is %q's, want ada's", f.spec.Principal)
	}
}

// as sends a request of somebody, of nobody when there is no name.
func as(g *Gateway, who, method, target, body string) *httptest.ResponseRecorder {
	if who == "" {
		return do(g, method, target, body)
	}
	return do(g, method, target, body, "Authorization: Bearer "+who)
}
