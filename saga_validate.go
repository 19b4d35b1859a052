package edda

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Validate checks a saga to create and names the first thing that makes no sense:
// BadSchema for no steps, an unknown dependency, arguments that are not JSON and
// fields that are missing or may not be set, BadName for malformed names and keys,
// BadValue for times, retry policies and streams of a queue that do not differ, Exists for a step id used twice, Cycle, and
// TooLarge. The namespace and the id may be empty.
func (s *SagaSpec) Validate() error {
	if s.Namespace != "" {
		if err := CheckName("namespace", s.Namespace); err != nil {
			return err
		}
	}
	if s.ID != "" {
		if err := CheckName("saga id", s.ID); err != nil {
			return err
		}
	}
	if len(s.IdempotencyKey) > MaxIdempotencyKeyBytes {
		return badSaga(TooLarge, "idempotency key has %d bytes, at most %d are allowed", len(s.IdempotencyKey), MaxIdempotencyKeyBytes)
	}
	if n := len(s.CorrelationID) + len(s.TraceParent) + len(s.TraceState); n > MaxSagaContextBytes {
		return badSaga(TooLarge, "correlation id and trace context have %d bytes, at most %d are allowed", n, MaxSagaContextBytes)
	}
	left := MaxSagaSteps
	return s.validate(1, &left)
}

// validate checks what a nested saga may have too. It takes its steps off left.
func (s *SagaSpec) validate(depth int, left *int) error {
	if s.Name != "" {
		if err := CheckName("saga name", s.Name); err != nil {
			return err
		}
	}
	switch {
	case depth > MaxSagaDepth:
		return badSaga(TooLarge, "sagas are nested deeper than %d", MaxSagaDepth)
	case s.OnFailure != "" && s.OnFailure != WaitForSteps && s.OnFailure != CancelSteps:
		return badSaga(BadValue, "onFailure is %q, must be %q or %q", clip(string(s.OnFailure)), WaitForSteps, CancelSteps)
	case s.DeadlineAfter < 0:
		return badSaga(BadValue, "the deadline is %s after the creation, must not be negative", s.DeadlineAfter)
	case s.DeadlineAfter > longest:
		return badSaga(BadValue, "the deadline is %s after the creation, at most %s are allowed", s.DeadlineAfter, longest)
	case s.DeadlineAfter != 0 && !s.Deadline.IsZero():
		return badSaga(BadValue, "the deadline is given twice, as a time and as %s after the creation", s.DeadlineAfter)
	case !s.Deadline.IsZero() && (s.Deadline.Before(earliest) || s.Deadline.After(latest)):
		return badSaga(BadValue, "the deadline is %s, must be between 1678 and 2262", s.Deadline.UTC().Format(time.RFC3339))
	case len(s.Steps) == 0:
		return badSaga(BadSchema, "it has no steps")
	}
	if *left -= len(s.Steps); *left < 0 {
		return badSaga(TooLarge, "it has more than %d steps", MaxSagaSteps)
	}
	for i := range s.Steps {
		if err := s.Steps[i].validate(depth, left); err != nil {
			return err
		}
	}
	return checkOrder(s.Steps, false)
}

// ValidateSteps checks steps that are added to a saga, by the rules of
// SagaSpec.Validate. Dependencies that are not among them may be steps of the saga.
func ValidateSteps(steps []StepSpec) error {
	if len(steps) == 0 {
		return badSaga(BadSchema, "there are no steps to add")
	}
	left := MaxSagaSteps - len(steps)
	if left < 0 {
		return badSaga(TooLarge, "it has more than %d steps", MaxSagaSteps)
	}
	for i := range steps {
		if err := steps[i].validate(1, &left); err != nil {
			return err
		}
	}
	return checkOrder(steps, true)
}

// earliest and latest are the ends of what Unix nanoseconds can say.
var (
	earliest = time.Date(1678, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)
)

// longest is how long anything may take: a century, which added to the time still
// fits Unix nanoseconds.
const longest = 100 * 365 * 24 * time.Hour

