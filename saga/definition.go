package saga

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/edda-io/edda"
)

// Definition is a saga to be started: its steps, and what holds for all of them. The
// zero value has no steps. Starting it does not change it, so that it may be started
// again, as another saga, unless it has an ID or an idempotency key.
type Definition struct {
	// ID names the saga within its namespace, like a service. When empty the node makes
	// one.
	ID string
	// Name says what kind of saga it is, in lists and metrics: a name like a service's,
	// or empty.
	Name string
	// IdempotencyKey makes a repeated Start answer with the first one's saga. Its scope
	// is namespace and principal, and the ID when there is one.
	IdempotencyKey string
	// Deadline is when a saga that has not ended is undone; DeadlineAfter the same,
	// counted from its creation. At most one of the two may be set; zero means none.
	Deadline      time.Time
	DeadlineAfter time.Duration
	// OnFailure says what happens to steps that run when another one fails. Empty means
	// edda.WaitForSteps.
	OnFailure edda.OnFailure
	// CorrelationID is that of the steps' requests. When empty it is that of the request
	// whose handler starts the saga, else the saga's id.
	CorrelationID string
	// Steps are the saga's.
	Steps
}

// New returns a saga of that name without steps.
func New(name string) *Definition { return &Definition{Name: name} }

// Steps are steps to be created with a saga, or to be added to one. The zero value is
// empty.
type Steps struct {
	list []*Step
	ids  map[string]bool
	errs []error
}

// Step is a step that is being defined. Changes after its saga was started, or it was
// added to one, have no effect.
type Step struct {
	// Retry is used instead of the service's policy, unless it is zero.
	Retry edda.RetryPolicy
	// AttemptTimeout is how long an attempt may take. Zero means the service's.
	AttemptTimeout time.Duration
	// CompensationRetry is Retry for what CompensateWith names.
	CompensationRetry edda.RetryPolicy
	// Key is that of the message of a step from AddQueueStep; the saga's id when empty. Of
	// other steps it stands in the address.
	Key string

	id         string
	in         *Steps
	task       edda.Task
	after      []string
	compensate *edda.Task
	saga       *Definition
	queue      *edda.QueueSpec
}

// AddStep adds a step that calls a method of an address: "smithy" for a balanced
// service, "users/42" for a key of an ordered one. The id names the step within its
// saga, like a service. Args are encoded as JSON, at once.
func (s *Steps) AddStep(id, address, method string, args ...any) *Step {
	step := s.add(id)
	step.task = step.taskOf("", address, method, args)
	return step
}

// AddQueueStep adds a step that is a message of the type on q.Stream. Whoever takes it from
// there finishes the step by a message on q.Success, whose data is the result, or on
// q.Failure; docs/sagas-queue.md says what they look like. The step has no Retry and no
// AttemptTimeout: it waits until somebody answers, or the saga's deadline.
func (s *Steps) AddQueueStep(id string, q edda.QueueSpec, messageType string, args ...any) *Step {
	step := s.add(id)
	step.queue = &q
	step.task.Method = messageType
	step.encode("", args, &step.task)
	return step
}

// AddSaga adds a step that is a saga of its own. It starts when the step would,
// succeeds, fails and is undone with it, and its result is an object with the results of
// those of its steps that no other depends on, by their ids. The definition may have no
// ID, idempotency key or correlation id. Its saga has the id of the outer one, a tilde,
// and the step's.
func (s *Steps) AddSaga(id string, d *Definition) *Step {
	step := s.add(id)
	if d == nil {
		step.fail(edda.BadValue, errors.New("its saga is nil"))
		return step
	}
	step.saga = d
	return step
}

func (s *Steps) add(id string) *Step {
	step := &Step{id: id, in: s}
	if s.ids[id] {
		step.fail(edda.Exists, errors.New("the id is used twice"))
	}
	if s.ids == nil {
		s.ids = map[string]bool{}
	}
	s.ids[id] = true
	s.list = append(s.list, step)
	return step
}

// ID returns the step's id.
func (s *Step) ID() string { return s.id }

// DependsOn says that the step starts when these have succeeded, and is sent their
// results in this order. Further calls add to it. It returns the step.
func (s *Step) DependsOn(steps ...*Step) *Step {
	for _, d := range steps {
		if d == nil {
			s.fail(edda.BadValue, errors.New("it depends on a step that is nil"))
			continue
		}
		s.after = append(s.after, d.id)
	}
	return s
}

// After is DependsOn for steps of which the ids are known: those that the saga has
// already.
func (s *Step) After(ids ...string) *Step {
	s.after = append(s.after, ids...)
	return s
}

