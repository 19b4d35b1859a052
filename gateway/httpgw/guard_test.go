package httpgw

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/ownhost"
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
		names, err := ownhost.New(tc.listen)
		if err != nil {
			t.Fatal(err)
		}
		g := &Gateway{names: names}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = tc.host
		if tc.origin != "" {
			r.Header.Set("Origin", tc.origin)
		}
		if err := httpio.CheckNames(g.names, r, g.listed); (err == nil) != tc.want {
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
		_, err := build(nil, backends{calls: &fake{}}, edda.Memory, Options{Listen: []string{listen}})
		if edda.ReasonOf(err) != edda.BadValue {
			t.Errorf("listen %q: got %v, want %s", listen, err, edda.BadValue)
		}
	}
	opts := Options{Listen: []string{"0.0.0.0:7400"}, Authenticator: auth.FirstOf()}
	if _, err := build(nil, backends{calls: &fake{}}, edda.Memory, opts); err != nil {
		t.Errorf("with credentials: %v", err)
	}
}

func TestKeyHeaders(t *testing.T) {
	f := &fake{}
	g := gatewayOf(t, f, Options{
		Authenticator: byName(map[string]auth.Rights{"ada": auth.Everything()}), KeyHeaders: []string{"x-api-key", "Apikey"},
	})
	for _, tc := range []struct {
		status  int
		headers []string
	}{
		{200, []string{"X-Api-Key: ada"}},
		{200, []string{"ApiKey: ada"}},
		{200, []string{"Authorization: Bearer ada"}},
		{401, nil},
		{401, []string{"X-Api-Key: eve"}},
		{401, []string{"X-Api-Key:"}},
		{401, []string{"X-Api-Key: ada", "X-Api-Key: ada"}},
		{401, []string{"X-Api-Key: ada", "Apikey: ada"}},
		{401, []string{"X-Api-Key: ada", "Authorization: Bearer ada"}},
		{401, []string{"X-Other-Key: ada"}},
	} {
		f.message = nil
		w := do(g, http.MethodPost, "/v1/call/users/1/x", "x", tc.headers...)
		if w.Code != tc.status || (tc.status == 200) != (f.message != nil) {
			t.Errorf("%v: got %d, want %d", tc.headers, w.Code, tc.status)
		}
		if f.message != nil && f.message.Principal != "ada" {
			t.Errorf("%v: got principal %q", tc.headers, f.message.Principal)
		}
	}
	for _, bad := range [][]string{{"Authorization"}, {"cookie"}, {"Host"}, {"Edda-Key"}, {"X Key"}, {""}, {"Te"}, {"X-Key", "x-key"}} {
		if _, err := build(nil, backends{calls: f}, edda.Fsync, Options{KeyHeaders: bad}); edda.ReasonOf(err) != edda.BadValue {
			t.Errorf("%q: got %v, want BAD_VALUE", bad, err)
		}
	}
}
