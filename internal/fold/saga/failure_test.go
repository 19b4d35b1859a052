package saga

import (
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// A saga is not over while a step runs beside one that was last, too.
func TestTwoLastSteps(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a b"))
	check(t, w.ok("t.a", "1"), "step t.a succeeded")
	w.want("running a:succeeded b:running", "t.b")
	check(t, w.dies("t.b"), "step t.b failed")
	w.want("compensating a:compensating/running b:failed", "-t.a")
	check(t, w.ok("-t.a", ""), "step t.a succeeded; ended t compensated")
}

func TestRunningStepsAreWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a b c:a d:b"))
	check(t, w.dies("t.a"), "step t.a failed")
	w.want("compensating a:failed b:running c:skipped d:skipped", "t.b")
	check(t, w.ok("t.b", "2"), "step t.b succeeded")
	w.want("compensating a:failed b:compensating/running c:skipped d:skipped", "-t.b")
	check(t, w.ok("-t.b", "1"), "step t.b succeeded; ended t compensated")
	w.want("compensated a:failed b:compensated/succeeded c:skipped d:skipped", "")
}

func TestRunningStepsAreCancelled(t *testing.T) {
	w := newWorld(t)
	s := saga("a b c/key d! e:a,b,c,d")
	s.OnFailure = edda.CancelSteps
	w.create(s)
	w.end("t.d", func(e *record.StepEnded) { e.Pending = true })
	w.want("running a:running b:running c:running d:running(pending) e:waiting", "t.a t.b t.c")
	check(t, w.dies("t.a"), "step t.a failed; step t.b cancelled; step t.d cancelled")
	w.want("compensating a:failed b:cancelled c:running d:cancelled e:skipped", "t.c")
	if !w.asked("t.c").cancels || !w.asked("t.c").remote {
		t.Error("the request elsewhere is not cancelled")
	}
	check(t, w.ok("t.c", "1"), "step t.c succeeded")
	w.want("compensating a:failed b:cancelled c:compensating/running d:cancelled e:skipped", "-t.c")
}

func TestCancelledElsewhere(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a/key b/key"))
	check(t, w.cancel("t", edda.Cancelled), "applied t")
	w.want("compensating a:running b:running", "t.a t.b")
	check(t, w.end("t.a", func(e *record.StepEnded) {
		e.State, e.Failure = edda.StateCancelled, record.Failure{Reason: edda.Cancelled}
	}), "step t.a cancelled")
	check(t, w.end("t.b", func(e *record.StepEnded) { e.Pending = true }), "step t.b cancelled; ended t compensated")
	w.want("compensated a:cancelled b:cancelled", "")
	if v := w.view("t"); v.Reason != edda.Cancelled || v.Detail != "enough" {
		t.Errorf("saga is %s", toJSON(v))
	}
}

