package saga

import (
	"encoding/json"
	"errors"

	"github.com/edda-io/edda"
)

// Pending is what a handler returns to leave its step running until somebody finishes
// it, with [Client.StepFinished] or otherwise. What it changed, sent and added is kept.
// It is [edda.ErrPending], and fails the attempt in a compensator and outside of sagas.
var Pending = edda.ErrPending //nolint:errname // it is no failure, and reads as what it says: return saga.Pending

// None is the type of an argument or result that is not there. As JSON it is null.
type None struct{}

// MarshalJSON returns null.
func (None) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// Context is a handler's view of the step that it runs: the [edda.Context] of the
// request, with the state of its key, and what the saga has for it. Reading is safe for
// concurrent use; adding steps is not.
type Context struct {
	*edda.Context
	in    edda.StepInput
	added Steps
}

// Handle adds a method that steps of sagas call. Arg is the type of the step's first
// argument, None for a method that takes none or reads them all with [Arg]; Result is
// the type of its result, which must have a form in JSON. An error ends the attempt, and
// is retried by the step's policy or the service's; one of [edda.Final] fails the step
// at once. Arguments and dependencies that do not fit their types fail it at once too,
// with reason SCHEMA.
//
// It panics where [edda.Service.Add] does: for a method that is there, or has a bad
// name.
func Handle[Arg, Result any](s *edda.Service, method string, fn func(ctx *Context, arg Arg) (Result, error)) {
	s.Add(edda.Method{Name: method, Handler: func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
		ctx, err := read(c, m)
		if err != nil {
			return nil, err
		}
		arg, err := first[Arg](ctx)
		if err != nil {
			return nil, err
		}
		result, err := fn(ctx, arg)
		if err != nil && !errors.Is(err, Pending) {
			return nil, err
		}
		if mistakes := ctx.addSteps(); mistakes != nil {
			return nil, mistakes
		}
		if err != nil {
			return nil, err
		}
		return reply(result)
	}})
}

// Compensator adds a method that undoes steps. Result is the type of the result that is
// undone. The arguments that CompensateWith was given are read with [Arg]. It must be
// able to run twice for one step: a crash may come between its effect and its end. An
// error is retried as in Handle; when no attempt is left, or it is final, the saga waits
// for a person.
func Compensator[Result any](s *edda.Service, method string, fn func(ctx *Context, undone Result) error) {
	s.Add(edda.Method{Name: method, Handler: func(c *edda.Context, m *edda.Message) (*edda.Reply, error) {
		ctx, err := read(c, m)
		if err != nil {
			return nil, err
		}
		undone, err := Dependency[Result](ctx, 0)
		if err != nil {
			return nil, err
		}
		return nil, fn(ctx, undone)
	}})
}

// SagaID returns the id of the saga.
func (c *Context) SagaID() string { return c.in.SagaID }

// StepID returns the id of the step, for a compensator that of the step it undoes.
func (c *Context) StepID() string { return c.in.StepID }

// Input returns all that the step was sent. The caller must not change it.
func (c *Context) Input() *edda.StepInput { return &c.in }

// AddStep adds a step to the saga, as [Steps.AddStep] does, when, and only if, the
// handler returns a result or Pending. It may depend on the step that runs
// (After(ctx.StepID())) and on any other of the saga; without dependencies it
// starts at once. When a mistake is made, the step that runs fails.
func (c *Context) AddStep(id, address, method string, args ...any) *Step {
	return c.added.AddStep(id, address, method, args...)
}

// AddQueueStep is AddStep for a step that is a message on a stream, as
// [Steps.AddQueueStep] says.
func (c *Context) AddQueueStep(id string, q edda.QueueSpec, messageType string, args ...any) *Step {
	return c.added.AddQueueStep(id, q, messageType, args...)
}

// AddSaga is AddStep for a step that is a saga of its own, as [Steps.AddSaga] says.
func (c *Context) AddSaga(id string, d *Definition) *Step { return c.added.AddSaga(id, d) }

// Ref returns what names the step, with the right to finish it: to be handed to whoever
// does, before Pending is returned. For a compensator it has no such right.
func (c *Context) Ref() Ref {
	r := Ref{Saga: c.in.SagaID, Step: c.in.StepID, CompletionKey: c.in.CompletionKey}
	if ns := c.Message().To.Namespace; ns != edda.DefaultNamespace {
		r.Namespace = ns
	}
	return r
}

// Dependencies reads the results of the steps that this one depends on into the
// variables that are pointed to, in the order in which it names them, as
// [json.Unmarshal] does. A nil skips one; those that no pointer is given for are not
// read. The error is final, and to be returned.
func (c *Context) Dependencies(into ...any) error {
	for i, v := range into {
		if v == nil {
			continue
		}
		if err := decode("dependency", c.in.Dependencies, i, v); err != nil {
			return err
		}
	}
	return nil
}

// Dependency returns the result of a step that this one depends on, counted from 0 in
// the order in which it names them; for a compensator dependency 0 is the result that it
// undoes. The error is final, and to be returned.
func Dependency[T any](ctx *Context, i int) (T, error) {
	var v T
	err := decode("dependency", ctx.in.Dependencies, i, &v)
	return v, err
}

// Arg returns an argument of the step, counted from 0, or of the compensation that runs.
// The error is final, and to be returned.
func Arg[T any](ctx *Context, i int) (T, error) {
	var v T
	err := decode("argument", ctx.in.Args, i, &v)
	return v, err
}

// addSteps hands over the steps that the handler has added. No retry mends a mistake.
func (c *Context) addSteps() error {
	specs, err := c.added.all()
	if err == nil && len(specs) > 0 {
		err = c.AddSteps(specs...)
	}
	if err != nil {
		return edda.Final("BAD_STEPS", "%v", err)
	}
	return nil
}

// read makes the handler's view of the request.
func read(c *edda.Context, m *edda.Message) (*Context, error) {
	ctx := &Context{Context: c}
	if err := json.Unmarshal(m.Payload, &ctx.in); err != nil {
		return nil, edda.Final(string(edda.BadSchema),
			`method %s is a step of sagas, and takes {"args":[...],"dependencies":[...]}: %v`, m.Type, err)
	}
	return ctx, nil
}

func first[T any](ctx *Context) (T, error) {
	var v T
	if _, none := any(v).(None); none {
		return v, nil
	}
	return Arg[T](ctx, 0)
}

// decode reads one of the values. No retry mends one that is missing or does not fit.
func decode(what string, values []json.RawMessage, i int, v any) error {
	if i < 0 || i >= len(values) {
		return edda.Final(string(edda.BadSchema), "%s %d is read, but there are %d (they count from 0)", what, i, len(values))
	}
	if err := json.Unmarshal(values[i], v); err != nil {
		return edda.Final(string(edda.BadSchema), "%s %d does not fit: %v", what, i, err)
	}
	return nil
}

func reply(result any) (*edda.Reply, error) {
	b, err := json.Marshal(result)
	if err != nil {
		return nil, edda.Final("BAD_REPLY", "result cannot be encoded as JSON: %v", err)
	}
	return &edda.Reply{ContentType: "application/json", Payload: b}, nil
}