// Validate checks a step by itself, with what is nested in it, by the rules of
// SagaSpec.Validate. Whether its dependencies exist depends on its saga.
func (s *StepSpec) Validate() error {
	left := MaxSagaSteps
	return s.validate(1, &left)
}

func (s *StepSpec) validate(depth int, left *int) error {
	if err := CheckName("step id", s.ID); err != nil {
		return err
	}
	if s.AttemptTimeout < 0 {
		return s.bad(BadValue, "attemptTimeout is %s, must not be negative", s.AttemptTimeout)
	}
	if s.AttemptTimeout > longest {
		return s.bad(BadValue, "attemptTimeout is %s, at most %s are allowed", s.AttemptTimeout, longest)
	}
	for _, id := range s.After {
		if err := CheckName("dependency", id); err != nil {
			return s.wrap(err)
		}
	}
	switch {
	case s.Saga != nil && s.Queue != nil:
		return s.bad(BadSchema, "it is a saga and a message at once: leave out the one or the other")
	case s.Saga != nil:
		return s.validateNested(depth, left)
	case s.Queue != nil:
		return s.validateQueue()
	}
	if err := s.Task.validate("", s); err != nil {
		return err
	}
	if s.Compensate != nil {
		return s.Compensate.validate("compensation's ", s)
	}
	return nil
}

func (s *StepSpec) validateNested(depth int, left *int) error {
	n := s.Saga
	var forbidden string
	switch {
	case s.Service != "" || s.Key != "" || s.Method != "" || len(s.Args) > 0 || s.Retry != (RetryPolicy{}) || s.AttemptTimeout != 0:
		return s.bad(BadSchema, "it is a saga itself, so it has no service, key, method, args, retry or attemptTimeout")
	case s.Compensate != nil:
		return s.bad(BadSchema, "it is a saga itself, so it has no compensation: its steps have")
	case n.Namespace != "":
		forbidden = "namespace"
	case n.ID != "":
		forbidden = "id"
	case n.Start:
		forbidden = "start"
	case n.IdempotencyKey != "":
		forbidden = "idempotency key"
	case n.Principal != "":
		forbidden = "principal"
	case n.CorrelationID != "":
		forbidden = "correlation id"
	case n.TraceParent != "" || n.TraceState != "":
		forbidden = "trace context"
	}
	if forbidden != "" {
		return s.bad(BadSchema, "it is a saga itself and has the %s of the saga that it belongs to; leave it out", forbidden)
	}
	if err := n.validate(depth+1, left); err != nil {
		return s.wrap(err)
	}
	return nil
}

// validateQueue checks a step that is a message. The streams differ: what is on the one
// for success finishes the step, the message itself not excepted.
func (s *StepSpec) validateQueue() error {
	q := s.Queue
	if s.Service != "" || s.Retry != (RetryPolicy{}) || s.AttemptTimeout != 0 {
		return s.bad(BadSchema, "it is a message on a stream, so it has no service, retry or attemptTimeout")
	}
	for _, one := range [...]struct{ what, name string }{
		{"queue.stream", q.Stream}, {"queue.shard", cmp.Or(q.Shard, DefaultShard)}, {"queue.success", q.Success}, {"queue.failure", q.Failure},
	} {
		if one.name == "" {
			return s.bad(BadSchema, "%s is missing", one.what)
		}
		if err := CheckName(one.what, one.name); err != nil {
			return s.wrap(err)
		}
	}
	if q.Success == q.Failure || q.Stream == q.Success || q.Stream == q.Failure {
		return s.bad(BadValue, "queue.stream %q, queue.success %q and queue.failure %q must differ from each other", q.Stream, q.Success, q.Failure)
	}
	if s.Key != "" {
		if err := CheckKey(s.Key); err != nil {
			return s.wrap(err)
		}
	}
	if err := s.validateMethod("", s); err != nil {
		return err
	}
	if s.Compensate != nil {
		return s.Compensate.validate("compensation's ", s)
	}
	return nil
}

