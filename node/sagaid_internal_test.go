package node

import (
	"fmt"
	"testing"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
)

// A saga lives with most of its keyed steps, or with the last one.
func TestSagaLivesNearItsSteps(t *testing.T) {
	n := &Node{parts: make([]*partition, 64)}
	n.opts.Partitions = len(n.parts)
	for i := range n.parts {
		n.parts[i] = &partition{}
	}
	home := func(key string) *partition {
		return n.homeOf(edda.Address{Namespace: "ns", Name: "book", Key: key}.Hash())
	}
	seen := map[string]bool{}
	for i := range 200 {
		key := func(k int) string { return fmt.Sprint(i, "-", k) }
		steps := func(keys ...string) *edda.SagaSpec {
			s := &edda.SagaSpec{Namespace: "ns"}
			for _, k := range keys {
				s.Steps = append(s.Steps, edda.StepSpec{Task: edda.Task{Service: "book", Key: k}})
			}
			return s
		}
		for what, c := range map[string]struct {
			spec *edda.SagaSpec
			want *partition
		}{
			"the last":   {steps(key(1), "", key(2), ""), home(key(2))},
			"most":       {steps(key(1), key(1), key(2)), home(key(1))},
			"as before":  {steps(key(1), key(2), key(1), key(2)), home(key(2))},
			"the only":   {steps("", key(3)), home(key(3))},
			"without":    {steps("", ""), nil},
			"with a key": {&edda.SagaSpec{Namespace: "ns", IdempotencyKey: key(4), Steps: steps(key(1)).Steps}, nil},
		} {
			id := n.newSagaID(c.spec)
			if seen[id] || edda.CheckName("id", id) != nil || len(id) != 26 {
				t.Fatalf("%s: got the id %q", what, id)
			}
			seen[id] = true
			if got := n.sagaHome(sagafold.Ref{Namespace: "ns", ID: id}); c.want != nil && got != c.want {
				t.Errorf("%s: saga %s lives elsewhere", what, id)
			}
		}
	}
}
