package saga

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/edda-io/edda"
)

// Client starts sagas of one namespace, waits for them, and finishes their steps. It is
// immutable and safe for concurrent use. Its errors are *[edda.Error]: NoSaga for an id
// that names none, OutcomeUnknown alone says that a change may have been made. Inside a
// handler, pass the handler's context: the saga is then causally linked to the request.
// It is an effect outside of the handler's outcome all the same, so give it an
// idempotency key.
type Client struct {
	backend   edda.SagaBackend
	namespace string
	principal edda.Principal
}

// NewClient returns a client in the default namespace, as edda.Anonymous, of a node in
// this process or of a connection to one elsewhere.
func NewClient(b edda.SagaBackend) *Client {
	return &Client{backend: b, namespace: edda.DefaultNamespace, principal: edda.Anonymous}
}

// In returns the same client in another namespace.
func (c *Client) In(namespace string) *Client {
	other := *c
	other.namespace = cmp.Or(namespace, edda.DefaultNamespace)
	return &other
}

// As returns the same client for another principal, whose the sagas it makes then are. A
// node in another process takes the principal from the connection's credentials instead.
func (c *Client) As(p edda.Principal) *Client {
	other := *c
	other.principal = cmp.Or(p, edda.Anonymous)
	return &other
}

// Start makes a saga durable and starts it. Its steps then run even if nobody waits. Of
// the errors, those of the definition come first (see [Definition.Err]), then those of
// the node: BadSchema for a step that depends on one which is not there, Cycle, Exists
// for an id that is taken, IdempotencyMismatch for a key that was used for another saga.
func (c *Client) Start(ctx context.Context, d *Definition) (*edda.SagaAck, error) {
	return c.create(ctx, d, true)
}

// Create is Start for a saga that waits until StartCreated is called.
func (c *Client) Create(ctx context.Context, d *Definition) (*edda.SagaAck, error) {
	return c.create(ctx, d, false)
}

func (c *Client) create(ctx context.Context, d *Definition, start bool) (*edda.SagaAck, error) {
	spec, err := d.spec(nil)
	if err != nil {
		return nil, err
	}
	spec.Namespace, spec.Principal, spec.Start = c.namespace, c.principal, start
	if h, ok := edda.FromContext(ctx); ok {
		m := h.Message()
		spec.CorrelationID = cmp.Or(spec.CorrelationID, m.Correlation())
		spec.TraceParent, spec.TraceState = m.TraceParent, m.TraceState
	}
	return c.backend.CreateSaga(ctx, spec)
}

// StartCreated starts a saga that was created. One that has started stays as it is.
func (c *Client) StartCreated(ctx context.Context, id string) (*edda.Saga, error) {
	return c.backend.StartSaga(ctx, c.namespace, id)
}

// Saga returns what is known of a saga.
func (c *Client) Saga(ctx context.Context, id string) (*edda.Saga, error) {
	return c.backend.Saga(ctx, c.namespace, id)
}

// Wait returns what is known of a saga once it has ended, in whatever state. When ctx
// ends first the error is Timeout, and the saga goes on.
func (c *Client) Wait(ctx context.Context, id string) (*edda.Saga, error) {
	s, err := c.backend.WaitSaga(ctx, c.namespace, id)
	if err != nil {
		return nil, err
	}
	if !s.State.Ended() {
		err := fmt.Errorf("it is %s, and goes on", s.State)
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w: %w", err, cause)
		}
		return nil, &edda.Error{Op: "wait for saga " + id, Reason: edda.Timeout, Err: err}
	}
	return s, nil
}

// Sagas yields the sagas that the filter chooses, the latest first, without their steps.
// The filter's namespace is the client's. An error is the last pair.
func (c *Client) Sagas(ctx context.Context, f edda.SagaFilter) iter.Seq2[edda.Saga, error] {
	f.Namespace = c.namespace
	return func(yield func(edda.Saga, error) bool) {
		for after := ""; ; {
			page, next, err := c.backend.Sagas(ctx, f, 0, after)
			if err != nil {
				yield(edda.Saga{}, err)
				return
			}
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
			}
			if after = next; after == "" {
				return
			}
		}
	}
}

// Cancel undoes a saga: what runs is cancelled, what has succeeded is compensated. One
// that has ended, or is being undone, stays as it is.
func (c *Client) Cancel(ctx context.Context, id string) (*edda.Saga, error) {
	return c.backend.CancelSaga(ctx, c.namespace, id)
}

