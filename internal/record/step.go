package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// Step says which step of a saga a request is. The saga's namespace is that of the
// request's message.
type Step struct {
	// Hash is the saga's: where the end of the request is told.
	Hash uint64
	// Saga is its id.
	Saga string
	// Index is that of the step, in the order in which they were added.
	Index uint32
	// Undo says that the request is the step's compensation.
	Undo bool
	// Run tells the repetitions of a compensation apart.
	Run uint64
	// AttemptTimeout and Retry go before those of the service unless they are zero.
	AttemptTimeout time.Duration
	Retry          edda.RetryPolicy

	unknown string // fields of a later release
}

// appendTo appends the fields of the step.
func (s *Step) appendTo(b []byte) []byte {
	b = wire.AppendFixed(b, 1, s.Hash)
	b = wire.AppendString(b, 2, s.Saga)
	b = wire.AppendUint(b, 3, uint64(s.Index))
	b = appendBool(b, 4, s.Undo)
	b = wire.AppendUint(b, 5, s.Run)
	b = wire.AppendUint(b, 6, uint64(s.AttemptTimeout))
	if s.Retry != (edda.RetryPolicy{}) {
		b = wire.AppendBytes(b, 7, appendRetry([]byte{}, &s.Retry))
	}
	return append(b, s.unknown...)
}

// AppendStep appends a bytes field with the step's fields, or nothing when it is nil.
func AppendStep(b []byte, field int, s *Step) []byte {
	if s == nil {
		return b
	}
	b, mark := wire.Begin(b, field)
	b = s.appendTo(b)
	wire.End(b, mark)
	return b
}

// ReadStep reads what AppendStep has put into a field.
func ReadStep(b []byte) (*Step, error) {
	s := &Step{}
	r := wire.NewReader(b)
	var f wire.Field
	var err error
	for err == nil && r.Next(&f) {
		switch f.Num {
		case 1:
			s.Hash = f.Uint
		case 2:
			s.Saga = string(f.Bytes)
		case 3:
			s.Index, err = readIndex(f.Uint)
		case 4:
			s.Undo = f.Uint != 0
		case 5:
			s.Run = f.Uint
		case 6:
			s.AttemptTimeout = time.Duration(f.Uint)
		case 7:
			s.Retry, err = readRetry(f.Bytes)
		default:
			s.unknown += string(f.Raw)
		}
	}
	if err == nil {
		err = r.Err()
	}
	return s, err
}

func readIndex(u uint64) (uint32, error) {
	if u > math.MaxUint32 {
		return 0, fmt.Errorf("step index %d does not fit", u)
	}
	return uint32(u), nil
}

// appendIndexes appends the indexes of steps as one field of uvarints.
func appendIndexes(b []byte, field int, indexes []uint32) []byte {
	if len(indexes) == 0 {
		return b
	}
	b, mark := wire.Begin(b, field)
	for _, i := range indexes {
		b = binary.AppendUvarint(b, uint64(i))
	}
	wire.End(b, mark)
	return b
}

func readIndexes(b []byte) ([]uint32, error) { return addIndexes(nil, b) }

func addIndexes(out []uint32, b []byte) ([]uint32, error) {
	for len(b) > 0 {
		u, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, wire.ErrMalformed
		}
		i, err := readIndex(u)
		if err != nil {
			return nil, err
		}
		out, b = append(out, i), b[n:]
	}
	return out, nil
}

// StepEnded says what became of a step's request. Where the saga is in the same
// partition it is handed over without being encoded.
type StepEnded struct {
	// Namespace is the saga's; Step names it, the step, and which of its requests
	// ended. Its AttemptTimeout and Retry are not looked at.
	Namespace string
	Step      Step
	// State is StateSucceeded, StateFailed, StateDead or StateCancelled.
	State edda.State
	// Reply is the encoded edda.Reply of one that succeeded; it aliases the record.
	Reply   []byte
	Failure Failure
	Origin  Origin
	// Pending says that the handler left the step running; State is StateSucceeded, and
	// there is no reply.
	Pending bool
	// Attempts are all there were.
	Attempts int
	// Added are the encoded steps that the handler adds. They alias the record.
	Added [][]byte
	// Starts are the indexes of steps for which a worker's slot is reserved.
	Starts []uint32
	// ID is the request's, so that the end of one from a saga that was removed is not
	// taken for that of another saga's with the same id; zero in records of earlier
	// releases.
	ID edda.ID
}

