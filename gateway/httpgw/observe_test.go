package httpgw

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/prometheus/client_golang/prometheus"
)

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	f := &fake{}
	g := gatewayOf(t, f, Options{Registerer: reg, Gatherer: reg})
	do(g, http.MethodPost, "/v1/call/users/1/x", "x")
	do(g, http.MethodPost, "/v1/ns/shop/call/users/2/x", "x")
	do(g, http.MethodGet, "/v1/call/users/3/x", "")
	do(g, "BREW", "/v1/call/users/4/x", "")
	do(g, http.MethodGet, "/some/path", "")
	do(g, http.MethodGet, "/some/other//path", "")
	do(g, http.MethodGet, "/healthz", "", "Host: evil.example")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	f.call = func(context.Context, *edda.Message) (*edda.Reply, error) {
		return nil, &edda.Error{Reason: edda.Timeout}
	}
	r := httptest.NewRequestWithContext(gone, http.MethodPost, "/v1/call/users/5/x", nil)
	r.Host = "localhost"
	g.ServeHTTP(httptest.NewRecorder(), r)

	const want = `edda_http_requests_total{method="GET",route="/healthz",status="403"} 1
edda_http_requests_total{method="GET",route="/v1/call/{service}/{key}/{method}",status="405"} 1
edda_http_requests_total{method="GET",route="none",status="400"} 1
edda_http_requests_total{method="GET",route="none",status="404"} 1
edda_http_requests_total{method="POST",route="/v1/call/{service}/{key}/{method}",status="200"} 2
edda_http_requests_total{method="POST",route="/v1/call/{service}/{key}/{method}",status="499"} 1
edda_http_requests_total{method="other",route="/v1/call/{service}/{key}/{method}",status="405"} 1
`
	w := do(g, http.MethodGet, "/metrics", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), `edda_http_request_duration_seconds_count{route="none"} 2`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if got := series(w.Body.String(), "edda_http_requests_total{"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// series returns the lines of a scrape that begin with prefix.
func series(scrape, prefix string) string {
	var lines strings.Builder
	for line := range strings.Lines(scrape) {
		if strings.HasPrefix(line, prefix) {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

func TestTwoGatewaysShareMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	opts := Options{Registerer: reg, Gatherer: reg}
	do(gatewayOf(t, &fake{}, opts), http.MethodPost, "/v1/call/echo/x", "x")
	g := gatewayOf(t, &fake{}, opts)
	do(g, http.MethodPost, "/v1/call/echo/x", "x")
	scrape := do(g, http.MethodGet, "/metrics", "").Body.String()
	const want = `edda_http_requests_total{method="POST",route="/v1/call/{service}/{method}",status="200"} 2` + "\n"
	if got := series(scrape, "edda_http_requests_total{"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	reg = prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "edda_http_requests_total", Help: "Another."}))
	if _, err := build(nil, backends{calls: &fake{}}, edda.Memory, Options{Registerer: reg}); err == nil {
		t.Errorf("another metric of the same name was taken for the gateway's")
	}
}

func TestSlowWarning(t *testing.T) {
	for _, tc := range []struct {
		name    string
		took    time.Duration
		warning time.Duration
		headers []string
		want    bool
	}{
		{"quick", 999 * time.Millisecond, 0, nil, false},
		{"slow", time.Second, 0, nil, true},
		{"asked to wait", time.Second, 0, []string{"Prefer: wait=5"}, false},
		{"delayed", time.Second, 0, []string{"Edda-Delay: 1s"}, false},
		{"off", time.Hour, -1, nil, false},
		{"longer", time.Second, 2 * time.Second, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				g := gatewayOf(t, &fake{call: func(context.Context, *edda.Message) (*edda.Reply, error) {
					time.Sleep(tc.took)
					return &edda.Reply{RequestID: fakeID, Position: "1-1"}, nil
				}}, Options{SlowWarning: tc.warning, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				do(g, http.MethodPost, "/v1/call/users/1/x", "x", tc.headers...)
				if got := strings.Contains(log.String(), "slow request"); got != tc.want {
					t.Errorf("logged %q", log.String())
				}
				if tc.want && !strings.Contains(log.String(), fakeID.String()) {
					t.Errorf("the log does not name the request: %s", log.String())
				}
			})
		})
	}
}

// Of many slow requests of a route one in a few seconds is told, and how many others.
func TestSlowRequestsAreToldSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := gatewayOf(t, &fake{call: func(context.Context, *edda.Message) (*edda.Reply, error) {
			time.Sleep(time.Second)
			return &edda.Reply{RequestID: fakeID, Position: "1-1"}, nil
		}}, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range 10 {
			do(g, http.MethodPost, "/v1/call/users/1/x", "x")
		}
		if n := strings.Count(log.String(), "slow request"); n != 2 || !strings.Contains(log.String(), "others=4") {
			t.Errorf("logged %d lines, want 2 of which one tells of 4 others:\n%s", n, log.String())
		}
	})
}

func TestOptions(t *testing.T) {
	if _, err := build(nil, backends{calls: &fake{}}, edda.Memory, Options{MaxBody: -1}); edda.ReasonOf(err) != edda.BadValue {
		t.Errorf("got %v, want %s", err, edda.BadValue)
	}
}
