package eventual

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// attemptError is an error of a handler's, as a pointer: it is compared.
type attemptError struct{ err error }

func (f *attemptError) Error() string { return f.err.Error() }

func (f *attemptError) Unwrap() error { return f.err }

// try runs f in a savepoint. A failure is f's, and its effects are undone; err says that the transaction
// cannot go on.
func (r *laneRun) try(ctx context.Context, m *Task, f func() error) (failure, err error) {
	var attempt *attemptError
	err = r.tx.Savepoint(ctx, func() error {
		if err := f(); err != nil {
			attempt = &attemptError{err}
			return attempt
		}
		return nil
	})
	switch {
	case err == nil:
		return nil, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case InTheWay(err):
		return nil, err
	case attempt != nil && err == error(attempt): //nolint:errorlint // the savepoint wraps it when it was not undone
		return attempt.err, nil
	case attempt != nil:
		reason := edda.ReasonOf(attempt.err)
		final := reason == edda.Timeout || reason == edda.Panicked || errors.Is(attempt.err, driver.ErrOpenRows)
		return nil, &brokenError{at: m.Event.Position, final: final, err: err}
	}
	// The handler has passed over an error of PostgreSQL's, after which the transaction takes nothing.
	return nil, &brokenError{at: m.Event.Position, final: sqlState(err) == "25P02", err: err}
}

// sqlState is PostgreSQL's code of an error.
func sqlState(err error) string {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return e.SQLState()
	}
	return ""
}

// InTheWay reports whether another transaction was in the way, so that this one is run again.
func InTheWay(err error) bool {
	state := sqlState(err)
	return state == "40001" || state == "40P01"
}

// call runs the handler on an event, or on several if it takes batches.
func (r *laneRun) call(ctx context.Context, tasks ...Task) error {
	stored, err := r.l.h.Handle(ctx, r.tx, tasks)
	r.saved = r.saved || stored
	return err
}

// fail parks an event whose handler has failed, until its next attempt or for good.
func (r *laneRun) fail(ctx context.Context, m Task, failure error) error {
	row := r.parkedRow(m)
	row.Attempts++
	row.Error = ledger.KeptText(failure.Error())
	delay, again := m.Retry.Next(row.Attempts, rand.Float64())
	again = again && r.l.v.o.Repeats(failure)
	if h, ok := errors.AsType[*edda.HandlerError](failure); ok && h.RetryAfter > 0 {
		delay = h.RetryAfter
	}
	r.row.Error = row.Error
	log := r.l.v.o.Logger.With("handler", r.l.id, "event", row.EventID, "type", m.Event.Type, "attempt", row.Attempts, "err", failure)
	if again {
		row.NextAt = time.Now().Add(delay)
		log.WarnContext(ctx, "an eventual handler has failed", "again_in", delay)
		return r.park(ctx, row)
	}
	row.State, row.NextAt = ledger.Dead, time.Time{}
	r.dead++
	switch m.OnDead {
	case edda.StopKey:
		row.State = ledger.Stopped
	case edda.Pause:
		r.row.State = ledger.Paused
	}
	log.ErrorContext(ctx, "an event is a dead letter of an eventual handler", "then", m.OnDead)
	return r.park(ctx, row)
}

// parkedRow is a row for an event that has none, or a copy of the one it has.
func (r *laneRun) parkedRow(m Task) *ledger.Parked {
	if m.row != nil {
		row := *m.row
		return &row
	}
	return &ledger.Parked{
		Handler: r.l.id, Position: m.Event.Position, EventID: m.Event.ID, Object: m.Event.Object, Key: m.Event.Key,
		State: ledger.Waiting, Held: m.Event.Aggregates(),
	}
}

// park writes a parked event.
func (r *laneRun) park(ctx context.Context, row *ledger.Parked) error {
	r.own()
	r.parked.put(row)
	return ledger.PutParked(ctx, r.tx, row, time.Now())
}

// unpark takes a parked event away.
func (r *laneRun) unpark(ctx context.Context, row *ledger.Parked) error {
	r.own()
	r.parked.remove(row.Position)
	return ledger.DeleteParked(ctx, r.tx, r.l.id, row.Position)
}

// own makes the parked events the transaction's own, to change them, and lets other processes know.
func (r *laneRun) own() {
	if r.shared {
		r.shared, r.parked = false, r.parked.clone()
		r.row.Generation++
	}
}
