package cqrs

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/edda-io/edda/cqrs/driver"
)

// Each attempt of an eventual handler is a metric and a span, and a processor's command is below it.
func TestObservedLate(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		failed := false
		b.Projector("P.twice", func(context.Context, *Tx, *Event) (Data, error) {
			if !failed {
				failed = true
				return Data{}, errors.New("not yet")
			}
			return Data{}, nil
		}, nil, On("user.*", Config{Consistency: Eventual, Retry: quick(3)}))
		b.BatchProjector("B.batch", noBatch, nil, On("user.*", Config{}))
		b.Processor("Q.friend", func(_ context.Context, _ Querier, e *Event) (*Command, error) {
			d, err := friends.Stage(friend{ID: "f" + e.Key, User: e.Key})
			return &Command{Type: "create.friend", Data: d}, err
		}, On("user.*", Config{Consistency: Eventual}))
		recorder, registry := tracetest.NewSpanRecorder(), prometheus.NewRegistry()
		w := startWith(t, db, Options{
			NoRelay: true, Logger: slog.New(slog.DiscardHandler), Registerer: registry,
			TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)),
		}, nil, b)
		stop := w.runLate()
		out := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, h := range []string{"Users/P.twice", "Users/B.batch", "Users/Q.friend"} {
			if err := w.Wait(ctx, h, out.Position); err != nil {
				t.Fatal(err)
			}
		}
		stop()
		type seen struct{ name, parent, result string }
		names, got := map[string]string{}, map[seen]int{}
		for _, s := range recorder.Ended() {
			names[s.SpanContext().SpanID().String()] = s.Name()
		}
		for _, s := range recorder.Ended() {
			got[seen{s.Name(), names[s.Parent().SpanID().String()], s.Status().Description}]++
		}
		if diff := cmp.Diff(map[seen]int{
			{"command create.user", "", ""}: 1, {"projector P.twice", "", "not yet"}: 1, {"projector P.twice", "", ""}: 1, {"projector B.batch", "", ""}: 1,
			{"processor Q.friend", "", ""}: 1, {"command create.friend", "processor Q.friend", ""}: 1,
		}, got); diff != "" {
			t.Errorf("the spans (-want +got):\n%s", diff)
		}
		all, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		counts := map[string]uint64{}
		for _, f := range all {
			for _, m := range f.GetMetric() {
				key := f.GetName()
				for _, l := range m.GetLabel() {
					if n := l.GetName(); n == "handler" || n == "command" || n == "result" {
						key += " " + l.GetValue()
					}
				}
				counts[key] = m.GetHistogram().GetSampleCount()
			}
		}
		for key, want := range map[string]uint64{
			"edda_cqrs_handler_seconds P.twice error": 1, "edda_cqrs_handler_seconds P.twice ok": 1, "edda_cqrs_command_seconds create.friend ok": 1,
		} {
			if counts[key] != want {
				t.Errorf("%s is %d, want %d; all are %v", key, counts[key], want, counts)
			}
		}
	})
}
