package wsgw

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/collector"
)

// metrics are the gateway's own. No label comes from what a client makes up.
type metrics struct {
	connections          prometheus.Gauge
	subscriptions, calls prometheus.Gauge
	ended                *prometheus.CounterVec
	upgrades, frames     *prometheus.CounterVec // refused
	framesIn, framesOut  prometheus.Counter
	bytesIn, bytesOut    prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	var errs []error
	gauge := func(name, help string) prometheus.Gauge {
		return collector.Register(r, prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help}), &errs)
	}
	counters := func(name, help, label string) *prometheus.CounterVec {
		return collector.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label}), &errs)
	}
	frames := counters("edda_websocket_frames_total", "Frames of WebSocket connections, by direction.", "direction")
	bytes := counters("edda_websocket_bytes_total", "Bytes of WebSocket connections, by direction.", "direction")
	m := &metrics{
		connections:   gauge("edda_websocket_connections", "WebSocket connections that are open."),
		subscriptions: gauge("edda_websocket_subscriptions", "Subscriptions of WebSocket connections."),
		calls:         gauge("edda_websocket_calls", "Calls that WebSocket connections wait for."),
		ended:         counters("edda_websocket_closed_total", "WebSocket connections that ended, by close code; 1006 is one that broke.", "code"),
		upgrades:      counters("edda_websocket_upgrades_refused_total", "WebSocket connections that were refused, by reason.", "reason"),
		frames:        counters("edda_websocket_frames_refused_total", "Frames that were answered with an error, by reason.", "reason"),
		framesIn:      frames.WithLabelValues("in"), framesOut: frames.WithLabelValues("out"),
		bytesIn: bytes.WithLabelValues("in"), bytesOut: bytes.WithLabelValues("out"),
	}
	return m, errors.Join(errs...)
}

func (m *metrics) opened() { m.connections.Inc() }

// closed counts a connection that ended. Codes that only the other side uses count as one.
func (m *metrics) closed(code int) {
	m.connections.Dec()
	label := "other"
	if code >= 1000 && code <= 1014 {
		label = strconv.Itoa(code)
	}
	m.ended.WithLabelValues(label).Inc()
}

func (m *metrics) refusedUpgrade(r edda.Reason) { m.upgrades.WithLabelValues(string(r)).Inc() }

func (m *metrics) refusedFrame(r edda.Reason) { m.frames.WithLabelValues(string(r)).Inc() }
