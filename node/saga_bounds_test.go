package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine/memlog"
	"github.com/edda-io/edda/node"
)

// What makes no sense is refused, and says what would.
func TestSagaRefused(t *testing.T) {
	bubble(t, "refused", func(t *testing.T) {
		var j journal
		only := edda.NewBalanced("only")
		only.Add(edda.Method{Name: "m", Handler: stepHandler(logged(&j, "m", nil))})
		n := start(t, node.Options{}, tool("tool", logged(&j, "tool", 1)), shelf("shelf", logged(&j, "shelf", 1)), only)
		change := func(f func(*edda.SagaSpec)) *edda.SagaSpec {
			s := sagaOf("x", ask("a", "tool", "", ""))
			f(s)
			return s
		}
		for name, c := range map[string]struct {
			s    *edda.SagaSpec
			want edda.Reason
			says string
		}{
			"no steps":      {sagaOf("x"), edda.BadSchema, "steps"},
			"twice":         {sagaOf("x", ask("a", "tool", "", ""), ask("a", "tool", "", "")), edda.Exists, "a"},
			"cycle":         {sagaOf("x", ask("a", "tool", "", "b"), ask("b", "tool", "", "a")), edda.Cycle, "a"},
			"unknown":       {sagaOf("x", ask("a", "tool", "", "nobody")), edda.BadSchema, "nobody"},
			"no key":        {sagaOf("x", ask("a", "shelf", "", "")), edda.WrongKind, "names a key"},
			"key":           {sagaOf("x", ask("a", "tool/1", "", "")), edda.WrongKind, "names no key"},
			"method":        {sagaOf("x", ask("a", "only", "", "")), edda.NoMethod, "only m"},
			"undo's key":    {sagaOf("x", undo(ask("a", "tool", "", ""), "shelf", "")), edda.WrongKind, "compensation of step a"},
			"nested":        {sagaOf("x", edda.StepSpec{ID: "in", Saga: &edda.SagaSpec{Steps: []edda.StepSpec{ask("a", "shelf", "", "")}}}), edda.WrongKind, "step a"},
			"namespace":     {change(func(s *edda.SagaSpec) { s.Namespace = "edda.x" }), edda.BadName, "reserved"},
			"id":            {change(func(s *edda.SagaSpec) { s.ID = "a~b" }), edda.BadName, "a~b"},
			"args":          {sagaOf("x", ask("a", "tool", "nojson", "")), edda.BadSchema, "nojson"},
			"too large":     {sagaOf("x", ask("a", "tool", `"`+strings.Repeat("x", edda.MaxSagaBytes)+`"`, "")), edda.TooLarge, fmt.Sprint(edda.MaxSagaBytes)},
			"steps too big": {change(func(s *edda.SagaSpec) { s.Steps = make([]edda.StepSpec, edda.MaxSagaSteps+1) }), edda.TooLarge, fmt.Sprint(edda.MaxSagaSteps)},
			"for ever":      {change(func(s *edda.SagaSpec) { s.DeadlineAfter = math.MaxInt64 }), edda.BadValue, "876000h0m0s"},
			"never ends":    {change(func(s *edda.SagaSpec) { s.Steps[0].AttemptTimeout = math.MaxInt64 }), edda.BadValue, "876000h0m0s"},
			"long": {change(func(s *edda.SagaSpec) {
				s.DeadlineAfter, s.Steps[0].AttemptTimeout = 876000*time.Hour, 876000*time.Hour
			}), "", ""},
			"not there yet": {sagaOf("x", ask("a", "unregistered", "", "")), "", ""},
			"elsewhere":     {change(func(s *edda.SagaSpec) { s.Namespace, s.Steps = "shop", []edda.StepSpec{ask("a", "shelf", "", "")} }), "", ""},
		} {
			_, err := n.CreateSaga(t.Context(), c.s)
			if got := edda.ReasonOf(err); got != c.want || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: got %v (%s), want %s with %q", name, err, got, c.want, c.says)
			}
		}
	})
}

