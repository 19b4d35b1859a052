package saga

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

func TestHammer(t *testing.T) {
	w := newWorld(t)
	check(t, w.create(&edda.SagaSpec{Name: "hammer", Steps: steps("head handle! hammer!:handle,head")}), "created t")
	w.want("created head:waiting handle:waiting hammer:waiting", "")
	check(t, w.changed(record.TypeSagaStarted, "t"), "applied t")
	check(t, w.changed(record.TypeSagaStarted, "t"), "unchanged t")
	w.want("running head:running handle:running hammer:waiting", "t.handle t.head")
	check(t, w.ok("t.head", `{"headId":1}`), "step t.head succeeded")
	w.want("running head:succeeded handle:running hammer:waiting", "t.handle")
	check(t, w.ok("t.handle", `{"handleId":2}`), "step t.handle succeeded")
	w.want("running head:succeeded handle:succeeded hammer:running", "t.hammer")
	a := w.asked("t.hammer")
	s, _ := w.m().Get(edda.DefaultNamespace, "t", w.time)
	check(t, string(a.msg.Payload), `{"args":["hammer"],"dependencies":[{"handleId":2},{"headId":1}],"sagaId":"t","stepId":"hammer","completionKey":"`+
		s.CompletionKey(2)+`"}`)
	if len(s.CompletionKey(2)) != 32 || s.CompletionKey(2) == s.CompletionKey(1) {
		t.Errorf("completion key is %q", s.CompletionKey(2))
	}
	if a.msg.Type != "do-hammer" || a.msg.To != (edda.Address{Namespace: "default", Name: "svc"}) || a.msg.CorrelationID != "t" ||
		a.msg.Principal != edda.Anonymous || a.msg.ID.Route() != uint16(Hash("default", "t")>>48) {
		t.Errorf("request is %+v", a.msg)
	}
	check(t, w.ok("t.hammer", ""), "step t.hammer succeeded; ended t succeeded")
	w.want("succeeded head:succeeded handle:succeeded hammer:succeeded", "")
	v := w.view("t")
	if string(v.Steps[2].Result) != "null" || v.StepCount != 3 || v.SucceededCount != 3 || v.StartedAt.IsZero() || v.EndedAt.IsZero() ||
		v.Steps[0].Attempts != 1 || strings.Join(v.Steps[2].After, " ") != "handle head" {
		t.Errorf("saga is %s", toJSON(v))
	}
}

func TestHammerFails(t *testing.T) {
	w := newWorld(t)
	w.create(saga("head handle! hammer!:head,handle"))
	w.ok("t.head", `{"headId":1}`)
	w.ok("t.handle", `2`)
	check(t, w.dies("t.hammer"), "step t.hammer failed")
	w.want("compensating head:compensating/running handle:not_compensated hammer:failed", "-t.head")
	check(t, string(w.asked("-t.head").msg.Payload), `{"args":[1,2],"dependencies":[{"headId":1}],"sagaId":"t","stepId":"head"}`)
	check(t, w.ok("-t.head", "not JSON"), "step t.head succeeded; ended t compensated")
	w.want("compensated head:compensated/succeeded handle:not_compensated hammer:failed", "")
	v := w.view("t")
	if v.Reason != edda.SagaStepFailed || v.Detail != `step "hammer" failed: PANIC: it broke` || v.Steps[2].Error.Reason != "PANIC" ||
		v.Steps[2].Attempts != 3 || v.SucceededCount != 2 {
		t.Errorf("saga is %s", toJSON(v))
	}
}

func TestAddSteps(t *testing.T) {
	w := newWorld(t)
	w.create(&edda.SagaSpec{Steps: steps("a")})
	check(t, w.add("t", steps("b:a c:b")...), "applied t")
	w.want("created a:waiting b:waiting c:waiting", "")
	w.changed(record.TypeSagaStarted, "t")
	w.ok("t.a", "1")
	check(t, w.add("t", steps("e:d,a d:a,e")...), `refused CYCLE step "e", or one that it depends on, waits for itself`)
	check(t, w.add("t", steps("d:x")...), `refused SCHEMA step "d" depends on "x", which is not a step of the saga`)
	check(t, w.add("t", steps("d a")...), `refused EXISTS step "a" is there already`)
	check(t, w.add("t"), `refused SCHEMA there are no steps`)
	check(t, w.add("x", steps("a")...), `refused NO_SAGA there is no saga "x"`)
	check(t, w.add("t", steps("d:a e:d,a f")...), "applied t")
	w.want("running a:succeeded b:running c:waiting d:running e:waiting f:running", "t.b t.d t.f")
	w.ok("t.d", "4")
	check(t, string(w.asked("t.e").msg.Payload[:34]), `{"args":["e"],"dependencies":[4,1]`)
	for _, step := range []string{"b", "c", "e"} {
		w.ok("t."+step, "0")
	}
	check(t, w.ok("t.f", "0"), "step t.f succeeded; ended t succeeded")
	check(t, w.add("t", steps("g")...), `refused SAGA_ENDED saga "t" is succeeded: steps can be added while it is created or running`)
}

func TestHandlerAddsSteps(t *testing.T) {
	added := func(text string) func(e *record.StepEnded) {
		return func(e *record.StepEnded) {
			for _, s := range steps(text) {
				e.Added = append(e.Added, record.AppendStepSpec(nil, &s))
			}
		}
	}
	w := newWorld(t)
	w.create(saga("a"))
	check(t, w.end("t.a", added("b:a c:b")), "step t.a succeeded")
	w.want("running a:succeeded b:running c:waiting", "t.b")
	check(t, w.end("t.b", func(e *record.StepEnded) { added("d")(e); e.Pending = true }), "")
	w.want("running a:succeeded b:running(pending) c:waiting d:running", "t.d")
	check(t, w.end("t.d", added("e:x")), "step t.d failed")
	w.want("compensating a:succeeded b:running(pending) c:skipped d:failed", "")
	if e := w.view("t").Steps[3].Error; e.Reason != edda.BadSchema || e.Message != `the steps that it adds: step "e" depends on "x", which is not a step of the saga` {
		t.Errorf("error is %s", toJSON(e))
	}
	// By now nothing is added.
	w = newWorld(t)
	w.create(saga("a b"))
	w.dies("t.b")
	check(t, w.end("t.a", added("c")), "step t.a succeeded")
	w.want("compensating a:compensating/running b:failed", "-t.a")
}

// Completion keys are what anybody makes of the secret with a library.
func TestCompletionKeysAreHMACs(t *testing.T) {
	s := &Saga{secret: [secretBytes]byte(secret), steps: []step{{id: "hotel"}, {id: strings.Repeat("x", edda.MaxNameBytes)}}}
	for i := range s.steps {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(s.steps[i].id))
		if got, want := s.CompletionKey(i), hex.EncodeToString(h.Sum(nil)[:16]); got != want {
			t.Errorf("completion key is %s, want %s", got, want)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { s.childSecret(0) }); allocs > 1 {
		t.Errorf("%v allocations", allocs)
	}
}
