package metric

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
)

// Sagas are the figures of sagas and of their steps.
type Sagas struct {
	// Shown is false where nobody looks at what costs something.
	Shown bool

	createdTotal, startedTotal, endedTotal, stepsTotal, compensationsTotal *prometheus.CounterVec

	kinds named[sagaName, Saga]
	tasks named[stepName, Step]
}

// How many names are told apart.
const (
	maxSagas = 500
	maxSteps = 2000
)

// sagaName is what sagas are told apart by.
type sagaName struct{ namespace, name string }

// stepName is what steps are told apart by.
type stepName struct{ namespace, service, method string }

// Saga is the figures of the sagas of one name.
type Saga struct {
	Created, Started prometheus.Counter
	Ended            map[edda.SagaState]prometheus.Counter // for each state that sagas end in

	name sagaName
}

// Step is the figures of the steps that ask for one method.
type Step struct {
	Ended  map[edda.StepState]prometheus.Counter         // for each state that steps end in
	Undone map[edda.CompensationState]prometheus.Counter // likewise of compensations
}

func newSagas(shown bool) *Sagas {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	return &Sagas{
		Shown:        shown,
		createdTotal: counter("edda_sagas_created_total", "Sagas that became durable, by name.", "namespace", "name"),
		startedTotal: counter("edda_sagas_started_total", "Sagas that were started, by name.", "namespace", "name"),
		endedTotal:   counter("edda_sagas_ended_total", "Sagas that ended, by name and state.", "namespace", "name", "state"),
		stepsTotal: counter("edda_saga_steps_ended_total", "Steps of sagas that ended, by what they asked for and state.",
			"namespace", "service", "method", "state"),
		compensationsTotal: counter("edda_saga_compensations_total", "Compensations that ended, by what they asked for and state.",
			"namespace", "service", "method", "state"),
		kinds: newNamed[sagaName, Saga](maxSagas, sagaName{Other, Other}),
		tasks: newNamed[stepName, Step](maxSteps, stepName{Other, Other, Other}),
	}
}

func (m *Sagas) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.createdTotal, m.startedTotal, m.endedTotal, m.stepsTotal, m.compensationsTotal}
}

// Of returns the figures of the sagas of a name.
func (m *Sagas) Of(namespace, name string) *Saga {
	return m.kinds.find(sagaName{namespace, name}, func(k sagaName) *Saga {
		c := &Saga{
			name: k, Created: m.createdTotal.WithLabelValues(k.namespace, k.name), Started: m.startedTotal.WithLabelValues(k.namespace, k.name),
			Ended: map[edda.SagaState]prometheus.Counter{},
		}
		for _, s := range []edda.SagaState{edda.SagaSucceeded, edda.SagaCompensated, edda.SagaCompensationFailed, edda.SagaCancelled} {
			c.Ended[s] = m.endedTotal.WithLabelValues(k.namespace, k.name, string(s))
		}
		return c
	})
}

// Step returns the figures of the steps that ask for a method.
func (m *Sagas) Step(namespace, service, method string) *Step {
	return m.tasks.find(stepName{namespace, service, method}, func(k stepName) *Step {
		c := &Step{Ended: map[edda.StepState]prometheus.Counter{}, Undone: map[edda.CompensationState]prometheus.Counter{}}
		for _, s := range []edda.StepState{edda.StepSucceeded, edda.StepFailed, edda.StepCancelled} {
			c.Ended[s] = m.stepsTotal.WithLabelValues(k.namespace, k.service, k.method, string(s))
		}
		for _, s := range []edda.CompensationState{edda.CompensationSucceeded, edda.CompensationFailed} {
			c.Undone[s] = m.compensationsTotal.WithLabelValues(k.namespace, k.service, k.method, string(s))
		}
		return c
	})
}

// SagaKind is what sagas that have not ended are counted by.
type SagaKind struct {
	Namespace, Name string
	State           edda.SagaState
}

// openSagas shows how many sagas have not ended.
type openSagas struct {
	m *Set
	v Views
}

var openSagasDesc = prometheus.NewDesc("edda_sagas_open", "Sagas that have not ended, by name and state.", []string{"namespace", "name", "state"}, nil)

// Describe implements prometheus.Collector.
func (openSagas) Describe(ch chan<- *prometheus.Desc) { ch <- openSagasDesc }

// Collect implements prometheus.Collector.
func (o openSagas) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	sum := map[SagaKind]int{}
	for k, n := range o.v.Sagas(ctx) {
		name := o.m.Sagas.Of(k.Namespace, k.Name).name
		sum[SagaKind{Namespace: name.namespace, Name: name.name, State: k.State}] += n
	}
	for k, n := range sum {
		ch <- prometheus.MustNewConstMetric(openSagasDesc, prometheus.GaugeValue, float64(n), k.Namespace, k.Name, string(k.State))
	}
}
