package cqrs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/double"
	"github.com/edda-io/edda/cqrs/internal/eventual"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

const repeatableRead = sql.LevelRepeatableRead

// claim makes the doubles, and the rows by which other processes know of the rebuild.
func (r *rebuild) claim(ctx context.Context) error {
	return r.a.db.Transact(ctx, r.txOptions(), func(ctx context.Context, tx *Tx) error {
		r.own = time.Now().UnixMicro()
		for _, t := range r.names {
			row, err := ledger.SelectPlace(ctx, tx, rebuildPrefix+string(t))
			if err != nil {
				return err
			}
			if row != nil && time.Since(row.UpdatedAt) < rebuildStale && !r.o.TakeOver {
				return &edda.Error{Reason: edda.Conflict, RetryAfter: rebuildStale, Err: fmt.Errorf(
					"table %s is being rebuilt: %d events so far, the last at %s", t, row.Events, row.UpdatedAt.Format(time.RFC3339))}
			}
			if row != nil {
				r.own = max(r.own, row.Generation+1)
			}
			if err := double.Drop(ctx, tx, r.a.db.Dialect(), string(t), row != nil); err != nil {
				return err
			}
		}
		for _, t := range r.names {
			if err := ledger.PutPlace(ctx, tx, rebuildPrefix+string(t), ledger.Rebuilding, r.own, time.Now()); err != nil {
				return err
			}
		}
		var err error
		if r.tables, err = double.Open(ctx, tx, r.a.db.Dialect(), r.tableNames(), r.o.Ignore); err != nil {
			return err
		}
		return r.tables.Create(ctx, tx)
	})
}

func (r *rebuild) tableNames() []string {
	names := make([]string, len(r.names))
	for i, t := range r.names {
		names[i] = string(t)
	}
	return names
}

// note writes the progress, and fails when another rebuild has taken over.
func (r *rebuild) note(ctx context.Context, tx *Tx, p Position, events int64) error {
	for _, t := range r.names {
		result, err := tx.ExecContext(ctx, "UPDATE edda_positions SET tx = $3, seq = $4, events = $5, updated_at = $6"+
			" WHERE handler = $1 AND generation = $2", rebuildPrefix+string(t), r.own, p.Tx, p.Seq, events, time.Now().UnixMicro())
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
func (r *rebuild) abandon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := r.a.db.Transact(ctx, r.txOptions(), func(ctx context.Context, tx *Tx) error {
		if err := r.note(ctx, tx, r.place, r.result.Events); err != nil {
			return err
		}
		return r.clear(ctx, tx)
	})
	if err != nil && edda.ReasonOf(err) != edda.Conflict {
		r.a.log.WarnContext(ctx, "what a rebuild has left is not removed yet", "handlers", r.result.Handlers, "err", err)
	}
}

// clear removes doubles and rows.
func (r *rebuild) clear(ctx context.Context, tx *Tx) error {
	if err := r.tables.Drop(ctx, tx); err != nil {
		return err
	}
	for _, t := range r.names {
		if _, err := tx.ExecContext(ctx, "DELETE FROM edda_positions WHERE handler = $1", rebuildPrefix+string(t)); err != nil {
			return err
		}
	}
	return nil
}

// handle runs the projectors on events, in transactions that take about the budget. Nothing is between the
// last of them and until.
func (r *rebuild) handle(ctx context.Context, all []matched, until Position) error {
	for {
		n := min(r.size, len(all))
		// What several projectors do with an event is done together.
		for n > 0 && n < len(all) && all[n].e == all[n-1].e {
			n++
		}
		place := until
		if n < len(all) {
			place = all[n-1].e.Position
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
func (r *rebuild) store(ctx context.Context, some []matched, place Position) error {
	var skips []matched
	err := r.a.db.Transact(ctx, r.txOptions(), func(ctx context.Context, tx *Tx) (err error) {
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

func (r *rebuild) skip(skips []matched) {
	for _, m := range skips {
		id := r.idOf(m.h)
		r.skipped[skip{id, m.e.Position}] = true
		for _, a := range (*ledger.Event)(m.e).Aggregates() {
			r.behind[skippedKey{id, a}] = true
		}
	}
}

func (r *rebuild) idOf(h *handler) string {
	for _, m := range r.members {
		if m.h == h {
			return m.id
		}
	}
	return ""
}

// apply runs the projectors on events: all at once if that goes well, else one by one, to find the one that
// fails. It returns those that are parked in the live projection, and were skipped.
func (r *rebuild) apply(ctx context.Context, tx *Tx, some []matched) (skips []matched, err error) {
	ctx = context.WithValue(ctx, openTx{}, r.a)
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
func (r *rebuild) one(ctx context.Context, tx, doubled *Tx, m matched, behind map[skippedKey]bool) (skipped bool, err error) {
	id := r.idOf(m.h)
	for _, a := range (*ledger.Event)(m.e).Aggregates() {
		if k := (skippedKey{id, a}); r.behind[k] || behind[k] {
			row, err := ledger.ParkedAt(ctx, tx, id, m.e.Position)
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
	row, look := ledger.ParkedAt(ctx, tx, id, m.e.Position)
	if look != nil || row == nil {
		return false, &edda.Error{Reason: reasonOf(failure), Err: fmt.Errorf("%s on event %s (%s, at %s): %w", id, m.e.ID, m.e.Type, m.e.Position, failure)}
	}
	for _, a := range (*ledger.Event)(m.e).Aggregates() {
		behind[skippedKey{id, a}] = true
	}
	return true, nil
}

// callAll runs the projectors on events, in order.
func (r *rebuild) callAll(ctx context.Context, doubled *Tx, some []matched) error {
	if len(some) > 0 && len(r.members) == 1 && some[0].h.batch != nil {
		events := make([]*Event, len(some))
		for i, m := range some {
			events[i] = m.e
		}
		return r.a.attempt(ctx, some[0].match, func(ctx context.Context) error { return some[0].h.batch(ctx, doubled, events) })
	}
	for _, m := range some {
		if err := r.call(ctx, doubled, m); err != nil {
			return err
		}
	}
	return nil
}

func (r *rebuild) call(ctx context.Context, doubled *Tx, m matched) error {
	return r.a.attempt(ctx, m.match, func(ctx context.Context) error {
		if m.h.batch != nil {
			return m.h.batch(ctx, doubled, []*Event{m.e})
		}
		_, err := m.h.project(ctx, doubled, m.e)
		return err
	})
}
