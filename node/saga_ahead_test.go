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

// away is a saga of one step, of a key in another partition than the saga, and the
// partitions of the two.
func away(n *node.Node) (sp *edda.SagaSpec, home, key uint64) {
	key = node.HomeOf(n, edda.Address{Name: "shelf", Key: "k"}.Hash())
	sp = sagaOf("", ask("a", "shelf/k", "", ""))
	for i := 0; sp.ID == "" || home == key; i++ {
		sp.ID = fmt.Sprint("saga", i)
		home = node.HomeOf(n, sagafold.Hash(edda.DefaultNamespace, sp.ID))
	}
	return sp, home, key
}

// slowDisk is a disk whose log waits for a while.
type slowDisk struct {
	slow bool // written while nothing runs
	gate chan struct{}
}

func newSlowDisk() *slowDisk { return &slowDisk{gate: make(chan struct{})} }

// options are those of a node on the disk.
func (d *slowDisk) options() node.Options {
	return node.WithoutGather(node.Options{
		Dir: "data", Partitions: 8,
		FS: errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileSyncData && strings.Contains(op.Path, "log") && d.slow {
				<-d.gate
			}
			return nil
		})),
	})
}

// inLog reports whether the log of a partition has a record of the type.
func inLog(t *testing.T, log *memlog.Log, part uint64, typ record.Type) bool {
	t.Helper()
	for e, err := range log.Read(t.Context(), engine.Start{Partition: engine.Partition(part), Position: 1}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range e.Records {
			r, err := record.Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			if r.Type == typ {
				return true
			}
		}
	}
	return false
}

// fails stops a node by an append to a partition that fails, and returns its log.
func fails(t *testing.T, n *node.Node, part uint64, do func()) *memlog.Log {
	t.Helper()
	n.Memlog().Inject(engine.Partition(part), memlog.UnknownLost)
	do()
	<-n.Done()
	_ = n.Stop(context.Background())
	log, err := n.Memlog().Reopen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// The request of a step that lives elsewhere is in the same flush as the saga, and
// nobody hears of either before.
func TestSagaStepSharesTheFlush(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		d := newSlowDisk()
		var j journal
		n := start(t, d.options(), shelf("shelf", logged(&j, "a", 1)))
		sp, home, key := away(n)
		synctest.Wait()
		d.slow = true
		created := make(chan error, 1)
		go func() {
			_, err := n.CreateSaga(t.Context(), sp)
			created <- err
		}()
		synctest.Wait()
		if h, k := node.InFlight(t, n, home), node.InFlight(t, n, key); h != 1 || k != 1 {
			t.Errorf("%d batches of the saga and %d of the key are in flight, want 1 and 1", h, k)
		}
		if got := j.all(); len(created) != 0 || len(got) != 0 {
			t.Errorf("before the flush %d callers were answered, and %q has run", len(created), got)
		}
		close(d.gate)
		if err := <-created; err != nil {
			t.Fatal(err)
		}
		endsAs(t, n, sp.ID, edda.SagaSucceeded)
	})
}

// A saga that does not become durable takes the requests of its steps with it.
func TestSagaStepFallsWithTheSaga(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		n := open(t, node.Options{Partitions: 8}, shelf("shelf", logged(&journal{}, "a", 1)))
		sp, home, key := away(n)
		log := fails(t, n, home, func() {
			_, err := n.CreateSaga(t.Context(), sp)
			wantReason(t, err, edda.OutcomeUnknown)
		})
		if inLog(t, log, home, record.TypeSagaCreated) || inLog(t, log, key, record.TypeAccepted) {
			t.Error("the saga or its step is in the log")
		}
	})
}

// The end of a step whose saga lives elsewhere is in the same flush as the outcome, and
// nobody hears of it before.
func TestSagaStepEndSharesTheFlush(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		gate, d := make(chan struct{}), newSlowDisk()
		n := start(t, d.options(), shelf("shelf", gated(gate, logged(&journal{}, "a", 1))))
		sp, home, key := away(n)
		id := create(t, n, sp)
		synctest.Wait()
		if got := node.InFlight(t, n, home) + node.InFlight(t, n, key); got != 0 {
			t.Fatalf("%d batches are in flight before the handler has returned", got)
		}
		d.slow = true
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
		close(d.gate)
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
		sp, home, key := away(n)
		create(t, n, sp)
		synctest.Wait()
		log := fails(t, n, key, func() { close(gate) })
		if !inLog(t, log, home, record.TypeSagaCreated) || inLog(t, log, home, record.TypeStepEnded) {
			t.Error("the saga is not in the log, or the end of its step is")
		}
	})
}
