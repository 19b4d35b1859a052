package specjson

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/edda-io/edda"
)

// Saga reads a saga to create. It starts at once unless the document says
// otherwise. Whose it is, and where, is not in the document.
func Saga(b []byte) (*edda.SagaSpec, error) {
	r, err := open(b, "a JSON object")
	if err != nil {
		return nil, err
	}
	s := &edda.SagaSpec{Start: true}
	err = r.once(func(name string) error {
		switch name {
		case "id":
			return chosen(r, &s.ID)
		case "start":
			return r.flag(&s.Start)
		default:
			return r.sagaMember(s, name, "id, start, ")
		}
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Steps reads steps to add to a saga: an object, or an array of them.
func Steps(b []byte) ([]edda.StepSpec, error) {
	const want = "a step or an array of steps"
	r, err := open(b, want)
	if err != nil {
		return nil, err
	}
	switch r.peek() {
	case '[':
		return r.stepList()
	case '{':
		s, err := r.step()
		return []edda.StepSpec{s}, err
	default:
		return nil, r.bad(want)
	}
}

// sagaMember reads what sagas and those that are steps have in common. Besides says what
// else there could be.
func (r *reader) sagaMember(s *edda.SagaSpec, name, besides string) (err error) {
	switch name {
	case "name":
		return chosen(r, &s.Name)
	case "deadline":
		s.Deadline, s.DeadlineAfter, err = r.deadline()
		return err
	case "onFailure":
		return r.onFailure(&s.OnFailure)
	case "steps":
		s.Steps, err = r.stepList()
		return err
	default:
		return r.unknown(besides + "deadline, name, onFailure, steps")
	}
}

func (r *reader) onFailure(into *edda.OnFailure) error {
	s, err := r.str("a string")
	if err != nil {
		return err
	}
	switch *into = edda.OnFailure(s); *into {
	case edda.WaitForSteps, edda.CancelSteps:
		return nil
	default:
		return r.bad(`"wait" or "cancel"`)
	}
}

func (r *reader) stepList() ([]edda.StepSpec, error) {
	var steps []edda.StepSpec
	err := r.array("an array of steps", func() error {
		s, err := r.step()
		steps = append(steps, s)
		return err
	})
	return steps, err
}

// maxSteps bounds the memory that a short document can ask for.
var maxSteps = edda.MaxSagaSteps

func (r *reader) step() (s edda.StepSpec, err error) {
	if r.steps++; r.steps > maxSteps {
		return s, refuse(edda.TooLarge, "there are more than "+strconv.Itoa(maxSteps)+" steps")
	}
	err = r.once(func(name string) (err error) {
		switch name {
		case "id":
			return needed(r, &s.ID)
		case "after":
			s.After, err = r.names()
			return err
		case "attemptTimeout":
			return r.positive(&s.AttemptTimeout)
		case "compensate":
			s.Compensate = new(edda.Task)
			return r.once(func(name string) error { return r.compensateMember(s.Compensate, name) })
		case "saga":
			s.Saga = new(edda.SagaSpec)
			return r.once(func(name string) error { return r.sagaMember(s.Saga, name, "") })
		case "queue":
			s.Queue = new(edda.QueueSpec)
			return r.once(func(name string) error { return r.queueMember(s.Queue, name) })
		default:
			return r.taskMember(&s.Task, name, "after, attemptTimeout, compensate, id, queue, saga, ")
		}
	})
	return s, err
}

// taskMember reads what steps and compensations have in common. Besides says what else there
// could be.
func (r *reader) taskMember(t *edda.Task, name, besides string) (err error) {
	switch name {
	case "service":
		return chosen(r, &t.Service)
	case "key":
		return chosen(r, &t.Key)
	case "method":
		return chosen(r, &t.Method)
	case "args":
		t.Args, err = r.values()
		return err
	case "retry":
		t.Retry, err = r.retry()
		return err
	default:
		return r.unknown(besides + "args, key, method, retry, service")
	}
}

// compensateMember reads what a compensation has, which is always a request.
func (r *reader) compensateMember(t *edda.Task, name string) error {
	switch name {
	case "service":
		return needed(r, &t.Service)
	case "method":
		return needed(r, &t.Method)
	default:
		return r.taskMember(t, name, "")
	}
}

func (r *reader) queueMember(q *edda.QueueSpec, name string) error {
	switch name {
	case "stream":
		return needed(r, &q.Stream)
	case "shard":
		return chosen(r, &q.Shard)
	case "success":
		return needed(r, &q.Success)
	case "failure":
		return needed(r, &q.Failure)
	default:
		return r.unknown("failure, shard, stream, success")
	}
}

func (r *reader) values() ([]json.RawMessage, error) {
	var vs []json.RawMessage
	err := r.array("an array", func() error {
		vs = append(vs, r.raw())
		return nil
	})
	return vs, err
}

func (r *reader) names() ([]string, error) {
	var names []string
	err := r.array("an array of step ids", func() error {
		s, err := r.str("a string")
		names = append(names, s)
		return err
	})
	return names, err
}

// The times that a record can hold, in whole years, and the longest deadline.
var (
	firstTime = time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)
)

const maxAfter = 200 * 365 * 24 * time.Hour

// deadline reads a time, or a duration after the creation.
func (r *reader) deadline() (time.Time, time.Duration, error) {
	const want = `a duration above zero or a time, such as "1.5s" or "2026-01-02T15:04:05Z"`
	s, err := r.str(want)
	if err != nil {
		return time.Time{}, 0, err
	}
	if len(s) > 10 && s[10] == 'T' {
		t, err := time.Parse(time.RFC3339, s)
		switch {
		case err != nil:
			return t, 0, r.bad(want)
		case t.After(lastTime):
			return t, 0, r.bad("before the year 2262")
		case t.Before(firstTime):
			t = firstTime // what is long past stays past
		}
		return t.UTC(), 0, nil
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil || d <= 0:
		return time.Time{}, 0, r.bad(want)
	case d > maxAfter:
		return time.Time{}, 0, r.bad("at most 200 years")
	}
	return time.Time{}, d, nil
}
