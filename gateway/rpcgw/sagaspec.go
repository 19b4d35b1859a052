package rpcgw

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// sagaSpecOf reads a saga to create. The backend checks it. The message has no
// word in whose it is.
func sagaSpecOf(s *eddav1.SagaSpec) (*edda.SagaSpec, error) {
	if s == nil {
		return nil, &edda.Error{Op: "create saga", Reason: edda.BadValue, Err: errors.New("there is no saga")}
	}
	return nestedSpecOf(s), nil
}

func nestedSpecOf(s *eddav1.SagaSpec) *edda.SagaSpec {
	if s == nil {
		return nil
	}
	return &edda.SagaSpec{
		Namespace: s.GetNamespace(), ID: s.GetId(), Name: s.GetName(), Start: s.GetStart(), Deadline: timeOf(s.GetDeadline()),
		DeadlineAfter: time.Duration(s.GetDeadlineAfter()), OnFailure: edda.OnFailure(s.GetOnFailure()), Steps: stepSpecsOf(s.GetSteps()),
		IdempotencyKey: s.GetIdempotencyKey(), CorrelationID: s.GetCorrelationId(), TraceParent: s.GetTraceparent(), TraceState: s.GetTracestate(),
	}
}

// stepSpecsOf reads steps to create or add. The backend checks them.
func stepSpecsOf(steps []*eddav1.StepSpec) []edda.StepSpec {
	if len(steps) == 0 {
		return nil
	}
	out := make([]edda.StepSpec, len(steps))
	for i, s := range steps {
		out[i] = edda.StepSpec{
			ID: s.GetId(), After: s.GetAfter(), AttemptTimeout: time.Duration(s.GetAttemptTimeout()),
			Compensate: taskOf(s.GetCompensate()), Saga: nestedSpecOf(s.GetSaga()), Queue: queueOf(s.GetQueue()),
		}
		if t := taskOf(s.GetTask()); t != nil {
			out[i].Task = *t
		}
	}
	return out
}

func queueOf(q *eddav1.Queue) *edda.QueueSpec {
	if q == nil {
		return nil
	}
	return &edda.QueueSpec{Stream: q.GetStream(), Shard: q.GetShard(), Success: q.GetSuccess(), Failure: q.GetFailure()}
}

func taskOf(t *eddav1.Task) *edda.Task {
	if t == nil {
		return nil
	}
	out := &edda.Task{Service: t.GetService(), Key: t.GetKey(), Method: t.GetMethod(), Retry: retryOf(t.GetRetry())}
	for _, a := range t.GetArgs() {
		out.Args = append(out.Args, json.RawMessage(a))
	}
	return out
}

// retryOf reads a retry policy; absent it is the zero value.
func retryOf(r *eddav1.Retry) edda.RetryPolicy {
	return edda.RetryPolicy{
		Max: int(r.GetMax()), Delay: time.Duration(r.GetDelay()), MaxDelay: time.Duration(r.GetMaxDelay()),
		Backoff: r.GetBackoff(), Jitter: r.GetJitter(),
	}
}
