package cqrs

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// lagView shows how far eventual handlers have come, as metrics that are asked of the database when
// somebody reads them. It is a component: the metrics are there while it runs.
type lagView struct {
	a        *App
	registry prometheus.Registerer
	events   *prometheus.Desc
	seconds  *prometheus.Desc
	handled  *prometheus.Desc
	waiting  *prometheus.Desc
	dead     *prometheus.Desc
}

// lagTimeout is how long the database may take to say how far handlers are.
const lagTimeout = 5 * time.Second

func newLagView(a *App, registry prometheus.Registerer) *lagView {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("edda_cqrs_"+name, help, []string{"handler"}, prometheus.Labels{"app": a.o.Name})
	}
	return &lagView{
		a: a, registry: registry,
		events:  desc("handler_lag_events", "Events that an eventual handler has not come to yet, about."),
		seconds: desc("handler_lag_seconds", "How old the first of them is."),
		handled: desc("handler_events_total", "Events that an eventual handler has handled, in all processes."),
		waiting: desc("handler_waiting", "Events that an eventual handler will try again, and those behind them."),
		dead:    desc("handler_dead_letters", "Events that an eventual handler could not handle."),
	}
}

// Describe implements prometheus.Collector.
func (v *lagView) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{v.events, v.seconds, v.handled, v.waiting, v.dead} {
		to <- d
	}
}

// Collect implements prometheus.Collector. What cannot be asked is left out: other metrics are needed
// all the more then.
func (v *lagView) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), lagTimeout)
	defer cancel()
	all, err := v.a.Projections(ctx)
	if err != nil {
		v.a.log.WarnContext(ctx, "lag of handlers unknown", "app", v.a.o.Name, "error", err)
		return
	}
	for i := range all {
		p := &all[i]
		if p.Consistency != Eventual {
			continue
		}
		gauge := func(d *prometheus.Desc, value float64) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, p.Handler)
		}
		gauge(v.events, float64(p.LagEvents))
		gauge(v.seconds, p.Lag.Seconds())
		gauge(v.waiting, float64(p.Waiting))
		gauge(v.dead, float64(p.Dead))
		to <- prometheus.MustNewConstMetric(v.handled, prometheus.CounterValue, float64(p.Events), p.Handler)
	}
}

// run implements component.
func (v *lagView) run(ctx context.Context) {
	if err := v.registry.Register(v); err != nil {
		v.a.log.WarnContext(ctx, "lag of handlers is no metric", "app", v.a.o.Name, "error", err)
		return
	}
	<-ctx.Done()
	v.registry.Unregister(v)
}

// wake implements component.
func (v *lagView) wake() {}
