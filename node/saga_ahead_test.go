package node_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/engine/memlog"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/node"
)

// away makes a saga of one step, of a key in another partition than the saga, whose
// handler waits for the gate. It returns the saga's id, and the partitions of the two.
func away(t *testing.T, n *node.Node) (id string, home, key uint64) {
	t.Helper()
	key = node.HomeOf(n, edda.Address{Name: "shelf", Key: "k"}.Hash())
	sp := sagaOf("", ask("a", "shelf/k", "", ""))
	for i := 0; sp.ID == "" || home == key; i++ {
		sp.ID = fmt.Sprint("saga", i)
		home = node.HomeOf(n, sagafold.Hash(edda.DefaultNamespace, sp.ID))
	}
	return create(t, n, sp), home, key
}

// The end of a step whose saga lives elsewhere is in the same flush as the outcome, and
// nobody hears of it before.
func TestSagaStepEndSharesTheFlush(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		gate, disk := make(chan struct{}), make(chan struct{})
		slow := false // written while nothing runs
		n := start(t, node.WithoutGather(node.Options{
			Dir: "data", Partitions: 8,
			FS: errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind == errorfs.OpFileSyncData && strings.Contains(op.Path, "log") && slow {
					<-disk
				}
				return nil
			})),
		}), shelf("shelf", gated(gate, logged(&journal{}, "a", 1))))
		id, home, key := away(t, n)
		synctest.Wait()
		if got := node.InFlight(t, n, home) + node.InFlight(t, n, key); got != 0 {
			t.Fatalf("%d batches are in flight before the handler has returned", got)
		}
		slow = true
		close(gate)
		ended := make(chan *edda.Saga, 1)
		go func() {
			s, err := n.WaitSaga(t.Context(), "", id)
			if err != nil {
				t.Error(err)
			}
			ended <- s
		}()
		synctest.Wait()
		if k, h := node.InFlight(t, n, key), node.InFlight(t, n, home); k != 1 || h != 1 {
			t.Errorf("%d batches of the key and %d of the saga are in flight, want 1 and 1", k, h)
		}
		s, err := n.Saga(t.Context(), "", id)
		if err != nil || s.Steps[0].State != edda.StepRunning || len(ended) != 0 {
			t.Errorf("before the flush: step is %s, %v; want it running", s.Steps[0].State, err)
		}
		close(disk)
		if s := <-ended; s.State != edda.SagaSucceeded {
			t.Errorf("the saga is %s (%s)", s.State, s.Detail)
		}
	})
}

// An outcome that does not become durable takes the end of the step with it.
func TestSagaStepEndFallsWithTheOutcome(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		gate := make(chan struct{})
		n := open(t, node.Options{Partitions: 8}, shelf("shelf", gated(gate, logged(&journal{}, "a", 1))))
		_, home, key := away(t, n)
		synctest.Wait()
		n.Memlog().Inject(engine.Partition(key), memlog.UnknownLost)
		close(gate)
		<-n.Done()
		_ = n.Stop(context.Background())
		log, err := n.Memlog().Reopen()
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		created := false
		for e, err := range log.Read(t.Context(), engine.Start{Partition: engine.Partition(home), Position: 1}) {
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range e.Records {
				r, err := record.Parse(b)
				if err != nil {
					t.Fatal(err)
				}
				created = created || r.Type == record.TypeSagaCreated
				if r.Type == record.TypeStepEnded {
					t.Error("the step has ended without its outcome")
				}
			}
		}
		if !created {
			t.Error("the saga is not in its log")
		}
	})
}
