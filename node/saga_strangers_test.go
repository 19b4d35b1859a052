package node_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// Whoever makes sagas can name as many services as there are steps: those that nobody
// hosts leave nothing behind, in memory or among the metrics.
func TestSagaOfServicesThatAreNotThere(t *testing.T) {
	bubble(t, "strangers", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		var j journal
		n := start(t, node.Options{Metrics: reg}, tool("tool", logged(&j, "tool", 1)))
		const many = 5000
		steps := []edda.StepSpec{ask("there", "tool", "", "")}
		for i := range many {
			steps = append(steps, ask(fmt.Sprint("s", i), fmt.Sprint("nobody-", i), "", ""))
		}
		for range 2 {
			id := create(t, n, sagaOf("", steps...))
			synctest.Wait()
			if got := node.Strangers(n); got != many {
				t.Errorf("%d strangers are known, want %d", got, many)
			}
			endsAs(t, n, id, edda.SagaCompensated)
			synctest.Wait()
			if got := node.Strangers(n); got != 0 {
				t.Errorf("%d strangers are known, want none", got)
			}
		}
		all, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if f.GetName() == "edda_requests_accepted_total" && len(f.GetMetric()) != 2 {
				t.Errorf("%s has %d series, want 2: of tool and other", f.GetName(), len(f.GetMetric()))
			}
		}
	})
	bubble(t, "comes late", func(t *testing.T) {
		n := start(t, node.Options{})
		id := create(t, n, sagaOf("", ask("a", "late", "", ""), ask("b", "late", "", "a")))
		time.Sleep(time.Second)
		attach(t, n, spec("w", balancedSpec("late")), func(a *node.Attempt) { done(t, a, reply("1")) })
		endsAs(t, n, id, edda.SagaSucceeded)
		synctest.Wait()
		if got := node.Strangers(n); got != 0 {
			t.Errorf("%d strangers are known, want none", got)
		}
		noSlotIsLost(t, n, "late")
	})
}
