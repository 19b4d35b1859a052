package collector_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/edda-io/edda/internal/collector"
)

// Whoever comes second counts in what is there; another shape of metric under the same name
// is an error, and nothing is kept anywhere without a registerer.
func TestRegister(t *testing.T) {
	counter := func() prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "hits_total", Help: "Hits."})
	}
	r := prometheus.NewRegistry()
	var errs []error
	first := collector.Register(r, counter(), &errs)
	second := collector.Register(r, counter(), &errs)
	alone := collector.Register(nil, counter(), &errs)
	first.Inc()
	second.Inc()
	alone.Inc()
	if got := testutil.ToFloat64(first); got != 2 || len(errs) > 0 {
		t.Errorf("the first has %v, %v; want 2", got, errs)
	}
	collector.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hits_total", Help: "Hits."}, []string{"by"}), &errs)
	if len(errs) != 1 {
		t.Errorf("errors are %v, want one", errs)
	}
}
