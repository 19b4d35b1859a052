package cqrs

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// eventualMetrics are what there is to see of the eventual handlers that a process runs.
type eventualMetrics struct {
	lagEvents, lag, waiting, dead, paused *prometheus.GaugeVec
}

func newEventualMetrics(r prometheus.Registerer, errs *[]error) eventualMetrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "edda_cqrs_" + name, Help: help}, []string{"app", "handler"}), errs)
	}
	return eventualMetrics{
		lagEvents: gauge("handler_lag_events", "About how many events an eventual handler has not passed yet."),
		lag:       gauge("handler_lag_seconds", "For how long the first event that an eventual handler has not passed has been there."),
		waiting:   gauge("handler_waiting_events", "Events that an eventual handler tries again later, and those behind them."),
		dead:      gauge("handler_dead_letters", "Events that an eventual handler has given up."),
		paused:    gauge("handler_paused", "1 while an eventual handler is paused, else 0."),
	}
}

// tell sets the metrics of the lanes. It asks the database for those that are behind.
func (v *eventual) tell(ctx context.Context, head Position) {
	if v.a.o.Registerer == nil {
		return
	}
	m := &v.a.observer.eventual
	for _, l := range v.lanes {
		l.mu.Lock()
		p := Projection{Handler: l.id, Position: l.place, Waiting: l.waiting, Dead: l.dead, State: l.state}
		l.mu.Unlock()
		if err := v.a.lag(ctx, &p, head); err != nil {
			continue // the next look says why
		}
		set := func(g *prometheus.GaugeVec, value float64) { g.WithLabelValues(v.a.o.Name, l.id).Set(value) }
		set(m.lagEvents, float64(p.LagEvents))
		set(m.lag, p.Lag.Seconds())
		set(m.waiting, float64(p.Waiting))
		set(m.dead, float64(p.Dead))
		paused := 0.0
		if p.State == placePaused {
			paused = 1
		}
		set(m.paused, paused)
	}
}
