package cqrs

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/observe"
)

// attempts runs f, which is a handler, as often as its policy says, each time under its
// timeout. What it is run on is for people. A handler that goes on after the end of its context is waited for, since nobody else
// may use the transaction, and has failed all the same.
func (a *App) attempts(ctx context.Context, m *match, on observe.What, f func(ctx context.Context) error) error {
	on.Kind, on.Name = string(m.h.kind), m.h.name
	for n := 1; ; n++ {
		err := a.observed(ctx, on, func(ctx context.Context) error { return a.attempt(ctx, m, f) })
		if err == nil {
			return nil
		}
		delay, again := m.c.Retry.Next(n, rand.Float64())
		if !again || ctx.Err() != nil || !repeats(err) || errors.Is(err, driver.ErrOpenRows) { // which may have cost the connection
			return &edda.Error{Op: string(m.h.kind) + " " + m.h.name, Reason: reasonOf(err), Err: err, Attempts: n}
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// observed runs f, and keeps what there is to see of it.
func (a *App) observed(ctx context.Context, what observe.What, f func(ctx context.Context) error) error {
	return a.observer.Watch(ctx, what, f)
}

// attempt runs f once, and makes an error of its panic.
func (a *App) attempt(ctx context.Context, m *match, f func(ctx context.Context) error) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, m.c.Timeout, tooLongError{m.c.Timeout})
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			err = a.panicked(ctx, string(m.h.kind), m.h.name, v)
		}
	}()
	err = f(ctx)
	if tooLong, ok := errors.AsType[tooLongError](context.Cause(ctx)); ok {
		return &edda.Error{Reason: edda.Timeout, Err: because(tooLong, err)}
	}
	if ended := context.Cause(ctx); ended != nil && err != nil {
		return because(ended, err)
	}
	return err
}

// tidy runs f, a function of the user's that is handed q, and has it fail for what it leaves behind
// there: else the next statement would, which is another handler's.
func tidy[T any](q Querier, f func() (T, error)) (v T, err error) {
	if tx, ok := q.(*Tx); ok {
		defer func() { err = driver.Check(tx, err) }() // after a panic too
	}
	return f()
}

// because is err, and what is behind it.
func because(cause, err error) error {
	if err == nil || errors.Is(err, cause) {
		return cause
	}
	return fmt.Errorf("%w: %w", cause, err)
}

// panicked makes an error of a panic, and logs it with its stack.
func (a *App) panicked(ctx context.Context, kind, name string, v any) error {
	a.log.ErrorContext(ctx, "handler panicked", "kind", kind, "handler", name, "panic", v, "stack", string(debug.Stack()))
	return &edda.Error{Reason: edda.Panicked, Err: fmt.Errorf("it panicked: %v", v)}
}

// tooLongError is why a handler's context has ended.
type tooLongError struct{ timeout time.Duration }

// Error implements error.
func (e tooLongError) Error() string {
	return fmt.Sprintf("it took longer than its timeout of %s", e.timeout)
}

// finalError is an error that no repetition mends: what comes back is not what was expected.
type finalError struct{ error }

func unexpected(format string, args ...any) error { return finalError{fmt.Errorf(format, args...)} }

// Unwrap returns the error.
func (f finalError) Unwrap() error { return f.error }

// repeats reports whether a handler that has returned err is tried again.
func repeats(err error) bool {
	if _, ok := errors.AsType[finalError](err); ok {
		return false
	}
	if he, ok := errors.AsType[*edda.HandlerError](err); ok {
		return !he.Final
	}
	return true
}

// reasonOf is the reason of an error of a handler: its own, if it has one.
func reasonOf(err error) edda.Reason {
	if e, ok := errors.AsType[*edda.Error](err); ok {
		return e.Reason
	}
	if r := databaseReason(err); r != "" {
		return r
	}
	return edda.Failed
}

// databaseReason is the reason of an error that a database may return; "" of others.
func databaseReason(err error) edda.Reason {
	if _, ok := errors.AsType[*ledger.VersionError](err); ok {
		return edda.Conflict
	}
	if _, ok := errors.AsType[*driver.PanicError](err); ok {
		return edda.Panicked
	}
	switch {
	case errors.Is(err, driver.ErrUnknown):
		return edda.OutcomeUnknown
	case errors.Is(err, context.DeadlineExceeded):
		return edda.Timeout
	case errors.Is(err, context.Canceled):
		return edda.Cancelled
	case errors.Is(err, driver.ErrRolledBack), errors.Is(err, driver.ErrOpenRows), errors.Is(err, driver.ErrControl),
		errors.Is(err, driver.ErrEnded):
		return edda.Failed
	}
	for _, gone := range []error{driver.ErrBusy, driver.ErrUnavailable, driver.ErrClosed, sqldriver.ErrBadConn, sql.ErrConnDone} {
		if errors.Is(err, gone) {
			return edda.Unavailable
		}
	}
	return answerReason(err)
}

// answerReason is the reason of an error that a database has answered a statement with: it
// does not want it, or cannot serve now. "" of others.
func answerReason(err error) edda.Reason {
	if pg, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		switch class := pg.SQLState()[:min(2, len(pg.SQLState()))]; class {
		case "08", "53", "57", "58": // the connection, resources, an operator, the system
			return edda.Unavailable
		}
		return edda.Failed
	}
	if lite, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok {
		switch lite.Code() & 0xff {
		case 5, 6, 7, 10, 13, 14: // busy, locked, memory, I/O, full, cannot open
			return edda.Unavailable
		}
		return edda.Failed
	}
	return ""
}
