package rebuild

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/double"
	"github.com/edda-io/edda/cqrs/internal/eventual"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// Claim makes the doubles, and the rows by which other processes know of the rebuild. The error is a
// *edda.Error, Conflict, for another one that is under way; BadValue for tables that cannot be rebuilt; or
// the database's.
func (r *Rebuild) Claim(ctx context.Context) error {
	return r.o.DB.Transact(ctx, r.o.TxOptions, func(ctx context.Context, tx *driver.Tx) error {
		r.own = time.Now().UnixMicro()
		for _, t := range r.names {
			row, err := ledger.SelectPlace(ctx, tx, Row(t))
			if err != nil {
				return err
			}
			if row != nil && time.Since(row.UpdatedAt) < stale && !r.o.TakeOver {
				return &edda.Error{Reason: edda.Conflict, RetryAfter: stale, Err: fmt.Errorf(
					"table %s is being rebuilt: %d events so far, the last at %s", t, row.Events, row.UpdatedAt.Format(time.RFC3339))}
			}
			if row != nil {
				r.own = max(r.own, row.Generation+1)
			}
			if err := double.Drop(ctx, tx, r.o.DB.Dialect(), t, row != nil); err != nil {
				return err
			}
		}
		for _, t := range r.names {
			if err := ledger.PutPlace(ctx, tx, Row(t), ledger.Rebuilding, r.own, time.Now()); err != nil {
				return err
			}
		}
		var err error
		if r.tables, err = double.Open(ctx, tx, r.o.DB.Dialect(), r.names, r.o.Ignore); err != nil {
			return err
		}
		return r.tables.Create(ctx, tx)
	})
}

// note writes the progress, and fails when another rebuild has taken over.
func (r *Rebuild) note(ctx context.Context, tx *driver.Tx, p ledger.Position, events int64) error {
	for _, t := range r.names {
		result, err := tx.ExecContext(ctx, "UPDATE edda_positions SET tx = $3, seq = $4, events = $5, updated_at = $6"+
			" WHERE handler = $1 AND generation = $2", Row(t), r.own, p.Tx, p.Seq, events, time.Now().UnixMicro())
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, &edda.Error{Reason: edda.Conflict, Err: errors.New("another rebuild has taken over")})
		}
	}
	return nil
}

// abandon removes the doubles, if they are this rebuild's still. What it cannot remove the next one does.
func (r *Rebuild) abandon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := r.o.DB.Transact(ctx, r.o.TxOptions, func(ctx context.Context, tx *driver.Tx) error {
		if err := r.note(ctx, tx, r.place, r.result.Events); err != nil {
			return err
		}
		return r.clear(ctx, tx)
	})
	if err != nil && edda.ReasonOf(err) != edda.Conflict {
		r.o.Logger.WarnContext(ctx, "what a rebuild has left is not removed yet", "handlers", r.ids, "err", err)
	}
}

// clear removes doubles and rows.
func (r *Rebuild) clear(ctx context.Context, tx *driver.Tx) error {
	if err := r.tables.Drop(ctx, tx); err != nil {
		return err
	}
	for _, t := range r.names {
		if _, err := tx.ExecContext(ctx, "DELETE FROM edda_positions WHERE handler = $1", Row(t)); err != nil {
			return err
		}
	}
	return nil
}

// handle runs the projectors on events, in transactions that take about the budget. Nothing is between the
// last of them and until.
func (r *Rebuild) handle(ctx context.Context, all []Task, until ledger.Position) error {
	for {
		n := min(r.size, len(all))
		// What several projectors do with an event is done together.
		for n > 0 && n < len(all) && all[n].Event == all[n-1].Event {
			n++
		}
		place := until
		if n < len(all) {
			place = all[n-1].Event.Position
		}
		began := time.Now()
		err := r.store(ctx, all[:n], place)
		if err != nil {
			return err
		}
		switch took := time.Since(began); {
		case took > 2*r.budget:
			r.size = max(r.size/2, 1)
		case took < r.budget && n == r.size:
			r.size *= 2
		}
		if all = all[n:]; len(all) == 0 {
			return nil
		}
	}
}

