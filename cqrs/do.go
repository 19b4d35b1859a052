package cqrs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/observe"
)

// Do runs a command: validators, before hooks, reversible calls, after hooks, and the
// transaction with the strong handlers. When it returns without an error, the event, its strong
// projections, the commands that follow from it and their events are stored together, and
// when it returns one, none of them is, unless the reason is OutcomeUnknown: then to repeat it
// with the same Command.ID tells. The command is copied; nobody may change what it refers to
// until Do returns.
//
// A command with calls to third parties goes on in a saga of the node. When ctx ends, it is
// given up: not stored, and its calls are undone, if it was not committed by then. Whoever
// repeats a command, with the ID of one that had no answer, joins that while it is under way.
// An error is about the call of Do: when it comes before such a command was found, as Timeout
// or a refusal by a hook may, that may be stored all the same.
//
// The error is a *edda.Error. Its reason is BadValue, BadSchema or NoMethod for a command that is
// refused as it is, IdempotencyMismatch for an id that another command had, Conflict when an
// aggregate has another version than it must have, Failed, Panicked, Timeout or its own for
// what a hook, call or handler returned, Unavailable when the database or the node could not
// do it now, Cancelled or Timeout when ctx has ended, and Cycle when 32 commands and
// events would follow from each other, or Do is called within a handler's transaction: there a
// processor runs commands.
func (a *App) Do(ctx context.Context, c *Command) (*Outcome, error) {
	if c == nil {
		return nil, badValue("do", "there is no command")
	}
	op := "do " + c.Type
	if err := a.life.enter(op); err != nil {
		return nil, err
	}
	defer a.life.leave()
	if ctx.Value(openTx{}) == a {
		return nil, &edda.Error{Op: op, Reason: edda.Cycle,
			Err: errors.New("it was called by a handler whose transaction is open: let a processor return the command")}
	}
	x, out, err := a.begin(ctx, c)
	if err == nil && out == nil {
		out, err = a.run(ctx, x)
	}
	if err != nil {
		return nil, failure(ctx, op, x, err)
	}
	return out, nil
}

// openTx is the key of a context whose value is the app that has a transaction open.
type openTx struct{}

// failure is the error of a command. What a database says after the end of its caller's context
// is about that.
func failure(ctx context.Context, op string, x *execution, err error) error {
	reason := failureReason(err)
	if ended := context.Cause(ctx); ended != nil && reason == edda.Unavailable {
		reason, err = cmp.Or(databaseReason(ctx.Err()), edda.Cancelled), fmt.Errorf("%w (%w)", ended, err)
	}
	if inner, ok := err.(*edda.Error); ok && (inner.Op == "" || inner.Op == op) { //nolint:errorlint // one that was made here
		err = inner.Err
	}
	e := &edda.Error{Op: op, Reason: reason, Err: err}
	if x != nil {
		e.Key, e.RequestID = x.key(), x.command.ID
	}
	return e
}

// failureReason is the reason of an error that may be the database's.
func failureReason(err error) edda.Reason {
	if e, ok := errors.AsType[*edda.Error](err); ok {
		return e.Reason
	}
	if r := databaseReason(err); r != "" {
		return r
	}
	if _, ok := errors.AsType[finalError](err); ok {
		return edda.Failed
	}
	return edda.Unavailable
}

// begin checks a command and gives it its defaults. The outcome is that of the command when
// it was done before, which is looked up here if anything is to happen before the
// transaction; so is the version of the aggregates.
func (a *App) begin(ctx context.Context, c *Command) (*execution, *Outcome, error) {
	x, err := a.newExecution(c)
	if err != nil {
		return nil, nil, err
	}
	if !c.CausationID.IsZero() {
		if x.level, err = a.levelUnder(ctx, c.CausationID); err != nil {
			return x, nil, err
		}
	}
	if !a.isLong(x) {
		return x, nil, nil
	}
	if err := x.checkEventType(); err != nil { // which the transaction would find when third parties were told
		return x, nil, err
	}
	if !x.isNew {
		there, err := ledger.SelectCommand(ctx, a.db.Reader(), x.command.ID)
		if err != nil {
			return x, nil, err
		}
		out, err := a.meetRow(ctx, x, there)
		if out == nil && err == nil && len(x.spec.Calls) > 0 {
			out, err = a.meetBegun(ctx, x)
		}
		if out != nil || err != nil {
			return x, out, err
		}
	}
	return x, nil, x.unchanged(ctx, a.db.Reader())
}

// isLong reports whether anything but validators runs before the transaction.
func (a *App) isLong(x *execution) bool {
	name, typ := x.of.broadcaster.name, x.command.Type
	return len(x.spec.Calls) > 0 || len(a.table.hooks(name, typ, Before)) > 0 || len(a.table.hooks(name, typ, After)) > 0
}

// levelUnder is the causation level of what an event brings about. That of an event of
// elsewhere is not known, and counts as the first.
func (a *App) levelUnder(ctx context.Context, event edda.ID) (int, error) {
	e, err := a.rows.eventByID(ctx, a.db.Reader(), event)
	if err != nil || e == nil {
		return 1, err
	}
	return e.CausationLevel + 1, nil
}

