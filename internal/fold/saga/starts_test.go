package saga

import (
	"slices"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// places are the steps that may start.
func places(starts []Start) []uint32 {
	var all []uint32
	for _, s := range starts {
		all = append(all, s.Index)
	}
	return all
}

// died is the end of a request without an outcome, with slots reserved.
func died(starts ...uint32) func(e *record.StepEnded) {
	return func(e *record.StepEnded) {
		e.State, e.Failure, e.Starts = edda.StateDead, record.Failure{Reason: "PANIC"}, starts
	}
}

// Compensations use the slots that were reserved for those which may start.
func TestUndoSlots(t *testing.T) {
	none := func(uint32) bool { return false }
	only := func(i uint32) func(uint32) bool { return func(other uint32) bool { return other == i } }
	ref := Ref{"default", "t"}
	w := newWorld(t)
	want := func(got []Start, indexes ...uint32) {
		t.Helper()
		if !slices.Equal(places(got), indexes) {
			t.Errorf("got %+v, want steps %v", got, indexes)
		}
		for _, s := range got {
			if s.Method[:5] != "undo-" {
				t.Errorf("got method %s, want that of the compensation", s.Method)
			}
		}
	}
	w.create(saga("a b:a c!:a d:b,c x:a"))
	w.ok("t.a", "1")
	w.ok("t.b", "1")
	w.ok("t.c", "1")
	want(w.m().Undoes(ref, 3, false, none))          // x runs
	want(w.m().Undoes(ref, 3, true, none))           // nothing has failed
	want(w.m().Undoes(ref, 3, false, only(4)), 1, 4) // x may have succeeded
	want(w.m().Undoes(ref, 9, false, none))
	want(w.m().Undoes(Ref{"default", "x"}, 3, false, none))
	check(t, w.end("t.d", died(1)), "step t.d failed; spare 1")
	want(w.m().Undoes(ref, 4, true, none), 1, 4)
	want(w.m().Undoes(ref, 4, false, none), 1)
	check(t, w.end("t.x", died(1)), "step t.x failed")
	if !w.asked("-t.b").slot {
		t.Error("the compensation of b has no slot")
	}
	want(w.m().UndoesAfter(ref, 1, none), 0)
	want(w.m().UndoesAfter(ref, 0, none))
	want(w.m().UndoesAfter(ref, 9, none))
	check(t, w.end("-t.b", func(e *record.StepEnded) { e.Reply, e.Starts = encodeReply(&edda.Reply{}), []uint32{0} }), "step t.b succeeded")
	if !w.asked("-t.a").slot {
		t.Error("the compensation of a has no slot")
	}
	w.want("compensating a:compensating/running b:compensated/succeeded c:not_compensated d:failed x:failed", "-t.a")
}

// A saga awaits others when nothing starts, or ends, because of a step alone.
func TestAwaits(t *testing.T) {
	ref := Ref{"default", "t"}
	w := newWorld(t)
	want := func(awaits bool, index uint32) {
		t.Helper()
		if got := w.m().Awaits(ref, index); got != awaits {
			t.Errorf("after step %d others are awaited: %v, want %v", index, got, awaits)
		}
	}
	w.create(saga("a b c:a,b d:b e"))
	want(true, 0)  // c comes after b too
	want(false, 1) // d starts
	want(true, 4)  // nothing depends on it, and others run
	want(false, 9)
	if w.m().Awaits(Ref{"default", "x"}, 0) {
		t.Error("an unknown saga awaits others")
	}
	w.ok("t.b", "1")
	want(false, 0) // c starts
	w.ok("t.a", "1")
	w.ok("t.c", "1")
	w.ok("t.d", "1")
	want(false, 4) // the saga ends
}
