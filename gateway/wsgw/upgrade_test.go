package wsgw

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
)

// handshake is a request that is upgraded.
func handshake(t *testing.T, url string, change ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(url, "ws://", "http://", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": Subprotocol,
	} {
		r.Header.Set(name, v)
	}
	for i := 0; i < len(change); i += 2 {
		switch name, v := change[i], change[i+1]; {
		case name == "Host":
			r.Host = v
		case name == "method":
			r.Method = v
		case v == "":
			r.Header.Del(name)
		default:
			r.Header[http.CanonicalHeaderKey(name)] = strings.Split(v, "|")
		}
	}
	return r
}

// answered sends a request and returns its status and the reason of its problem.
func answered(t *testing.T, r *http.Request) (int, edda.Reason, http.Header) {
	t.Helper()
	return answeredOver(t, http.DefaultTransport, r)
}

// answeredOver is answered, over other connections.
func answeredOver(t *testing.T, over http.RoundTripper, r *http.Request) (int, edda.Reason, http.Header) {
	t.Helper()
	resp, err := over.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.StatusCode == http.StatusNoContent || r.Method == http.MethodHead {
		return resp.StatusCode, "", resp.Header
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Reason edda.Reason
		Code   edda.Code
		Status int
		Title  string
		Detail string
	}
	if err := json.Unmarshal(b, &p); err != nil || p.Status != resp.StatusCode || p.Code != p.Reason.Code() || p.Title == "" || p.Detail == "" {
		t.Errorf("got %d with %s (%v), want a problem document", resp.StatusCode, b, err)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("got content type %q", got)
	}
	return resp.StatusCode, p.Reason, resp.Header
}

func TestUpgrade(t *testing.T) {
	w := start(t, Options{Origins: []string{"https://app.example.com"}})
	own := strings.TrimPrefix(w.srv.URL, "http://")
	_, port, _ := strings.Cut(own, ":")
	for _, tc := range []struct {
		name, path string
		change     []string
		status     int
		reason     edda.Reason
	}{
		{"as it should be", "/v1/live", nil, 101, ""},
		{"another namespace", "/v1/ns/shop/live", nil, 101, ""},
		{"several subprotocols", "/v1/live", []string{"Sec-WebSocket-Protocol", "a, edda.v1.json|b"}, 101, ""},
		{"lists in any case", "/v1/live", []string{"Connection", "keep-alive, UPGRADE", "Upgrade", "WebSocket"}, 101, ""},
		{"localhost", "/v1/live", []string{"Host", "localhost:" + port}, 101, ""},
		{"its own page", "/v1/live", []string{"Origin", "http://" + own}, 101, ""},
		{"a page that is listed", "/v1/live", []string{"Origin", "https://App.example.com"}, 101, ""},
		{"what may be asked", "/v1/live", []string{"method", "OPTIONS"}, 204, ""},

		{"no subprotocol", "/v1/live", []string{"Sec-WebSocket-Protocol", ""}, 400, edda.BadValue},
		{"another subprotocol", "/v1/live", []string{"Sec-WebSocket-Protocol", "edda.v2.json"}, 400, edda.BadValue},
		{"no upgrade", "/v1/live", []string{"Upgrade", ""}, 400, edda.BadValue},
		{"no connection", "/v1/live", []string{"Connection", ""}, 400, edda.BadValue},
		{"upgrade to something else", "/v1/live", []string{"Upgrade", "h2c"}, 400, edda.BadValue},
		{"an old version", "/v1/live", []string{"Sec-WebSocket-Version", "8"}, 400, edda.BadValue},
		{"no key", "/v1/live", []string{"Sec-WebSocket-Key", ""}, 400, edda.BadValue},
		{"a short key", "/v1/live", []string{"Sec-WebSocket-Key", "AAAA"}, 400, edda.BadValue},
		{"two keys", "/v1/live", []string{"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==|dGhlIHNhbXBsZSBub25jZQ=="}, 400, edda.BadValue},
		{"HEAD", "/v1/live", []string{"method", "HEAD"}, 400, ""},
		{"POST", "/v1/live", []string{"method", "POST"}, 405, edda.BadMethod},
		{"a bad namespace", "/v1/ns/a%20b/live", nil, 400, edda.BadName},
		{"no namespace", "/v1/ns//live", nil, 400, edda.BadName},
		{"another path", "/v1/live/x", nil, 404, edda.NoRoute},
		{"DNS rebinding", "/v1/live", []string{"Host", "evil.example"}, 403, edda.NotAllowed},
		{"a foreign page", "/v1/live", []string{"Origin", "https://evil.example"}, 403, edda.NotAllowed},
		{"a page of another port", "/v1/live", []string{"Origin", "http://127.0.0.1:1"}, 403, edda.NotAllowed},
		{"a page of nowhere", "/v1/live", []string{"Origin", "null"}, 403, edda.NotAllowed},
		{"two origins", "/v1/live", []string{"Origin", "http://" + own + "|https://evil.example"}, 403, edda.NotAllowed},
		{"a page that looks like one that is listed", "/v1/live", []string{"Origin", "https://app.example.com.evil.example"}, 403, edda.NotAllowed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, reason, h := answered(t, handshake(t, w.url(tc.path), tc.change...))
			if status != tc.status || reason != tc.reason {
				t.Errorf("got %d %s, want %d %s", status, reason, tc.status, tc.reason)
			}
			if tc.status == 101 && h.Get("Sec-WebSocket-Protocol") != Subprotocol {
				t.Errorf("got subprotocol %q", h.Get("Sec-WebSocket-Protocol"))
			}
			if ext := h.Get("Sec-WebSocket-Extensions"); ext != "" {
				t.Errorf("got extensions %q", ext)
			}
		})
	}
}

