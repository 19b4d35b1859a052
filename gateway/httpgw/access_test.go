package httpgw

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/prometheus/client_golang/prometheus"
)

// byName lets in whoever shows their name as a token.
func byName(rights map[string]auth.Rights) auth.Authenticator {
	return auth.Func(func(_ context.Context, c auth.Credential) (*auth.Grant, error) {
		name := c.Token
		if c.Token == "" && c.Certificate != nil {
			name = c.Certificate.Subject.CommonName
		}
		switch r, known := rights[name]; {
		case known:
			return &auth.Grant{Principal: edda.Principal(name), Rights: r}, nil
		case name == "barred":
			return nil, &edda.Error{Reason: edda.NotAllowed}
		case name == "nobody":
			return &auth.Grant{Rights: auth.Everything()}, nil
		case name == "late":
			return &auth.Grant{Principal: "late", Rights: auth.Everything(), Expires: time.Now()}, nil
		case name == "":
			return nil, auth.ErrUnknown
		default:
			return nil, errors.New("the secret is 42")
		}
	})
}

func TestCredentials(t *testing.T) {
	f := &fake{}
	g := gatewayOf(t, f, Options{Authenticator: byName(map[string]auth.Rights{"good": auth.Everything()})})
	const invalid = `Bearer realm="edda", error="invalid_token"`
	for _, tc := range []struct {
		auth, path string
		status     int
		challenge  string
	}{
		{"Authorization: Bearer good", "/v1/call/echo/x", 200, ""},
		{"Authorization: bearer  good", "/v1/call/echo/x", 200, ""},
		{"Authorization: Bearer barred", "/v1/call/echo/x", 403, ""},
		{"Authorization: Bearer nobody", "/v1/call/echo/x", 401, invalid},
		{"Authorization: Bearer late", "/v1/call/echo/x", 401, invalid},
		{"Authorization: Bearer wrong", "/v1/call/echo/x", 401, invalid},
		{"Authorization: Bearer " + strings.Repeat("x", auth.MaxTokenBytes+1), "/v1/call/echo/x", 401, invalid},
		{"Authorization: Basic good", "/v1/call/echo/x", 401, invalid},
		{"Authorization: good", "/v1/call/echo/x", 401, invalid},
		{"Authorization:", "/v1/call/echo/x", 401, invalid},
		{"X: y", "/v1/call/echo/x", 401, `Bearer realm="edda"`},
		{"X: y", "/v1/nothing", 401, `Bearer realm="edda"`},
		{"Authorization: Bearer good", "/v1/nothing", 404, ""},
	} {
		// A foreign Host is no matter where there are credentials.
		w := do(g, http.MethodPost, tc.path, "x", tc.auth, "Host: edda.example", "Origin: https://console.example")
		if w.Code != tc.status || w.Header().Get("WWW-Authenticate") != tc.challenge {
			t.Errorf("%s with %.60s: got %d, %q, want %d, %q", tc.path, tc.auth, w.Code,
				w.Header().Get("WWW-Authenticate"), tc.status, tc.challenge)
		}
		if strings.Contains(w.Body.String(), "42") {
			t.Errorf("%s: the text of an error got out: %s", tc.auth, w.Body)
		}
		if w.Code != 200 {
			wantProblem(t, w)
		}
	}
	if f.message.Principal != "good" {
		t.Errorf("got principal %q, want good", f.message.Principal)
	}
	two := do(g, http.MethodPost, "/v1/call/echo/x", "x", "Authorization: Bearer good", "Authorization: Bearer good")
	if two.Code != http.StatusUnauthorized {
		t.Errorf("two credentials: got %d, want 401", two.Code)
	}
}

