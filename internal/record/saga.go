package record

import (
	"cmp"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// SagaSecretBytes is the size of a saga's secret.
const SagaSecretBytes = 16

// SagaCreated is a new saga. Decoded, its slices alias the record.
type SagaCreated struct {
	Namespace string
	ID        string
	Name      string
	// Start says that it starts at once.
	Start bool
	// Deadline is in Unix nanoseconds, zero for none.
	Deadline  int64
	OnFailure edda.OnFailure
	// Steps are encoded by EncodeSteps.
	Steps          [][]byte
	IdempotencyKey string
	// Fingerprint tells sagas of one idempotency key apart.
	Fingerprint []byte
	Principal   edda.Principal
	Correlation string
	TraceParent string
	TraceState  string
	// Secret is SagaSecretBytes of chance, from which the ids of requests and the
	// completion keys are made.
	Secret []byte
	// Keep is how long the saga is kept once it has ended.
	Keep time.Duration
	// Starts are the indexes of steps for which a worker's slot is reserved.
	Starts []uint32
}

// NewSagaCreated returns the record of a spec without what the node decides: a
// missing id, a deadline that counts from now, the fingerprint, secret, keep time
// and reserved slots.
func NewSagaCreated(s *edda.SagaSpec) *SagaCreated {
	c := &SagaCreated{
		Namespace: cmp.Or(s.Namespace, edda.DefaultNamespace), ID: s.ID, Name: s.Name, Start: s.Start, OnFailure: cmp.Or(s.OnFailure, edda.WaitForSteps), Steps: EncodeSteps(s.Steps),
		IdempotencyKey: s.IdempotencyKey, Principal: cmp.Or(s.Principal, edda.Anonymous), Correlation: s.CorrelationID, TraceParent: s.TraceParent, TraceState: s.TraceState,
	}
	if !s.Deadline.IsZero() {
		c.Deadline = s.Deadline.UnixNano()
	}
	return c
}

// AppendTo appends the whole record.
func (c *SagaCreated) AppendTo(b []byte) []byte {
	b = wire.AppendString(AppendHeader(b, TypeSagaCreated), 1, c.Namespace)
	b = wire.AppendString(b, 2, c.ID)
	b = wire.AppendString(b, 3, c.Name)
	b = appendBool(b, 4, c.Start)
	b = wire.AppendFixed(b, 5, uint64(c.Deadline))
	b = appendBool(b, 6, c.OnFailure == edda.CancelSteps)
	b = appendEach(b, 7, c.Steps)
	b = wire.AppendString(b, 8, c.IdempotencyKey)
	b = wire.AppendBytes(b, 9, c.Fingerprint)
	b = wire.AppendString(b, 10, string(c.Principal))
	b = wire.AppendString(b, 11, c.Correlation)
	b = wire.AppendString(b, 12, c.TraceParent)
	b = wire.AppendString(b, 13, c.TraceState)
	b = wire.AppendBytes(b, 14, c.Secret)
	b = wire.AppendUint(b, 15, uint64(c.Keep))
	return appendIndexes(b, 16, c.Starts)
}

// Decode reads the body of a record.
func (c *SagaCreated) Decode(body []byte) error {
	*c = SagaCreated{OnFailure: edda.WaitForSteps}
	err := fields(TypeSagaCreated, body, func(f *wire.Field) (err error) {
		switch f.Num {
		case 1:
			c.Namespace = string(f.Bytes)
		case 2:
			c.ID = string(f.Bytes)
		case 3:
			c.Name = string(f.Bytes)
		case 4:
			c.Start = f.Uint != 0
		case 5:
			c.Deadline = int64(f.Uint)
		case 6:
			c.OnFailure = readOnFailure(f.Uint)
		case 7:
			c.Steps = append(c.Steps, f.Bytes)
		case 14:
			c.Secret = f.Bytes
		case 15:
			c.Keep = time.Duration(f.Uint)
		case 16:
			c.Starts, err = readIndexes(f.Bytes)
		default:
			c.readCaller(f)
		}
		return err
	})
	if err == nil && (c.Namespace == "" || c.ID == "" || len(c.Secret) != SagaSecretBytes) {
		return fmt.Errorf("%s record without a namespace, an id or a secret of %d bytes", TypeSagaCreated, SagaSecretBytes)
	}
	return err
}

// readCaller reads who wanted the saga.
func (c *SagaCreated) readCaller(f *wire.Field) {
	switch f.Num {
	case 8:
		c.IdempotencyKey = string(f.Bytes)
	case 9:
		c.Fingerprint = f.Bytes
	case 10:
		c.Principal = edda.Principal(f.Bytes)
	case 11:
		c.Correlation = string(f.Bytes)
	case 12:
		c.TraceParent = string(f.Bytes)
	case 13:
		c.TraceState = string(f.Bytes)
	}
}

func readOnFailure(u uint64) edda.OnFailure {
	if u != 0 {
		return edda.CancelSteps
	}
	return edda.WaitForSteps
}

// SagaChanged starts, advances or removes a saga; the record's type says which.
type SagaChanged struct {
	Namespace string
	ID        string
	// Starts are the indexes of steps for which a worker's slot is reserved.
	Starts []uint32
}

// AppendTo appends the whole record.
func (c *SagaChanged) AppendTo(b []byte, t Type) []byte {
	b = appendSagaName(AppendHeader(b, t), c.Namespace, c.ID)
	return appendIndexes(b, 3, c.Starts)
}

// Decode reads the body of a record.
func (c *SagaChanged) Decode(body []byte) error {
	*c = SagaChanged{}
	return fields(TypeSagaStarted, body, func(f *wire.Field) (err error) {
		readSagaName(f, &c.Namespace, &c.ID)
		if f.Num == 3 {
			c.Starts, err = readIndexes(f.Bytes)
		}
		return err
	})
}

// SagaStepsAdded adds steps to a saga. Decoded, its slices alias the record.
type SagaStepsAdded struct {
	Namespace string
	ID        string
	// Steps are encoded by EncodeSteps.
	Steps [][]byte
}

// AppendTo appends the whole record.
func (a *SagaStepsAdded) AppendTo(b []byte) []byte {
	return appendEach(appendSagaName(AppendHeader(b, TypeSagaStepsAdded), a.Namespace, a.ID), 3, a.Steps)
}

// Decode reads the body of a record.
func (a *SagaStepsAdded) Decode(body []byte) error {
	*a = SagaStepsAdded{}
	return fields(TypeSagaStepsAdded, body, func(f *wire.Field) error {
		readSagaName(f, &a.Namespace, &a.ID)
		if f.Num == 3 {
			a.Steps = append(a.Steps, f.Bytes)
		}
		return nil
	})
}

// StepFinished completes or fails a running step by call.
type StepFinished struct {
	Namespace string
	ID        string // of the saga
	Step      string // its id
	// Result is a JSON value; nil is null. It does not count when Error is set.
	Result []byte
	Error  *edda.StepError
	// Starts are the indexes of steps for which a worker's slot is reserved.
	Starts []uint32
}

// AppendTo appends the whole record.
func (s *StepFinished) AppendTo(b []byte) []byte {
	b = appendSagaName(AppendHeader(b, TypeStepFinished), s.Namespace, s.ID)
	b = wire.AppendString(b, 3, s.Step)
	b = wire.AppendBytes(b, 4, s.Result)
	b = AppendStepError(b, 5, s.Error)
	return appendIndexes(b, 6, s.Starts)
}

// Decode reads the body of a record.
func (s *StepFinished) Decode(body []byte) error {
	*s = StepFinished{}
	return fields(TypeStepFinished, body, func(f *wire.Field) (err error) {
		readSagaName(f, &s.Namespace, &s.ID)
		switch f.Num {
		case 3:
			s.Step = string(f.Bytes)
		case 4:
			s.Result = f.Bytes
		case 5:
			s.Error, err = ReadStepError(f.Bytes)
		case 6:
			s.Starts, err = readIndexes(f.Bytes)
		}
		return err
	})
}

// AppendStepError appends why a step failed as a field, or nothing when it did not.
func AppendStepError(b []byte, field int, e *edda.StepError) []byte {
	if e == nil {
		return b
	}
	b, mark := wire.Begin(b, field)
	b = wire.AppendString(b, 1, string(e.Reason))
	b = wire.AppendString(b, 2, e.Message)
	b = wire.AppendUint(b, 3, uint64(e.Status))
	wire.End(b, mark)
	return b
}

// ReadStepError reads what AppendStepError has put into a field.
func ReadStepError(b []byte) (*edda.StepError, error) {
	e := &edda.StepError{}
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			e.Reason = edda.Reason(f.Bytes)
		case 2:
			e.Message = string(f.Bytes)
		case 3:
			e.Status = int(f.Uint)
		}
	}
	return e, r.Err()
}

