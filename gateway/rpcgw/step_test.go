package rpcgw_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// A worker is told of which saga an attempt is a step, leaves it pending, adds a step,
// and undoes it.
func TestStepOfASaga(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s := serve(t, options{})
	w := s.join(t, "w1", ordered("flights"))
	step := edda.StepSpec{
		ID: "fly", Task: edda.Task{Service: "flights", Key: "1", Method: "book"}, AttemptTimeout: time.Hour,
		Compensate: &edda.Task{Service: "flights", Key: "1", Method: "cancel"},
	}
	if _, err := s.node.CreateSaga(ctx, &edda.SagaSpec{ID: "trip", Start: true, Steps: []edda.StepSpec{step}}); err != nil {
		t.Fatal(err)
	}
	d := w.dispatch()
	if r := d.GetStep(); r.GetSagaId() != "trip" || r.GetUndo() || d.GetAttemptTimeout() != int64(time.Hour) || d.GetMessage().GetType() != "book" {
		t.Errorf("dispatched is %v", d)
	}
	w.send(outcome(&eddav1.Outcome{
		AttemptId: d.GetAttemptId(), Result: &eddav1.Outcome_Pending{Pending: true}, Set: []*eddav1.StateEntry{{Name: "a", Value: []byte("1")}},
		AddSteps: []*eddav1.StepSpec{{Id: "seat", Task: &eddav1.Task{Service: "flights", Key: "1", Method: "seat"}, After: []string{"fly"}}},
	}))
	for { // the outcome is not answered
		v, err := s.node.Saga(ctx, "", "trip")
		if err != nil {
			t.Fatal(err)
		}
		if len(v.Steps) == 2 {
			if !v.Steps[0].Pending || v.Steps[1].State != edda.StepWaiting {
				t.Errorf("got %+v", v.Steps)
			}
			break
		}
	}
	if a, err := s.node.FinishStep(ctx, "", "trip", "fly", edda.StepResult{Result: json.RawMessage(`7`)}); err != nil || !a.Applied {
		t.Fatalf("got %+v, %v", a, err)
	}
	d = w.dispatch()
	if d.GetMessage().GetType() != "seat" || stateText(d.GetState()) != "a=1" || d.GetAttemptTimeout() != 0 {
		t.Errorf("dispatched is %v", d)
	}
	failed := fails(&eddav1.Failure{Message: "full", Final: true})
	failed.AttemptId = d.GetAttemptId()
	w.send(outcome(failed))
	d = w.dispatch()
	if !d.GetStep().GetUndo() || d.GetMessage().GetType() != "cancel" {
		t.Errorf("dispatched is %v", d)
	}
	w.send(reply(d.GetAttemptId(), "null"))
	v, err := s.node.WaitSaga(ctx, "", "trip")
	if err != nil || v.State != edda.SagaCompensated || v.Steps[0].State != edda.StepCompensated {
		t.Errorf("got %+v, %v", v, err)
	}
}
