package rpcconn

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// AppendSaga appends a SagaSpec as a field. The error is an *edda.Error, BadValue or
// BadName: what something is found by, a key, is no UTF-8, or the deadline
// is not one that can be said.
func AppendSaga(b []byte, field int, s *edda.SagaSpec) ([]byte, error) {
	if !utf8.ValidString(s.IdempotencyKey) {
		return b, &edda.Error{Op: "check saga", Reason: edda.BadValue, Err: fmt.Errorf("idempotency key %q is not UTF-8", s.IdempotencyKey)}
	}
	if t := time.Unix(0, s.Deadline.UnixNano()); !s.Deadline.IsZero() && !t.Equal(s.Deadline) {
		return b, &edda.Error{Op: "check saga", Reason: edda.BadValue,
			Err: fmt.Errorf("the deadline is %s, must be between 1678 and 2262", s.Deadline.UTC().Format(time.RFC3339))}
	}
	b, mark := wire.Begin(b, field)
	b = wire.AppendString(b, 1, Text(s.Namespace))
	b = wire.AppendString(b, 2, Text(s.ID))
	b = wire.AppendString(b, 3, Text(s.Name))
	if s.Start {
		b = wire.AppendUint(b, 4, 1)
	}
	b = AppendTime(b, 5, s.Deadline)
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
	if s.Queue != nil {
		b = appendQueue(b, 7, s.Queue)
	}
	wire.End(b, mark)
	return b, nil
}

func appendQueue(b []byte, field int, q *edda.QueueSpec) []byte {
	b, mark := wire.Begin(b, field)
	b = wire.AppendString(b, 1, Text(q.Stream))
	b = wire.AppendString(b, 2, Text(q.Shard))
	b = wire.AppendString(b, 3, Text(q.Success))
	b = wire.AppendString(b, 4, Text(q.Failure))
	wire.End(b, mark)
	return b
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

// AppendTime appends a time as a field, nothing when it is zero. What nanoseconds
// since the Unix epoch cannot say becomes the nearest that they can, and never
// "none".
func AppendTime(b []byte, field int, t time.Time) []byte {
	ns := t.UnixNano()
	switch {
	case t.IsZero():
		return b
	case t.Before(time.Unix(0, math.MinInt64)):
		ns = math.MinInt64
	case t.After(time.Unix(0, math.MaxInt64)):
		ns = math.MaxInt64
	case ns == 0:
		ns = 1
	}
	return wire.AppendFixed(b, field, uint64(ns))
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