// SagaCancelled undoes a saga.
type SagaCancelled struct {
	Namespace string
	ID        string
	// Failure is why: Cancelled or DeadlineExceeded, and what more there is to say.
	Failure Failure
}

// AppendTo appends the whole record.
func (c *SagaCancelled) AppendTo(b []byte) []byte {
	return appendFailure(appendSagaName(AppendHeader(b, TypeSagaCancelled), c.Namespace, c.ID), 3, c.Failure)
}

// Decode reads the body of a record.
func (c *SagaCancelled) Decode(body []byte) error {
	*c = SagaCancelled{}
	return fields(TypeSagaCancelled, body, func(f *wire.Field) (err error) {
		readSagaName(f, &c.Namespace, &c.ID)
		if f.Num == 3 {
			c.Failure, err = readFailure(f.Bytes)
		}
		return err
	})
}

// CompensationChanged is what a person did about a compensation that failed.
type CompensationChanged struct {
	Namespace string
	ID        string // of the saga
	Step      string // its id
	Action    edda.CompensationAction
}

// actions as they stand in records.
var actions = [...]edda.CompensationAction{1: edda.RetryCompensation, 2: edda.SkipCompensation, 3: edda.ResolveCompensation}

// AppendTo appends the whole record.
func (c *CompensationChanged) AppendTo(b []byte) []byte {
	b = appendSagaName(AppendHeader(b, TypeCompensationChanged), c.Namespace, c.ID)
	b = wire.AppendString(b, 3, c.Step)
	for i, a := range actions {
		if i > 0 && a == c.Action {
			b = wire.AppendUint(b, 4, uint64(i))
		}
	}
	return b
}

// Decode reads the body of a record.
func (c *CompensationChanged) Decode(body []byte) error {
	*c = CompensationChanged{}
	err := fields(TypeCompensationChanged, body, func(f *wire.Field) error {
		readSagaName(f, &c.Namespace, &c.ID)
		switch f.Num {
		case 3:
			c.Step = string(f.Bytes)
		case 4:
			if f.Uint == 0 || f.Uint >= uint64(len(actions)) {
				return fmt.Errorf("action %d is none of retry, skip and resolve", f.Uint)
			}
			c.Action = actions[f.Uint]
		}
		return nil
	})
	if err == nil && c.Action == "" {
		return fmt.Errorf("%s record without an action", TypeCompensationChanged)
	}
	return err
}

func appendSagaName(b []byte, namespace, id string) []byte {
	return wire.AppendString(wire.AppendString(b, 1, namespace), 2, id)
}

func readSagaName(f *wire.Field, namespace, id *string) {
	switch f.Num {
	case 1:
		*namespace = string(f.Bytes)
	case 2:
		*id = string(f.Bytes)
	}
}
