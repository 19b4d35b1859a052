package cqrs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// finish handles the last events, compares, and puts what was rebuilt in place of what is there, in one
// transaction during which nobody else writes the tables. It fails with errRest when there are too many
// events for that.
func (r *rebuild) finish(ctx context.Context) error {
	o := r.txOptions()
	o.Alone = true
	var skips []matched
	var last Rebuilt
	differ := false
	free, err := r.a.holdLanes(ctx, slices.Clone(r.result.Handlers)...)
	if err != nil {
		return err
	}
	defer free()
	err = r.a.db.Transact(ctx, o, func(ctx context.Context, tx *Tx) (err error) {
		last, differ = Rebuilt{Handlers: r.result.Handlers, Position: r.place, Events: r.result.Events}, false
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
			last.Position = rest[len(rest)-1].e.Position
		}
		all, err := r.tables.Compare(ctx, tx)
		if err != nil {
			return err
		}
		for _, c := range all {
			last.Tables = append(last.Tables, RebuiltTable{
				Table: Table(c.Table), Rows: c.Rows, Checksum: c.Checksum, RebuiltRows: c.DoubleRows, RebuiltChecksum: c.DoubleChecksum,
			})
			differ = differ || !c.Equal()
		}
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
func (r *rebuild) difference() error {
	var texts []string
	for _, t := range r.result.Tables {
		if !t.equal() {
			texts = append(texts, fmt.Sprintf("%s has %d rows (checksum %s), rebuilt it has %d (%s)", t.Table, t.Rows, t.Checksum, t.RebuiltRows, t.RebuiltChecksum))
		}
	}
	return &edda.Error{Reason: edda.Conflict, Err: fmt.Errorf("what was rebuilt differs, and nothing was changed: %s", strings.Join(texts, "; "))}
}

// rest reads the events that are left, with the rows of eventual handlers locked.
func (r *rebuild) rest(ctx context.Context, tx *Tx) ([]matched, []*ledger.Place, error) {
	places := map[*handler]Position{}
	until := Position{}
	var rows []*ledger.Place
	for _, m := range r.members {
		if r.strong {
			continue
		}
		if _, err := tx.ExecContext(ctx, "UPDATE edda_positions SET updated_at = updated_at WHERE handler = $1", m.id); err != nil {
			return nil, nil, err
		}
		row, err := ledger.SelectPlace(ctx, tx, m.id)
		if err != nil {
			return nil, nil, err
		}
		if row == nil {
			return nil, nil, nil // it has not run yet
		}
		rows = append(rows, row)
		places[m.h] = row.Position
		if until.Before(row.Position) {
			until = row.Position
		}
	}
	if !r.strong && !r.place.Before(until) {
		return nil, rows, nil
	}
	// Events that are there and not settled count too: what is not there yet will write the tables later.
	events, err := r.a.rows.selectEvents(ctx, tx, r.a.db.Dialect(), ledger.Range{After: r.place, Until: until, Limit: rebuildRest + 1})
	if err != nil {
		return nil, nil, err
	}
	if len(events) > rebuildRest {
		return nil, nil, errRest
	}
	rest := r.take(events)
	if !r.strong {
		rest = slices.DeleteFunc(rest, func(m matched) bool { return places[m.h].Before(m.e.Position) })
	}
	return rest, rows, nil
}

// replace makes the live tables equal to their doubles.
func (r *rebuild) replace(ctx context.Context, tx *Tx, last *Rebuilt, rows []*ledger.Place, skips []matched) error {
	last.Replaced = true
	changed, err := r.tables.Replace(ctx, tx)
	if err != nil {
		return err
	}
	for i, n := range changed {
		last.Tables[i].Changed = n
	}
	kept := map[skip]bool{}
	for _, m := range skips {
		kept[skip{r.idOf(m.h), m.e.Position}] = true
	}
	for _, row := range rows {
		if err := r.unpark(ctx, tx, row, kept); err != nil {
			return err
		}
	}
	return nil
}

// unpark takes away the parked events of a handler that the rebuild has handled.
func (r *rebuild) unpark(ctx context.Context, tx *Tx, row *ledger.Place, kept map[skip]bool) error {
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
