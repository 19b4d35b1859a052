package saga

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/fold/outbox"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/store"
)

// large is a result of 4 MiB.
var large = append(append([]byte{'"'}, bytes.Repeat([]byte("x"), 4<<20-2)...), '"')

// hoard is a machine with large results, which is loaded anew from time to time.
type hoard struct {
	tb   testing.TB
	m    *Machine
	c    *counting
	env  *fold.Env
	tree *store.Tree
}

func newHoard(tb testing.TB) *hoard {
	tb.Helper()
	m, c, env := newMachine()
	return &hoard{tb, m, c, env, env.Table.(*store.Tree)}
}

// end ends the request of a step: with a result, or left pending without one.
func (h *hoard) end(saga string, step int, result []byte) {
	h.tb.Helper()
	e := record.StepEnded{
		Namespace: edda.DefaultNamespace, Step: record.Step{Saga: saga, Index: uint32(step)}, State: edda.StateSucceeded,
		Attempts: 1, Pending: result == nil, Reply: encodeReply(&edda.Reply{Payload: result}),
	}
	h.env.Position++
	h.env.Time++
	if err := h.m.StepEnded(&e, nil); err != nil {
		h.tb.Fatal(err)
	}
	h.m.Effects()
	h.advance()
}

// advance starts what one record had no room for.
func (h *hoard) advance() {
	h.tb.Helper()
	for left := h.m.Unadvanced(); len(left) > 0; left = h.m.Unadvanced() {
		c := record.SagaChanged{Namespace: left[0].Namespace, ID: left[0].ID}
		apply(h.tb, h.m, h.env, c.AppendTo(nil, record.TypeSagaAdvanced))
	}
}

// reload forgets all that is not in the table.
func (h *hoard) reload() {
	h.tb.Helper()
	var b store.Batch
	if err := h.m.Checkpoint(&b); err != nil {
		h.tb.Fatal(err)
	}
	if err := h.tree.Commit(&b, engine.Position(h.env.Position)); err != nil {
		h.tb.Fatal(err)
	}
	h.m = New(h.env, outbox.New(h.env), h.c)
	if err := h.m.Load(); err != nil {
		h.tb.Fatal(err)
	}
}

func (h *hoard) saga(id string) *edda.Saga {
	h.tb.Helper()
	s, err := h.m.Get(edda.DefaultNamespace, id, h.env.Time)
	if err != nil || s == nil {
		h.tb.Fatalf("saga %q: %v, %v", id, s, err)
	}
	return s.View(true)
}

// A large result that many steps depend on is not copied for all of them at once:
// others start as those before them end, or are left pending.
func TestLargeResultForMany(t *testing.T) {
	const many = 40
	all := steps("root!")
	for i := range many {
		all = append(all, steps(fmt.Sprintf("s%d!:root", i))...)
	}
	for _, reload := range []bool{false, true} {
		h := newHoard(t)
		apply(t, h.m, h.env, created(t, "wide", all))
		h.end("wide", 0, large)
		const atOnce = maxUnderWay / (4 << 20)
		for ended := range many {
			if reload {
				h.reload()
			}
			if got, want := len(h.c.admitted), 1+min(atOnce-1+ended, many); got != want {
				t.Fatalf("with %d ended %d were started, want %d", ended, got, want)
			}
			if result := []byte("1"); ended%2 == 0 {
				h.end("wide", 1+ended, result)
			} else {
				h.end("wide", 1+ended, nil)
			}
		}
		for i := 1; i < many; i += 2 {
			f := record.StepFinished{Namespace: edda.DefaultNamespace, ID: "wide", Step: fmt.Sprintf("s%d", i), Result: []byte("2")}
			apply(t, h.m, h.env, f.AppendTo(nil))
		}
		if s := h.saga("wide"); s.State != edda.SagaSucceeded {
			t.Errorf("saga is %s", s.State)
		}
		if s := h.m.sagas[Ref{edda.DefaultNamespace, "wide"}]; s.underWay != 0 || len(s.ready) > 0 {
			t.Errorf("%d bytes are under way, and %d steps ready, of a saga that has ended", s.underWay, len(s.ready))
		}
	}
}

