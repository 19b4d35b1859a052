package client_test

import (
	"context"
	"sync"

	"google.golang.org/protobuf/proto"

	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// fakeSagas are the sagas of a fakeNode. A test sets what they answer.
type fakeSagas struct {
	eddav1.UnimplementedSagaServiceServer

	mu     sync.Mutex      // guards what follows
	asked  []proto.Message // all requests so far
	answer func(ctx context.Context, r proto.Message, times int) (proto.Message, error)
}

// onSagas sets the answer to a request; times counts the requests so far.
func (f *fakeSagas) onSagas(answer func(ctx context.Context, r proto.Message, times int) (proto.Message, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked, f.answer = nil, answer
}

// requests returns what was asked so far.
func (f *fakeSagas) requests() []proto.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]proto.Message(nil), f.asked...)
}

// answered answers a request.
func answered[T proto.Message](ctx context.Context, f *fakeSagas, r proto.Message) (T, error) {
	f.mu.Lock()
	f.asked = append(f.asked, r)
	answer, times := f.answer, len(f.asked)
	f.mu.Unlock()
	var none T
	m, err := answer(ctx, r, times)
	if err != nil {
		return none, err
	}
	return m.(T), nil
}

func (f *fakeSagas) CreateSaga(ctx context.Context, r *eddav1.CreateSagaRequest) (*eddav1.SagaAck, error) {
	return answered[*eddav1.SagaAck](ctx, f, r)
}

func (f *fakeSagas) GetSaga(ctx context.Context, r *eddav1.GetSagaRequest) (*eddav1.Saga, error) {
	return answered[*eddav1.Saga](ctx, f, r)
}

func (f *fakeSagas) ListSagas(ctx context.Context, r *eddav1.ListSagasRequest) (*eddav1.ListSagasResponse, error) {
	return answered[*eddav1.ListSagasResponse](ctx, f, r)
}

func (f *fakeSagas) StartSaga(ctx context.Context, r *eddav1.SagaRef) (*eddav1.Saga, error) {
	return answered[*eddav1.Saga](ctx, f, r)
}

func (f *fakeSagas) CancelSaga(ctx context.Context, r *eddav1.SagaRef) (*eddav1.Saga, error) {
	return answered[*eddav1.Saga](ctx, f, r)
}

func (f *fakeSagas) AddSteps(ctx context.Context, r *eddav1.AddStepsRequest) (*eddav1.Saga, error) {
	return answered[*eddav1.Saga](ctx, f, r)
}

func (f *fakeSagas) FinishStep(ctx context.Context, r *eddav1.FinishStepRequest) (*eddav1.StepAnswer, error) {
	return answered[*eddav1.StepAnswer](ctx, f, r)
}

func (f *fakeSagas) Compensate(ctx context.Context, r *eddav1.CompensateRequest) (*eddav1.Saga, error) {
	return answered[*eddav1.Saga](ctx, f, r)
}

func (f *fakeSagas) PruneSagas(ctx context.Context, r *eddav1.PruneSagasRequest) (*eddav1.PruneSagasResponse, error) {
	return answered[*eddav1.PruneSagasResponse](ctx, f, r)
}
