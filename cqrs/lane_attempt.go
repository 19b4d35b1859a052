package cqrs

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/observe"
)

// attemptError is an error of a handler's, as a pointer: it is compared.
type attemptError struct{ err error }

func (f *attemptError) Error() string { return f.err.Error() }

func (f *attemptError) Unwrap() error { return f.err }

// try runs f in a savepoint. A failure is f's, and its effects are undone; err says that the transaction
// cannot go on.
func (r *laneRun) try(ctx context.Context, m *matched, f func() error) (failure, err error) {
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
	case inTheWay(err):
		return nil, err
	case attempt != nil && err == error(attempt): //nolint:errorlint // the savepoint wraps it when it was not undone
		return attempt.err, nil
	case attempt != nil:
		reason := edda.ReasonOf(attempt.err)
		return nil, &brokenError{at: m.e.Position, final: reason == edda.Timeout || reason == edda.Panicked, err: err}
	}
	// The handler has passed over an error of PostgreSQL's, after which the transaction takes nothing.
	return nil, &brokenError{at: m.e.Position, final: sqlState(err) == "25P02", err: err}
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

// inTheWay reports whether another transaction was in the way, so that this one is run again.
func inTheWay(err error) bool {
	state := sqlState(err)
	return state == "40001" || state == "40P01"
}

// call runs the handler on an event.
func (r *laneRun) call(ctx context.Context, m matched) error {
	if r.l.h.batch != nil {
		return r.callBatch(ctx, []matched{m})
	}
	return r.l.attempt(ctx, m.match, m.e, func(ctx context.Context) error {
		if err := expects("expects_input", m.c.ExpectsInput, m.e.Object); err != nil {
			return err
		}
		if r.l.h.dispatch != nil {
			return r.dispatch(ctx, m)
		}
		saved, err := r.l.h.project(ctx, r.tx, m.e)
		if err != nil {
			return err
		}
		return expects("expects_output", m.c.ExpectsOutput, saved.Object())
	})
}

// callBatch runs a handler of batches, in the longest time that any of the events allows.
func (r *laneRun) callBatch(ctx context.Context, batch []matched) error {
	events := make([]*Event, len(batch))
	how := batch[0].match
	for i, m := range batch {
		if err := expects("expects_input", m.c.ExpectsInput, m.e.Object); err != nil {
			return err
		}
		if events[i] = m.e; m.c.Timeout > how.c.Timeout {
			how = m.match
		}
	}
	return r.l.attempt(ctx, how, events[0], func(ctx context.Context) error { return r.l.h.batch(ctx, r.tx, events) })
}

// attempt runs f once, as the handler, and takes its time. The event is for people: of a batch it is the
// first one.
func (l *lane) attempt(ctx context.Context, how *match, e *Event, f func(ctx context.Context) error) error {
	what := observe.What{Kind: string(l.h.kind), Broadcaster: e.Broadcaster, Name: l.h.name, Type: e.Type, Command: e.CommandID, Event: e.ID}
	return l.v.a.observed(ctx, what, func(ctx context.Context) error { return l.v.a.attempt(ctx, how, f) })
}

// dispatch stores the events that a dispatcher derives, with what their strong handlers do.
func (r *laneRun) dispatch(ctx context.Context, m matched) error {
	derived, err := r.l.h.dispatch(ctx, r.tx, m.e)
	if err != nil || len(derived) == 0 {
		return err
	}
	t := &tree{a: r.l.v.a, tx: r.tx}
	if err := t.derive(ctx, m.match, derived, m.e, 0); err != nil {
		return err
	}
	r.saved = true
	return r.l.v.a.rows.insertEvents(ctx, r.tx, t.events)
}

// fail parks an event whose handler has failed, until its next attempt or for good.
func (r *laneRun) fail(ctx context.Context, m matched, failure error) error {
	row := r.parkedRow(m)
	row.Attempts++
	row.Error = ledger.KeptText(failure.Error())
	delay, again := m.c.Retry.Next(row.Attempts, rand.Float64())
	again = again && repeats(failure)
	if h, ok := errors.AsType[*edda.HandlerError](failure); ok && h.RetryAfter > 0 {
		delay = h.RetryAfter
	}
	r.row.Error = row.Error
	log := r.l.v.a.log.With("handler", r.l.id, "event", row.EventID, "type", m.e.Type, "attempt", row.Attempts, "err", failure)
	if again {
		row.NextAt = time.Now().Add(delay)
		log.WarnContext(ctx, "an eventual handler has failed", "again_in", delay)
		return r.park(ctx, row)
	}
	row.State, row.NextAt = ledger.Dead, time.Time{}
	r.dead++
	switch m.c.OnDead {
	case edda.StopKey:
		row.State = ledger.Stopped
	case edda.Pause:
		r.row.State = ledger.Paused
	}
	log.ErrorContext(ctx, "an event is a dead letter of an eventual handler", "then", m.c.OnDead)
	return r.park(ctx, row)
}

// ledger.Parked is the row of an event that has none, or a copy of the one it has.
func (r *laneRun) parkedRow(m matched) *ledger.Parked {
	if m.row != nil {
		row := *m.row
		return &row
	}
	return &ledger.Parked{
		Handler: r.l.id, Position: m.e.Position, EventID: m.e.ID, Object: m.e.Object, Key: m.e.Key,
		State: ledger.Waiting, Held: (*ledger.Event)(m.e).Aggregates(),
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
