package worker_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
	"github.com/edda-io/edda/worker"
)

func ofStep(undo bool) func(*eddav1.Dispatch) {
	return func(d *eddav1.Dispatch) { d.Step = &eddav1.StepRef{SagaId: "trip", Undo: undo} }
}

// What the handler of a step asks for travels with its outcome.
func TestSteps(t *testing.T) {
	n := newFakeNode(t)
	n.run(worker.Options{}, ordered("users", func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
		if c.Step() != nil && c.Step().SagaID != "trip" {
			return nil, errors.New("the saga is " + c.Step().SagaID)
		}
		err := edda.ErrPending
		if m.Type == "reply" {
			err = nil
		}
		return edda.TextReply(200, "done"), errors.Join(c.Set("a", []byte("1")), c.AddSteps(edda.StepSpec{
			ID: "x", Task: edda.Task{Service: "cars", Method: "rent", Args: []json.RawMessage{json.RawMessage("1")}},
		}), err)
	}))
	k, _ := n.registered()
	do := func(method string, change ...func(*eddav1.Dispatch)) *eddav1.Outcome {
		t.Helper()
		k.send(dispatch(5, "users/1", method, "", change...))
		return k.outcome()
	}
	out := do("pend", ofStep(false))
	s := out.GetAddSteps()
	if !out.GetPending() || len(out.GetSet()) != 1 || len(s) != 1 || s[0].GetId() != "x" || s[0].GetTask().GetService() != "cars" ||
		string(s[0].GetTask().GetArgs()[0]) != "1" {
		t.Errorf("pending: %v", out)
	}
	if out := do("reply", ofStep(false)); string(out.GetReply().GetPayload()) != "done" || len(out.GetAddSteps()) != 1 {
		t.Errorf("a reply: %v", out)
	}
	for name, change := range map[string]func(*eddav1.Dispatch){"no step of a saga": func(*eddav1.Dispatch) {}, "its saga is being undone": ofStep(true)} {
		if out := do("reply", change); !strings.Contains(out.GetFailure().GetMessage(), name) {
			t.Errorf("%s: %v", name, out)
		}
	}
}

// A step's own attempt timeout is what progress renews.
func TestStepTimeout(t *testing.T) {
	n := newFakeNode(t)
	s := balanced("slow", func(c *edda.Context, _ *edda.Message) (*edda.Reply, error) {
		c.Progress()
		if at, _ := c.Deadline(); time.Until(at) < time.Hour {
			return nil, errors.New("the deadline is too early")
		}
		return nil, nil
	})
	n.run(worker.Options{DrainTimeout: -1}, s)
	k, _ := n.registered()
	k.send(dispatch(3, "slow", "go", "", func(d *eddav1.Dispatch) { d.AttemptTimeout = int64(2 * time.Hour) }))
	for {
		f := k.next()
		if out := f.GetOutcome(); out != nil {
			if out.GetFailure() != nil {
				t.Errorf("%v", out)
			}
			return
		}
	}
}
