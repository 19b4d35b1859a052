package bench

import (
	"context"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// leaveSagas creates sagas whose one step waits for somebody to complete it.
func leaveSagas(ctx context.Context, n *node.Node, count int) error {
	const inFlight = 1024
	spec := func() *edda.SagaSpec {
		return &edda.SagaSpec{Name: "wait", Start: true, Steps: []edda.StepSpec{{ID: "a", Task: balancedTask(methodPend)}}}
	}
	return times(count, inFlight, func(int) error {
		ack, err := n.CreateSaga(ctx, spec())
		if err != nil {
			return err
		}
		return untilPending(ctx, n, ack.ID)
	})
}

// untilPending returns once the step of a saga waits.
func untilPending(ctx context.Context, n *node.Node, id string) error {
	for {
		s, err := n.Saga(ctx, edda.DefaultNamespace, id)
		if err != nil || s.Steps[0].Pending {
			return err
		}
		sleep(ctx, time.Millisecond)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