// store runs the projectors on some events in a transaction.
func (r *Rebuild) store(ctx context.Context, some []Task, place ledger.Position) error {
	var skips []Task
	err := r.o.DB.Transact(ctx, r.o.TxOptions, func(ctx context.Context, tx *driver.Tx) (err error) {
		if err := r.note(ctx, tx, place, r.result.Events+int64(len(some))); err != nil {
			return err
		}
		skips, err = r.apply(ctx, tx, some)
		return err
	})
	if err != nil {
		return err
	}
	r.skip(skips)
	r.place = place
	r.result.Events += int64(len(some) - len(skips))
	r.progress.Position, r.progress.Events, r.progress.UpdatedAt = place, r.result.Events, time.Now().UTC()
	return nil
}

func (r *Rebuild) skip(skips []Task) {
	for _, m := range skips {
		id := m.p.ID
		r.skipped[skip{id, m.Event.Position}] = true
		for _, a := range m.Event.Aggregates() {
			r.behind[skippedKey{id, a}] = true
		}
	}
}

// apply runs the projectors on events: all at once if that goes well, else one by one, to find the one that
// fails. It returns those that are parked in the live projection, and were skipped.
func (r *Rebuild) apply(ctx context.Context, tx *driver.Tx, some []Task) (skips []Task, err error) {
	ctx = r.o.Within(ctx)
	doubled := tx.WithTables(r.tables.Names())
	if len(r.behind) == 0 {
		var failure error
		err := tx.Savepoint(ctx, func() error {
			failure = r.callAll(ctx, doubled, some)
			return failure
		})
		if err == nil || failure == nil || eventual.InTheWay(err) || ctx.Err() != nil || len(some) == 0 {
			return nil, err
		}
	}
	behind := map[skippedKey]bool{}
	for _, m := range some {
		skipped, err := r.one(ctx, tx, doubled, m, behind)
		if err != nil {
			return nil, err
		}
		if skipped {
			skips = append(skips, m)
		}
	}
	return skips, nil
}

// one runs a projector on one event.
func (r *Rebuild) one(ctx context.Context, tx, doubled *driver.Tx, m Task, behind map[skippedKey]bool) (skipped bool, err error) {
	id := m.p.ID
	for _, a := range m.Event.Aggregates() {
		if k := (skippedKey{id, a}); r.behind[k] || behind[k] {
			row, err := ledger.ParkedAt(ctx, tx, id, m.Event.Position)
			if err != nil || row != nil {
				return row != nil, err
			}
		}
	}
	var failure error
	err = tx.Savepoint(ctx, func() error {
		failure = r.call(ctx, doubled, m)
		return failure
	})
	if err == nil || failure == nil || eventual.InTheWay(err) || ctx.Err() != nil {
		return false, err
	}
	row, look := ledger.ParkedAt(ctx, tx, id, m.Event.Position)
	if look != nil || row == nil {
		return false, &edda.Error{Reason: r.o.Reason(failure), Err: fmt.Errorf("%s on event %s (%s, at %s): %w", id, m.Event.ID, m.Event.Type, m.Event.Position, failure)}
	}
	for _, a := range m.Event.Aggregates() {
		behind[skippedKey{id, a}] = true
	}
	return true, nil
}

// callAll runs the projectors on events, in order.
func (r *Rebuild) callAll(ctx context.Context, doubled *driver.Tx, some []Task) error {
	if len(some) > 0 && len(r.members) == 1 && r.members[0].Batch {
		return r.members[0].Handle(ctx, doubled, some)
	}
	for _, m := range some {
		if err := r.call(ctx, doubled, m); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rebuild) call(ctx context.Context, doubled *driver.Tx, m Task) error {
	return m.p.Handle(ctx, doubled, []Task{m})
}
