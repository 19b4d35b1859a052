package cqrs

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/edda-io/edda/cqrs/driver"
)

// gathered are the values of the lag's metrics, by name and handler.
func gathered(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "handler" {
					values[strings.TrimPrefix(f.GetName(), "edda_cqrs_handler_")+" "+l.GetValue()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
		}
	}
	return values
}

func TestLagMetrics(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		w := start(t, db, story(t))
		first := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})})
		second := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "2"})})
		transact(t, db, func(ctx context.Context, tx *Tx) error {
			if err := insertPositions(ctx, tx, []string{"Users/Log.write", "Users/Mail.send"}, time.Now()); err != nil {
				return err
			}
			r := &positionRow{Handler: "Users/Log.write", Position: second.Position, State: placeRunning, Generation: 1, Events: 7}
			if err := movePosition(ctx, tx, r, time.Now()); err != nil {
				return err
			}
			for i, state := range []string{parkedDead, parkedWaiting} {
				p := first.Event.Position
				p.Seq += int64(i)
				if err := putParked(ctx, tx, &parkedRow{Handler: "Users/Mail.send", EventID: first.Event.ID, Position: p, State: state}, time.Now()); err != nil {
					return err
				}
			}
			return nil
		})
		r := prometheus.NewRegistry()
		r.MustRegister(newLagView(w.App, r))
		got := gathered(t, r)
		for name, want := range map[string]float64{
			"lag_events Users/Log.write": 0, "lag_seconds Users/Log.write": 0, "events_total Users/Log.write": 7, "dead_letters Users/Log.write": 0,
			"dead_letters Users/Mail.send": 1, "waiting Users/Mail.send": 1, "events_total Users/Mail.send": 0,
		} {
			if v, ok := got[name]; !ok || v != want {
				t.Errorf("%s is %v, want %v; all are %v", name, v, want, got)
			}
		}
		if got["lag_events Users/Mail.send"] < 1 || got["lag_seconds Users/Mail.send"] <= 0 {
			t.Errorf("a handler that has seen nothing is behind by %v", got)
		}
		if _, strong := got["lag_events Users/Profiles.save"]; strong {
			t.Error("a strong projector has a lag")
		}
	})
}

// The metrics are there while the component runs, and those of another app beside them.
func TestLagViewEnds(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		w := start(t, db, story(t))
		r := prometheus.NewRegistry()
		other, err := New(db, Options{Name: "other", NoRelay: true}, story(t))
		if err != nil {
			t.Fatal(err)
		}
		r.MustRegister(newLagView(other, r))
		before, err := testutil.GatherAndCount(r)
		if err != nil || before == 0 {
			t.Fatalf("%d metrics, %v", before, err)
		}
		v := newLagView(w.App, &signalling{Registerer: r, done: make(chan struct{}, 1)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			v.run(ctx)
		}()
		<-v.registry.(*signalling).done
		if n, err := testutil.GatherAndCount(r); err != nil || n != 2*before {
			t.Errorf("%d metrics while it runs, %v, want %d", n, err, 2*before)
		}
		cancel()
		<-ended
		if n, err := testutil.GatherAndCount(r); err != nil || n != before {
			t.Errorf("%d metrics afterwards, %v, want %d", n, err, before)
		}
	})
}

// signalling says when something was registered.
type signalling struct {
	prometheus.Registerer
	done chan struct{}
}

func (s *signalling) Register(c prometheus.Collector) error {
	err := s.Registerer.Register(c)
	s.done <- struct{}{}
	return err
}
