package observe

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/edda-io/edda"
)

// watched is an app that only observes, and what it has observed.
type watched struct {
	*Observer
	written  *bytes.Buffer
	registry *prometheus.Registry
	spans    *tracetest.SpanRecorder
}

func watching(t *testing.T) *watched {
	t.Helper()
	w := &watched{written: &bytes.Buffer{}, registry: prometheus.NewRegistry(), spans: tracetest.NewSpanRecorder()}
	o := Options{
		App: "shop", Slow: time.Second, Registerer: w.registry,
		Logger: slog.New(slog.NewTextHandler(w.written, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})),
		TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(w.spans)),
	}
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.Observer = v
	return w
}

func TestObservedIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watching(t)
		what := What{Kind: "projector", Broadcaster: "Users", Name: "Profiles.save", Type: "user.42.created", Event: edda.ID{15: 1}, Command: edda.ID{15: 2}}
		for _, took := range []time.Duration{999 * time.Millisecond, time.Second} {
			if err := w.Watch(t.Context(), what, func(context.Context) error { time.Sleep(took); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		want := `level=WARN msg="slow projector" app=shop broadcaster=Users name=Profiles.save type=user.42.created ` +
			"command=00000000-0000-0000-0000-000000000002 event=00000000-0000-0000-0000-000000000001 duration=1s\n"
		if got := w.written.String(); got != want {
			t.Errorf("the log says\n%swant\n%s", got, want)
		}
	})
}

func TestObservedMetrics(t *testing.T) {
	w := watching(t)
	fails := errors.New("no")
	run := func(what What, err error) {
		if got := w.Watch(t.Context(), what, func(context.Context) error { return err }); !errors.Is(got, err) {
			t.Errorf("the error is %v, want %v", got, err)
		}
	}
	hook := What{Kind: "hook", Broadcaster: "Users", Name: "Users.isUnique"}
	run(hook, nil)
	run(hook, fails)
	run(hook, fails)
	run(What{Kind: Command, Broadcaster: "Users", Name: "create.user"}, nil)
	for name, want := range map[string]int{"edda_cqrs_handler_seconds": 2, "edda_cqrs_command_seconds": 1} {
		if got, err := testutil.GatherAndCount(w.registry, name); err != nil || got != want {
			t.Errorf("%s has %d series, %v, want %d", name, got, err, want)
		}
	}
	counts := map[string]uint64{}
	all, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			counts[strings.Join(labels, " ")] = m.GetHistogram().GetSampleCount()
		}
	}
	for labels, want := range map[string]uint64{
		"shop Users Users.isUnique hook ok": 1, "shop Users Users.isUnique hook error": 2, "shop Users create.user ok": 1,
	} {
		if counts[labels] != want {
			t.Errorf("%s is counted %d times, want %d; all are %v", labels, counts[labels], want, counts)
		}
	}
}

// What runs within something else is a child of it, and both belong to the caller's trace.
func TestObservedSpans(t *testing.T) {
	w := watching(t)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := WithTraceParent(t.Context(), parent)
	err := w.Watch(ctx, What{Kind: Command, Name: "create.user", Type: "create.user", Command: edda.ID{1}}, func(ctx context.Context) error {
		if got := WithTraceParent(ctx, parent); got != ctx {
			t.Error("a trace context takes the place of a span")
		}
		if got := TraceParentOf(ctx); !strings.HasPrefix(got, "00-0af7651916cd43dd8448eb211c80319c-") || got == parent {
			t.Errorf("the trace context within is %q", got)
		}
		return w.Watch(ctx, What{Kind: "hook", Name: "Users.isUnique"}, func(context.Context) error {
			return &edda.Error{Reason: edda.Conflict, Err: errors.New("ada is there")}
		})
	})
	if edda.ReasonOf(err) != edda.Conflict {
		t.Fatal(err)
	}
	ended := w.spans.Ended()
	if len(ended) != 2 || ended[0].Name() != "hook Users.isUnique" || ended[1].Name() != "command create.user" {
		t.Fatalf("the spans are %v", ended)
	}
	hook, command := ended[0], ended[1]
	if command.Parent().SpanID().String() != "b7ad6b7169203331" || hook.Parent().SpanID() != command.SpanContext().SpanID() {
		t.Errorf("the parents are %s and %s", command.Parent().SpanID(), hook.Parent().SpanID())
	}
	if hook.Status().Code != codes.Error || hook.Status().Description != "ada is there" {
		t.Errorf("the hook's status is %v", hook.Status())
	}
	for key, want := range map[string]string{
		"edda.app": "shop", "edda.type": "create.user", "edda.command.id": "01000000-0000-0000-0000-000000000000", "error.type": "CONFLICT", "edda.event.id": "",
	} {
		got := ""
		for _, a := range command.Attributes() {
			if string(a.Key) == key {
				got = a.Value.String()
			}
		}
		if got != want {
			t.Errorf("attribute %s is %q, want %q", key, got, want)
		}
	}
}

func TestObservedPanic(t *testing.T) {
	w := watching(t)
	func() {
		defer func() {
			if recover() != "oh" {
				t.Error("the panic is gone")
			}
		}()
		_ = w.Watch(t.Context(), What{Kind: "hook", Name: "a"}, func(context.Context) error { panic("oh") })
	}()
	if s := w.spans.Ended(); len(s) != 1 || s[0].Status().Code != codes.Error {
		t.Errorf("the spans are %v, want a failed one", s)
	}
}

// Without a provider there is no span, and a caller's goes through.
func TestObservedWithoutTracer(t *testing.T) {
	v, err := New(Options{Slow: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx := WithTraceParent(t.Context(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if err := v.Watch(ctx, What{Kind: "hook", Name: "a"}, func(within context.Context) error {
		if trace.SpanContextFromContext(within).SpanID().String() != "b7ad6b7169203331" {
			t.Error("the caller's span is gone")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := TraceParentOf(t.Context()); got != "" {
		t.Errorf("the trace context of no span is %q", got)
	}
}

func TestObserversShareARegistry(t *testing.T) {
	r := prometheus.NewRegistry()
	for _, name := range []string{"a", "b"} {
		if _, err := New(Options{App: name, Registerer: r}); err != nil {
			t.Errorf("app %s: %v", name, err)
		}
	}
	taken := prometheus.NewRegistry()
	taken.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "edda_cqrs_handler_seconds", Help: "not ours"}))
	if _, err := New(Options{Registerer: taken}); err == nil {
		t.Error("a metric of the same name is no error")
	}
}
