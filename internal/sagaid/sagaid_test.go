package sagaid_test

import (
	"fmt"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/sagaid"
)

const partitions = 64

func homeOf(hash uint64) uint64 { return fold.Home(hash, partitions) }

// A saga lives with most of its keyed steps, or with the last one.
func TestSagaLivesNearItsSteps(t *testing.T) {
	const none = partitions
	home := func(key string) uint64 {
		return homeOf(edda.Address{Namespace: "ns", Name: "book", Key: key}.Hash())
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
		queue := steps(key(1), "")
		queue.Steps = append(queue.Steps, edda.StepSpec{Queue: &edda.QueueSpec{Stream: key(2)}})
		for what, c := range map[string]struct {
			spec *edda.SagaSpec
			want uint64
		}{
			"the last":   {steps(key(1), "", key(2), ""), home(key(2))},
			"most":       {steps(key(1), key(1), key(2)), home(key(1))},
			"as before":  {steps(key(1), key(2), key(1), key(2)), home(key(2))},
			"the only":   {steps("", key(3)), home(key(3))},
			"a message":  {queue, homeOf(edda.StreamHash("ns", key(2)))},
			"without":    {steps("", ""), none},
			"with a key": {&edda.SagaSpec{Namespace: "ns", IdempotencyKey: key(4), Steps: steps(key(1)).Steps}, none},
		} {
			id := sagaid.New(c.spec, partitions)
			if seen[id] || edda.CheckName("id", id) != nil || len(id) != 26 {
				t.Fatalf("%s: got the id %q", what, id)
			}
			seen[id] = true
			if got := homeOf(saga.Hash("ns", id)); c.want != none && got != c.want {
				t.Errorf("%s: saga %s lives elsewhere", what, id)
			}
		}
	}
}

// The same key of the same principal finds the same saga, and no other one does.
func TestIdempotencyKey(t *testing.T) {
	seen := map[string]string{}
	for _, c := range []struct{ principal, key string }{{"a", "b"}, {"", "ab"}, {"ab", "1"}, {"a", "b1"}, {"1 a", "b"}} {
		s := &edda.SagaSpec{Namespace: "ns", Principal: edda.Principal(c.principal), IdempotencyKey: c.key}
		id := sagaid.New(s, partitions)
		if again := sagaid.New(s, partitions); again != id {
			t.Errorf("%+v: got %s and then %s", c, id, again)
		}
		if other, ok := seen[id]; ok {
			t.Errorf("%+v has the id of %s", c, other)
		}
		seen[id] = fmt.Sprint(c)
	}
}

func TestRef(t *testing.T) {
	for id, want := range map[string]edda.Reason{
		"trip": "", "trip~hotel~room": "", "": edda.BadName, "trip~": edda.BadName, "~hotel": edda.BadName, "a b": edda.BadName,
	} {
		ref, err := sagaid.Ref("", id)
		if edda.ReasonOf(err) != want || err == nil && ref != (saga.Ref{Namespace: edda.DefaultNamespace, ID: id}) {
			t.Errorf("%q: got %v and %v, want reason %q", id, ref, err, want)
		}
	}
	if _, err := sagaid.Ref("a b", "trip"); edda.ReasonOf(err) != edda.BadName {
		t.Errorf("got %v for a bad namespace", err)
	}
}