// CompensateWith says what undoes the step. The method is sent the step's result as its
// only dependency, and the args. A step has one compensation at most. It returns the
// step.
func (s *Step) CompensateWith(address, method string, args ...any) *Step {
	if s.compensate != nil {
		s.fail(edda.BadValue, errors.New("it has two compensations"))
	}
	t := s.taskOf("compensation: ", address, method, args)
	s.compensate = &t
	return s
}

// taskOf reads what is called; part says which part of the step it is.
func (s *Step) taskOf(part, address, method string, args []any) edda.Task {
	t := edda.Task{Method: method}
	a, err := edda.ParseAddress(address)
	if err != nil {
		s.fail(edda.BadName, fmt.Errorf("%s%w", part, err))
	}
	t.Service, t.Key = a.Name, a.Key
	s.encode(part, args, &t)
	return t
}

// encode encodes the arguments of a task.
func (s *Step) encode(part string, args []any, t *edda.Task) {
	for i, v := range args {
		b, err := json.Marshal(v)
		if err != nil {
			s.fail(edda.BadJSON, fmt.Errorf("%sargument %d: %w", part, i, err))
		}
		t.Args = append(t.Args, b)
	}
}

// fail notes a mistake of the definition.
func (s *Step) fail(reason edda.Reason, err error) {
	s.in.errs = append(s.in.errs, s.mistake(reason, err))
}

func (s *Step) mistake(reason edda.Reason, err error) error {
	return &edda.Error{Op: "define step " + s.id, Reason: reason, Err: err}
}

// Err returns what is wrong with the definition as far as that is known without a node:
// an address or argument that is none, a step id used twice. Start returns it too. The
// reason is that of the first mistake; the text has them all.
func (d *Definition) Err() error {
	_, err := d.spec(nil)
	return err
}

// spec returns the saga as a backend takes it. Outer are the definitions that this one
// is in.
func (d *Definition) spec(outer []*Definition) (*edda.SagaSpec, error) {
	if d == nil {
		return nil, &edda.Error{Op: "define saga", Reason: edda.BadValue, Err: errors.New("the definition is nil")}
	}
	steps, errs := d.specs(append(outer, d))
	if len(errs) > 0 {
		op := "define saga"
		if d.Name != "" {
			op += " " + d.Name
		}
		return nil, mistakes(op, errs)
	}
	return &edda.SagaSpec{
		ID: d.ID, Name: d.Name, IdempotencyKey: d.IdempotencyKey, CorrelationID: d.CorrelationID,
		Deadline: d.Deadline, DeadlineAfter: d.DeadlineAfter, OnFailure: d.OnFailure, Steps: steps,
	}, nil
}

// all returns the steps as a backend takes them, for a saga that is there.
func (s *Steps) all() ([]edda.StepSpec, error) {
	if s == nil {
		return nil, nil
	}
	specs, errs := s.specs(nil)
	if len(errs) > 0 {
		return nil, mistakes("define steps", errs)
	}
	return specs, nil
}

// mistakes makes one error of them. Its reason is that of the first.
func mistakes(op string, errs []error) error {
	return &edda.Error{Op: op, Reason: edda.ReasonOf(errs[0]), Err: errors.Join(errs...)}
}

// specs returns the steps as a backend takes them, and what is wrong with them.
func (s *Steps) specs(outer []*Definition) ([]edda.StepSpec, []error) {
	errs := slices.Clone(s.errs)
	specs := make([]edda.StepSpec, 0, len(s.list))
	for _, step := range s.list {
		spec, err := step.spec(outer)
		if err != nil {
			errs = append(errs, err)
		}
		specs = append(specs, spec)
	}
	return specs, errs
}

func (s *Step) spec(outer []*Definition) (edda.StepSpec, error) {
	spec := edda.StepSpec{ID: s.id, Task: s.task, After: slices.Clone(s.after), AttemptTimeout: s.AttemptTimeout}
	spec.Args = slices.Clone(s.task.Args)
	spec.Retry = s.Retry
	switch {
	case s.queue != nil:
		spec.Queue, spec.Key = new(*s.queue), s.Key
	case s.Key != "":
		return spec, s.mistake(edda.BadValue, errors.New("it has a Key, which is for a message; that of a service stands in the address"))
	}
	if s.compensate == nil && s.CompensationRetry != (edda.RetryPolicy{}) {
		return spec, s.mistake(edda.BadValue, errors.New("it has a CompensationRetry, but no compensation"))
	}
	if s.compensate != nil {
		c := *s.compensate
		c.Args, c.Retry = slices.Clone(c.Args), s.CompensationRetry
		spec.Compensate = &c
	}
	if s.saga == nil {
		return spec, nil
	}
	if slices.Contains(outer, s.saga) {
		return spec, s.mistake(edda.Cycle, errors.New("its saga contains itself"))
	}
	var err error
	if spec.Saga, err = s.saga.spec(outer); err != nil {
		return spec, s.mistake(edda.ReasonOf(err), err)
	}
	return spec, nil
}
