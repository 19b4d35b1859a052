package node_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// A step elsewhere is finished by call while its key's partition is busy, its saga is
// removed, and another one gets the id. What comes of the first one's request afterwards
// is nothing to the second.
func TestSagaIDTakenAgain(t *testing.T) {
	for _, c := range []struct {
		name string
		took time.Duration // of the first one's handler
	}{{"cancelled", 20 * time.Second}, {"succeeded", time.Second}} {
		bubble(t, c.name, func(t *testing.T) {
			run := func(ctx *edda.Context, in *edda.StepInput) (any, error) {
				if len(in.Args) == 0 {
					select {
					case <-time.After(c.took):
					case <-ctx.Done():
					}
				}
				return len(in.Args), nil
			}
			n := start(t, node.Options{Partitions: 8}, shelf("shelf", run))
			sp, _, key := away(n)
			id := create(t, n, sp)
			synctest.Wait()
			release := node.HoldPartition(n, int(key))
			time.Sleep(10 * time.Second)
			finish(t, n, id, "a", edda.StepResult{Result: json.RawMessage("7")}, true, edda.StepSucceeded)
			if removed, err := n.PruneSagas(t.Context(), edda.SagaFilter{ID: id}); err != nil || removed != 1 {
				t.Fatalf("removed %d sagas, %v; want one", removed, err)
			}
			sp.Steps[0].Args = args("2")
			create(t, n, sp)
			release()
			if s := endsAs(t, n, id, edda.SagaSucceeded); string(s.Steps[0].Result) != "1" {
				t.Errorf("the second saga's step has the result %s, want 1", s.Steps[0].Result)
			}
		})
	}
}
