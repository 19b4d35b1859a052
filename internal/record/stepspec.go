package record

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// The fields of an encoded step. A compensation has specService to specRetry.
const (
	specID = iota + 1
	specService
	specKey
	specMethod
	specArg // repeated
	specRetry
	specAfter  // repeated: the id of a step
	specPlaces // instead: the places of all of them among the steps it was encoded with
	specAttemptTimeout
	specCompensate
	specSaga
	specQueue
)

// The fields of where the message goes that a step is.
const (
	queueStream = iota + 1
	queueShard  // absent: the default one
	queueSuccess
	queueFailure
)

// The fields of the saga that a step is.
const (
	nestedName          = 1
	nestedDeadline      = 2
	nestedDeadlineAfter = 3
	nestedOnFailure     = 4
	nestedStep          = 5 // repeated
)

// EncodeSteps encodes the steps of a saga, or those that are added to it in one go.
// Steps that only depend on each other name their dependencies by place, which takes
// a few bytes each, so they can only be read together.
func EncodeSteps(steps []edda.StepSpec) [][]byte {
	var place map[string]uint32
	if len(steps) > fewSteps {
		place = make(map[string]uint32, len(steps))
		for i := range steps {
			place[steps[i].ID] = uint32(i)
		}
	}
	out := make([][]byte, len(steps))
	places := make([]uint32, 0, 8)
	for i := range steps {
		places = places[:0]
		for _, id := range steps[i].After {
			p, ok := placeOf(steps, place, id)
			if !ok {
				places = places[:0]
				break
			}
			places = append(places, p)
		}
		out[i] = appendStepSpec(nil, &steps[i], places)
	}
	return out
}

// fewSteps are searched faster than a map of them is made.
const fewSteps = 8

func placeOf(steps []edda.StepSpec, place map[string]uint32, id string) (uint32, bool) {
	if place != nil {
		p, ok := place[id]
		return p, ok
	}
	for i := range steps {
		if steps[i].ID == id {
			return uint32(i), true
		}
	}
	return 0, false
}

// AppendStepSpec appends an encoded step that can be read alone.
func AppendStepSpec(b []byte, s *edda.StepSpec) []byte { return appendStepSpec(b, s, nil) }

func appendStepSpec(b []byte, s *edda.StepSpec, places []uint32) []byte {
	b = wire.AppendString(b, specID, s.ID)
	b = appendTask(b, &s.Task)
	if len(places) > 0 {
		b = appendIndexes(b, specPlaces, places)
	} else {
		for _, id := range s.After {
			b = append(wire.AppendLen(b, specAfter, len(id)), id...)
		}
	}
	b = wire.AppendUint(b, specAttemptTimeout, uint64(s.AttemptTimeout))
	if s.Compensate != nil {
		var mark int
		b, mark = wire.Begin(b, specCompensate)
		b = appendTask(b, s.Compensate)
		wire.End(b, mark)
	}
	if s.Saga != nil {
		var mark int
		b, mark = wire.Begin(b, specSaga)
		b = AppendNestedSaga(b, s.Saga)
		wire.End(b, mark)
	}
	if s.Queue != nil {
		b = appendQueue(b, s.Queue)
	}
	return b
}

func appendQueue(b []byte, q *edda.QueueSpec) []byte {
	b, mark := wire.Begin(b, specQueue)
	b = wire.AppendString(b, queueStream, q.Stream)
	if q.Shard != edda.DefaultShard {
		b = wire.AppendString(b, queueShard, q.Shard)
	}
	b = wire.AppendString(b, queueSuccess, q.Success)
	b = wire.AppendString(b, queueFailure, q.Failure)
	wire.End(b, mark)
	return b
}

func readQueue(b []byte) (*edda.QueueSpec, error) {
	q := &edda.QueueSpec{}
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case queueStream:
			q.Stream = string(f.Bytes)
		case queueShard:
			q.Shard = string(f.Bytes)
		case queueSuccess:
			q.Success = string(f.Bytes)
		case queueFailure:
			q.Failure = string(f.Bytes)
		}
	}
	return q, r.Err()
}

