package rebuild

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/double"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// finish handles the last events, compares, and puts what was rebuilt in place of what is there, in one
// transaction during which nobody else writes the tables. It fails with errRest when there are too many
// events for that.
func (r *Rebuild) finish(ctx context.Context) error {
	o := r.o.TxOptions
	o.Alone = true
	var skips []Task
	var last Result
	differ := false
	free, err := r.o.Hold(ctx, slices.Clone(r.ids)...)
	if err != nil {
		return err
	}
	defer free()
	err = r.o.DB.Transact(ctx, o, func(ctx context.Context, tx *driver.Tx) (err error) {
		last, differ = Result{Position: r.place, Events: r.result.Events}, false
		if err := r.tables.Lock(ctx, tx); err != nil {
			return err
		}
		if err := r.note(ctx, tx, r.place, r.result.Events); err != nil {
			return err
		}
		rest, rows, err := r.rest(ctx, tx)
		if err != nil {
			return err
		}
		if skips, err = r.apply(ctx, tx, rest); err != nil {
			return err
		}
		last.Events += int64(len(rest) - len(skips))
		if len(rest) > 0 {
			last.Position = rest[len(rest)-1].Event.Position
		}
		if last.Tables, err = r.tables.Compare(ctx, tx); err != nil {
			return err
		}
		differ = slices.ContainsFunc(last.Tables, func(c double.Comparison) bool { return !c.Equal() })
		if differ && r.o.Replace {
			if err := r.replace(ctx, tx, &last, rows, skips); err != nil {
				return err
			}
		}
		return r.clear(ctx, tx)
	})
	if err != nil {
		return err
	}
	r.result = last
	if differ && !r.o.Replace {
		return r.difference()
	}
	return nil
}

// difference says in what the tables differ.
func (r *Rebuild) difference() error {
	var texts []string
	for _, t := range r.result.Tables {
		if !t.Equal() {
			texts = append(texts, fmt.Sprintf("%s has %d rows (checksum %s), rebuilt it has %d (%s)", t.Table, t.Rows, t.Checksum, t.DoubleRows, t.DoubleChecksum))
		}
	}
	return &edda.Error{Reason: edda.Conflict, Err: fmt.Errorf("what was rebuilt differs, and nothing was changed: %s", strings.Join(texts, "; "))}
}

// rest reads the events that are left, with the rows of eventual handlers locked.
func (r *Rebuild) rest(ctx context.Context, tx *driver.Tx) ([]Task, []*ledger.Place, error) {
	places := map[*Projector]ledger.Position{}
	until := ledger.Position{}
	var rows []*ledger.Place
	for i := range r.members {
		m := &r.members[i]
		if r.o.Strong {
			continue
		}
		if _, err := tx.ExecContext(ctx, "UPDATE edda_positions SET updated_at = updated_at WHERE handler = $1", m.ID); err != nil {
			return nil, nil, err
		}
		row, err := ledger.SelectPlace(ctx, tx, m.ID)
		if err != nil {
			return nil, nil, err
		}
		if row == nil {
			return nil, nil, nil // it has not run yet
		}
		rows = append(rows, row)
		places[m] = row.Position
		if until.Before(row.Position) {
			until = row.Position
		}
	}
	if !r.o.Strong && !r.place.Before(until) {
		return nil, rows, nil
	}
	// Events that are there and not settled count too: what is not there yet will write the tables later.
	events, err := r.o.Events.Select(ctx, tx, r.o.DB.Dialect(), ledger.Range{After: r.place, Until: until, Limit: maxRest + 1})
	if err != nil {
		return nil, nil, err
	}
	if len(events) > maxRest {
		return nil, nil, errRest
	}
	rest := r.take(events)
	if !r.o.Strong {
		rest = slices.DeleteFunc(rest, func(m Task) bool { return places[m.p].Before(m.Event.Position) })
	}
	return rest, rows, nil
}

// replace makes the live tables equal to their doubles.
func (r *Rebuild) replace(ctx context.Context, tx *driver.Tx, last *Result, rows []*ledger.Place, skips []Task) error {
	last.Replaced = true
	var err error
	if last.Changed, err = r.tables.Replace(ctx, tx); err != nil {
		return err
	}
	kept := map[skip]bool{}
	for _, m := range skips {
		kept[skip{m.p.ID, m.Event.Position}] = true
	}
	for _, row := range rows {
		if err := r.unpark(ctx, tx, row, kept); err != nil {
			return err
		}
	}
	return nil
}

// unpark takes away the parked events of a handler that the rebuild has handled.
func (r *Rebuild) unpark(ctx context.Context, tx *driver.Tx, row *ledger.Place, kept map[skip]bool) error {
	parked, err := ledger.SelectParked(ctx, tx, ledger.ParkedRange{Handler: row.Handler})
	if err != nil {
		return err
	}
	for _, p := range parked {
		if k := (skip{row.Handler, p.Position}); r.skipped[k] || kept[k] {
			continue
		}
		if err := ledger.DeleteParked(ctx, tx, row.Handler, p.Position); err != nil {
			return err
		}
	}
	row.Generation++
	return ledger.MovePlace(ctx, tx, row, time.Now())
}