// Sagas count against the bounds of partition and node like calls.
func TestSagaBounds(t *testing.T) {
	bubble(t, "partition", func(t *testing.T) {
		n := start(t, node.Options{Partitions: 1, Limits: node.Limits{PartitionRequests: 3}}, tool("tool", logged(&journal{}, "tool", 1)))
		release := node.HoldPartition(n, 0)
		results := make(chan error, 10)
		for range cap(results) {
			go func() {
				_, err := n.CreateSaga(t.Context(), sagaOf("x", ask("a", "tool", "", "")))
				results <- err
			}()
		}
		synctest.Wait()
		if got := len(results); got != 7 {
			t.Errorf("%d were answered, want 7", got)
		}
		for range 7 {
			wantReason(t, <-results, edda.Overloaded)
		}
		release()
		for range 3 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		id := create(t, n, sagaOf("x", ask("a", "tool", "", ""))) // there is room again
		endsAs(t, n, id, edda.SagaSucceeded)
	})
	bubble(t, "bytes", func(t *testing.T) {
		n := start(t, node.Options{Partitions: 1, Limits: node.Limits{PartitionBytes: 1000}}, tool("tool", logged(&journal{}, "tool", 1)))
		release := node.HoldPartition(n, 0)
		results := make(chan error, 2)
		for range cap(results) {
			go func() {
				_, err := n.CreateSaga(t.Context(), sagaOf("x", ask("a", "tool", `"`+strings.Repeat("x", 900)+`"`, "")))
				results <- err
			}()
			synctest.Wait()
		}
		wantReason(t, <-results, edda.Overloaded)
		release()
		if err := <-results; err != nil {
			t.Error(err)
		}
	})
}

func TestSagaOfANodeThatStops(t *testing.T) {
	bubble(t, "draining", func(t *testing.T) {
		gate := make(chan struct{})
		n := open(t, node.Options{}, tool("slow", gated(gate, logged(&journal{}, "slow", 1))))
		id := create(t, n, sagaOf("", ask("a", "slow", "", "")))
		waited := make(chan error, 1)
		go func() {
			_, err := n.WaitSaga(t.Context(), "", id)
			waited <- err
		}()
		synctest.Wait()
		stopped := make(chan struct{})
		go func() { stop(t, n); close(stopped) }()
		synctest.Wait()
		_, err := n.CreateSaga(t.Context(), sagaOf("", ask("a", "slow", "", "")))
		wantReason(t, err, edda.Draining)
		_, err = n.FinishStep(t.Context(), "", id, "a", edda.StepResult{Result: json.RawMessage("1")})
		wantReason(t, err, edda.Draining)
		close(gate)
		<-stopped
		if err := <-waited; err != nil && edda.ReasonOf(err) != edda.Draining {
			t.Errorf("got %v", err)
		}
		_, err = n.Saga(t.Context(), "", id)
		wantReason(t, err, edda.Draining)
	})
}

// An append of which nobody knows what became of it is reported so.
func TestSagaUnknownOutcome(t *testing.T) {
	for _, c := range []struct {
		fault memlog.Fault
		want  edda.Reason
	}{{memlog.UnknownWritten, edda.OutcomeUnknown}, {memlog.UnknownLost, edda.OutcomeUnknown}, {memlog.Unavailable, edda.Unavailable}} {
		bubble(t, fmt.Sprint(c.want, c.fault), func(t *testing.T) {
			n := open(t, node.Options{Partitions: 1}, tool("tool", logged(&journal{}, "tool", 1)))
			synctest.Wait()
			n.Memlog().Inject(0, c.fault)
			_, err := n.CreateSaga(t.Context(), sagaOf("", ask("a", "tool", "", "")))
			wantReason(t, err, c.want)
			_ = n.Stop(context.Background())
		})
	}
	bubble(t, "caller leaves", func(t *testing.T) {
		n := start(t, node.Options{Partitions: 1}, tool("tool", logged(&journal{}, "tool", 1)))
		release := node.HoldPartition(n, 0)
		sp := sagaOf("", ask("a", "tool", "", ""))
		sp.ID = "mine"
		_, err := n.CreateSaga(ended(t), sp)
		wantReason(t, err, edda.OutcomeUnknown)
		release()
		synctest.Wait() // it goes on all the same
		endsAs(t, n, "mine", edda.SagaSucceeded)
	})
}