func appendTask(b []byte, t *edda.Task) []byte {
	b = wire.AppendString(b, specService, t.Service)
	b = wire.AppendString(b, specKey, t.Key)
	b = wire.AppendString(b, specMethod, t.Method)
	for _, a := range t.Args {
		b = append(wire.AppendLen(b, specArg, len(a)), a...)
	}
	if t.Retry != (edda.RetryPolicy{}) {
		b = wire.AppendBytes(b, specRetry, appendRetry([]byte{}, &t.Retry))
	}
	return b
}

// AppendNestedSaga appends what defines a saga beside its id: name, deadline, what
// happens after a failure, and steps.
func AppendNestedSaga(b []byte, s *edda.SagaSpec) []byte {
	b = wire.AppendString(b, nestedName, s.Name)
	if !s.Deadline.IsZero() {
		b = wire.AppendFixed(b, nestedDeadline, uint64(s.Deadline.UnixNano()))
	}
	b = wire.AppendUint(b, nestedDeadlineAfter, uint64(s.DeadlineAfter))
	b = appendBool(b, nestedOnFailure, s.OnFailure == edda.CancelSteps)
	return appendEach(b, nestedStep, EncodeSteps(s.Steps))
}

// NestedSaga is the saga that a step is. Its steps alias what it was read from.
type NestedSaga struct {
	Name          string
	Deadline      int64 // Unix nanoseconds, zero for none
	DeadlineAfter time.Duration
	OnFailure     edda.OnFailure
	Steps         [][]byte
}

// Decode reads what AppendNestedSaga has appended.
func (n *NestedSaga) Decode(b []byte) error {
	*n = NestedSaga{OnFailure: edda.WaitForSteps}
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case nestedName:
			n.Name = string(f.Bytes)
		case nestedDeadline:
			n.Deadline = int64(f.Uint)
		case nestedDeadlineAfter:
			n.DeadlineAfter = time.Duration(f.Uint)
		case nestedOnFailure:
			n.OnFailure = readOnFailure(f.Uint)
		case nestedStep:
			n.Steps = append(n.Steps, f.Bytes)
		}
	}
	return r.Err()
}

// StepHead is what the order of steps is made of. It aliases what it was read from.
type StepHead struct {
	ID []byte
	// After are the ids of the steps it depends on, or Places their places.
	After  [][]byte
	Places []uint32
	// Balanced says that the service takes no key, Compensated that the step has a
	// compensation.
	Balanced    bool
	Compensated bool
	// Saga is the encoded saga that the step is; nil when it is none.
	Saga []byte
	// Queue says that the step is a message on a stream.
	Queue bool
}

// Decode reads an encoded step. Places are read into the room that h.Places has.
func (h *StepHead) Decode(b []byte) error {
	*h = StepHead{Balanced: true, Places: h.Places[:0], After: h.After[:0]}
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case specID:
			h.ID = f.Bytes
		case specKey:
			h.Balanced = len(f.Bytes) == 0
		case specAfter:
			h.After = append(h.After, f.Bytes)
		case specPlaces:
			var err error
			if h.Places, err = addIndexes(h.Places[:0], f.Bytes); err != nil {
				return fmt.Errorf("places of step %q: %w", h.ID, err)
			}
		case specCompensate:
			h.Compensated = true
		case specSaga:
			h.Saga = f.Bytes
		case specQueue:
			h.Queue = true
		}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("encoded step: %w", err)
	}
	return nil
}

// StepTask is what a step, or its compensation, asks of a service. Args alias what
// it was read from.
type StepTask struct {
	edda.Task
	AttemptTimeout time.Duration
	// Queue is where the message goes that the step is; nil when it is none.
	Queue *edda.QueueSpec
}

