package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// The services whose methods are the steps of sagas, balanced and ordered. Their
// methods reply with a payload, fail for good, or leave the step pending.
const (
	stepName      = "bench-step"
	keyedStepName = "bench-keyed-step"
	methodFail    = "fail"
	methodPend    = "pend"
)

func stepService(name string, kind edda.Kind) *edda.Service {
	s := edda.NewOrdered(name)
	s.Kind = kind
	result := stepPayload()
	s.HandleAny(func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		switch m.Type {
		case methodFail:
			return nil, edda.Final("FULL", "no room is left")
		case methodPend:
			return nil, edda.ErrPending
		}
		return &edda.Reply{ContentType: "application/json", Payload: result}, nil
	})
	return s
}

// stepPayload is what each step is given, and its result: a JSON value as large as
// every payload.
func stepPayload() []byte {
	b := payload()
	b[0], b[len(b)-1] = '"', '"'
	return b
}

// join is two steps side by side and a third that depends on them, each undone by
// the same service.
func join(task func(method string) edda.Task, last string) *edda.SagaSpec {
	undo := task("undo")
	return &edda.SagaSpec{Name: "join", Start: true, Steps: []edda.StepSpec{
		{ID: "a", Task: task(methodName), Compensate: &undo},
		{ID: "b", Task: task(methodName), Compensate: &undo},
		{ID: "c", Task: task(last), After: []string{"a", "b"}},
	}}
}

// balancedTask asks the balanced service.
func balancedTask(method string) edda.Task {
	return edda.Task{Service: stepName, Method: method, Args: []json.RawMessage{stepPayload()}}
}

// keyedTask asks the ordered service, for any key.
func keyedTask(method string) edda.Task {
	t := balancedTask(method)
	t.Service, t.Key = keyedStepName, keyName(rand.IntN(keyCount))
	return t
}

// openSaga readies the rows saga and saga-keyed: three steps that succeed, of a balanced
// service, or each of a key of its own.
func openSaga(task func(method string) edda.Task) opener {
	return func(ctx context.Context, e *env, _ int) (*driver, error) {
		return openSagas(ctx, e, edda.SagaSucceeded, func() *edda.SagaSpec { return join(task, methodName) })
	}
}

// openSagaChain readies the row saga-chain: four steps, one after the other, each of a key
// of its own.
func openSagaChain(ctx context.Context, e *env, _ int) (*driver, error) {
	return openSagas(ctx, e, edda.SagaSucceeded, func() *edda.SagaSpec {
		s := &edda.SagaSpec{Name: "chain", Start: true}
		for i := range 4 {
			s.Steps = append(s.Steps, edda.StepSpec{ID: string(rune('a' + i)), Task: keyedTask(methodName)})
			if i > 0 {
				s.Steps[i].After = []string{s.Steps[i-1].ID}
			}
		}
		return s
	})
}

// openSagaUndo readies the row saga-undo: the third step fails, the other two are
// undone.
func openSagaUndo(ctx context.Context, e *env, _ int) (*driver, error) {
	return openSagas(ctx, e, edda.SagaCompensated, func() *edda.SagaSpec { return join(balancedTask, methodFail) })
}

// openSagas readies a row whose operation is a saga, from its creation to its end.
func openSagas(ctx context.Context, e *env, want edda.SagaState, spec func() *edda.SagaSpec) (*driver, error) {
	return openOnNode(ctx, e, func(n *node.Node) (func(context.Context, int) error, func() error, error) {
		return func(ctx context.Context, _ int) error { return runSaga(ctx, n, spec(), want) }, nil, nil
	}, stepService(stepName, edda.Balanced), stepService(keyedStepName, edda.Ordered))
}

// runSaga creates a saga and returns once it has ended.
func runSaga(ctx context.Context, n *node.Node, spec *edda.SagaSpec, want edda.SagaState) error {
	ack, err := n.CreateSaga(ctx, spec)
	if err != nil {
		return err
	}
	s, err := n.WaitSaga(ctx, edda.DefaultNamespace, ack.ID)
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case s.State != want:
		return fmt.Errorf("saga %s is %s (%s), want %s", s.ID, s.State, s.Detail, want)
	}
	return nil
}
