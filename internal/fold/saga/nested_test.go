package saga

import (
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// nest makes the step with an id a saga.
func nest(s *edda.SagaSpec, id string, inner *edda.SagaSpec) *edda.SagaSpec {
	for i := range s.Steps {
		if s.Steps[i].ID == id {
			s.Steps[i] = edda.StepSpec{ID: id, After: s.Steps[i].After, Saga: inner}
		}
	}
	return s
}

func inner(text string) *edda.SagaSpec { return &edda.SagaSpec{Name: "inner", Steps: steps(text)} }

func TestNestedSucceeds(t *testing.T) {
	w := newWorld(t)
	check(t, w.create(nest(saga("a b:a c:b"), "b", inner("x y:x z:x"))), "created t")
	check(t, w.ok("t.a", "1"), "step t.a succeeded; created t~b")
	w.want("running a:succeeded b:running c:waiting", "t~b.x")
	check(t, w.finishStep("t", "b", "1"), "unchanged t")
	if v := w.view("t~b"); v.Name != "inner" || v.CorrelationID != "t" || v.Principal != edda.Anonymous || w.view("t").Steps[1].SagaID != "t~b" {
		t.Errorf("nested saga is %s", toJSON(v))
	}
	if w.asked("t~b.x").step.Hash != Hash("default", "t") {
		t.Error("a nested saga lives elsewhere")
	}
	w.ok("t~b.x", "1")
	w.ok("t~b.z", `"z"`)
	check(t, w.ok("t~b.y", `{"y":1}`), "step t~b.y succeeded; ended t~b succeeded; step t.b succeeded")
	w.want("running a:succeeded b:succeeded c:running", "t.c")
	check(t, string(w.view("t").Steps[1].Result), `{"y":{"y":1},"z":"z"}`)
	check(t, w.ok("t.c", "1"), "step t.c succeeded; ended t succeeded")
}

// What a nested saga did is undone when its parent is, before what it depended on.
func TestNestedIsUndone(t *testing.T) {
	w := newWorld(t)
	w.create(nest(saga("a b:a c:b"), "b", inner("x y:x")))
	w.ok("t.a", "1")
	w.ok("t~b.x", "1")
	w.ok("t~b.y", "1")
	check(t, w.dies("t.c"), "step t.c failed")
	w.want("compensating a:succeeded b:compensating c:failed", "-t~b.y")
	w.ok("-t~b.y", "")
	check(t, w.dies("-t~b.x"), "step t~b.x failed; ended t~b compensation_failed")
	w.want("compensating a:succeeded b:compensating c:failed", "")
	check(t, w.compensation("t", "b", edda.SkipCompensation), "unchanged t")
	check(t, w.compensation("t~b", "x", edda.ResolveCompensation), "applied t~b; ended t~b compensated; step t.b succeeded")
	w.want("compensating a:compensating/running b:compensated c:failed", "-t.a")
	check(t, w.ok("-t.a", ""), "step t.a succeeded; ended t compensated")
	check(t, w.states("t~b"), "compensated x:compensated/resolved y:compensated/succeeded")
}

func TestNestedFails(t *testing.T) {
	w := newWorld(t)
	w.create(nest(saga("a b:a"), "b", inner("x y:x")))
	w.ok("t.a", "1")
	w.ok("t~b.x", "1")
	check(t, w.dies("t~b.y"), "step t~b.y failed")
	w.want("running a:succeeded b:running", "-t~b.x")
	check(t, w.dies("-t~b.x"), "step t~b.x failed; ended t~b compensation_failed")
	w.want("running a:succeeded b:running", "")
	check(t, w.compensation("t~b", "x", edda.RetryCompensation), "applied t~b")
	check(t, w.ok("-t~b.x", ""), "step t~b.x succeeded; ended t~b compensated; step t.b failed")
	w.want("compensating a:compensating/running b:failed", "-t.a")
	if e := w.view("t").Steps[1].Error; e.Reason != edda.SagaStepFailed || e.Message != `step "y" failed: PANIC: it broke` {
		t.Errorf("error is %s", toJSON(e))
	}
}

// A nested saga that somebody cancels fails its parent's step; one whose parent is
// cancelled undoes itself first.
func TestNestedIsCancelled(t *testing.T) {
	w := newWorld(t)
	w.create(nest(saga("a b"), "b", inner("x")))
	check(t, w.changed(record.TypeSagaStarted, "t~b"), "unchanged t~b")
	check(t, w.changed(record.TypeSagaRemoved, "t~b"), "unchanged t~b")
	check(t, w.cancel("t~b", edda.Cancelled), "applied t~b; step t~b.x cancelled; ended t~b compensated; step t.b failed")
	w.want("compensating a:running b:failed", "t.a")

	w = newWorld(t)
	w.create(nest(saga("a b"), "b", inner("x y:x")))
	w.ok("t~b.x", "1")
	check(t, w.cancel("t", edda.Cancelled), "applied t; step t.a cancelled; step t~b.y cancelled")
	w.want("compensating a:cancelled b:running", "-t~b.x")
	check(t, w.ok("-t~b.x", ""), "step t~b.x succeeded; ended t~b compensated; step t.b cancelled; ended t compensated")
}

// A parent that waits for its running steps lets a nested saga go on, and undoes it.
func TestNestedIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.create(nest(saga("a b"), "b", inner("x")))
	w.dies("t.a")
	w.want("compensating a:failed b:running", "t~b.x")
	check(t, w.ok("t~b.x", "1"), "step t~b.x succeeded; step t.b succeeded")
	w.want("compensating a:failed b:compensating", "-t~b.x")
	check(t, w.ok("-t~b.x", ""), "step t~b.x succeeded; ended t~b compensated; step t.b succeeded; ended t compensated")
}

