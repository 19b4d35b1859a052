package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
)

// Sagas go the same way whether their node and the services of their steps are in
// this process or each in one of its own.
func TestSameSagasInProcessAndRemote(t *testing.T) {
	for _, c := range sagaCases {
		t.Run(c.name, func(t *testing.T) {
			here, there := make(chan edda.StepInput, 10), make(chan edda.StepInput, 10)
			n := open(t, smithy(here))
			url := serve(t, open(t))
			host(t, url, smithy(there))
			want, got := c.play(t, n, here), c.play(t, dial(t, url, client.Options{}), there)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("what happened (-in process +remote):\n%s", diff)
			}
		})
	}
}

// smithy is a service whose methods end in the ways that a step may. What is left
// pending is told.
func smithy(pending chan<- edda.StepInput) *edda.Service {
	s := edda.NewBalanced("smithy")
	s.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		var in edda.StepInput
		if err := json.Unmarshal(m.Payload, &in); err != nil {
			return nil, edda.Final("BAD_INPUT", "%v", err)
		}
		reply := func(v any) (*edda.Reply, error) {
			b, err := json.Marshal(v)
			return &edda.Reply{ContentType: "application/json", Payload: b}, err
		}
		switch m.Type {
		case "make":
			return reply(map[string]any{"of": in.Dependencies, "with": in.Args})
		case "more":
			err := ctx.AddSteps(edda.StepSpec{ID: "added", Task: edda.Task{Service: "smithy", Method: "make"}, After: []string{in.StepID}})
			if err != nil {
				return nil, err
			}
			return reply("more")
		case "later":
			pending <- in
			return nil, edda.ErrPending
		case "refuse":
			return &edda.Reply{Status: 409, ContentType: "text/plain", Payload: []byte("no iron")}, nil
		case "mumble":
			return &edda.Reply{ContentType: "text/plain", Payload: []byte("no JSON")}, nil
		case "burn":
			return nil, edda.Final("FIRE", "the smithy burns")
		default:
			return nil, nil
		}
	})
	return s
}

// sagaPlay notes what happens.
type sagaPlay struct {
	t       *testing.T
	ctx     context.Context
	b       edda.SagaBackend
	pending <-chan edda.StepInput
	log     []string
}

type sagaCase struct {
	name string
	run  func(p *sagaPlay)
}

func (c *sagaCase) play(t *testing.T, b edda.SagaBackend, pending <-chan edda.StepInput) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p := &sagaPlay{t: t, ctx: ctx, b: b, pending: pending}
	c.run(p)
	return p.log
}

func (p *sagaPlay) notef(format string, args ...any) {
	p.log = append(p.log, fmt.Sprintf(format, args...))
}

// err notes an error by its reason and what it says of the cause.
func (p *sagaPlay) err(what string, err error) {
	why := "done"
	if e, ok := errors.AsType[*edda.Error](err); ok {
		why = string(e.Reason)
		if e.Err != nil {
			why += ": " + e.Err.Error()
		}
	} else if err != nil {
		why = err.Error()
	}
	p.notef("%s: %s", what, why)
}

// saga notes a saga and its steps.
func (p *sagaPlay) saga(what string, s *edda.Saga, err error) {
	if err != nil {
		p.err(what, err)
		return
	}
	line := fmt.Sprintf("%s: %s %s", what, s.ID, s.State)
	if s.Reason != "" {
		line += " " + string(s.Reason)
	}
	var steps []string
	for _, st := range s.Steps {
		text := st.ID + " " + string(st.State)
		if st.Result != nil {
			text += " " + string(st.Result)
		}
		if e := st.Error; e != nil {
			text += fmt.Sprintf(" %s %d %s", e.Reason, e.Status, e.Message)
		}
		if c := st.Compensation; c != nil {
			text += ", compensation " + string(c.State)
		}
		steps = append(steps, text)
	}
	p.log = append(p.log, line)
	p.log = append(p.log, steps...)
}

// create creates a saga under an id of its own.
func (p *sagaPlay) create(s *edda.SagaSpec) {
	p.t.Helper()
	ack, err := p.b.CreateSaga(p.ctx, s)
	if err != nil {
		p.err("create", err)
		return
	}
	p.notef("create: %s, joined %t", ack.ID, ack.Joined)
}