// AddSteps adds steps to a saga, all or none, also while it runs. They may depend on its
// steps and on each other. SagaEnded when it has ended or is being undone.
func (c *Client) AddSteps(ctx context.Context, id string, s *Steps) (*edda.Saga, error) {
	specs, err := s.all()
	if err != nil {
		return nil, err
	}
	return c.backend.AddSteps(ctx, c.namespace, id, specs)
}

// Ref names a step, and may have the right to finish it. It has a form in JSON, to
// be sent to whoever finishes the step.
type Ref struct {
	// Namespace is the client's when empty.
	Namespace string `json:"namespace,omitempty"`
	Saga      string `json:"sagaId"`
	Step      string `json:"stepId"`
	// CompletionKey is the right to finish the step, for who has no credentials. When it
	// is not empty it must be the step's, else the error is NotAllowed.
	CompletionKey string `json:"completionKey,omitempty"`
}

// StepFinished ends a running step, pending or not, with a result, which is encoded as
// JSON. The answer says whether this is what finished it. A step in any other state, one
// that was finished before among them, stays as it is, and that state is the answer's.
// NoStep when there is none.
func (c *Client) StepFinished(ctx context.Context, step Ref, result any) (*edda.StepAnswer, error) {
	b, err := json.Marshal(result)
	if err != nil {
		return nil, &edda.Error{Op: "finish step " + step.Step, Reason: edda.BadJSON, Err: fmt.Errorf("result: %w", err)}
	}
	return c.finish(ctx, step, edda.StepResult{Result: b})
}

// StepFailed ends a running step, pending or not, as failed, and with it its saga. The
// text of the cause is kept; nil has none. The answer is as for StepFinished.
func (c *Client) StepFailed(ctx context.Context, step Ref, cause error) (*edda.StepAnswer, error) {
	e := &edda.StepError{Reason: edda.Failed}
	if cause != nil {
		e.Message = cause.Error()
	}
	return c.finish(ctx, step, edda.StepResult{Error: e})
}

func (c *Client) finish(ctx context.Context, step Ref, r edda.StepResult) (*edda.StepAnswer, error) {
	r.CompletionKey = step.CompletionKey
	return c.backend.FinishStep(ctx, cmp.Or(step.Namespace, c.namespace), step.Saga, step.Step, r)
}

// RetryCompensation runs a compensation that has failed again, with its attempts counted
// anew. Any other stays as it is.
func (c *Client) RetryCompensation(ctx context.Context, id, step string) (*edda.Saga, error) {
	return c.backend.Compensate(ctx, c.namespace, id, step, edda.RetryCompensation)
}

// SkipCompensation lets the step of a compensation that has failed stand as it is, so
// that those before it are undone. Any other stays as it is.
func (c *Client) SkipCompensation(ctx context.Context, id, step string) (*edda.Saga, error) {
	return c.backend.Compensate(ctx, c.namespace, id, step, edda.SkipCompensation)
}

// ResolveCompensation says that somebody has undone the step of a compensation that has
// failed. Any other stays as it is.
func (c *Client) ResolveCompensation(ctx context.Context, id, step string) (*edda.Saga, error) {
	return c.backend.Compensate(ctx, c.namespace, id, step, edda.ResolveCompensation)
}

// Prune removes ended sagas which the filter chooses and returns their number. The
// filter's namespace is the client's. Those with a failed compensation go only when it
// names their state or id.
func (c *Client) Prune(ctx context.Context, f edda.SagaFilter) (int, error) {
	f.Namespace = c.namespace
	return c.backend.PruneSagas(ctx, f)
}

// Result waits until a saga has ended, and returns the result of one of its steps. When
// the saga did not succeed the error is an *[UndoneError], which says why; when ctx ends
// first it is Timeout; when the result does not fit T it is BadJSON.
func Result[T any](ctx context.Context, c *Client, id, step string) (T, error) {
	var v T
	s, err := c.Wait(ctx, id)
	if err != nil {
		return v, err
	}
	if s.State != edda.SagaSucceeded {
		return v, &UndoneError{Saga: s}
	}
	for i := range s.Steps {
		if s.Steps[i].ID != step {
			continue
		}
		if err := json.Unmarshal(s.Steps[i].Result, &v); err != nil {
			return v, &edda.Error{Op: "read the result of step " + step, Reason: edda.BadJSON, Err: err}
		}
		return v, nil
	}
	return v, &edda.Error{
		Op: "read the result of step " + step, Reason: edda.NoStep,
		Err: errors.New("saga " + id + " has no such step"),
	}
}
