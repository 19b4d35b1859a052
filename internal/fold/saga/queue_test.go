package saga

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// A step that is a message: what is appended, and that it then waits for somebody.
func TestQueueStep(t *testing.T) {
	w := newWorld(t)
	spec := saga("head handle@:head hammer!:handle")
	spec.CorrelationID, spec.TraceParent, spec.Principal = "story", "00-parent", "ada"
	w.create(spec)
	check(t, w.ok("t.head", `{"headId":1}`), "step t.head succeeded")
	w.want("running head:succeeded handle:running(pending) hammer:waiting", "")
	s, _ := w.m().Get(edda.DefaultNamespace, "t", w.time)
	key := s.CompletionKey(1)
	want := []sent{{Stream: "work", Shard: edda.DefaultShard, Message: edda.StreamMessage{
		ID: s.requestID(1, false, 0, s.hash).String(), Type: "do-handle", Key: "t", Source: "/v1/sagas/t", Principal: "ada",
		ReplyTo: edda.Address{Name: "done"}, ContentType: "application/json", CorrelationID: "story", TraceParent: "00-parent",
		Headers: edda.Headers{{Name: "ce-sagaid", Value: "t"}, {Name: "ce-stepid", Value: "handle"}, {Name: "ce-completionkey", Value: key}},
		Payload: []byte(`{"args":["handle"],"dependencies":[{"headId":1}],"sagaId":"t","stepId":"handle","completionKey":"` + key + `"}`),
		Time:    timeOf(w.time),
	}}}
	if diff := cmp.Diff(want, w.sides[0].sent.all); diff != "" {
		t.Errorf("want - and got +:\n%s", diff)
	}
	if st := w.view("t").Steps[1]; st.Queue == nil || st.Queue.Success != "done" || st.Attempts != 0 || st.Service != "" {
		t.Errorf("step is %s", toJSON(st))
	}
	if service, method := s.Asks(1, false); service+method != "" {
		t.Errorf("the step asks for %s of service %q", method, service)
	}
	if service, method := s.Asks(1, true); service != "svc" || method != "undo-handle" {
		t.Errorf("its compensation asks for %s of service %q", method, service)
	}
	check(t, w.finishStep("t", "handle", "2"), "applied t; step t.handle succeeded")
	check(t, w.finishStep("t", "handle", ""), "unchanged t")
	w.want("running head:succeeded handle:succeeded hammer:running", "t.hammer")
	w.dies("t.hammer")
	w.want("compensating head:succeeded handle:compensating/running hammer:failed", "-t.handle")
	w.ok("-t.handle", "")
	w.ok("-t.head", "")
	w.want("compensated head:compensated/succeeded handle:compensated/succeeded hammer:failed", "")
	if n := len(w.sides[0].sent.all); n != 1 {
		t.Errorf("%d messages, want one", n)
	}
}

// Key and shard are those of the step, the key of a nested saga's step that of its family.
func TestQueueStepPlaces(t *testing.T) {
	w := newWorld(t)
	all := steps("a@ b@")
	all[0].Key, all[0].Queue.Shard = "k", "eu"
	w.create(&edda.SagaSpec{Start: true, Steps: []edda.StepSpec{{ID: "in", Saga: &edda.SagaSpec{Steps: all}}}})
	got := w.sides[0].sent.all
	if len(got) != 2 || got[0].Message.Key != "k" || got[0].Shard != "eu" || got[1].Message.Key != "t" || got[1].Message.Source != "/v1/sagas/t~in" {
		t.Errorf("got %s", toJSON(got))
	}
	check(t, w.finishStep("t~in", "b", ""), "applied t~in; step t~in.b failed")
	check(t, w.cancel("t", edda.DeadlineExceeded), "applied t; step t~in.a cancelled; ended t~in compensated; step t.in cancelled; ended t compensated")
}

// Nothing is done about a message when its step is cancelled: whoever finishes it is late.
func TestQueueStepCancelled(t *testing.T) {
	w := newWorld(t)
	w.create(saga("a@ b"))
	check(t, w.cancel("t", edda.Cancelled), "applied t; step t.a cancelled; step t.b cancelled; ended t compensated")
	check(t, w.finishStep("t", "a", "1"), "unchanged t")
	// One that is waited for, and succeeds, is undone.
	w = newWorld(t)
	w.create(saga("a@ b"))
	w.dies("t.b")
	w.want("compensating a:running(pending) b:failed", "")
	w.finishStep("t", "a", "1")
	w.want("compensating a:compensating/running b:failed", "-t.a")
}

// What is too large is not appended, and a record has room for so much.
func TestQueueStepSizes(t *testing.T) {
	w := newWorld(t)
	all := steps("a b@:a c@:a d@:a e@:a f@:a g@:a h@:a")
	w.create(&edda.SagaSpec{Start: true, Steps: all})
	large := `"` + strings.Repeat("x", 5<<20) + `"`
	check(t, w.ok("t.a", large), "step t.a succeeded; advance t")
	check(t, w.changed(record.TypeSagaAdvanced, "t"), "applied t")
	w.want("running a:succeeded b:running(pending) c:running(pending) d:running(pending) e:running(pending) f:running(pending) "+
		"g:running(pending) h:running(pending)", "")
	w = newWorld(t)
	all = steps("a b@:a")
	all[1].Args = []json.RawMessage{json.RawMessage(large)}
	w.create(&edda.SagaSpec{Start: true, Steps: all})
	check(t, w.ok("t.a", large), "step t.a succeeded; step t.b failed")
	if n := len(w.sides[0].sent.all); n != 0 {
		t.Errorf("%d messages, want none", n)
	}
}

func TestQueueStepNamespace(t *testing.T) {
	s := &Saga{Namespace: "shop", ID: "t", steps: []step{{id: "a"}}}
	m := s.message(0, &record.StepTask{Queue: &edda.QueueSpec{Success: "done"}}, nil)
	if m.Source != "/v1/ns/shop/sagas/t" || m.ReplyTo != (edda.Address{Namespace: "shop", Name: "done"}) {
		t.Errorf("got %+v", m)
	}
}

func TestQueueRootsReserveNothing(t *testing.T) {
	c := record.NewSagaCreated(&edda.SagaSpec{ID: "t", Steps: steps("a@ b")})
	if got := Roots(c); len(got) != 1 || got[0].Index != 1 {
		t.Errorf("got %+v", got)
	}
}