// Decode reads the task of an encoded step, or that of its compensation.
func (t *StepTask) Decode(b []byte, undo bool) error {
	*t = StepTask{}
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		var err error
		switch {
		case f.Num == specAttemptTimeout:
			t.AttemptTimeout = time.Duration(f.Uint)
		case undo && f.Num == specCompensate:
			t.Task, err = readTask(f.Bytes)
		case !undo && f.Num == specQueue:
			t.Queue, err = readQueue(f.Bytes)
		case !undo:
			err = readTaskField(&t.Task, &f)
		}
		if err != nil {
			return err
		}
	}
	return r.Err()
}

func readTask(b []byte) (t edda.Task, err error) {
	r := wire.NewReader(b)
	var f wire.Field
	for err == nil && r.Next(&f) {
		err = readTaskField(&t, &f)
	}
	if err == nil {
		err = r.Err()
	}
	return t, err
}

func readTaskField(t *edda.Task, f *wire.Field) (err error) {
	switch f.Num {
	case specService:
		t.Service = string(f.Bytes)
	case specKey:
		t.Key = string(f.Bytes)
	case specMethod:
		t.Method = string(f.Bytes)
	case specArg:
		t.Args = append(t.Args, json.RawMessage(f.Bytes))
	case specRetry:
		t.Retry, err = readRetry(f.Bytes)
	}
	return err
}

// ReadStepSpec reads a step that AppendStepSpec has encoded. Its values alias b.
func ReadStepSpec(b []byte) (edda.StepSpec, error) {
	steps, err := DecodeSteps([][]byte{b})
	if err != nil {
		return edda.StepSpec{}, err
	}
	return steps[0], nil
}

// DecodeSteps is the inverse of EncodeSteps. Values alias the encoded steps.
func DecodeSteps(encoded [][]byte) ([]edda.StepSpec, error) { return decodeSteps(encoded, 1) }

func decodeSteps(encoded [][]byte, depth int) ([]edda.StepSpec, error) {
	if depth > edda.MaxSagaDepth {
		return nil, fmt.Errorf("sagas are nested deeper than %d", edda.MaxSagaDepth)
	}
	heads := make([]StepHead, len(encoded))
	for i, b := range encoded {
		if err := heads[i].Decode(b); err != nil {
			return nil, err
		}
	}
	steps := make([]edda.StepSpec, len(encoded))
	for i, b := range encoded {
		if err := readStepSpec(&steps[i], b, heads, i, depth); err != nil {
			return nil, fmt.Errorf("step %q: %w", heads[i].ID, err)
		}
	}
	return steps, nil
}

func readStepSpec(s *edda.StepSpec, b []byte, heads []StepHead, i, depth int) error {
	h := &heads[i]
	var t StepTask
	if err := t.Decode(b, false); err != nil {
		return err
	}
	s.ID, s.Task, s.AttemptTimeout, s.Queue = string(h.ID), t.Task, t.AttemptTimeout, t.Queue
	for _, id := range h.After {
		s.After = append(s.After, string(id))
	}
	for _, p := range h.Places {
		if int(p) >= len(heads) {
			return fmt.Errorf("it depends on place %d of %d steps", p, len(heads))
		}
		s.After = append(s.After, string(heads[p].ID))
	}
	if h.Compensated {
		if err := t.Decode(b, true); err != nil {
			return err
		}
		s.Compensate = &t.Task
	}
	if h.Saga == nil {
		return nil
	}
	var n NestedSaga
	if err := n.Decode(h.Saga); err != nil {
		return err
	}
	s.Saga = &edda.SagaSpec{Name: n.Name, DeadlineAfter: n.DeadlineAfter, OnFailure: n.OnFailure}
	if n.Deadline != 0 {
		s.Saga.Deadline = time.Unix(0, n.Deadline).UTC()
	}
	var err error
	s.Saga.Steps, err = decodeSteps(n.Steps, depth+1)
	return err
}
