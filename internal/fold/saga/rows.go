package saga

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold"
	"github.com/edda-io/edda/internal/record"
	"github.com/edda-io/edda/internal/wire"
)

// The rows of this package. A key is namespace, 0, id.
const (
	rowSaga     = 'g' // key: a saga without its steps
	rowStep     = 'h' // key, 0, index: a step
	rowList     = 'j' // namespace, 0, state, created (inverted), id: what lists are filtered by
	rowDeadline = 'k' // deadline, key
	rowExpiry   = 'l' // time until which it is kept, key: an ended saga
	rowAdvance  = 't' // key: more steps are ready than were started
)

// The fields of a saga's row.
const (
	gState = iota + 1
	gName
	gReason
	gDetail
	gOnFailure
	gPrincipal
	gCorrelation
	gTraceParent
	gTraceState
	gSecret
	gCreatedAt
	gStartedAt
	gEndedAt
	gDeadline
	gKeep
	gIdempotency
	gFingerprint
	gCount
	gSucceeded
	gCancelling
)

// The fields of a step's row, and of its undoing.
const (
	hSpec = iota + 1
	hState
	hBase
	hDeps
	hResult
	hError
	hStartedAt
	hEndedAt
	hAttempts
	hPending
	hCancelAsked
	hUndo
)

const (
	uState = iota + 1
	uRun
	uAttempts
	uStartedAt
	uEndedAt
	uError
)

// The fields of a list's row.
const (
	jName = iota + 1
	jPrincipal
	jKeepUntil
)

// states as they stand in rows.
var states = [...]edda.SagaState{
	1: edda.SagaCreated, 2: edda.SagaRunning, 3: edda.SagaSucceeded, 4: edda.SagaCompensating, 5: edda.SagaCompensated,
	6: edda.SagaCompensationFailed, 7: edda.SagaCancelled,
}

func stateNumber(s edda.SagaState) byte {
	for i, name := range states {
		if name == s {
			return byte(i)
		}
	}
	panic(fmt.Sprintf("saga: no number for state %q", s))
}

func sagaRow(ref Ref) []byte { return fold.Row(rowSaga, ref.key()) }

func stepRow(ref Ref, i int) []byte {
	return binary.BigEndian.AppendUint64(append(fold.Row(rowStep, ref.key()), 0), uint64(i))
}

func listRow(namespace string, state byte, c Cursor) []byte {
	b := append(fold.Row(rowList, []byte(namespace)), 0, state)
	return append(binary.BigEndian.AppendUint64(b, ^uint64(c.Created)), c.ID...)
}

func timeRow(kind byte, at int64, ref Ref) []byte {
	return append(fold.RowNumber(kind, uint64(at)), ref.key()...)
}

// row encodes the saga without its steps.
func (s *Saga) row() []byte {
	b := wire.AppendUint(make([]byte, 0, 256), gState, uint64(stateNumber(s.State)))
	b = wire.AppendString(b, gName, s.Name)
	b = wire.AppendString(b, gReason, string(s.Reason))
	b = wire.AppendString(b, gDetail, s.Detail)
	b = appendBool(b, gOnFailure, s.OnFailure == edda.CancelSteps)
	b = wire.AppendString(b, gPrincipal, string(s.Principal))
	b = wire.AppendString(b, gCorrelation, s.Correlation)
	b = wire.AppendString(b, gTraceParent, s.TraceParent)
	b = wire.AppendString(b, gTraceState, s.TraceState)
	b = wire.AppendBytes(b, gSecret, s.secret[:])
	b = wire.AppendFixed(b, gCreatedAt, uint64(s.CreatedAt))
	b = wire.AppendFixed(b, gStartedAt, uint64(s.StartedAt))
	b = wire.AppendFixed(b, gEndedAt, uint64(s.EndedAt))
	b = wire.AppendFixed(b, gDeadline, uint64(s.Deadline))
	b = wire.AppendUint(b, gKeep, uint64(s.keep))
	b = wire.AppendString(b, gIdempotency, s.idempotency)
	b = wire.AppendString(b, gFingerprint, s.fingerprint)
	b = wire.AppendUint(b, gCount, uint64(s.count))
	b = wire.AppendUint(b, gSucceeded, uint64(s.succeeded))
	b = appendBool(b, gCancelling, s.cancelling)
	return append(b, s.unknown...)
}

