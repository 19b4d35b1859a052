package node

import (
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
)

// metrics are the node's figures. Those of services are found once for each
// service, so that counting costs no look-up.
type metrics struct {
	registry   prometheus.Registerer
	registered []prometheus.Collector

	acceptedTotal *prometheus.CounterVec
	endedTotal    *prometheus.CounterVec
	attempts      *prometheus.HistogramVec
	lateTotal     *prometheus.CounterVec
	partsTotal    *prometheus.CounterVec
	appends       prometheus.Histogram
	sagas         *sagaMetrics
	streams       *streamMetrics
	live          liveMetrics
	groups        groupMetrics
	strangers     func() *serviceMetrics // of all services that are not there
	refused       atomic.Int64
}

// serviceMetrics are the figures of one service.
type serviceMetrics struct {
	accepted prometheus.Counter
	ended    map[edda.State]prometheus.Counter
	ok       prometheus.Observer
	failed   prometheus.Observer
	late     prometheus.Counter
	parts    prometheus.Counter
}

func newMetrics(n *Node, reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		acceptedTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edda_requests_accepted_total", Help: "Requests that became durable.",
		}, []string{"namespace", "service"}),
		endedTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edda_requests_ended_total", Help: "Requests that ended, by state.",
		}, []string{"namespace", "service", "state"}),
		attempts: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "edda_attempt_seconds", Help: "How long handlers ran, by whether they returned an outcome.",
			Buckets: []float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5, 10, 30},
		}, []string{"namespace", "service", "result"}),
		lateTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edda_late_outcomes_total", Help: "Outcomes refused because their attempt had been given up.",
		}, []string{"namespace", "service"}),
		partsTotal: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edda_parts_total", Help: "Parts of replies that became durable.",
		}, []string{"namespace", "service"}),
		appends: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "edda_append_seconds", Help: "From handing a batch to the log until it was durable.",
			Buckets: []float64{.0001, .0002, .0005, .001, .002, .005, .01, .05, .1, .5, 1, 5},
		}),
		sagas: newSagaMetrics(reg != nil), streams: newStreamMetrics(), live: newLiveMetrics(),
		groups: groupMetrics{kinds: map[edda.Address]*groupCounters{}},
	}
	m.strangers = sync.OnceValue(func() *serviceMetrics { return m.fresh(otherName, otherName) })
	if reg == nil {
		return m, nil
	}
	m.registry = reg
	all := []prometheus.Collector{
		m.acceptedTotal, m.endedTotal, m.attempts, m.lateTotal, m.partsTotal, m.appends, partitionView{n},
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "edda_requests_overloaded_total", Help: "Requests refused because a limit was reached.",
		}, func() float64 { return float64(m.refused.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "edda_unfinished_bytes", Help: "Memory of unfinished requests.",
		}, func() float64 { return float64(n.bytes.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "edda_handlers_running", Help: "Handlers and interceptors that run.",
		}, func() float64 { return float64(n.handlers.n.Load()) }),
	}
	all = append(append(all, m.sagas.collectors()...), openSagas{n}, openGroups{n}, hubView{n}, m.live.delivered, m.live.bytes)
	all = append(all, m.streams.collectors()...)
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			m.unregister()
			return nil, err
		}
		m.registered = append(m.registered, c)
	}
	return m, nil
}

// unregister takes the figures of a node that has stopped away, so that the next
// one can have its own there.
func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.registry.Unregister(c)
	}
	m.registered = nil
}

// of returns the figures of a service. Those that are not there, which anybody may
// name, are not told apart.
func (m *metrics) of(s *service) *serviceMetrics {
	if sm := s.metrics.Load(); sm != nil {
		return sm
	}
	if v := s.view(); !v.registered && !v.hosted {
		return m.strangers()
	}
	var sm *serviceMetrics
	if s.consumer {
		sm = m.groupOf(s.addr).service
	} else {
		sm = m.fresh(s.addr.Namespace, s.addr.Name)
	}
	s.metrics.Store(sm)
	return sm
}

// fresh returns figures that are shown under a name.
func (m *metrics) fresh(ns, name string) *serviceMetrics {
	sm := &serviceMetrics{
		accepted: m.acceptedTotal.WithLabelValues(ns, name),
		ended:    map[edda.State]prometheus.Counter{},
		ok:       m.attempts.WithLabelValues(ns, name, "ok"),
		failed:   m.attempts.WithLabelValues(ns, name, "failed"),
		late:     m.lateTotal.WithLabelValues(ns, name),
		parts:    m.partsTotal.WithLabelValues(ns, name),
	}
	for _, st := range []edda.State{edda.StateSucceeded, edda.StateFailed, edda.StateDead, edda.StateCancelled} {
		sm.ended[st] = m.endedTotal.WithLabelValues(ns, name, string(st))
	}
	return sm
}

func (m *metrics) accepted(s *service)                { m.of(s).accepted.Inc() }
func (m *metrics) ended(s *service, state edda.State) { m.of(s).ended[state].Inc() }
func (m *metrics) late(s *service)                    { m.of(s).late.Inc() }
func (m *metrics) part(s *service)                    { m.of(s).parts.Inc() }

// attempt notes how long a handler ran.
func (m *metrics) attempt(a *Attempt) {
	o := m.of(a.svc).ok
	if a.rec == nil {
		o = m.of(a.svc).failed
	}
	o.Observe(a.ended.Sub(a.started).Seconds())
}

// partitionView shows each partition.
type partitionView struct{ n *Node }

var (
	waitingDesc = prometheus.NewDesc("edda_partition_waiting_requests",
		"Requests of a partition that are not durable yet.", []string{"partition"}, nil)
	unfinishedDesc = prometheus.NewDesc("edda_partition_unfinished_requests",
		"Requests of a partition that have not ended.", []string{"partition"}, nil)
)

// Describe implements prometheus.Collector.
func (partitionView) Describe(ch chan<- *prometheus.Desc) {
	ch <- waitingDesc
	ch <- unfinishedDesc
}

// Collect implements prometheus.Collector.
func (v partitionView) Collect(ch chan<- prometheus.Metric) {
	for i, p := range v.n.parts {
		name := strconv.Itoa(i)
		ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(p.in.load()), name)
		ch <- prometheus.MustNewConstMetric(unfinishedDesc, prometheus.GaugeValue, float64(p.unfinished.Load()), name)
	}
}
