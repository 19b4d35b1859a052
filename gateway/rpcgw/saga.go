package rpcgw

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// maxSagaWait is how long a call waits for the end of a saga at most.
const maxSagaWait = 10 * time.Minute

func badSagaValue(op, format string, args ...any) error {
	return &edda.Error{Op: op, Reason: edda.BadValue, Err: fmt.Errorf(format, args...)}
}

// CreateSaga makes a saga durable.
func (g *Gateway) CreateSaga(ctx context.Context, r *eddav1.CreateSagaRequest) (*eddav1.SagaAck, error) {
	s, err := sagaSpecOf(r.GetSaga())
	if err != nil {
		return nil, err
	}
	grant := grantOf(ctx)
	if err := grant.CheckSteps(s.Namespace, s.Steps); err != nil {
		return nil, err
	}
	s.Principal = grant.Principal
	ctx, ended := g.trace(ctx, eddav1.SagaService_CreateSaga_FullMethodName, &s.TraceParent, &s.TraceState, attribute.String("edda.namespace", s.Namespace))
	ack, err := g.sagas.CreateSaga(ctx, s)
	ended(err)
	if err != nil {
		return nil, err
	}
	return &eddav1.SagaAck{Id: ack.ID, State: string(ack.State), Durability: string(ack.Durability), Joined: ack.Joined}, nil
}

// GetSaga returns what is known of a saga.
func (g *Gateway) GetSaga(ctx context.Context, r *eddav1.GetSagaRequest) (*eddav1.Saga, error) {
	wait := time.Duration(r.GetWait())
	if wait < 0 || wait > maxSagaWait {
		return nil, badSagaValue("get saga "+r.GetId(), "wait is %v, must be 0 to %v", wait, maxSagaWait)
	}
	s, err := g.sagas.Saga(ctx, r.GetNamespace(), r.GetId())
	if err != nil {
		return nil, err
	}
	if err := grantOf(ctx).CheckSaga(s); err != nil {
		return nil, err
	}
	if wait > 0 && !s.State.Ended() {
		ctx, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		if s, err = g.sagas.WaitSaga(ctx, r.GetNamespace(), r.GetId()); err != nil {
			return nil, err
		}
	}
	return sagaView(s, int(r.GetFirstStep())), nil
}

// ListSagas returns a page of the sagas that the caller may see.
func (g *Gateway) ListSagas(ctx context.Context, r *eddav1.ListSagasRequest) (*eddav1.ListSagasResponse, error) {
	f, err := grantOf(ctx).VisibleSagas(filterOf(r.GetFilter()))
	if err != nil {
		return nil, err
	}
	page, next, err := g.sagas.Sagas(ctx, f, int(r.GetLimit()), r.GetAfter())
	if err != nil {
		return nil, err
	}
	out := &eddav1.ListSagasResponse{Sagas: make([]*eddav1.Saga, len(page)), Next: next}
	for i := range page {
		out.Sagas[i] = sagaView(&page[i], 0)
	}
	return out, nil
}

// checkSaga returns an error unless the caller may act on a saga. Who may act on all
// need not be asked whose it is.
func (g *Gateway) checkSaga(ctx context.Context, namespace, id string) error {
	grant := grantOf(ctx)
	if grant.Manage {
		return nil
	}
	s, err := g.sagaAlone(ctx, namespace, id)
	if err != nil {
		return err
	}
	return grant.CheckSaga(s)
}

// sagaAlone returns a saga without its steps, which may be many.
func (g *Gateway) sagaAlone(ctx context.Context, namespace, id string) (*edda.Saga, error) {
	if id == "" { // which would be any
		return g.sagas.Saga(ctx, namespace, id)
	}
	found, _, err := g.sagas.Sagas(ctx, edda.SagaFilter{Namespace: namespace, ID: id}, 1, "")
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return g.sagas.Saga(ctx, namespace, id) // which says so
	}
	return &found[0], nil
}

// mayFinish returns an error unless the caller may finish a step without its
// completion key.
func (g *Gateway) mayFinish(ctx context.Context, namespace, id, step string) error {
	grant := grantOf(ctx)
	if len(grant.Host) == 0 || grant.Manage {
		return g.checkSaga(ctx, namespace, id)
	}
	s, err := g.sagaAlone(ctx, namespace, id)
	if err != nil {
		return err
	}
	if grant.CheckSaga(s) == nil {
		return nil
	}
	if s, err = g.sagas.Saga(ctx, namespace, id); err != nil {
		return err
	}
	return grant.CheckFinish(s, step)
}

