package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// Spans go where OpenTelemetry's variables say; the last ones are sent when the node
// stops.
func TestSpansAreSent(t *testing.T) {
	var mu sync.Mutex
	parents, ids, service := map[string]string{}, map[string]string{}, ""
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &req)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("the collector got %s: %v", r.URL, err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rs := range req.GetResourceSpans() {
			for _, a := range rs.GetResource().GetAttributes() {
				if a.GetKey() == "service.name" {
					service = a.GetValue().GetStringValue()
				}
			}
			for _, ss := range rs.GetScopeSpans() {
				for _, s := range ss.GetSpans() {
					parents[s.GetName()], ids[s.GetName()] = string(s.GetParentSpanId()), string(s.GetSpanId())
				}
			}
		}
	}))
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	node := dev(t, "--example", "--dir", t.TempDir())
	if r := command(t, []string{"EDDA_URL=" + node.url}, "", "call", "counter/c", "add", `{"n":1}`); r.code != cli.ExitDone {
		t.Fatalf("got %+v", r)
	}
	if r := node.stop(); r.code != cli.ExitDone || r.errOut != "" {
		t.Errorf("dev left %+v, want exit code 0 and nothing said", r)
	}
	mu.Lock()
	defer mu.Unlock()
	const call, accept, attempt = "POST /v1/call/{service}/{key}/{method}", "accept counter.add", "attempt counter.add"
	if len(ids) != 3 || parents[accept] != ids[call] || parents[attempt] != ids[accept] || ids[attempt] == "" {
		t.Errorf("got spans %q under %q, want call, accept, attempt, each under the one before", ids, parents)
	}
	if service != "edda" {
		t.Errorf("spans are of service %q, want edda", service)
	}
}

// A collector that does not answer holds up nothing and fails nothing.
func TestSpansAreLost(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	node := dev(t, "--example", "--dir", t.TempDir())
	if r := command(t, []string{"EDDA_URL=" + node.url}, "", "call", "counter/c", "add", `{"n":1}`); r.code != cli.ExitDone {
		t.Fatalf("got %+v", r)
	}
	if r := node.stop(); r.code != cli.ExitDone {
		t.Errorf("dev left %+v, want exit code 0", r)
	}

	var logged bytes.Buffer
	provider, flush, err := tracing(t.Context(), slog.New(slog.NewTextHandler(&logged, nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(t.Context(), "lost")
	span.End()
	flush(t.Context())
	if !strings.Contains(logged.String(), "spans are lost") {
		t.Errorf("logged %q, want a warning that spans are lost", &logged)
	}
}

func TestTracingWanted(t *testing.T) {
	for _, c := range []struct {
		env    string
		wanted bool
		why    string
	}{
		{"", false, ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", true, ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c:4318/v1/traces", true, ""},
		{"OTEL_TRACES_EXPORTER=otlp", true, ""},
		{"OTEL_TRACES_EXPORTER=none OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", false, ""},
		{"OTEL_SDK_DISABLED=TRUE OTEL_TRACES_EXPORTER=otlp", false, ""},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", true, ""},
		{"OTEL_TRACES_EXPORTER=zipkin", false, `OTEL_TRACES_EXPORTER is "zipkin", must be otlp or none`},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_PROTOCOL=grpc", false, `OTEL_EXPORTER_OTLP_PROTOCOL is "grpc"; only http/protobuf`},
		{"OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf", true, ""},
	} {
		env := map[string]string{}
		for e := range strings.FieldsSeq(c.env) {
			name, value, _ := strings.Cut(e, "=")
			env[name] = value
		}
		wanted, err := tracingWanted(func(name string) string { return env[name] })
		if wanted != c.wanted || (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: got %t, %v; want %t, %q", c.env, wanted, err, c.wanted, c.why)
		}
	}
}

func TestTracingIsRefused(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "jaeger")
	if r := command(t, nil, "", "dev", "--dir", t.TempDir(), "--listen", "127.0.0.1:0"); r.code != cli.ExitFailed || !strings.Contains(r.errOut, "must be otlp or none") {
		t.Errorf("got %+v, want a refusal that names the variable", r)
	}
}