func (p *sagaPlay) wait(id string) {
	p.t.Helper()
	s, err := p.b.WaitSaga(p.ctx, "", id)
	p.saga("ended", s, err)
}

func (p *sagaPlay) finish(what, id, step string, r edda.StepResult) {
	a, err := p.b.FinishStep(p.ctx, "", id, step, r)
	if err != nil {
		p.err(what, err)
		return
	}
	p.notef("%s: applied %t, %s", what, a.Applied, a.State)
}

func smithyStep(id, method string, after ...string) edda.StepSpec {
	return edda.StepSpec{ID: id, Task: edda.Task{Service: "smithy", Method: method}, After: after}
}

func undone(s edda.StepSpec, method string) edda.StepSpec {
	s.Compensate = &edda.Task{Service: "smithy", Method: method, Retry: edda.RetryPolicy{Max: 1}}
	return s
}

func started(id string, steps ...edda.StepSpec) *edda.SagaSpec {
	return &edda.SagaSpec{ID: id, Name: "hammer", Start: true, Steps: steps}
}

var sagaCases = []sagaCase{
	{"results", func(p *sagaPlay) {
		head := smithyStep("head", "make")
		head.Args = []json.RawMessage{json.RawMessage(`"iron"`)}
		p.create(started("hammer", smithyStep("join", "make", "handle", "head"), head, smithyStep("handle", "make")))
		p.wait("hammer")
	}},
	{"failures", func(p *sagaPlay) {
		for _, method := range []string{"refuse", "mumble", "burn"} {
			p.create(started(method, undone(smithyStep("a", "undo"), "undo"), smithyStep("b", method, "a"), smithyStep("c", "make", "b")))
			p.wait(method)
		}
	}},
	{"pending", func(p *sagaPlay) {
		p.create(started("wait", smithyStep("a", "later")))
		in := recv(p.t, p.pending)
		p.finish("a wrong key", "wait", "a", edda.StepResult{CompletionKey: "x"})
		p.finish("complete", "wait", "a", edda.StepResult{Result: json.RawMessage(`[1]`), CompletionKey: in.CompletionKey})
		p.finish("again", "wait", "a", edda.StepResult{})
		p.finish("no step", "wait", "b", edda.StepResult{})
		p.finish("no saga", "none", "b", edda.StepResult{})
		p.wait("wait")
		p.create(started("fail", smithyStep("a", "later")))
		recv(p.t, p.pending)
		p.finish("fail", "fail", "a", edda.StepResult{Error: &edda.StepError{Message: "it fell"}})
		p.wait("fail")
	}},
	{"a step that is a message", func(p *sagaPlay) {
		q := &edda.QueueSpec{Stream: "work", Shard: "eu", Success: "done", Failure: "failed"}
		p.create(started("queue", undone(edda.StepSpec{ID: "a", Task: edda.Task{Key: "7", Method: "make", Args: []json.RawMessage{json.RawMessage("1")}}, Queue: q}, "melt"),
			edda.StepSpec{ID: "in", Saga: &edda.SagaSpec{Steps: []edda.StepSpec{{ID: "b", Task: edda.Task{Method: "make"}, Queue: q}}}}))
		s, err := p.b.Saga(p.ctx, "", "queue")
		p.saga("look", s, err)
		p.finish("complete", "queue", "a", edda.StepResult{})
		_, err = p.b.CancelSaga(p.ctx, "", "queue")
		p.err("cancel", err)
		p.wait("queue")
		_, err = p.b.CreateSaga(p.ctx, started("", edda.StepSpec{ID: "a", Task: edda.Task{Method: "m"}, Queue: &edda.QueueSpec{Stream: "a", Success: "b", Failure: "b"}}))
		p.err("one stream for both", err)
	}},
	{"steps added", func(p *sagaPlay) {
		p.create(&edda.SagaSpec{ID: "grow", Steps: []edda.StepSpec{smithyStep("a", "more")}})
		s, err := p.b.AddSteps(p.ctx, "", "grow", []edda.StepSpec{smithyStep("b", "make", "a", "c"), smithyStep("c", "make")})
		p.saga("add", s, err)
		_, err = p.b.AddSteps(p.ctx, "", "grow", []edda.StepSpec{smithyStep("d", "make", "none")})
		p.err("add", err)
		_, err = p.b.AddSteps(p.ctx, "", "grow", []edda.StepSpec{smithyStep("a", "make")})
		p.err("add", err)
		_, err = p.b.StartSaga(p.ctx, "", "grow")
		p.err("start", err)
		p.wait("grow")
		_, err = p.b.AddSteps(p.ctx, "", "grow", []edda.StepSpec{smithyStep("e", "make")})
		p.err("add", err)
	}},
	{"cancelled", func(p *sagaPlay) {
		p.create(&edda.SagaSpec{ID: "never", Steps: []edda.StepSpec{smithyStep("a", "make")}})
		s, err := p.b.CancelSaga(p.ctx, "", "never")
		p.saga("cancel", s, err)
		p.create(started("late", undone(smithyStep("a", "make"), "undo"), smithyStep("b", "later", "a")))
		recv(p.t, p.pending)
		_, err = p.b.CancelSaga(p.ctx, "", "late")
		p.err("cancel", err)
		p.wait("late")
	}},
	{"compensations by hand", func(p *sagaPlay) {
		p.create(started("stuck", undone(smithyStep("a", "make"), "undo"), undone(smithyStep("b", "make", "a"), "burn"), smithyStep("c", "burn", "b")))
		p.wait("stuck")
		_, err := p.b.Compensate(p.ctx, "", "stuck", "b", edda.RetryCompensation)
		p.err("retry", err)
		p.wait("stuck")
		_, err = p.b.Compensate(p.ctx, "", "stuck", "b", edda.SkipCompensation)
		p.err("skip", err)
		p.wait("stuck")
		_, err = p.b.Compensate(p.ctx, "", "stuck", "none", edda.SkipCompensation)
		p.err("no step", err)
	}},
	{"refused", func(p *sagaPlay) {
		s := started("twice", smithyStep("a", "make"))
		p.create(s)
		p.create(s)
		keyed := started("keyed", smithyStep("a", "make"))
		keyed.IdempotencyKey = "k"
		p.create(keyed)
		p.create(keyed)
		other := started("keyed", smithyStep("b", "make"))
		other.IdempotencyKey = "k"
		p.create(other)
		p.create(started("circle", smithyStep("a", "make", "b"), smithyStep("b", "make", "a")))
		p.create(started("none"))
		p.create(started("not a name", smithyStep("a", "make")))
		p.create(started("same", smithyStep("a", "make"), smithyStep("a", "make")))
		bad := smithyStep("a", "make")
		bad.Args = []json.RawMessage{json.RawMessage(`{`)}
		p.create(started("args", bad))
		p.create(&edda.SagaSpec{OnFailure: "maybe", Steps: []edda.StepSpec{smithyStep("a", "make")}})
		_, err := p.b.Saga(p.ctx, "", "none")
		p.err("get", err)
		_, err = p.b.WaitSaga(p.ctx, "", "none")
		p.err("wait", err)
	}},
	{"lists", func(p *sagaPlay) {
		for i := range 5 {
			p.create(started(fmt.Sprint("l", i), smithyStep("a", "make")))
			p.wait(fmt.Sprint("l", i))
		}
		after := ""
		for range 4 {
			page, next, err := p.b.Sagas(p.ctx, edda.SagaFilter{Name: "hammer", State: edda.SagaSucceeded}, 2, after)
			if err != nil {
				p.err("list", err)
				return
			}
			for i := range page {
				p.notef("listed: %s, %d of %d steps", page[i].ID, page[i].SucceededCount, page[i].StepCount)
			}
			if after = next; next == "" {
				break
			}
		}
		_, _, err := p.b.Sagas(p.ctx, edda.SagaFilter{State: "odd"}, 0, "")
		p.err("odd state", err)
		_, _, err = p.b.Sagas(p.ctx, edda.SagaFilter{}, 1001, "")
		p.err("large limit", err)
		_, _, err = p.b.Sagas(p.ctx, edda.SagaFilter{}, 0, "not a cursor")
		p.err("bad cursor", err)
		n, err := p.b.PruneSagas(p.ctx, edda.SagaFilter{Name: "hammer"})
		p.err(fmt.Sprint("prune ", n), err)
		n, err = p.b.PruneSagas(p.ctx, edda.SagaFilter{State: edda.SagaRunning})
		p.err(fmt.Sprint("prune what runs ", n), err)
		_, err = p.b.Saga(p.ctx, "", "l0")
		p.err("get", err)
	}},
}