func appendBool(b []byte, field int, v bool) []byte {
	if v {
		return wire.AppendUint(b, field, 1)
	}
	return b
}

// readRow decodes a saga without its steps. It keeps the row.
func (m *Machine) readRow(ref Ref, row []byte) (*Saga, error) {
	s := &Saga{Namespace: ref.Namespace, ID: ref.ID, OnFailure: edda.WaitForSteps, hash: Hash(ref.Namespace, ref.ID)}
	rd := wire.NewReader(row)
	for f := (wire.Field{}); rd.Next(&f); {
		switch f.Num {
		case gState:
			if f.Uint == 0 || f.Uint >= uint64(len(states)) {
				return nil, fmt.Errorf("row of saga %q has state %d", ref.ID, f.Uint)
			}
			s.State = states[f.Uint]
		case gSecret:
			if len(f.Bytes) != secretBytes {
				return nil, fmt.Errorf("row of saga %q has a secret of %d bytes, want %d", ref.ID, len(f.Bytes), secretBytes)
			}
			s.secret = [secretBytes]byte(f.Bytes)
		case gName:
			s.Name = string(f.Bytes)
		case gReason:
			s.Reason = edda.Reason(f.Bytes)
		case gDetail:
			s.Detail = string(f.Bytes)
		case gOnFailure:
			s.OnFailure = edda.CancelSteps
		case gPrincipal:
			s.Principal = edda.Principal(f.Bytes)
		default:
			s.readRest(&f)
		}
	}
	if err := rd.Err(); err != nil {
		return nil, fmt.Errorf("row of saga %q: %w", ref.ID, err)
	}
	if s.State == "" {
		return nil, fmt.Errorf("row of saga %q has no state", ref.ID)
	}
	s.armed = s.Deadline != 0 && m.deadlines.Has(deadline{s.Deadline, ref})
	s.unadvanced = m.unadvanced[ref]
	s.stored = s.storedNow()
	return s, nil
}

func (s *Saga) readRest(f *wire.Field) {
	switch f.Num {
	case gCorrelation:
		s.Correlation = string(f.Bytes)
	case gTraceParent:
		s.TraceParent = string(f.Bytes)
	case gTraceState:
		s.TraceState = string(f.Bytes)
	case gCreatedAt:
		s.CreatedAt = int64(f.Uint)
	case gStartedAt:
		s.StartedAt = int64(f.Uint)
	case gEndedAt:
		s.EndedAt = int64(f.Uint)
	case gDeadline:
		s.Deadline = int64(f.Uint)
	case gKeep:
		s.keep = time.Duration(f.Uint)
	case gIdempotency:
		s.idempotency = string(f.Bytes)
	case gFingerprint:
		s.fingerprint = string(f.Bytes)
	case gCount:
		s.count = int(f.Uint)
	case gSucceeded:
		s.succeeded = int(f.Uint)
	case gCancelling:
		s.cancelling = true
	default:
		s.unknown = append(s.unknown, f.Raw...)
	}
}

// row encodes the step.
func (st *step) row() []byte {
	b := wire.AppendBytes(make([]byte, 0, 64+len(st.spec)+len(st.result)), hSpec, st.spec)
	b = wire.AppendUint(b, hState, uint64(st.state))
	b = wire.AppendUint(b, hBase, uint64(st.base))
	if st.is(byID) { // the others are in the spec
		var deps []byte
		for _, d := range st.deps {
			deps = binary.AppendUvarint(deps, uint64(d))
		}
		b = wire.AppendBytes(b, hDeps, deps)
	}
	b = wire.AppendBytes(b, hResult, st.result)
	b = record.AppendStepError(b, hError, st.err)
	b = wire.AppendFixed(b, hStartedAt, uint64(st.startedAt))
	b = wire.AppendFixed(b, hEndedAt, uint64(st.endedAt))
	b = wire.AppendUint(b, hAttempts, uint64(st.attempts))
	b = appendBool(b, hPending, st.is(pending))
	b = appendBool(b, hCancelAsked, st.is(cancelAsked))
	if st.undo == nil {
		return b
	}
	b = wire.AppendBytes(b, hUndo, st.undo.row())
	return append(b, st.undo.unknown...)
}

