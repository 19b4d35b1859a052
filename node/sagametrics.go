package node

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
)

// sagaMetrics are the figures of sagas and of their steps. What sagas are called,
// and what their steps name, anybody may choose: only so many names are told
// apart.
type sagaMetrics struct {
	shown bool // else nobody looks at what costs something

	createdTotal, startedTotal, endedTotal, stepsTotal, compensationsTotal *prometheus.CounterVec

	mu    sync.RWMutex // guards what follows
	kinds map[sagaKind]*sagaCounters
	tasks map[stepKind]*stepCounters
}

// How many names are told apart; those that come later count as otherName.
const (
	maxSagaKinds = 500
	maxStepKinds = 2000
	otherName    = "other"
)

// sagaKind is what sagas are told apart by.
type sagaKind struct{ namespace, name string }

// stepKind is what steps are told apart by.
type stepKind struct{ namespace, service, method string }

// sagaCounters are the figures of the sagas of one name.
type sagaCounters struct {
	kind             sagaKind
	created, started prometheus.Counter
	ended            map[edda.SagaState]prometheus.Counter
}

// stepCounters are the figures of the steps that ask for one method.
type stepCounters struct {
	ended  map[edda.StepState]prometheus.Counter
	undone map[edda.CompensationState]prometheus.Counter
}

func newSagaMetrics(shown bool) *sagaMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &sagaMetrics{
		shown:        shown,
		createdTotal: counter("edda_sagas_created_total", "Sagas that became durable, by name.", "namespace", "name"),
		startedTotal: counter("edda_sagas_started_total", "Sagas that were started, by name.", "namespace", "name"),
		endedTotal:   counter("edda_sagas_ended_total", "Sagas that ended, by name and state.", "namespace", "name", "state"),
		stepsTotal: counter("edda_saga_steps_ended_total", "Steps of sagas that ended, by what they asked for and state.",
			"namespace", "service", "method", "state"),
		compensationsTotal: counter("edda_saga_compensations_total", "Compensations that ended, by what they asked for and state.",
			"namespace", "service", "method", "state"),
		kinds: map[sagaKind]*sagaCounters{}, tasks: map[stepKind]*stepCounters{},
	}
}

// collectors are what is registered.
func (m *sagaMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.createdTotal, m.startedTotal, m.endedTotal, m.stepsTotal, m.compensationsTotal}
}

// created counts a saga that is new, and may have started.
func (m *sagaMetrics) created(s *sagafold.Saga) {
	c := m.of(s.Namespace, s.Name)
	c.created.Inc()
	if s.StartedAt != 0 {
		c.started.Inc()
	}
}

// of returns the figures of the sagas of a name.
func (m *sagaMetrics) of(namespace, name string) *sagaCounters {
	return find(&m.mu, m.kinds, sagaKind{namespace, name}, sagaKind{otherName, otherName}, maxSagaKinds, func(k sagaKind) *sagaCounters {
		c := &sagaCounters{
			kind: k, created: m.createdTotal.WithLabelValues(k.namespace, k.name), started: m.startedTotal.WithLabelValues(k.namespace, k.name),
			ended: map[edda.SagaState]prometheus.Counter{},
		}
		for _, s := range []edda.SagaState{edda.SagaSucceeded, edda.SagaCompensated, edda.SagaCompensationFailed, edda.SagaCancelled} {
			c.ended[s] = m.endedTotal.WithLabelValues(k.namespace, k.name, string(s))
		}
		return c
	})
}

// task returns the figures of the steps that ask for a method.
func (m *sagaMetrics) task(namespace, service, method string) *stepCounters {
	return find(&m.mu, m.tasks, stepKind{namespace, service, method}, stepKind{otherName, otherName, otherName}, maxStepKinds, func(k stepKind) *stepCounters {
		c := &stepCounters{ended: map[edda.StepState]prometheus.Counter{}, undone: map[edda.CompensationState]prometheus.Counter{}}
		for _, s := range []edda.StepState{edda.StepSucceeded, edda.StepFailed, edda.StepCancelled} {
			c.ended[s] = m.stepsTotal.WithLabelValues(k.namespace, k.service, k.method, string(s))
		}
		for _, s := range []edda.CompensationState{edda.CompensationSucceeded, edda.CompensationFailed} {
			c.undone[s] = m.compensationsTotal.WithLabelValues(k.namespace, k.service, k.method, string(s))
		}
		return c
	})
}

// find returns what stands under the key, made when there is room for one more,
// else what stands under the other one. The lock guards all.
func find[K comparable, V any](mu *sync.RWMutex, all map[K]*V, key, other K, most int, fresh func(K) *V) *V {
	mu.RLock()
	v := all[key]
	if v == nil && len(all) > most {
		v = all[other]
	}
	mu.RUnlock()
	if v != nil {
		return v
	}
	mu.Lock()
	defer mu.Unlock()
	if all[key] == nil && len(all) >= most {
		key = other
	}
	if all[key] == nil {
		all[key] = fresh(key)
	}
	return all[key]
}

// openSagas shows how many sagas have not ended.
type openSagas struct{ n *Node }

var openSagasDesc = prometheus.NewDesc("edda_sagas_open", "Sagas that have not ended, by name and state.", []string{"namespace", "name", "state"}, nil)

// Describe implements prometheus.Collector.
func (openSagas) Describe(ch chan<- *prometheus.Desc) { ch <- openSagasDesc }

// openWait bounds how long all partitions are waited for.
const openWait = time.Second

// Collect implements prometheus.Collector. Of a partition that does not answer nothing
// is counted.
func (v openSagas) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), openWait)
	defer cancel()
	sum := map[sagafold.Kind]int{}
	for _, p := range v.n.parts {
		var open map[sagafold.Kind]int
		if v.n.inPartition(ctx, p, "count sagas", func() { open = p.sagas.Open() }) != nil {
			continue
		}
		for k, n := range open {
			kind := v.n.metrics.sagas.of(k.Namespace, k.Name).kind
			sum[sagafold.Kind{Namespace: kind.namespace, Name: kind.name, State: k.State}] += n
		}
	}
	for k, n := range sum {
		ch <- prometheus.MustNewConstMetric(openSagasDesc, prometheus.GaugeValue, float64(n), k.Namespace, k.Name, string(k.State))
	}
}