// meetRow is for a row of the command that is there, if it is: a committed one is the
// outcome, and after an aborted one comes the next run.
func (a *App) meetRow(ctx context.Context, x *execution, there *ledger.Command) (*Outcome, error) {
	if there == nil {
		return nil, nil
	}
	if err := sameCommand(there, x); err != nil {
		return nil, err
	}
	if there.Status == ledger.Committed {
		return a.replay(ctx, there)
	}
	x.run = there.Run + 1
	return nil, nil
}

// replay is the outcome of a command that was done before.
func (a *App) replay(ctx context.Context, r *ledger.Command) (*Outcome, error) {
	out := &Outcome{Command: r.ID, Replayed: true}
	if r.EventID.IsZero() {
		return out, nil
	}
	e, err := a.rows.eventByID(ctx, a.db.Reader(), r.EventID)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, &edda.Error{Reason: edda.Internal, Err: fmt.Errorf("its event %s is not there", r.EventID)}
	}
	out.Event = e
	out.Position, err = ledger.LastPosition(ctx, a.db.Reader(), (*ledger.Event)(e))
	return out, err
}

// run runs a command from its first validators to its outcome.
func (a *App) run(ctx context.Context, x *execution) (out *Outcome, err error) {
	err = a.observed(observe.WithTraceParent(ctx, x.command.TraceParent), x.observation(), func(ctx context.Context) error {
		if err := a.before(ctx, x); err != nil {
			return err
		}
		if len(x.spec.Calls) > 0 {
			out, err = a.callOut(ctx, x)
		} else {
			out, err = a.finish(ctx, x)
		}
		return err
	})
	return out, err
}

func (x *execution) observation() observe.What {
	return observe.What{Kind: observe.Command, Broadcaster: x.of.broadcaster.name, Name: x.spec.Type, Type: x.command.Type, Command: x.command.ID}
}

// before runs validators and before hooks.
func (a *App) before(ctx context.Context, x *execution) error {
	if err := a.validate(ctx, x); err != nil {
		return err
	}
	return a.hooks(ctx, a.db.Reader(), x, Before)
}

// finish runs after hooks and the transaction.
func (a *App) finish(ctx context.Context, x *execution) (*Outcome, error) {
	if err := a.hooks(ctx, a.db.Reader(), x, After); err != nil {
		return nil, err
	}
	for {
		t := &tree{a: a}
		e, err := a.commit(ctx, t, x)
		if there, ok := errors.AsType[*thereError](err); ok && there.row.ID == x.command.ID {
			if len(x.spec.Calls) > 0 && (there.row.Status != ledger.Committed || there.row.Run != x.run) {
				return nil, errGivenUp(x) // its calls are undone, and go with no other run
			}
			out, err := a.meetRow(ctx, x, there.row)
			if out != nil || err != nil {
				return out, err
			}
			continue // as the next run
		}
		if errors.Is(err, driver.ErrUnknown) {
			return a.resolve(ctx, x, err)
		}
		if err != nil {
			return nil, err
		}
		return a.done(t, x, e), nil
	}
}

// done tells of a commit.
func (a *App) done(t *tree, x *execution, e *Event) *Outcome {
	out := &Outcome{Command: x.command.ID, Event: e}
	if n := len(t.events); n > 0 {
		out.Position = t.events[n-1].Position
		a.committed()
	}
	return out
}

// commit runs the transaction of a command. The tree is that of the run that was committed.
func (a *App) commit(ctx context.Context, t *tree, x *execution) (e *Event, err error) {
	if x.command.NoTransaction {
		return a.commitLater(ctx, t, x)
	}
	err = a.db.Transact(ctx, a.txOptions(), func(ctx context.Context, tx *Tx) error {
		*t = tree{a: a, tx: tx}
		if e, err = t.root(ctx, x); err == nil {
			return a.rows.insertEvents(ctx, tx, t.events)
		}
		if there, ok := errors.AsType[*thereError](err); ok && there.row.ID == x.command.ID {
			// The row may be of a transaction that shares its commit with this one, and tells
			// nothing before that. Nothing was done here.
			t.there = there
			return nil
		}
		return err
	})
	if err == nil && t.there != nil {
		err = t.there
	}
	return e, err
}

// commitLater runs the handlers without a transaction, and then stores what is Edda's in one.
func (a *App) commitLater(ctx context.Context, t *tree, x *execution) (e *Event, err error) {
	err = a.db.Direct(ctx, func(ctx context.Context, tx *Tx) error {
		*t = tree{a: a, tx: tx, later: &later{}}
		e, err = t.root(ctx, x)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, a.db.Transact(ctx, a.txOptions(), func(ctx context.Context, tx *Tx) error {
		return t.later.store(ctx, tx, a.rows, t.events)
	})
}

func (a *App) txOptions() driver.TxOptions {
	if a.o.Isolation == RepeatableRead {
		return driver.TxOptions{Isolation: sql.LevelRepeatableRead}
	}
	return driver.TxOptions{Isolation: sql.LevelSerializable}
}

// root runs the command that the transaction is for.
func (t *tree) root(ctx context.Context, x *execution) (*Event, error) {
	if x.command.DoNotSave {
		t.unsaved++
	}
	return t.command(context.WithValue(ctx, openTx{}, t.a), x, 1)
}