// TestAccess walks all kinds of routes as principals with different rights.
func TestAccess(t *testing.T) {
	_, n := open(t)
	authenticator := byName(map[string]auth.Rights{
		"root":   auth.Everything(),
		"ada":    {Call: []auth.Pattern{"echo", "sl*"}},
		"bob":    {Call: []auth.Pattern{"echo"}},
		"worker": {Host: []auth.Pattern{"users"}},
		"ops":    {Manage: true},
	})
	g, err := New(n, Options{Authenticator: authenticator, Gatherer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	as := func(who, method, target string, headers ...string) *httptest.ResponseRecorder {
		return do(g, method, target, "", append(headers, "Authorization: Bearer "+who)...)
	}
	ack := as("ada", http.MethodPost, "/v1/call/echo/x", "Prefer: respond-async", "Idempotency-Key: k")
	var doc struct{ ID string }
	if err := json.Unmarshal(ack.Body.Bytes(), &doc); err != nil || ack.Code != http.StatusAccepted {
		t.Fatalf("got %d %s", ack.Code, ack.Body)
	}
	own := "/v1/requests/" + doc.ID
	for _, tc := range []struct {
		who, method, target string
		status              int
	}{
		{"ada", "POST", "/v1/call/echo/x", 204},
		{"ada", "POST", "/v1/call/slow/x", 400}, // allowed, and then the body is no JSON
		{"ada", "POST", "/v1/call/users/ada/login", 403},
		{"ada", "POST", "/v1/ns/other/call/echo/x", 403},
		{"root", "POST", "/v1/ns/other/call/echo/x", 503},
		{"worker", "POST", "/v1/call/users/ada/login", 403},
		{"ops", "POST", "/v1/call/echo/x", 403},

		{"ada", "GET", own + "?wait=1s", 200},
		{"ada", "GET", own + "/reply", 204},
		{"ada", "POST", own + "/cancel", 200},
		{"bob", "GET", own + "?wait=1s", 403},
		{"ada", "GET", own + "/parts", 200},
		{"bob", "GET", own + "/reply", 403},
		{"bob", "GET", own + "/parts", 403},
		{"bob", "POST", own + "/cancel", 403},
		{"ada", "GET", own + "/parts", 200},
		{"bob", "GET", own + "/parts", 403},
		{"ops", "GET", own + "/parts", 200},
		{"ops", "GET", own, 200},
		{"ops", "GET", own + "/reply", 204},
		{"ada", "GET", "/v1/requests", 403},
		{"ops", "GET", "/v1/requests", 200},
		{"ada", "GET", "/v1/requests?service=echo&idempotencyKey=k", 200},
		{"ada", "GET", "/v1/requests?service=users&key=x&idempotencyKey=k", 403},
		{"ada", "GET", "/v1/requests?idempotencyKey=k", 400},

		{"ada", "GET", "/v1/services", 200},
		{"ada", "GET", "/v1/services/echo", 200},
		{"ada", "GET", "/v1/services/users", 403},
		{"worker", "GET", "/v1/services/users", 200},
		{"ada", "POST", "/v1/services/echo/pause", 403},
		{"ada", "POST", "/v1/services/echo/resume", 403},
		{"ada", "DELETE", "/v1/services/echo", 403},
		{"ops", "POST", "/v1/services/echo/resume", 200},
		{"ada", "GET", "/v1/deadletters", 403},
		{"ops", "GET", "/v1/deadletters", 200},
		{"ada", "PUT", "/v1/deadletters", 405},

		{"worker", "GET", "/v1/node", 200},
		{"worker", "GET", "/metrics", 200},
		{"worker", "GET", "/openapi.json", 200},
		{"wrong", "GET", "/metrics", 401},
		{"wrong", "GET", "/healthz", 200},
		{"wrong", "GET", "/readyz", 200},
		{"wrong", "OPTIONS", "/v1/services", 204},
	} {
		w := as(tc.who, tc.method, tc.target)
		if w.Code != tc.status {
			t.Errorf("%s %s as %s: got %d %s, want %d", tc.method, tc.target, tc.who, w.Code, w.Body, tc.status)
		}
	}
	for _, target := range []string{"/v1/services", "/openapi.json"} {
		if body := as("ada", "GET", target).Body.String(); strings.Contains(body, "counter") || !strings.Contains(body, "echo") {
			t.Errorf("%s shows ada what she may not see, or not what she may: %s", target, body)
		}
	}
}

// TestEveryOperationAsks checks that who may do nothing gets no further than to
// what is said to be for everybody who is known.
func TestEveryOperationAsks(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{Authenticator: byName(map[string]auth.Rights{"ada": {}}), Gatherer: prometheus.NewRegistry()})
	fill := strings.NewReplacer("{service}", "s", "{key}", "k", "{method}", "m", "{id}", fakeID.String(), "{step}", "s", "{stream}", "s", "{group}", "g", "{channel}", "c")
	for _, rt := range g.served() {
		for _, op := range rt.ops {
			if rt.open || op.access == toAsk {
				continue
			}
			w := do(g, op.method, fill.Replace(rt.template), "", "Authorization: Bearer ada")
			if w.Code != http.StatusForbidden {
				t.Errorf("%s %s: got %d, want 403", op.method, rt.template, w.Code)
			}
		}
	}
}

// A stream of events lives longer than other answers: it ends with the credentials.
func TestEventsEndWithTheCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Hour)
		g := gatewayOf(t, silent{&fake{}}, Options{Authenticator: auth.Func(func(context.Context, auth.Credential) (*auth.Grant, error) {
			return &auth.Grant{Principal: "ada", Rights: auth.Everything(), Expires: end}, nil
		})})
		w := do(g, http.MethodGet, "/v1/requests/"+fakeID.String()+"/parts", "", wantEvents)
		if !time.Now().Equal(end) || !strings.Contains(w.Body.String(), "the credentials have expired") {
			t.Errorf("at %v got %s, want it to end at %v with the reason", time.Now(), w.Body, end)
		}
		if w := do(g, http.MethodGet, "/v1/requests/"+fakeID.String()+"/parts", "", wantEvents); w.Code != http.StatusUnauthorized {
			t.Errorf("afterwards: got %d, want 401", w.Code)
		}
	})
}

// A browser shows a certificate to whoever makes it send something: a page of
// another site must not use that.
func TestCertificateAndForeignOrigin(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{Authenticator: byName(map[string]auth.Rights{"ada": auth.Everything()})})
	cert := &x509.Certificate{}
	cert.Subject.CommonName = "ada"
	for _, tc := range []struct {
		name    string
		headers map[string]string
		status  int
	}{
		{"no browser", nil, 200},
		{"own page", map[string]string{"Origin": "https://edda.example"}, 200},
		{"foreign page", map[string]string{"Origin": "https://evil.example"}, 403},
		{"foreign page that a browser names", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"foreign page with a token", map[string]string{"Origin": "https://evil.example", "Authorization": "Bearer ada"}, 200},
	} {
		r := httptest.NewRequest(http.MethodPost, "https://edda.example/v1/call/echo/x", strings.NewReader("x"))
		r.TLS = &tls.ConnectionState{
			PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}},
		}
		for name, value := range tc.headers {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if _, said := tc.headers["Origin"]; tc.status == 403 && !said && !strings.Contains(w.Body.String(), "there is no Origin") {
			t.Errorf("%s: got %s, want that there was no Origin", tc.name, w.Body)
		}
		if w.Code != tc.status {
			t.Errorf("%s: got %d %s, want %d", tc.name, w.Code, w.Body, tc.status)
		}
	}
}
