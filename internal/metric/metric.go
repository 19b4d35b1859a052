// Package metric is the figures of a node, for Prometheus: what has happened is counted as
// it happens, what there is now is looked at when somebody collects.
//
// Everything is safe for concurrent use. What services, streams, groups and sagas are
// called anybody may choose, so that only so many names of each are told apart; those that
// come later count together, under the name Other. A figure is found once for each of
// them: to count costs no look-up.
package metric

import (
	"context"
	"iter"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/live"
)

// Other stands for all names that are not told apart.
const Other = "other"

// Views are how a node is looked at when somebody collects. All are required, where there
// is a registerer. They are called from any goroutine, and also at the same time.
type Views struct {
	// Bytes is the memory of unfinished requests.
	Bytes func() int64
	// Running is how many handlers and interceptors run.
	Running func() int64
	// Partitions yields, for each partition in order, how many of its requests are not
	// durable yet and how many have not ended.
	Partitions func() iter.Seq2[int, int]
	// Sagas yields how many sagas there are of a kind that have not ended, perhaps in
	// several parts. What cannot be known before ctx ends is left out.
	Sagas func(ctx context.Context) iter.Seq2[SagaKind, int]
	// Groups is the same for consumer groups, by their consumers.
	Groups func(ctx context.Context) iter.Seq2[edda.Address, GroupState]
	// Hub is what the hub of subscriptions says of itself.
	Hub func() live.Stats
}

// wait bounds how long all partitions are waited for.
const wait = time.Second

// Set is the figures of one node. New makes one.
type Set struct {
	// Appends is how long batches took from being handed to the log until they were
	// durable, in seconds.
	Appends prometheus.Histogram
	// Refused is how many requests were refused because a limit was reached.
	Refused atomic.Int64
	// Sagas, Streams and Live are figures of their own.
	Sagas   *Sagas
	Streams *Streams
	Live    *Live

	registerer prometheus.Registerer
	registered []prometheus.Collector

	acceptedTotal *prometheus.CounterVec
	endedTotal    *prometheus.CounterVec
	attempts      *prometheus.HistogramVec
	lateTotal     *prometheus.CounterVec
	partsTotal    *prometheus.CounterVec
	groups        named[edda.Address, Group]
	strangers     func() *Service
}

// Service is the figures of one service.
type Service struct {
	Accepted prometheus.Counter                // requests that became durable
	Ended    map[edda.State]prometheus.Counter // for each state that requests end in
	OK       prometheus.Observer               // seconds that handlers ran which returned an outcome
	Failed   prometheus.Observer               // seconds that others ran
	Late     prometheus.Counter                // outcomes of attempts that had been given up
	Parts    prometheus.Counter                // parts of replies that became durable
}

// New returns the figures of a node and registers them, unless reg is nil: then nobody
// looks. The error is that of the registerer, with which nothing is registered.
func New(reg prometheus.Registerer, v Views) (*Set, error) {
	m := &Set{
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
		Appends: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "edda_append_seconds", Help: "From handing a batch to the log until it was durable.",
			Buckets: []float64{.0001, .0002, .0005, .001, .002, .005, .01, .05, .1, .5, 1, 5},
		}),
		Sagas: newSagas(reg != nil), Streams: newStreams(), Live: newLive(),
		groups: newNamed[edda.Address, Group](maxGroups, edda.Address{Namespace: Other, Name: Other}),
	}
	m.strangers = sync.OnceValue(func() *Service { return m.Service(Other, Other) })
	if reg == nil {
		return m, nil
	}
	m.registerer = reg
	for _, c := range m.collectors(v) {
		if err := reg.Register(c); err != nil {
			m.Unregister()
			return nil, err
		}
		m.registered = append(m.registered, c)
	}
	return m, nil
}

// collectors are what is registered.
func (m *Set) collectors(v Views) []prometheus.Collector {
	all := []prometheus.Collector{
		m.acceptedTotal, m.endedTotal, m.attempts, m.lateTotal, m.partsTotal, m.Appends, partitions{v},
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "edda_requests_overloaded_total", Help: "Requests refused because a limit was reached.",
		}, func() float64 { return float64(m.Refused.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "edda_unfinished_bytes", Help: "Memory of unfinished requests.",
		}, func() float64 { return float64(v.Bytes()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "edda_handlers_running", Help: "Handlers and interceptors that run.",
		}, func() float64 { return float64(v.Running()) }),
		openSagas{m, v}, openGroups{m, v}, hub{v},
	}
	all = append(all, m.Sagas.collectors()...)
	all = append(all, m.Live.collectors()...)
	return append(all, m.Streams.collectors()...)
}

// Unregister takes the figures of a node that has stopped away, so that the next
// one can have its own there. Only one goroutine may call it.
func (m *Set) Unregister() {
	for _, c := range m.registered {
		m.registerer.Unregister(c)
	}
	m.registered = nil
}

// Service returns the figures of a service, which the caller keeps. Of services that
// anybody may name it is called only for those that are there; see Strangers.
func (m *Set) Service(namespace, name string) *Service {
	s := &Service{
		Accepted: m.acceptedTotal.WithLabelValues(namespace, name),
		Ended:    map[edda.State]prometheus.Counter{},
		OK:       m.attempts.WithLabelValues(namespace, name, "ok"),
		Failed:   m.attempts.WithLabelValues(namespace, name, "failed"),
		Late:     m.lateTotal.WithLabelValues(namespace, name),
		Parts:    m.partsTotal.WithLabelValues(namespace, name),
	}
	for _, st := range []edda.State{edda.StateSucceeded, edda.StateFailed, edda.StateDead, edda.StateCancelled} {
		s.Ended[st] = m.endedTotal.WithLabelValues(namespace, name, string(st))
	}
	return s
}

// Strangers returns the figures of all services that are not there, but were named. They
// are shown once somebody has asked for them.
func (m *Set) Strangers() *Service { return m.strangers() }

// partitions shows each partition.
type partitions struct{ v Views }

var (
	waitingDesc = prometheus.NewDesc("edda_partition_waiting_requests",
		"Requests of a partition that are not durable yet.", []string{"partition"}, nil)
	unfinishedDesc = prometheus.NewDesc("edda_partition_unfinished_requests",
		"Requests of a partition that have not ended.", []string{"partition"}, nil)
)

// Describe implements prometheus.Collector.
func (partitions) Describe(ch chan<- *prometheus.Desc) {
	ch <- waitingDesc
	ch <- unfinishedDesc
}

// Collect implements prometheus.Collector.
func (p partitions) Collect(ch chan<- prometheus.Metric) {
	i := 0
	for waiting, unfinished := range p.v.Partitions() {
		name := strconv.Itoa(i)
		ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(waiting), name)
		ch <- prometheus.MustNewConstMetric(unfinishedDesc, prometheus.GaugeValue, float64(unfinished), name)
		i++
	}
}