// AppendTo appends the whole record, header included.
func (e *StepEnded) AppendTo(b []byte) []byte { return e.AppendBody(AppendHeader(b, TypeStepEnded)) }

// AppendBody appends the record without its header, as it goes to another partition.
func (e *StepEnded) AppendBody(b []byte) []byte {
	b = wire.AppendString(b, 1, e.Namespace)
	b = AppendStep(b, 2, &e.Step)
	b = wire.AppendUint(b, 3, endNumber(e.State))
	b = wire.AppendBytes(b, 4, e.Reply)
	b = appendFailure(b, 5, e.Failure)
	b = appendOrigin(b, e.Origin)
	b = appendBool(b, 8, e.Pending)
	b = wire.AppendUint(b, 9, uint64(e.Attempts))
	b = appendEach(b, 10, e.Added)
	b = appendIndexes(b, 11, e.Starts)
	if e.ID.IsZero() {
		return b
	}
	return wire.AppendBytes(b, 12, e.ID[:])
}

// AppendStepStarts names the steps for which a worker's slot is reserved in a
// step-ended record that was encoded without any.
func AppendStepStarts(rec []byte, starts []uint32) []byte { return appendIndexes(rec, 11, starts) }

// Decode reads the body of a record.
func (e *StepEnded) Decode(body []byte) error {
	*e = StepEnded{}
	named := false
	err := fields(TypeStepEnded, body, func(f *wire.Field) (err error) {
		switch f.Num {
		case 1:
			e.Namespace = string(f.Bytes)
		case 2:
			var s *Step
			s, err = ReadStep(f.Bytes)
			e.Step, named = *s, true
		case 3:
			e.State, err = readEnd(f.Uint)
		case 4:
			e.Reply = f.Bytes
		case 5:
			e.Failure, err = readFailure(f.Bytes)
		case 6, 7:
			err = readOrigin(&e.Origin, f)
		case 8:
			e.Pending = f.Uint != 0
		case 9:
			e.Attempts = int(f.Uint)
		case 10:
			e.Added = append(e.Added, f.Bytes)
		case 11:
			e.Starts, err = readIndexes(f.Bytes)
		case 12:
			e.ID, err = readID(f.Bytes)
		}
		return err
	})
	if err == nil && (!named || e.State == "") {
		return fmt.Errorf("%s record without a step or a state", TypeStepEnded)
	}
	return err
}

// StepCancelled ends a step's request that has not ended, wherever it stands.
type StepCancelled struct {
	ID     edda.ID // of the request
	Origin Origin
}

// AppendTo appends the whole record, header included.
func (c *StepCancelled) AppendTo(b []byte) []byte {
	return c.AppendBody(AppendHeader(b, TypeStepCancelled))
}

// AppendBody appends the record without its header, as it goes to another partition.
func (c *StepCancelled) AppendBody(b []byte) []byte {
	return appendOrigin(wire.AppendBytes(b, 1, c.ID[:]), c.Origin)
}

// Decode reads the body of a record.
func (c *StepCancelled) Decode(body []byte) error {
	*c = StepCancelled{}
	return fields(TypeStepCancelled, body, func(f *wire.Field) (err error) {
		switch f.Num {
		case 1:
			c.ID, err = readID(f.Bytes)
		case 6, 7:
			err = readOrigin(&c.Origin, f)
		}
		return err
	})
}

// The states in which a request ends, as they stand in records: the numbers that
// they have in rows.
const (
	endSucceeded = 5
	endFailed    = 6
	endDead      = 7
	endCancelled = 8
)

func endNumber(s edda.State) uint64 {
	switch s {
	case edda.StateSucceeded:
		return endSucceeded
	case edda.StateFailed:
		return endFailed
	case edda.StateDead:
		return endDead
	default:
		return endCancelled
	}
}

func readEnd(u uint64) (edda.State, error) {
	switch u {
	case endSucceeded:
		return edda.StateSucceeded, nil
	case endFailed:
		return edda.StateFailed, nil
	case endDead:
		return edda.StateDead, nil
	case endCancelled:
		return edda.StateCancelled, nil
	default:
		return "", fmt.Errorf("state %d is none in which a request ends", u)
	}
}
