// Package collector registers metrics that parts of one process share: two gateways, or two
// apps, with one registerer count together. It has no state and is safe for concurrent use.
package collector

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Register registers a collector, and returns it, or the one of its type that somebody in the
// process registered before. What goes wrong it appends to errs. Nil keeps the collector
// nowhere.
func Register[C prometheus.Collector](r prometheus.Registerer, c C, errs *[]error) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if old, same := there.ExistingCollector.(C); same {
			return old
		}
	}
	if err != nil {
		*errs = append(*errs, err)
	}
	return c
}