// What a saga holds is bounded: the step whose result is too much fails, and what
// somebody adds or finishes a step with is refused.
func TestSagaHoldsSoMuch(t *testing.T) {
	const fit = edda.MaxSagaHeldBytes/(4<<20) - 1 // beside the steps themselves
	h := newHoard(t)
	all := rows(fit+2, fit+2, 0)
	apply(t, h.m, h.env, created(t, "full", all))
	for i := range fit {
		h.end("full", i, large)
		if i%8 == 0 {
			h.reload()
		}
	}
	refused := func(rec []byte) string {
		t.Helper()
		r, err := record.Parse(rec)
		if err == nil {
			err = h.m.Apply(r)
		}
		if err != nil {
			t.Fatal(err)
		}
		return describe(h.m.Effects())
	}
	over := append(append([]byte{'"'}, bytes.Repeat([]byte("x"), 5<<20)...), '"')
	f := record.StepFinished{Namespace: edda.DefaultNamespace, ID: "full", Step: fmt.Sprintf("s%d", fit), Result: over}
	if got := refused(f.AppendTo(nil)); !strings.HasPrefix(got, "refused TOO_LARGE with the result the saga would hold") {
		t.Errorf("finish: got %s", got)
	}
	more := steps("more")
	more[0].Args = append(more[0].Args, over)
	a := record.SagaStepsAdded{Namespace: edda.DefaultNamespace, ID: "full", Steps: record.EncodeSteps(more)}
	if got := refused(a.AppendTo(nil)); !strings.HasPrefix(got, "refused TOO_LARGE with the saga's steps the saga would hold") {
		t.Errorf("add: got %s", got)
	}
	if s := h.saga("full"); s.State != edda.SagaRunning || s.SucceededCount != fit || s.StepCount != fit+2 {
		t.Fatalf("saga is %s, %d of %d steps have succeeded", s.State, s.SucceededCount, s.StepCount)
	}
	h.end("full", fit, over)
	s := h.saga("full")
	if e := s.Steps[fit].Error; s.State != edda.SagaCompensating || e == nil || e.Reason != edda.TooLarge {
		t.Errorf("saga is %s, its step has the error %+v", s.State, e)
	}
}

// A saga whose result has no room in the one that it is a step of is undone.
func TestNestedResultTooLarge(t *testing.T) {
	const each = 20
	all := steps("after:in1")
	for i := range 2 {
		all = append(all, edda.StepSpec{ID: fmt.Sprintf("in%d", i), Saga: &edda.SagaSpec{Steps: rows(each, each, 0)}})
	}
	h := newHoard(t)
	apply(t, h.m, h.env, created(t, "whole", all))
	for i := range each {
		h.end("whole~in0", i, large)
	}
	if s := h.saga("whole~in0"); s.State != edda.SagaSucceeded {
		t.Fatalf("the first is %s", s.State)
	}
	h.reload()
	h.c.admitted = nil
	for i := range each {
		h.end("whole~in1", i, large)
	}
	child := h.saga("whole~in1")
	if child.State != edda.SagaCompensating || child.Reason != edda.TooLarge || len(h.c.admitted) != each {
		t.Fatalf("the second is %s (%s: %s), %d steps are undone", child.State, child.Reason, child.Detail, len(h.c.admitted))
	}
	for i := range each {
		e := record.StepEnded{
			Namespace: edda.DefaultNamespace, Step: record.Step{Saga: "whole~in1", Index: uint32(i), Undo: true}, State: edda.StateSucceeded,
			Reply: encodeReply(&edda.Reply{}),
		}
		if err := h.m.StepEnded(&e, nil); err != nil {
			t.Fatal(err)
		}
	}
	s := h.saga("whole")
	if e := s.Steps[2].Error; s.State != edda.SagaCompensating || s.Steps[2].State != edda.StepFailed || e == nil || e.Reason != edda.TooLarge {
		t.Errorf("the whole is %s, its step %s %+v", s.State, s.Steps[2].State, e)
	}
}

// What comes into memory without a record is told, so that a checkpoint comes in time.
func TestGrown(t *testing.T) {
	h := newHoard(t)
	apply(t, h.m, h.env, created(t, "wide", steps("root! a!:root b!:root c!")))
	h.end("wide", 3, []byte("1"))
	if got := h.m.Grown(); got != 0 {
		t.Errorf("small steps count for %d bytes", got)
	}
	h.end("wide", 0, large)
	if got := h.m.Grown(); got < 2*len(large) || got > 2*len(large)+1000 {
		t.Errorf("two steps that were sent %d bytes count for %d", len(large), got)
	}
	h.reload()
	h.saga("wide")
	if got := h.m.Grown(); got != 0 {
		t.Errorf("to look at a saga counts for %d bytes", got)
	}
	h.end("wide", 1, []byte("1"))
	h.end("wide", 2, []byte("1"))
	if got := h.m.Grown(); got < len(large) || got > len(large)+1000 {
		t.Errorf("a saga of %d bytes that is read counts for %d", len(large), got)
	}
}
