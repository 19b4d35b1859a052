package rpcconn

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// AppendSaga appends a SagaSpec as a field. The error is an *edda.Error, BadValue or
// BadName: what something is found by, a key, is no UTF-8.
func AppendSaga(b []byte, field int, s *edda.SagaSpec) ([]byte, error) {
	if !utf8.ValidString(s.IdempotencyKey) {
		return b, &edda.Error{Op: "check saga", Reason: edda.BadValue, Err: fmt.Errorf("idempotency key %q is not UTF-8", s.IdempotencyKey)}
	}
	b, mark := wire.Begin(b, field)
	b = wire.AppendString(b, 1, Text(s.Namespace))
	b = wire.AppendString(b, 2, Text(s.ID))
	b = wire.AppendString(b, 3, Text(s.Name))
	if s.Start {
		b = wire.AppendUint(b, 4, 1)
	}
	if !s.Deadline.IsZero() {
		b = wire.AppendFixed(b, 5, uint64(s.Deadline.UnixNano()))
	}
	b = wire.AppendUint(b, 6, uint64(s.DeadlineAfter))
	b = wire.AppendString(b, 7, Text(string(s.OnFailure)))
	var err error
	for i := range s.Steps {
		if b, err = AppendStep(b, 8, &s.Steps[i]); err != nil {
			return b, err
		}
	}
	b = wire.AppendString(b, 9, s.IdempotencyKey)
	b = wire.AppendString(b, 10, Text(s.CorrelationID))
	b = wire.AppendString(b, 11, Text(s.TraceParent))
	b = wire.AppendString(b, 12, Text(s.TraceState))
	wire.End(b, mark)
	return b, nil
}

// AppendStep appends a StepSpec as a field. The error is that of AppendSaga.
func AppendStep(b []byte, field int, s *edda.StepSpec) ([]byte, error) {
	b, mark := wire.Begin(b, field)
	b = wire.AppendString(b, 1, Text(s.ID))
	var err error
	if b, err = appendTask(b, 2, &s.Task); err != nil {
		return b, err
	}
	for _, id := range s.After {
		id = Text(id)
		b = append(wire.AppendLen(b, 3, len(id)), id...)
	}
	b = wire.AppendUint(b, 4, uint64(s.AttemptTimeout))
	if s.Compensate != nil {
		if b, err = appendTask(b, 5, s.Compensate); err != nil {
			return b, err
		}
	}
	if s.Saga != nil {
		if b, err = AppendSaga(b, 6, s.Saga); err != nil {
			return b, err
		}
	}
	wire.End(b, mark)
	return b, nil
}

func appendTask(b []byte, field int, t *edda.Task) ([]byte, error) {
	if t.Key != "" {
		if err := edda.CheckKey(t.Key); err != nil {
			return b, err
		}
	}
	b, mark := wire.Begin(b, field)
	b = wire.AppendString(b, 1, Text(t.Service))
	b = wire.AppendString(b, 2, t.Key)
	b = wire.AppendString(b, 3, Text(t.Method))
	for _, a := range t.Args {
		b = append(wire.AppendLen(b, 4, len(a)), a...)
	}
	if t.Retry != (edda.RetryPolicy{}) {
		b = AppendRetry(b, 5, t.Retry)
	}
	wire.End(b, mark)
	return b, nil
}

// AppendRetry appends a Retry as a field.
func AppendRetry(b []byte, field int, r edda.RetryPolicy) []byte {
	b, mark := wire.Begin(b, field)
	b = wire.AppendUint(b, 1, uint64(int64(r.Max)))
	b = wire.AppendUint(b, 2, uint64(r.Delay))
	b = wire.AppendUint(b, 3, uint64(r.MaxDelay))
	b = wire.AppendFixed(b, 4, math.Float64bits(r.Backoff))
	b = wire.AppendFixed(b, 5, math.Float64bits(r.Jitter))
	wire.End(b, mark)
	return b
}