// WaitSaga answers with what holds when its caller waits no longer.
func TestSagaWaitEnds(t *testing.T) {
	bubble(t, "wait", func(t *testing.T) {
		gate := make(chan struct{})
		n := start(t, node.Options{}, tool("slow", gated(gate, logged(&journal{}, "slow", 1))))
		id := create(t, n, sagaOf("", ask("a", "slow", "", "")))
		s, err := n.WaitSaga(ended(t), "", id)
		if err != nil || s.State != edda.SagaRunning || len(s.Steps) != 1 {
			t.Errorf("got %+v, %v", s, err)
		}
		close(gate)
		endsAs(t, n, id, edda.SagaSucceeded)
		noSlotIsLost(t, n, "slow")
		_, err = n.WaitSaga(t.Context(), "", "nothing")
		wantReason(t, err, edda.NoSaga)
	})
}

// A saga that is full takes no result by call, and goes on all the same.
func TestSagaIsFull(t *testing.T) {
	bubble(t, "full", func(t *testing.T) {
		const each = 7 << 20
		n := start(t, node.Options{Limits: node.Limits{PayloadBytes: each}}, tool("later", pends(new(sync.Map))))
		var all []edda.StepSpec
		for i := range edda.MaxSagaHeldBytes/each + 1 {
			all = append(all, ask(fmt.Sprint("s", i), "later", "", ""))
		}
		id := create(t, n, sagaOf("", all...))
		synctest.Wait()
		large := json.RawMessage(`"` + strings.Repeat("x", each-2) + `"`)
		for i := range len(all) - 1 {
			finish(t, n, id, all[i].ID, edda.StepResult{Result: large}, true, edda.StepSucceeded)
		}
		last := all[len(all)-1].ID
		_, err := n.FinishStep(t.Context(), "", id, last, edda.StepResult{Result: large})
		wantReason(t, err, edda.TooLarge)
		finish(t, n, id, last, edda.StepResult{Result: json.RawMessage("1")}, true, edda.StepSucceeded)
		endsAs(t, n, id, edda.SagaSucceeded)
	})
}

// To add steps to a nested saga does not nest sagas deeper than they may be.
func TestAddStepsTooDeep(t *testing.T) {
	bubble(t, "deep", func(t *testing.T) {
		n := start(t, node.Options{}, tool("later", pends(new(sync.Map))))
		nested := func(depth int) edda.StepSpec {
			s := ask("a", "later", "", "")
			for range depth {
				s = edda.StepSpec{ID: "n", Saga: &edda.SagaSpec{Steps: []edda.StepSpec{s}}}
			}
			return s
		}
		id := create(t, n, sagaOf("", nested(edda.MaxSagaDepth-2)))
		id += strings.Repeat("~n", edda.MaxSagaDepth-2)
		_, err := n.AddSteps(t.Context(), "", id, []edda.StepSpec{nested(2)})
		wantReason(t, err, edda.TooLarge)
		if _, err = n.AddSteps(t.Context(), "", id, []edda.StepSpec{nested(1)}); err != nil {
			t.Error(err)
		}
	})
}

// What steps that wait are sent does not stay in memory, though it is in no record.
func TestSagaStepsThatWaitAreStored(t *testing.T) {
	bubble(t, "wait", func(t *testing.T) {
		const each = 1 << 20
		gate := make(chan struct{})
		one := tool("one", gated(gate, logged(&journal{}, "one", 1)))
		one.Concurrency = 1
		root := tool("root", func(*edda.Context, *edda.StepInput) (any, error) { return strings.Repeat("x", each), nil })
		n := newDisk().open(t, node.Options{CheckpointBytes: 4 * each}, one, root)
		all := []edda.StepSpec{ask("root", "root", "", "")}
		for i := range 20 {
			all = append(all, ask(fmt.Sprint("s", i), "one", "", "root"))
		}
		id := create(t, n, sagaOf("", all...))
		synctest.Wait()
		if got := node.UnfinishedBytes(n); got > 4*each {
			t.Errorf("unfinished requests take %d bytes", got)
		}
		close(gate)
		endsAs(t, n, id, edda.SagaSucceeded)
		stop(t, n)
	})
}
