package node

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/sagaid"
)

// AddSteps adds steps to a saga. See edda.SagaBackend.
func (n *Node) AddSteps(ctx context.Context, namespace, id string, steps []edda.StepSpec) (*edda.Saga, error) {
	op := "add steps to saga " + id
	ref, err := sagaid.Ref(namespace, id)
	if err != nil {
		return nil, err
	}
	for i := range steps {
		if err := steps[i].Validate(); err != nil {
			return nil, err
		}
	}
	if sagafold.Depth(id)+depth(steps) > edda.MaxSagaDepth {
		return nil, &edda.Error{Op: op, Reason: edda.TooLarge, Err: fmt.Errorf("sagas would be nested deeper than %d", edda.MaxSagaDepth)}
	}
	if err := n.checkTasks(op, ref.Namespace, steps); err != nil {
		return nil, err
	}
	added := record.SagaStepsAdded{Namespace: ref.Namespace, ID: id, Steps: record.EncodeSteps(steps)}
	rec := added.AppendTo(nil)
	if len(rec) > edda.MaxSagaBytes {
		return nil, sagaTooLarge(op, len(rec))
	}
	if err := n.readQueues(ctx, op, ref.Namespace, steps); err != nil {
		return nil, err
	}
	return n.changeAndSee(ctx, op, ref, len(rec), false, func(*partition, *sagafold.Saga, *sagaPart) ([]byte, error) { return rec, nil })
}

// depth returns how deep sagas are nested in steps: 0 when all are requests.
func depth(steps []edda.StepSpec) (most int) {
	for i := range steps {
		if s := steps[i].Saga; s != nil {
			most = max(most, 1+depth(s.Steps))
		}
	}
	return most
}

// FinishStep completes or fails a running step. See edda.SagaBackend.
func (n *Node) FinishStep(ctx context.Context, namespace, id, step string, r edda.StepResult) (*edda.StepAnswer, error) {
	op := fmt.Sprintf("finish step %s of saga %s", step, id)
	ref, err := sagaid.Ref(namespace, id)
	if err != nil {
		return nil, err
	}
	finished := record.StepFinished{Namespace: ref.Namespace, ID: id, Step: step, Result: r.Result, Error: r.Error}
	if err := n.checkResult(op, &finished); err != nil {
		return nil, err
	}
	answer := &edda.StepAnswer{} // of the partition's goroutine until the change is done, like full
	var full error
	index := 0
	c := &sagaChange{op: op, saga: ref, bytes: len(r.Result) + 1}
	c.make = func(p *partition, part *sagaPart) ([]byte, error) {
		s, err := p.findSaga(op, ref)
		if err != nil {
			return nil, err
		}
		i, ok := s.StepIndex(step)
		if !ok {
			return nil, noStep(op, step)
		}
		index = i
		if k := r.CompletionKey; k != "" && subtle.ConstantTimeCompare([]byte(k), []byte(s.CompletionKey(i))) == 0 {
			return nil, &edda.Error{Op: op, Reason: edda.NotAllowed, Err: errors.New("the completion key is not the step's")}
		}
		if answer.State = s.StepState(i); answer.State != edda.StepRunning {
			return nil, nil
		}
		p.ending(part, stepRef{saga: ref, index: uint32(i)}, finished.Error == nil)
		finished.Starts = part.slots.indexes()
		return finished.AppendTo(nil), nil
	}
	c.applied = func(e *sagafold.Effect) {
		switch {
		case e.Kind == sagafold.Refused:
			full = refused(op, e)
		case e.Kind != sagafold.Applied && e.Kind != sagafold.Unchanged:
		case e.Saga.Ref() == ref && e.Step == index:
			answer.Applied, answer.State = e.Kind == sagafold.Applied, e.Saga.StepState(index)
		}
	}
	if err := n.change(ctx, c); err != nil {
		return nil, err
	}
	if full != nil {
		return nil, full
	}
	return answer, nil
}

// checkResult refuses a result that is no JSON, or too large.
func (n *Node) checkResult(op string, s *record.StepFinished) error {
	most := n.opts.Limits.PayloadBytes
	switch {
	case s.Error != nil:
		e := *s.Error
		if e.Reason == "" {
			e.Reason = edda.Failed
		}
		if err := edda.CheckName("reason", string(e.Reason)); err != nil {
			return err
		}
		e.Message = clipText(e.Message)
		s.Error, s.Result = &e, nil
	case len(s.Result) > most:
		return &edda.Error{Op: op, Reason: edda.TooLarge, Err: fmt.Errorf("the result has %d bytes, at most %d are allowed", len(s.Result), most)}
	case s.Result != nil && !json.Valid(s.Result):
		return &edda.Error{Op: op, Reason: edda.BadSchema, Err: errors.New("the result is not a JSON value")}
	}
	return nil
}

func noStep(op, step string) *edda.Error {
	return &edda.Error{Op: op, Reason: edda.NoStep, Err: fmt.Errorf("the saga has no step %q", step)}
}

// Compensate acts on a compensation that has failed. See edda.SagaBackend.
func (n *Node) Compensate(ctx context.Context, namespace, id, step string, a edda.CompensationAction) (*edda.Saga, error) {
	op := fmt.Sprintf("%s the compensation of step %s of saga %s", a, step, id)
	ref, err := sagaid.Ref(namespace, id)
	if err != nil {
		return nil, err
	}
	switch a {
	case edda.RetryCompensation, edda.SkipCompensation, edda.ResolveCompensation:
	default:
		return nil, &edda.Error{Op: op, Reason: edda.BadValue, Err: fmt.Errorf("action %q is none of retry, skip and resolve", a)}
	}
	return n.changeAndSee(ctx, op, ref, 0, true, func(_ *partition, s *sagafold.Saga, _ *sagaPart) ([]byte, error) {
		if _, ok := s.StepIndex(step); !ok {
			return nil, noStep(op, step)
		}
		rec := record.CompensationChanged{Namespace: ref.Namespace, ID: id, Step: step, Action: a}
		return rec.AppendTo(nil), nil
	})
}
