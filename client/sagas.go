package client

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// sagaService is the name of the service of sagas.
const sagaService = "/edda.v1.SagaService/"

// CreateSaga makes a saga durable. See edda.SagaBackend. A spec without an
// idempotency key is given one of its own, so that it can be sent again when the
// connection breaks.
func (c *Conn) CreateSaga(ctx context.Context, s *edda.SagaSpec) (*edda.SagaAck, error) {
	const op = "create saga"
	sent := *s
	if s.IdempotencyKey == "" {
		sent.IdempotencyKey = rand.Text()
	}
	req, err := rpcconn.AppendSaga(nil, 1, &sent)
	if err != nil {
		return nil, err
	}
	b, _, err := c.tell(ctx, op, sagaService+"CreateSaga", req, true)
	if err != nil {
		return nil, err
	}
	ack, err := readSagaAck(op, b)
	if err == nil && s.IdempotencyKey == "" {
		ack.Joined = false // its own first try
	}
	return ack, err
}

// Saga returns what is known of a saga. See edda.SagaBackend.
func (c *Conn) Saga(ctx context.Context, namespace, id string) (*edda.Saga, error) {
	return c.saga(ctx, "look up saga "+id, namespace, id, 0)
}

const (
	// sagaWait is how long the node waits for the end of a saga, until it is asked
	// again.
	sagaWait = 10 * time.Minute
	// lastLook is how long a caller whose context has ended waits to hear what holds.
	lastLook = time.Second
)

// WaitSaga returns what is known of a saga once it has ended, or when ctx ends. See
// edda.SagaBackend.
func (c *Conn) WaitSaga(ctx context.Context, namespace, id string) (*edda.Saga, error) {
	op := "wait for saga " + id
	for {
		asked := time.Now()
		s, err := c.saga(ctx, op, namespace, id, sagaWait)
		switch {
		case edda.ReasonOf(err) == edda.Timeout:
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
			defer cancel()
			return c.saga(ctx, op, namespace, id, 0)
		case err != nil, s.State.Ended(), time.Since(asked) < sagaWait:
			return s, err
		}
	}
}

// saga asks for a saga, and for the rest of it when it is long.
func (c *Conn) saga(ctx context.Context, op, namespace, id string, wait time.Duration) (*edda.Saga, error) {
	s, more, err := c.sagaPage(ctx, op, namespace, id, wait, 0)
	if err != nil {
		return nil, err
	}
	return c.rest(ctx, op, namespace, s, more)
}

// sagaPage asks for a saga with its steps from the first on, as many as the node
// gives, and whether there are more.
func (c *Conn) sagaPage(ctx context.Context, op, namespace, id string, wait time.Duration, first int) (*edda.Saga, bool, error) {
	req := sagaRef(namespace, id)
	req = wire.AppendUint(req, 3, uint64(wait))
	req = wire.AppendUint(req, 4, uint64(first))
	b, err := c.ask(ctx, op, sagaService+"GetSaga", edda.ID{}, req)
	if err != nil {
		return nil, false, err
	}
	return readSaga(op, b)
}

// rest completes the steps of a saga.
func (c *Conn) rest(ctx context.Context, op, namespace string, s *edda.Saga, more bool) (*edda.Saga, error) {
	for more {
		page, again, err := c.sagaPage(ctx, op, namespace, s.ID, 0, len(s.Steps))
		if err != nil {
			return nil, err
		}
		page.Steps, more = append(s.Steps, page.Steps...), again && len(page.Steps) > 0
		s = page
	}
	return s, nil
}

// Sagas returns a page of sagas. See edda.SagaBackend.
func (c *Conn) Sagas(ctx context.Context, f edda.SagaFilter, limit int, after string) ([]edda.Saga, string, error) {
	const op = "list sagas"
	if limit < 0 {
		return nil, "", &edda.Error{Op: op, Reason: edda.BadValue, Err: fmt.Errorf("limit is %d, must be 1 to 1,000", limit)}
	}
	req := wire.AppendUint(appendFilter(nil, f), 2, uint64(limit))
	b, err := c.ask(ctx, op, sagaService+"ListSagas", edda.ID{}, wire.AppendString(req, 3, rpcconn.Text(after)))
	if err != nil {
		return nil, "", err
	}
	return readSagas(op, b)
}

