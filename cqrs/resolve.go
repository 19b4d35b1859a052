package cqrs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

const (
	// settleWithin is how long a database is asked what became of a command, when the
	// caller's own time may be over.
	settleWithin = 10 * time.Second
	// settleDelay is the first pause before the database is asked again; it doubles.
	settleDelay = 20 * time.Millisecond
)

// resolve tells what became of a commit that was not answered. If it was not stored it never
// will be: the run is aborted, which waits for a transaction that is still open.
func (a *App) resolve(ctx context.Context, x *execution, commitErr error) (*Outcome, error) {
	return a.giveUp(ctx, x, &edda.Error{Reason: edda.Unavailable, Err: fmt.Errorf("it was not stored: %w", commitErr)})
}

// giveUp aborts a run and returns why, unless it was committed already: then that is the
// outcome. When the database cannot be asked, the outcome is unknown.
func (a *App) giveUp(ctx context.Context, x *execution, why error) (*Outcome, error) {
	there, err := a.settle(ctx, x, why.Error())
	switch {
	case err != nil:
		return nil, &edda.Error{Reason: edda.OutcomeUnknown, Err: fmt.Errorf("%w (and to look whether it was committed: %w)", why, err)}
	case there.Status == ledger.Committed && there.Run == x.run:
		return a.committedAfterAll(context.WithoutCancel(ctx), x, there)
	}
	return nil, why
}

// settle aborts a run, or finds that it was committed: abort, repeated for a while, also
// when ctx has ended.
func (a *App) settle(ctx context.Context, x *execution, why string) (*ledger.Command, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	defer cancel()
	for delay := settleDelay; ; delay *= 2 {
		there, err := a.abort(ctx, x.row(), why)
		if err == nil {
			return there, nil
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// abort sees to it that a run of a command is not committed any more, and returns the row
// that then holds: of this run, aborted or committed, or of a later one.
func (a *App) abort(ctx context.Context, r *ledger.Command, why string) (*ledger.Command, error) {
	aborted := *r
	aborted.Status, aborted.Reason = ledger.Aborted, why
	var holds *ledger.Command
	err := a.db.Transact(ctx, a.txOptions(), func(ctx context.Context, tx *Tx) error {
		holds = &aborted
		there, err := ledger.AbortCommand(ctx, tx, &aborted)
		if there != nil {
			holds = there
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("abort run %d: %w", r.Run, err)
	}
	return holds, nil
}

// recoverCommit ends a run whose first attempt to commit was lost. What it found before is
// old, and who waited for it may be gone, so it is not committed now: if it was, that is
// the outcome, and if not it is aborted.
func (a *App) recoverCommit(ctx context.Context, x *execution) (*Outcome, error) {
	lost := &edda.Error{Reason: edda.WorkerLost, Err: errors.New("it was not committed: the process that should have done it went away")}
	there, err := a.abort(ctx, x.row(), lost.Error())
	switch {
	case err != nil:
		return nil, &edda.Error{Reason: edda.OutcomeUnknown, Err: err}
	case there.Status == ledger.Committed && there.Run == x.run:
		return a.committedAfterAll(ctx, x, there)
	}
	return nil, lost
}

// committedAfterAll is the outcome of a commit whose answer was not heard, if it was this command's:
// another one, under the same id, may have come before it.
func (a *App) committedAfterAll(ctx context.Context, x *execution, r *ledger.Command) (*Outcome, error) {
	a.committed()
	if err := sameCommand(r, x); err != nil {
		return nil, err
	}
	out, err := a.replay(ctx, r)
	if err != nil {
		return nil, &edda.Error{Reason: edda.OutcomeUnknown, Err: fmt.Errorf("it was committed, but cannot be read: %w", err)}
	}
	out.Replayed = false
	return out, nil
}