func (u *undoing) row() []byte {
	b := wire.AppendUint([]byte{}, uState, uint64(u.state))
	b = wire.AppendUint(b, uRun, u.run)
	b = wire.AppendUint(b, uAttempts, uint64(u.attempts))
	b = wire.AppendFixed(b, uStartedAt, uint64(u.startedAt))
	b = wire.AppendFixed(b, uEndedAt, uint64(u.endedAt))
	return record.AppendStepError(b, uError, u.err)
}

// readStep decodes a step's row, which it keeps, and finds out what it depends on.
func (m *Machine) readStep(st *step, row []byte) error {
	var deps, unknown []byte
	rd := wire.NewReader(row)
	for f := (wire.Field{}); rd.Next(&f); {
		var err error
		switch f.Num {
		case hSpec:
			st.spec = f.Bytes
		case hState:
			if f.Uint == 0 || f.Uint >= uint64(len(stepStates)) {
				return fmt.Errorf("step in state %d", f.Uint)
			}
			st.state = stepState(f.Uint)
		case hBase:
			st.base = uint32(f.Uint)
		case hDeps:
			deps = f.Bytes
		case hResult:
			st.result = f.Bytes
		case hError:
			st.err, err = record.ReadStepError(f.Bytes)
		case hUndo:
			st.undo, err = readUndoing(f.Bytes)
		default:
			unknown = st.readRest(&f, unknown)
		}
		if err != nil {
			return err
		}
	}
	if err := rd.Err(); err != nil {
		return err
	}
	if unknown != nil {
		if st.undo == nil {
			st.undo = &undoing{}
		}
		st.undo.unknown = unknown
	}
	return m.readHead(st, deps)
}

func (st *step) readRest(f *wire.Field, unknown []byte) []byte {
	switch f.Num {
	case hStartedAt:
		st.startedAt = int64(f.Uint)
	case hEndedAt:
		st.endedAt = int64(f.Uint)
	case hAttempts:
		st.attempts = uint32(f.Uint)
	case hPending:
		st.flags |= pending
	case hCancelAsked:
		st.flags |= cancelAsked
	default:
		return append(unknown, f.Raw...)
	}
	return unknown
}

// readHead reads what stands in the step's spec.
func (m *Machine) readHead(st *step, deps []byte) error {
	h := &m.head
	if err := h.Decode(st.spec); err != nil {
		return err
	}
	if st.state == 0 || len(h.ID) == 0 {
		return fmt.Errorf("step without a state or an id")
	}
	st.id = string(h.ID)
	st.flags |= flagsOf(h)
	if st.state == stepCompensating && !st.is(isSaga) && st.undo == nil {
		return fmt.Errorf("step is compensating without a compensation")
	}
	if len(h.Places) > 0 {
		st.deps = make([]uint32, len(h.Places))
		for i, p := range h.Places {
			st.deps[i] = st.base + p
		}
	}
	for len(deps) > 0 {
		d, n := binary.Uvarint(deps)
		if n <= 0 {
			return wire.ErrMalformed
		}
		st.deps = append(st.deps, uint32(d))
		deps = deps[n:]
	}
	return nil
}

func readUndoing(b []byte) (*undoing, error) {
	u := &undoing{}
	rd := wire.NewReader(b)
	for f := (wire.Field{}); rd.Next(&f); {
		switch f.Num {
		case uState:
			if f.Uint >= uint64(len(undoStates)) {
				return nil, fmt.Errorf("compensation in state %d", f.Uint)
			}
			u.state = undoState(f.Uint)
		case uRun:
			u.run = f.Uint
		case uAttempts:
			u.attempts = uint32(f.Uint)
		case uStartedAt:
			u.startedAt = int64(f.Uint)
		case uEndedAt:
			u.endedAt = int64(f.Uint)
		case uError:
			var err error
			if u.err, err = record.ReadStepError(f.Bytes); err != nil {
				return nil, err
			}
		}
	}
	return u, rd.Err()
}
