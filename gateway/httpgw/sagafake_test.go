package httpgw

import (
	"context"
	"slices"
	"time"

	"github.com/edda-io/edda"
)

// fakeSagas is a backend that has one saga, trip, of ada, and notes what it was
// asked. When fails is set, that is its answer to all that is no look at the saga.
type fakeSagas struct {
	asked []string // the methods, in order
	spec  *edda.SagaSpec
	steps []edda.StepSpec
	step  string
	given edda.StepResult
	what  edda.CompensationAction
	found edda.SagaFilter
	limit int
	after string
	wait  time.Duration

	fails  error
	joined bool
	gone   bool // there is no saga
	state  edda.SagaState
}

// east is somewhere that is not UTC.
var east = time.FixedZone("east", 3600)

func at(second int) time.Time { return time.Date(2026, 1, 2, 4, 4, second, 0, east) }

// trip returns the saga.
func (f *fakeSagas) trip(namespace string) *edda.Saga {
	state := f.state
	if state == "" {
		state = edda.SagaCompensating
	}
	return &edda.Saga{
		ID: "trip", Namespace: namespace, Name: "travel", State: state, Reason: edda.SagaStepFailed, OnFailure: edda.WaitForSteps,
		Principal: "ada", CorrelationID: "story", CreatedAt: at(1), StartedAt: at(2), EndedAt: at(9), Deadline: at(10),
		StepCount: 2, SucceededCount: 1,
		Steps: []edda.Step{
			{
				ID: "flight", Service: "flights", Key: "LH/1", Method: "book", State: edda.StepCompensating, Attempts: 1,
				Result: []byte(`{"seat":"1A"}`), StartedAt: at(3), EndedAt: at(4),
				Compensation: &edda.Compensation{
					Service: "flights", Method: "drop", State: edda.CompensationFailed, Attempts: 2,
					Error: &edda.StepError{Reason: edda.Dead, Message: "boom"}, StartedAt: at(5), EndedAt: at(6),
				},
			},
			{
				ID: "car", Service: "cars", Method: "rent", State: edda.StepFailed, After: []string{"flight"},
				Error: &edda.StepError{Reason: edda.Failed, Message: "none left", Status: 409}, StartedAt: at(5), EndedAt: at(6),
			},
		},
	}
}

func (f *fakeSagas) ask(method string) error {
	f.asked = append(f.asked, method)
	return f.fails
}

// does returns the saga, or how the backend fails.
func (f *fakeSagas) does(method, namespace, id string) (*edda.Saga, error) {
	if err := f.ask(method); err != nil {
		return nil, err
	}
	return f.look(namespace, id)
}

func (f *fakeSagas) look(namespace, id string) (*edda.Saga, error) {
	if f.gone || id != "trip" {
		return nil, &edda.Error{Reason: edda.NoSaga}
	}
	return f.trip(namespace), nil
}

func (f *fakeSagas) CreateSaga(_ context.Context, s *edda.SagaSpec) (*edda.SagaAck, error) {
	if err := f.ask("create"); err != nil {
		return nil, err
	}
	f.spec = s
	return &edda.SagaAck{ID: "trip", State: edda.SagaRunning, Durability: edda.Fsync, Joined: f.joined}, nil
}

func (f *fakeSagas) Saga(_ context.Context, namespace, id string) (*edda.Saga, error) {
	f.asked = append(f.asked, "show")
	return f.look(namespace, id)
}

func (f *fakeSagas) WaitSaga(ctx context.Context, namespace, id string) (*edda.Saga, error) {
	end, _ := ctx.Deadline()
	f.wait = time.Until(end).Round(time.Second)
	return f.does("wait", namespace, id)
}

func (f *fakeSagas) Sagas(_ context.Context, filter edda.SagaFilter, limit int, after string) ([]edda.Saga, string, error) {
	if filter.ID != "" {
		f.asked = append(f.asked, "glance")
		s, err := f.look(filter.Namespace, filter.ID)
		if err != nil {
			return nil, "", nil
		}
		s.Steps = nil
		return []edda.Saga{*s}, "", nil
	}
	f.found, f.limit, f.after = filter, limit, after
	if err := f.ask("list"); err != nil || after != "" {
		return nil, "", err
	}
	s := *f.trip(filter.Namespace)
	s.Steps = nil
	return []edda.Saga{s}, "more", nil
}

func (f *fakeSagas) StartSaga(_ context.Context, namespace, id string) (*edda.Saga, error) {
	return f.does("start", namespace, id)
}

func (f *fakeSagas) CancelSaga(_ context.Context, namespace, id string) (*edda.Saga, error) {
	return f.does("cancel", namespace, id)
}

func (f *fakeSagas) AddSteps(_ context.Context, namespace, id string, steps []edda.StepSpec) (*edda.Saga, error) {
	f.steps = steps
	return f.does("add", namespace, id)
}

func (f *fakeSagas) FinishStep(_ context.Context, namespace, id, step string, r edda.StepResult) (*edda.StepAnswer, error) {
	f.step, f.given = step, r
	s, err := f.does("finish", namespace, id)
	switch {
	case err != nil:
		return nil, err
	case r.CompletionKey != "" && r.CompletionKey != "k+y":
		return nil, &edda.Error{Reason: edda.NotAllowed}
	case !slices.ContainsFunc(s.Steps, func(t edda.Step) bool { return t.ID == step }):
		return nil, &edda.Error{Reason: edda.NoStep}
	}
	return &edda.StepAnswer{State: edda.StepFailed}, nil
}

func (f *fakeSagas) Compensate(_ context.Context, namespace, id, step string, a edda.CompensationAction) (*edda.Saga, error) {
	f.step, f.what = step, a
	return f.does("compensate", namespace, id)
}

func (f *fakeSagas) PruneSagas(_ context.Context, filter edda.SagaFilter) (int, error) {
	f.found = filter
	if err := f.ask("prune"); err != nil {
		return 0, err
	}
	if f.gone || filter.ID != "" && !f.trip("").State.Ended() {
		return 0, nil
	}
	return 1, nil
}