// StartSaga starts a saga that was created. See edda.SagaBackend.
func (c *Conn) StartSaga(ctx context.Context, namespace, id string) (*edda.Saga, error) {
	return c.act(ctx, "start saga "+id, "StartSaga", namespace, sagaRef(namespace, id), true)
}

// CancelSaga undoes a saga. See edda.SagaBackend.
func (c *Conn) CancelSaga(ctx context.Context, namespace, id string) (*edda.Saga, error) {
	return c.act(ctx, "cancel saga "+id, "CancelSaga", namespace, sagaRef(namespace, id), true)
}

// AddSteps adds steps to a saga. See edda.SagaBackend. When the connection breaks
// before the answer the error is OutcomeUnknown: the saga then has all of them or
// none.
func (c *Conn) AddSteps(ctx context.Context, namespace, id string, steps []edda.StepSpec) (*edda.Saga, error) {
	req := sagaRef(namespace, id)
	var err error
	for i := range steps {
		if req, err = rpcconn.AppendStep(req, 3, &steps[i]); err != nil {
			return nil, err
		}
	}
	return c.act(ctx, "add steps to saga "+id, "AddSteps", namespace, req, false)
}

// Compensate acts on a compensation that has failed. See edda.SagaBackend. When the
// connection breaks before the answer to RetryCompensation the error is
// OutcomeUnknown.
func (c *Conn) Compensate(ctx context.Context, namespace, id, step string, a edda.CompensationAction) (*edda.Saga, error) {
	req := wire.AppendString(sagaRef(namespace, id), 3, rpcconn.Text(step))
	req = wire.AppendString(req, 4, rpcconn.Text(string(a)))
	return c.act(ctx, "compensate step "+step+" of saga "+id, "Compensate", namespace, req, a != edda.RetryCompensation)
}

// act makes a call that changes a saga and is answered with what then holds.
func (c *Conn) act(ctx context.Context, op, method, namespace string, req []byte, again bool) (*edda.Saga, error) {
	b, _, err := c.tell(ctx, op, sagaService+method, req, again)
	if err != nil {
		return nil, err
	}
	s, more, err := readSaga(op, b)
	if err != nil {
		return nil, err
	}
	if s, err = c.rest(ctx, op, namespace, s, more); err != nil {
		return nil, unknownTo(op, err) // it was done, but what then holds is not known
	}
	return s, nil
}

// FinishStep completes or fails a step. See edda.SagaBackend. It is sent again when
// the connection breaks; when the step is then found finished, and nobody can tell
// by whom, the error is OutcomeUnknown.
func (c *Conn) FinishStep(ctx context.Context, namespace, id, step string, r edda.StepResult) (*edda.StepAnswer, error) {
	op := "finish step " + step + " of saga " + id
	b, repeated, err := c.tell(ctx, op, sagaService+"FinishStep", finishRequest(namespace, id, step, r), true)
	if err != nil {
		return nil, err
	}
	a, err := readStepAnswer(op, b)
	if err == nil && repeated && !a.Applied {
		return nil, &edda.Error{Op: op, Reason: edda.OutcomeUnknown,
			Err: fmt.Errorf("the connection broke, and the step is %s now; whether by this call is not known", a.State)}
	}
	return a, err
}

// PruneSagas removes sagas that have ended. See edda.SagaBackend. When the connection
// breaks before the answer the error is OutcomeUnknown; a second time does no harm.
func (c *Conn) PruneSagas(ctx context.Context, f edda.SagaFilter) (int, error) {
	const op = "prune sagas"
	b, _, err := c.tell(ctx, op, sagaService+"PruneSagas", appendFilter(nil, f), false)
	if err != nil {
		return 0, err
	}
	return readRemoved(op, b)
}
