package httpio

import (
	"errors"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda/internal/collector"
	"github.com/edda-io/edda/internal/seldom"
)

// Metrics are those of a gateway; the gateways of a registerer share them. Labels are
// routes' templates and known methods alone, so that no caller can make new series.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// NewMetrics registers them; nil keeps them nowhere.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edda_http_requests_total", Help: "HTTP requests answered.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "edda_http_request_duration_seconds", Help: "Time from an HTTP request's header to its answer.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
	}
	var errs []error
	m.requests, m.seconds = collector.Register(r, m.requests, &errs), collector.Register(r, m.seconds, &errs)
	return m, errors.Join(errs...)
}

// Meter holds the metrics of one route, found already.
type Meter struct {
	route    string
	requests *prometheus.CounterVec
	seconds  prometheus.Observer
	// Slow lets warnings about slow requests pass.
	Slow seldom.Gate

	// counters is replaced, never changed, so that readers need no lock.
	counters atomic.Pointer[map[counterKey]prometheus.Counter]
	mu       sync.Mutex // held while counters is replaced
}

type counterKey struct {
	method string
	status int
}

// Meter returns the metrics of a route.
func (m *Metrics) Meter(route string) *Meter {
	mt := &Meter{route: route, requests: m.requests, seconds: m.seconds.WithLabelValues(route)}
	mt.counters.Store(&map[counterKey]prometheus.Counter{})
	return mt
}

// Observe counts a request that was answered.
func (mt *Meter) Observe(method string, status int, took time.Duration) {
	mt.seconds.Observe(took.Seconds())
	k := counterKey{method: MethodLabel(method), status: status}
	c, ok := (*mt.counters.Load())[k]
	if !ok {
		c = mt.add(k)
	}
	c.Inc()
}

func (mt *Meter) add(k counterKey) prometheus.Counter {
	mt.mu.Lock()
	defer mt.mu.Unlock()
	counters := maps.Clone(*mt.counters.Load())
	counters[k] = mt.requests.WithLabelValues(mt.route, k.method, strconv.Itoa(k.status))
	mt.counters.Store(&counters)
	return counters[k]
}

// MethodLabel returns a method as it stands in metrics and logs: an unknown one is "other".
func MethodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}