func TestUpgradeWithCredentials(t *testing.T) {
	k := newKeys()
	k.set("t-ada", everything("ada"))
	w := start(t, Options{Authenticator: k, Origins: []string{"https://app.example.com"}, KeyHeaders: []string{"X-Api-Key"}})
	own := w.srv.URL
	for _, tc := range []struct {
		name   string
		change []string
		status int
		reason edda.Reason
	}{
		{"a token", []string{"Authorization", "Bearer t-ada"}, 101, ""},
		{"an API key", []string{"X-Api-Key", "t-ada"}, 101, ""},
		{"nothing yet", nil, 101, ""},
		{"any Host", []string{"Host", "edda.example.com"}, 101, ""},
		{"its own page", []string{"Origin", own}, 101, ""},
		{"its own page behind a proxy with TLS", []string{"Host", "edda.example.com", "Origin", "https://edda.example.com"}, 101, ""},
		{"a page that is listed", []string{"Origin", "https://app.example.com"}, 101, ""},
		{"a wrong token", []string{"Authorization", "Bearer t-eve"}, 401, edda.NoCredentials},
		{"no bearer", []string{"Authorization", "Basic YTpi"}, 401, edda.NoCredentials},
		{"two tokens", []string{"Authorization", "Bearer t-ada|Bearer t-ada"}, 401, edda.NoCredentials},
		{"a foreign page", []string{"Origin", "https://evil.example"}, 403, edda.NotAllowed},
		{"a foreign page with a token", []string{"Authorization", "Bearer t-ada", "Origin", "https://evil.example"}, 403, edda.NotAllowed},
		{"a page of nowhere", []string{"Origin", "null"}, 403, edda.NotAllowed},
		{"a page that says a Host", []string{"Origin", "ftp://" + strings.TrimPrefix(own, "http://")}, 403, edda.NotAllowed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, reason, h := answered(t, handshake(t, w.url("/v1/live"), tc.change...))
			if status != tc.status || reason != tc.reason {
				t.Errorf("got %d %s, want %d %s", status, reason, tc.status, tc.reason)
			}
			if tc.status == 401 && !strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("got challenge %q", h.Get("WWW-Authenticate"))
			}
		})
	}
}

func TestUpgradeLimits(t *testing.T) {
	inBubble(t, func(t *testing.T, start func(Options, ...*edda.Service) *world) {
		k := newKeys()
		k.set("t-ada", everything("ada"))
		k.set("t-bob", everything("bob"))
		w := start(Options{Authenticator: k, MaxConnections: 3, MaxPerPrincipal: 1})
		ada := w.dial(t, "Authorization", "Bearer t-ada")
		ada.alive()
		status, reason, h := answeredOver(t, w.transport(), handshake(t, w.url("/v1/live"), "Authorization", "Bearer t-ada"))
		if status != 429 || reason != edda.Overloaded || h.Get("Retry-After") == "" {
			t.Errorf("got %d %s for the second of one principal, want 429 %s", status, reason, edda.Overloaded)
		}
		late := w.dial(t)
		late.send(`{"op":"auth","ref":1,"token":"t-ada"}`)
		late.want(`{"op":"error","ref":1,"reason":"OVERLOADED"}`)
		late.wantClose(closeTryLater)
		left := func(n int) func() bool {
			return func() bool {
				w.g.mu.Lock()
				defer w.g.mu.Unlock()
				return w.g.count == n
			}
		}
		settled(t, "it is gone", left(1))
		bob, other := w.dial(t, "Authorization", "Bearer t-bob"), w.dial(t)
		bob.alive()
		status, reason, h = answeredOver(t, w.transport(), handshake(t, w.url("/v1/live")))
		if status != 503 || reason != edda.Unavailable || h.Get("Retry-After") == "" {
			t.Errorf("got %d %s for one too many, want 503 %s", status, reason, edda.Unavailable)
		}
		_ = ada.ws.CloseNow()
		_ = other.ws.CloseNow()
		settled(t, "there is room again", left(1))
		w.dial(t, "Authorization", "Bearer t-ada").alive()
	})
}

// All origins is not all those whose browser shows a certificate without being asked.
func TestAllOriginsButWithACertificate(t *testing.T) {
	g, err := build(backends{}, Options{
		Origins: []string{"*"},
		Authenticator: auth.Func(func(_ context.Context, c auth.Credential) (*auth.Grant, error) {
			if c.IsZero() {
				return nil, auth.ErrUnknown
			}
			return everything("ada"), nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	shown := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}
	for _, tc := range []struct {
		name, origin string
		tls          *tls.ConnectionState
		refused      bool
	}{
		{"a foreign page", "https://evil.example", nil, false},
		{"a foreign page with a certificate", "https://evil.example", shown, true},
		{"its own page with a certificate", "https://edda.example.com", shown, false},
		{"no page, with a certificate", "", shown, false},
	} {
		r := handshake(t, "http://edda.example.com/v1/live", "Origin", tc.origin)
		r.TLS = tc.tls
		if _, err := g.credential(r); (edda.ReasonOf(err) == edda.NotAllowed) != tc.refused {
			t.Errorf("%s: got %v", tc.name, err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, opts := range map[string]Options{
		"MaxFrame": {MaxFrame: -1}, "Rate": {Rate: -1}, "Ping": {Ping: -1}, "Origins": {Origins: []string{"*"}}, "Listen": {Listen: []string{"0.0.0.0:1"}},
		"KeyHeaders": {KeyHeaders: []string{"Cookie"}},
	} {
		if _, err := build(backends{}, opts); edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), "option "+name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := build(backends{}, Options{Origins: []string{"*"}, Authenticator: newKeys()}); err != nil {
		t.Errorf("all origins with credentials: %v", err)
	}
}
