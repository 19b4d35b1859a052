package edda_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
)

func endpointAt(change func(*edda.EndpointSpec)) edda.EndpointSpec {
	e := edda.EndpointSpec{ServiceSpec: edda.ServiceSpec{Name: "users", Kind: edda.Ordered}, URL: "http://127.0.0.1:8000/users"}
	change(&e)
	return e
}

func TestEndpointSpecValidate(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*edda.EndpointSpec)
		text   string // "": it is right
	}{
		{"least", func(*edda.EndpointSpec) {}, ""},
		{"all", func(e *edda.EndpointSpec) {
			e.URL, e.Protocol, e.HealthPath, e.HealthInterval, e.Secret = "https://[::1]/a%2Fb/", edda.Envelope, "/healthz?x=1", time.Second, "whsec_c2VjcmV0"
		}, ""},
		{"no URL", func(e *edda.EndpointSpec) { e.URL = "" }, "endpoint is missing"},
		{"no host", func(e *edda.EndpointSpec) { e.URL = "http:///x" }, "endpoint is"},
		{"no scheme", func(e *edda.EndpointSpec) { e.URL = "127.0.0.1:8000" }, "endpoint is"},
		{"another scheme", func(e *edda.EndpointSpec) { e.URL = "file:///etc/passwd" }, "endpoint is"},
		{"port out of range", func(e *edda.EndpointSpec) { e.URL = "http://a:65536" }, "endpoint is"},
		{"credentials", func(e *edda.EndpointSpec) { e.URL = "http://u:hunter2@a/" }, "endpoint has credentials"},
		{"query", func(e *edda.EndpointSpec) { e.URL = "http://a/?code=1" }, "endpoint is"},
		{"fragment", func(e *edda.EndpointSpec) { e.URL = "http://a/#x" }, "endpoint is"},
		{"protocol", func(e *edda.EndpointSpec) { e.Protocol = "grpc" }, "protocol"},
		{"relative health path", func(e *edda.EndpointSpec) { e.HealthPath = "healthz" }, "health.path"},
		{"health elsewhere", func(e *edda.EndpointSpec) { e.HealthPath = "//other/healthz" }, "health.path"},
		{"too often", func(e *edda.EndpointSpec) { e.HealthPath, e.HealthInterval = "/h", time.Millisecond }, "health.interval"},
		{"interval alone", func(e *edda.EndpointSpec) { e.HealthInterval = time.Second }, "health.interval"},
		{"not base64", func(e *edda.EndpointSpec) { e.Secret = "whsec_!" }, "secret begins with"},
		{"empty key", func(e *edda.EndpointSpec) { e.Secret = "whsec_" }, "secret stands for"},
		{"long key", func(e *edda.EndpointSpec) { e.Secret = strings.Repeat("x", 257) }, "secret stands for"},
		{"schemas", func(e *edda.EndpointSpec) { e.Schemas = map[string]string{"a": "{}"} }, "schemas"},
		{"a method twice", func(e *edda.EndpointSpec) { e.Methods = []string{"a", "b", "a"} }, `methods has "a" twice`},
		{"of every service", func(e *edda.EndpointSpec) { e.Concurrency = -1 }, "concurrency"},
		{"too many at a time", func(e *edda.EndpointSpec) { e.Concurrency = edda.MaxConcurrency + 1 }, "concurrency is 65537, must be at most 65536"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := endpointAt(tc.change)
			err := e.Validate()
			switch {
			case tc.text == "" && err != nil:
				t.Error(err)
			case tc.text != "" && (edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), tc.text)):
				t.Errorf("got %v, want %s that says %q", err, edda.BadValue, tc.text)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

func TestEndpointInfo(t *testing.T) {
	e := endpointAt(func(e *edda.EndpointSpec) { e.Secret, e.HealthPath = "secret", "/healthz" })
	b, err := json.Marshal(edda.ServiceInfo{Name: e.Name, Kind: e.Kind, EndpointInfo: e.Info()})
	const want = `{"name":"users","kind":"ordered","workers":0,"inFlight":0,"queued":0,"paused":false,"stoppedKeyCount":0,` +
		`"endpoint":"http://127.0.0.1:8000/users","protocol":"plain","concurrency":64,"attemptTimeout":"30s",` +
		`"retry":{"max":10,"delay":"100ms","maxDelay":"30s","backoff":2,"jitter":0.2},"onDead":"continue","health":{"path":"/healthz","interval":"5s"}}`
	if err != nil || string(b) != want {
		t.Errorf("got %s, %v\nwant %s", b, err, want)
	}
	var back edda.ServiceInfo
	if err := json.Unmarshal(b, &back); err != nil || back.EndpointInfo == nil || back.Endpoint != e.URL {
		t.Errorf("read back as %+v, %v", back, err)
	}
}
