package httpgw

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/edda-io/edda"
)

func TestGuard(t *testing.T) {
	for _, tc := range []struct {
		listen       []string
		host, origin string
		want         bool
	}{
		{nil, "localhost", "", true},
		{nil, "LOCALHOST:80", "", true},
		{nil, "127.0.0.1:12345", "", true},
		{nil, "[::1]:12345", "", true},
		{nil, "[::1]", "", true},
		{nil, "::1", "", false},
		{nil, "localhost:", "", false},
		{nil, "localhost:x", "", false},
		{nil, "localhost:123456", "", false},
		{nil, "localhost.", "", false},
		{nil, "127.0.0.2", "", false},
		{nil, "evil.example", "", false},
		{nil, "localhost.evil.example", "", false},
		{nil, "localhost@evil.example", "", false},
		{nil, "", "", false},
		{[]string{"127.0.0.1:7400"}, "localhost:7400", "", true},
		{[]string{"127.0.0.1:7400"}, "Localhost:7400", "", true},
		{[]string{"127.0.0.1:7400"}, "localhost", "", true},
		{[]string{"127.0.0.1:7400"}, "localhost:7401", "", false},
		{[]string{"127.0.0.2:7400"}, "127.0.0.2:7400", "", true},
		{[]string{"127.0.0.2:7400"}, "127.0.0.2", "", true},
		{[]string{"MyHost:7400"}, "myhost:7400", "", true},
		{[]string{"[::1]:7400"}, "[::1]:7400", "", true},

		{[]string{"127.0.0.1:7400"}, "localhost:7400", "http://localhost:7400", true},
		{[]string{"127.0.0.1:7400"}, "localhost:7400", "HTTP://LOCALHOST:7400", true},
		{[]string{"127.0.0.1:7400"}, "localhost:7400", "http://127.0.0.1:7400", true},
		{[]string{"127.0.0.1:7400"}, "localhost:7400", "http://localhost:3000", false},
		{[]string{"127.0.0.1:7400"}, "localhost:7400", "http://localhost", false},
		{[]string{"127.0.0.1:80"}, "localhost:80", "http://localhost", true},
		{[]string{"127.0.0.1:80"}, "localhost:80", "https://localhost", false},
		{[]string{"127.0.0.1:7400"}, "localhost:7400", "null", false},
		{[]string{"127.0.0.1:7400"}, "localhost:7400", "https://evil.example", false},
		{[]string{"127.0.0.1:7400"}, "localhost:7400", "file://", false},
		{[]string{"127.0.0.1:7400"}, "localhost:7400", "ftp://localhost:7400", false},
		{[]string{"127.0.0.1:7400"}, "localhost:7400", "http://localhost:7400/", false},
		{nil, "localhost:7400", "http://localhost:7400", true},
		{nil, "localhost:7400", "http://127.0.0.1:7400", false},
		{nil, "[::1]:7400", "http://[::1]:7400", true},
		{nil, "[::1]:7400", "http://[::1]", false},
	} {
		gd, err := newGuard(tc.listen)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = tc.host
		if tc.origin != "" {
			r.Header.Set("Origin", tc.origin)
		}
		if err := gd.check(r); (err == nil) != tc.want {
			t.Errorf("listen %v, Host %q, Origin %q: got %v, want allowed: %v", tc.listen, tc.host, tc.origin, err, tc.want)
		}
	}
}

func TestGuardRefusesSeveralAndEmptyOrigins(t *testing.T) {
	g := gatewayOf(t, &fake{}, Options{})
	own := "Origin: http://localhost:7400"
	for _, headers := range [][]string{{own, own}, {own, "Origin: http://evil.example"}, {"Origin:"}} {
		if w := do(g, http.MethodGet, "/v1/nothing", "", headers...); w.Code != http.StatusForbidden {
			t.Errorf("%v: got %d, want 403", headers, w.Code)
		}
	}
}

func TestNoCredentialsMeansLoopback(t *testing.T) {
	for _, listen := range []string{":7400", "0.0.0.0:7400", "[::]:7400", "192.0.2.1:7400", "localhost", ""} {
		_, err := build(nil, &fake{}, edda.Memory, Options{Listen: []string{listen}})
		if edda.ReasonOf(err) != edda.BadValue {
			t.Errorf("listen %q: got %v, want %s", listen, err, edda.BadValue)
		}
	}
	opts := Options{Listen: []string{"0.0.0.0:7400"}, Authenticate: func(*http.Request) (edda.Principal, error) { return "", nil }}
	if _, err := build(nil, &fake{}, edda.Memory, opts); err != nil {
		t.Errorf("with credentials: %v", err)
	}
}

func TestCredentials(t *testing.T) {
	f := &fake{}
	g := gatewayOf(t, f, Options{Authenticate: func(r *http.Request) (edda.Principal, error) {
		switch r.Header.Get("Authorization") {
		case "Bearer good":
			return "ada", nil
		case "Bearer barred":
			return "", &edda.Error{Reason: edda.NotAllowed}
		case "Bearer nobody":
			return "", nil
		default:
			return "", errors.New("the secret is 42")
		}
	}})
	for _, tc := range []struct {
		auth, path string
		status     int
		challenge  string
	}{
		{"Authorization: Bearer good", "/v1/call/echo/x", 200, ""},
		{"Authorization: Bearer barred", "/v1/call/echo/x", 403, ""},
		{"Authorization: Bearer nobody", "/v1/call/echo/x", 401, `Bearer realm="edda", error="invalid_token"`},
		{"Authorization: Basic x", "/v1/call/echo/x", 401, `Bearer realm="edda", error="invalid_token"`},
		{"X: y", "/v1/call/echo/x", 401, `Bearer realm="edda"`},
		{"X: y", "/v1/nothing", 401, `Bearer realm="edda"`},
		{"Authorization: Bearer good", "/v1/nothing", 404, ""},
	} {
		// A foreign Host is no matter where there are credentials.
		w := do(g, http.MethodPost, tc.path, "x", tc.auth, "Host: edda.example", "Origin: https://console.example")
		if w.Code != tc.status || w.Header().Get("WWW-Authenticate") != tc.challenge {
			t.Errorf("%s with %s: got %d, %q, want %d, %q", tc.path, tc.auth, w.Code,
				w.Header().Get("WWW-Authenticate"), tc.status, tc.challenge)
		}
		if w.Code != 200 {
			wantProblem(t, w)
		}
	}
	if f.message.Principal != "ada" {
		t.Errorf("got principal %q, want ada", f.message.Principal)
	}
}