// StartSaga starts a saga that was created.
func (g *Gateway) StartSaga(ctx context.Context, r *eddav1.SagaRef) (*eddav1.Saga, error) {
	if err := g.checkSaga(ctx, r.GetNamespace(), r.GetId()); err != nil {
		return nil, err
	}
	return viewOf(g.sagas.StartSaga(ctx, r.GetNamespace(), r.GetId()))
}

// CancelSaga undoes a saga.
func (g *Gateway) CancelSaga(ctx context.Context, r *eddav1.SagaRef) (*eddav1.Saga, error) {
	if err := g.checkSaga(ctx, r.GetNamespace(), r.GetId()); err != nil {
		return nil, err
	}
	return viewOf(g.sagas.CancelSaga(ctx, r.GetNamespace(), r.GetId()))
}

// AddSteps adds steps to a saga.
func (g *Gateway) AddSteps(ctx context.Context, r *eddav1.AddStepsRequest) (*eddav1.Saga, error) {
	steps := stepSpecsOf(r.GetSteps())
	if err := grantOf(ctx).CheckSteps(r.GetNamespace(), steps); err != nil {
		return nil, err
	}
	if err := g.checkSaga(ctx, r.GetNamespace(), r.GetId()); err != nil {
		return nil, err
	}
	return viewOf(g.sagas.AddSteps(ctx, r.GetNamespace(), r.GetId(), steps))
}

// FinishStep completes or fails a step.
func (g *Gateway) FinishStep(ctx context.Context, r *eddav1.FinishStepRequest) (*eddav1.StepAnswer, error) {
	result, err := stepResultOf(r)
	if err != nil {
		return nil, err
	}
	if result.CompletionKey == "" {
		if err := g.mayFinish(ctx, r.GetNamespace(), r.GetId(), r.GetStep()); err != nil {
			return nil, err
		}
	}
	answer, err := g.sagas.FinishStep(ctx, r.GetNamespace(), r.GetId(), r.GetStep(), result)
	if err != nil {
		return nil, err
	}
	return &eddav1.StepAnswer{Applied: answer.Applied, State: string(answer.State)}, nil
}

// stepResultOf reads what a step is finished with. The backend checks it.
func stepResultOf(r *eddav1.FinishStepRequest) (edda.StepResult, error) {
	out := edda.StepResult{CompletionKey: r.GetCompletionKey()}
	switch o := r.GetOutcome().(type) {
	case *eddav1.FinishStepRequest_Result:
		if len(o.Result) > 0 {
			out.Result = json.RawMessage(o.Result)
		}
	case *eddav1.FinishStepRequest_Error:
		out.Error = &edda.StepError{
			Reason: edda.Reason(o.Error.GetReason()), Message: o.Error.GetMessage(), Status: int(o.Error.GetStatus()),
		}
	default:
		return out, badSagaValue("finish step "+r.GetStep(), "there is neither a result nor an error")
	}
	return out, nil
}

// Compensate acts on a compensation that has failed.
func (g *Gateway) Compensate(ctx context.Context, r *eddav1.CompensateRequest) (*eddav1.Saga, error) {
	if err := grantOf(ctx).CheckManage(); err != nil {
		return nil, err
	}
	switch a := edda.CompensationAction(r.GetAction()); a {
	case edda.RetryCompensation, edda.SkipCompensation, edda.ResolveCompensation:
		return viewOf(g.sagas.Compensate(ctx, r.GetNamespace(), r.GetId(), r.GetStep(), a))
	default:
		return nil, badSagaValue("compensate step "+r.GetStep(), "action is %q, must be retry, skip or resolve", r.GetAction())
	}
}

// PruneSagas removes sagas that have ended.
func (g *Gateway) PruneSagas(ctx context.Context, r *eddav1.PruneSagasRequest) (*eddav1.PruneSagasResponse, error) {
	if err := grantOf(ctx).CheckManage(); err != nil {
		return nil, err
	}
	n, err := g.sagas.PruneSagas(ctx, filterOf(r.GetFilter()))
	if err != nil {
		return nil, err
	}
	return &eddav1.PruneSagasResponse{Removed: uint64(n)}, nil
}

func filterOf(f *eddav1.SagaFilter) edda.SagaFilter {
	return edda.SagaFilter{
		Namespace: f.GetNamespace(), ID: f.GetId(), Name: f.GetName(), State: edda.SagaState(f.GetState()), Principal: edda.Principal(f.GetPrincipal()),
		Since: timeOf(f.GetSince()), Until: timeOf(f.GetUntil()),
	}
}