// A step whose request somebody cancels has failed.
func TestRequestIsCancelled(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a"))
	check(t, w.end("t.a", func(e *record.StepEnded) { e.State = edda.StateCancelled }), "step t.a failed; ended t compensated")
	if v := w.view("t"); v.Steps[0].Error.Reason != edda.Cancelled {
		t.Errorf("saga is %s", toJSON(v))
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	w.create(&edda.SagaSpec{Steps: steps("a b:a")})
	check(t, w.cancel("t", edda.Cancelled), "applied t; ended t cancelled")
	w.want("cancelled a:skipped b:skipped", "")
	check(t, w.cancel("t", edda.Cancelled), "unchanged t")
	check(t, w.changed(record.TypeSagaStarted, "t"), "unchanged t")

	w = newWorld(t)
	w.create(saga("a b:a"))
	w.ok("t.a", "1")
	check(t, w.cancel("t", edda.Cancelled), "applied t; step t.b cancelled")
	w.want("compensating a:compensating/running b:cancelled", "-t.a")
	check(t, w.cancel("t", edda.Cancelled), "unchanged t")
	check(t, w.cancel("t", edda.DeadlineExceeded), "unchanged t")
	w.ok("-t.a", "")
	w.want("compensated a:compensated/succeeded b:cancelled", "")
	check(t, w.cancel("t", edda.Cancelled), "unchanged t")
	check(t, w.cancel("nobody", edda.Cancelled), `refused NO_SAGA there is no saga "nobody"`)
}

func TestDeadline(t *testing.T) {
	w := newWorld(t)
	deadline := func(c *record.SagaCreated) { c.Deadline = 5000 }
	check(t, w.create(saga("a b:a"), deadline), "created t; arm t")
	if w.m().NextDeadline() != 5000 || len(w.m().Due(4999, 9)) != 0 || len(w.m().Due(5000, 9)) != 1 {
		t.Errorf("deadline is %d, due are %v", w.m().NextDeadline(), w.m().Due(5000, 9))
	}
	w.time = 5000
	check(t, w.cancel("t", edda.DeadlineExceeded), "applied t; step t.a cancelled; ended t compensated")
	if v := w.view("t"); v.Reason != edda.DeadlineExceeded || w.m().NextDeadline() != 0 {
		t.Errorf("saga is %s", toJSON(v))
	}
	// What a failed saga still waits for is cancelled too.
	w = newWorld(t)
	w.create(saga("a b"), deadline)
	w.dies("t.a")
	w.want("compensating a:failed b:running", "t.b")
	check(t, w.cancel("t", edda.Cancelled), "unchanged t")
	check(t, w.cancel("t", edda.DeadlineExceeded), "applied t; step t.b cancelled; ended t compensated")
	if v := w.view("t"); v.Reason != edda.SagaStepFailed {
		t.Errorf("saga is %s", toJSON(v))
	}
	// It matters no more once the saga has ended, or is undone.
	w = newWorld(t)
	w.create(saga("a b:a"), deadline)
	w.ok("t.a", "1")
	w.dies("t.b")
	if w.m().NextDeadline() != 0 {
		t.Error("the deadline of a saga that is undone matters")
	}
}

// Compensations run in reverse order, also over steps that have none; independent
// ones at a time.
func TestOrderOfCompensation(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a b!:a c:b x:a y:x,c z:y"))
	for _, step := range []string{"a", "b", "x", "c", "y"} {
		w.ok("t."+step, `"`+step+`"`)
	}
	w.dies("t.z")
	w.want("compensating a:succeeded b:succeeded c:succeeded x:succeeded y:compensating/running z:failed", "-t.y")
	w.ok("-t.y", "")
	w.want("compensating a:succeeded b:succeeded c:compensating/running x:compensating/running y:compensated/succeeded z:failed", "-t.c -t.x")
	w.ok("-t.x", "")
	w.want("compensating a:succeeded b:succeeded c:compensating/running x:compensated/succeeded y:compensated/succeeded z:failed", "-t.c")
	w.ok("-t.c", "")
	w.want("compensating a:compensating/running b:not_compensated c:compensated/succeeded x:compensated/succeeded y:compensated/succeeded z:failed", "-t.a")
	check(t, w.ok("-t.a", ""), "step t.a succeeded; ended t compensated")
}

func TestCompensationFails(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a b:a c d:b,c"))
	w.ok("t.a", "1")
	w.ok("t.b", "2")
	w.ok("t.c", "3")
	w.dies("t.d")
	w.want("compensating a:succeeded b:compensating/running c:compensating/running d:failed", "-t.b -t.c")
	check(t, w.dies("-t.b"), "step t.b failed")
	w.want("compensating a:succeeded b:compensating/failed c:compensating/running d:failed", "-t.c")
	check(t, w.ok("-t.c", ""), "step t.c succeeded; ended t compensation_failed")
	check(t, w.compensation("t", "c", edda.RetryCompensation), "unchanged t")
	check(t, w.compensation("t", "e", edda.RetryCompensation), `refused NO_STEP saga "t" has no step "e"`)
	late := w.m().sagas[Ref{"default", "t"}].requestID(1, true, 0, Hash("default", "t"))
	check(t, w.compensation("t", "b", edda.RetryCompensation), "applied t")
	w.want("compensating a:succeeded b:compensating/running c:compensated/succeeded d:failed", "-t.b")
	if a := w.asked("-t.b"); a.step.Run != 1 || a.msg.ID == late {
		t.Errorf("the second run is %+v", a.step)
	}
	// The end of an earlier run counts no more.
	e := record.StepEnded{Namespace: "default", Step: record.Step{Saga: "t", Index: 1, Undo: true}, State: edda.StateSucceeded}
	check(t, w.do(e.AppendTo(nil)), "")
	check(t, w.end("-t.b", func(e *record.StepEnded) {
		e.Reply = encodeReply(&edda.Reply{Status: 409, Payload: []byte("no")})
	}), "step t.b failed; ended t compensation_failed")
	if v := w.view("t").Steps[1].Compensation; v.Error.Status != 409 || v.Error.Message != "no" || v.Error.Reason != edda.Failed || v.Attempts != 1 {
		t.Errorf("compensation is %s", toJSON(v))
	}
	check(t, w.compensation("t", "b", edda.SkipCompensation), "applied t")
	w.want("compensating a:compensating/running b:not_compensated/skipped c:compensated/succeeded d:failed", "-t.a")
	check(t, w.dies("-t.a"), "step t.a failed; ended t compensation_failed")
	check(t, w.compensation("t", "a", edda.ResolveCompensation), "applied t; ended t compensated")
	w.want("compensated a:compensated/resolved b:not_compensated/skipped c:compensated/succeeded d:failed", "")
}

// Of two failed compensations the saga waits for both.
func TestTwoCompensationsFail(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a b c:a,b"))
	w.ok("t.a", "1")
	w.ok("t.b", "2")
	w.dies("t.c")
	w.dies("-t.a")
	check(t, w.dies("-t.b"), "step t.b failed; ended t compensation_failed")
	check(t, w.compensation("t", "a", edda.SkipCompensation), "applied t")
	w.want("compensation_failed a:not_compensated/skipped b:compensating/failed c:failed", "")
	check(t, w.compensation("t", "b", edda.RetryCompensation), "applied t")
	check(t, w.ok("-t.b", ""), "step t.b succeeded; ended t compensated")
}

func TestLateAndRepeated(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a b:a"))
	check(t, w.finishStep("t", "b", "1"), "unchanged t")
	check(t, w.finishStep("t", "x", "1"), `refused NO_STEP saga "t" has no step "x"`)
	check(t, w.finishStep("x", "x", "1"), `refused NO_SAGA there is no saga "x"`)
	check(t, w.finishStep("t", "a", "{"), "refused SCHEMA the result is not a JSON value")
	check(t, w.finishStep("t", "a", `"by call"`), "applied t; step t.a succeeded")
	w.want("running a:succeeded b:running", "t.b")
	check(t, w.finishStep("t", "a", `"again"`), "unchanged t")
	for _, state := range []edda.State{edda.StateSucceeded, edda.StateDead} {
		late := record.StepEnded{Namespace: "default", Step: record.Step{Saga: "t"}, State: state, Failure: record.Failure{Reason: edda.Dead}}
		check(t, w.do(late.AppendTo(nil)), "")
	}
	for _, s := range []record.Step{{Saga: "t", Index: 2}, {Saga: "x"}, {Saga: "t", Undo: true}} {
		check(t, w.do((&record.StepEnded{Namespace: "default", Step: s, State: edda.StateSucceeded}).AppendTo(nil)), "")
	}
	if v := w.view("t"); string(v.Steps[0].Result) != `"by call"` {
		t.Errorf("saga is %s", toJSON(v))
	}
	check(t, w.finishStep("t", "b", ""), "applied t; step t.b failed")
	w.want("compensating a:compensating/running b:failed", "-t.a")
	check(t, w.finishStep("t", "a", `"again"`), "unchanged t")
	w.ok("-t.a", "")
	if v := w.view("t"); v.Steps[1].Error.Reason != edda.Failed || v.Steps[1].Error.Message != "by call" {
		t.Errorf("saga is %s", toJSON(v))
	}
}

// A step elsewhere that is finished by call has its request cancelled there.
func TestFinishedElsewhere(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a/key b:a"))
	check(t, w.finishStep("t", "a", "1"), "applied t; step t.a succeeded")
	if !w.asked("t.a").cancels {
		t.Error("the request elsewhere is not cancelled")
	}
	check(t, w.end("t.a", func(e *record.StepEnded) { e.State = edda.StateCancelled }), "")
	w.want("running a:succeeded b:running", "t.b")
}

func TestPending(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a b:a"))
	check(t, w.end("t.a", func(e *record.StepEnded) { e.Pending = true }), "")
	w.want("running a:running(pending) b:waiting", "")
	check(t, w.finishStep("t", "a", "7"), "applied t; step t.a succeeded")
	w.want("running a:succeeded b:running", "t.b")
	w.end("t.b", func(e *record.StepEnded) { e.Pending = true })
	check(t, w.finishStep("t", "b", ""), "applied t; step t.b failed")
	check(t, w.end("-t.a", func(e *record.StepEnded) { e.Pending = true }), "step t.a failed; ended t compensation_failed")
}

func TestBadResults(t *testing.T) {
	for reply, want := range map[*edda.Reply]string{
		{Payload: []byte("{")}:                    "FAILED the result is not JSON: { 200",
		{Status: 404, Payload: []byte("nothing")}: "FAILED nothing 404",
		{Status: 500, Payload: []byte{0xff}}:      "FAILED 1 bytes that are not text 500",
	} {
		w := newWorld(t)
		w.create(saga("a"))
		check(t, w.end("t.a", func(e *record.StepEnded) { e.Reply = encodeReply(reply) }), "step t.a failed; ended t compensated")
		e := w.view("t").Steps[0].Error
		check(t, string(e.Reason)+" "+e.Message+" "+toJSON(e.Status), want)
	}
}

// A step that would get too much fails without a request.
func TestInputTooLarge(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a b c:a,b"))
	half := `"` + strings.Repeat("x", edda.MaxStepInputBytes/2) + `"`
	w.ok("t.a", half)
	check(t, w.ok("t.b", half), "step t.b succeeded; step t.c failed")
	w.want("compensating a:compensating/running b:compensating/running c:failed", "-t.a -t.b")
	if e := w.view("t").Steps[2].Error; e.Reason != edda.TooLarge {
		t.Errorf("error is %s", toJSON(e))
	}
}

// What another partition tells counts once, also when it comes again.
func TestToldFromElsewhere(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a/key b:a"))
	a := w.asked("t.a")
	e := record.StepEnded{
		Namespace: "default", Step: *a.step, State: edda.StateSucceeded, Reply: encodeReply(&edda.Reply{Payload: []byte("1")}),
		Origin: record.Origin{From: 3, Number: 1}, Attempts: 2, Starts: []uint32{1},
	}
	check(t, w.do(e.AppendTo(nil)), "step t.a succeeded")
	check(t, w.do(e.AppendTo(nil)), "spare 1")
	if got := w.sides[0].box.Received(3); got != 1 {
		t.Errorf("received up to %d", got)
	}
	if v := w.view("t").Steps[0]; v.Attempts != 2 || v.Key != "key" || v.State != edda.StepSucceeded {
		t.Errorf("step is %s", toJSON(v))
	}
}

func TestDeadlineBeforeTheStart(t *testing.T) {
	w := newWorld(t)
	w.create(&edda.SagaSpec{Steps: steps("a")}, func(c *record.SagaCreated) { c.Deadline = 5000 })
	check(t, w.cancel("t", edda.DeadlineExceeded), "applied t; ended t cancelled")
	if v := w.view("t"); v.Reason != edda.DeadlineExceeded || len(w.m().Due(1<<62, 1)) != 0 {
		t.Errorf("saga is %s", toJSON(v))
	}
}

// Errors keep the beginning of a long reply, whole letters.
func TestLongErrors(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a"))
	w.end("t.a", func(e *record.StepEnded) {
		e.Reply = encodeReply(&edda.Reply{Status: 500, Payload: []byte("x" + strings.Repeat("ü", 1000))})
	})
	if got, want := w.view("t").Steps[0].Error.Message, "x"+strings.Repeat("ü", 511); got != want {
		t.Errorf("message of %d bytes: %q", len(got), got)
	}
	s, _ := w.m().Get("default", "t", w.time)
	service, method := s.Asks(0, true)
	if service != "svc" || method != "undo-a" || s.StepState(0) != edda.StepFailed {
		t.Errorf("step asks for %s %s, and is %s", service, method, s.StepState(0))
	}
}