// validate checks what a step, or its compensation, asks for; what says which.
func (t *Task) validate(what string, s *StepSpec) error {
	if t.Service == "" {
		return s.bad(BadSchema, "%sservice is missing", what)
	}
	if err := (Address{Name: t.Service, Key: t.Key}).Validate(); err != nil {
		return s.wrap(err)
	}
	if err := t.validateMethod(what, s); err != nil {
		return err
	}
	if err := t.Retry.Validate(); err != nil {
		return s.wrap(err)
	}
	return nil
}

// validateMethod checks the method and its arguments.
func (t *Task) validateMethod(what string, s *StepSpec) error {
	if t.Method == "" {
		return s.bad(BadSchema, "%smethod is missing", what)
	}
	if err := CheckName("method", t.Method); err != nil {
		return s.wrap(err)
	}
	for i, a := range t.Args {
		if !json.Valid(a) {
			return s.bad(BadSchema, "%sargs[%d] is not JSON: %q", what, i, clip(string(a)))
		}
	}
	return nil
}

func (s *StepSpec) bad(r Reason, format string, args ...any) error {
	return s.wrap(&Error{Reason: r, Err: fmt.Errorf(format, args...)})
}

// wrap says which step an error is about, as part of why, which is what callers
// over the network are told.
func (s *StepSpec) wrap(err error) error {
	return badSaga(ReasonOf(err), "step %s: %w", s.ID, bare(err))
}

// bare takes off what an error says it was doing.
func bare(err error) error {
	if e, ok := errors.AsType[*Error](err); ok && e.Err != nil {
		return e.Err
	}
	return err
}

func badSaga(r Reason, format string, args ...any) error {
	return &Error{Op: "check saga", Reason: r, Err: fmt.Errorf(format, args...)}
}

// checkOrder checks that ids are used once, dependencies are there, and nothing
// waits for itself. With others there may be more steps.
func checkOrder(steps []StepSpec, others bool) error {
	place := make(map[string]int, len(steps))
	for i := range steps {
		id := steps[i].ID
		if _, taken := place[id]; taken {
			return badSaga(Exists, "step %q is there twice", id)
		}
		place[id] = i
	}
	waits := make([]int, len(steps)) // how many dependencies are not in order yet
	next := make([][]int, len(steps))
	for i := range steps {
		for _, id := range steps[i].After {
			d, known := place[id]
			switch {
			case known:
				waits[i]++
				next[d] = append(next[d], i)
			case !others:
				return steps[i].bad(BadSchema, "it depends on %q, which is not a step of the saga", clip(id))
			}
		}
	}
	var free []int
	for i, n := range waits {
		if n == 0 {
			free = append(free, i)
		}
	}
	for at := 0; at < len(free); at++ {
		for _, i := range next[free[at]] {
			if waits[i]--; waits[i] == 0 {
				free = append(free, i)
			}
		}
	}
	if len(free) < len(steps) {
		return badSaga(Cycle, "steps wait for each other: %s", cycle(steps, place, waits))
	}
	return nil
}

// cycle names the steps of one circle among those that still wait.
func cycle(steps []StepSpec, place map[string]int, waits []int) string {
	at := slices.IndexFunc(waits, func(n int) bool { return n > 0 })
	seen := make(map[int]int, len(steps)) // when a step was come by
	var path []string
	for {
		if first, been := seen[at]; been {
			return describeCycle(append(path[first:], steps[at].ID))
		}
		seen[at] = len(path)
		path = append(path, steps[at].ID)
		for _, id := range steps[at].After {
			if d, known := place[id]; known && waits[d] > 0 {
				at = d
				break
			}
		}
	}
}

// describeCycle shortens long circles.
func describeCycle(path []string) string {
	const most = 10
	if len(path) > most {
		path = append(slices.Clone(path[:most-1]), fmt.Sprintf("... (%d more)", len(path)-most), path[len(path)-1])
	}
	return strings.Join(path, " after ")
}