func TestNestedDeadline(t *testing.T) {
	w := newWorld(t)
	n := inner("x")
	n.DeadlineAfter = time.Second
	check(t, w.create(nest(saga("a b"), "b", n)), "created t; created t~b; arm t~b")
	if got, want := w.m().NextDeadline(), w.time+int64(time.Second); got != want {
		t.Errorf("deadline is %d, want %d", got, want)
	}
	check(t, w.cancel("t~b", edda.DeadlineExceeded), "applied t~b; step t~b.x cancelled; ended t~b compensated; step t.b failed")
	if e := w.view("t").Steps[1].Error; e.Reason != edda.DeadlineExceeded {
		t.Errorf("error is %s", toJSON(e))
	}
}

func TestNestedTwice(t *testing.T) {
	w := newWorld(t)
	w.create(nest(saga("a"), "a", nest(inner("b"), "b", inner("c"))))
	w.want("running a:running", "t~a~b.c")
	check(t, w.ok("t~a~b.c", "7"), "step t~a~b.c succeeded; ended t~a~b succeeded; step t~a.b succeeded; ended t~a succeeded; step t.a succeeded; ended t succeeded")
	check(t, string(w.view("t").Steps[0].Result), `{"b":{"c":7}}`)
	check(t, w.changed(record.TypeSagaRemoved, "t"), "applied t")
	for _, id := range []string{"t", "t~a", "t~a~b"} {
		if s, err := w.m().Get("default", id, w.time); s != nil || err != nil {
			t.Errorf("%s is still there: %v, %v", id, s, err)
		}
	}
	check(t, w.create(saga("a")), "created t")
}

// A nested saga that cannot be made fails its step; what a handler adds is checked
// by nobody before.
func TestNestedIsMalformed(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a"))
	check(t, w.end("t.a", func(e *record.StepEnded) {
		e.Added = [][]byte{record.AppendStepSpec(nil, &edda.StepSpec{ID: "b", Saga: inner("x:y y:x")})}
	}), "step t.a succeeded; step t.b failed")
	w.want("compensating a:compensating/running b:failed", "-t.a")
	if e := w.view("t").Steps[1].Error; e.Reason != edda.Cycle {
		t.Errorf("error is %s", toJSON(e))
	}
}

// Handlers of nested sagas add steps too.
func TestNestedGrows(t *testing.T) {
	w := newWorld(t)
	w.create(nest(saga("a"), "a", inner("x")))
	w.end("t~a.x", func(e *record.StepEnded) { e.Added = [][]byte{record.AppendStepSpec(nil, &steps("y:x")[0])} })
	check(t, w.states("t~a"), "running x:succeeded y:running")
	check(t, w.add("t~a", steps("z:y")...), "applied t~a")
	w.ok("t~a.y", "1")
	check(t, w.ok("t~a.z", "2"), "step t~a.z succeeded; ended t~a succeeded; step t.a succeeded; ended t succeeded")
}

// Steps that are added do not nest sagas deeper than they may be.
func TestNestedTooDeep(t *testing.T) {
	w := newWorld(t)
	id, deep := "t", inner("x")
	for range edda.MaxSagaDepth - 2 {
		deep = &edda.SagaSpec{Steps: []edda.StepSpec{{ID: "n", Saga: deep}}}
		id += "~n"
	}
	w.create(nest(saga("n"), "n", deep.Steps[0].Saga))
	w.end(id+".x", func(e *record.StepEnded) {
		e.Added = [][]byte{
			record.AppendStepSpec(nil, &edda.StepSpec{ID: "y", Saga: inner("z")}),
			record.AppendStepSpec(nil, &edda.StepSpec{ID: "deeper", Saga: &edda.SagaSpec{Steps: []edda.StepSpec{{ID: "n", Saga: inner("z")}}}}),
		}
	})
	deepest := w.view(id + "~deeper")
	if e := deepest.Steps[0].Error; e == nil || e.Reason != edda.TooLarge || deepest.State != edda.SagaCompensated {
		t.Errorf("got %s", toJSON(deepest))
	}
	check(t, w.states(id+"~y"), "running z:running")
}
