package saga_test

import (
	"context"

	"github.com/edda-io/edda"
)

// backend notes what it is asked, and answers what it is told to.
type backend struct {
	created *edda.SagaSpec
	asked   []any // the last call: method and arguments, without the context

	saga   *edda.Saga
	pages  map[string][]edda.Saga // by cursor; the next cursor is the id of the last
	answer *edda.StepAnswer
	err    error
}

func (b *backend) CreateSaga(_ context.Context, s *edda.SagaSpec) (*edda.SagaAck, error) {
	b.created = s
	return &edda.SagaAck{ID: "s1", State: edda.SagaRunning}, b.err
}

func (b *backend) Saga(_ context.Context, namespace, id string) (*edda.Saga, error) {
	b.asked = []any{"Saga", namespace, id}
	return b.saga, b.err
}

func (b *backend) WaitSaga(_ context.Context, namespace, id string) (*edda.Saga, error) {
	b.asked = []any{"WaitSaga", namespace, id}
	return b.saga, b.err
}

func (b *backend) Sagas(_ context.Context, f edda.SagaFilter, limit int, after string) ([]edda.Saga, string, error) {
	b.asked = []any{"Sagas", f, limit, after}
	page, more := b.pages[after]
	if !more {
		return nil, "", b.err
	}
	return page, page[len(page)-1].ID, nil
}

func (b *backend) StartSaga(_ context.Context, namespace, id string) (*edda.Saga, error) {
	b.asked = []any{"StartSaga", namespace, id}
	return b.saga, b.err
}

func (b *backend) CancelSaga(_ context.Context, namespace, id string) (*edda.Saga, error) {
	b.asked = []any{"CancelSaga", namespace, id}
	return b.saga, b.err
}

func (b *backend) AddSteps(_ context.Context, namespace, id string, steps []edda.StepSpec) (*edda.Saga, error) {
	b.asked = []any{"AddSteps", namespace, id, steps}
	return b.saga, b.err
}

func (b *backend) FinishStep(_ context.Context, namespace, id, step string, r edda.StepResult) (*edda.StepAnswer, error) {
	b.asked = []any{"FinishStep", namespace, id, step, r}
	return b.answer, b.err
}

func (b *backend) Compensate(_ context.Context, namespace, id, step string, a edda.CompensationAction) (*edda.Saga, error) {
	b.asked = []any{"Compensate", namespace, id, step, a}
	return b.saga, b.err
}

func (b *backend) PruneSagas(_ context.Context, f edda.SagaFilter) (int, error) {
	b.asked = []any{"PruneSagas", f}
	return 3, b.err
}
