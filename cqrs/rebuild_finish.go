package cqrs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edda-io/edda"
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
		if err := r.tables.lock(ctx, tx, r.shapes); err != nil {
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
		for _, s := range r.shapes {
			t, err := r.compare(ctx, tx, s)
			if err != nil {
				return err
			}
			last.Tables = append(last.Tables, t)
			differ = differ || !t.equal()
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
func (r *rebuild) rest(ctx context.Context, tx *Tx) ([]matched, []*positionRow, error) {
	places := map[*handler]Position{}
	until := Position{}
	var rows []*positionRow
	for _, m := range r.members {
		if r.strong {
			continue
		}
		if _, err := tx.ExecContext(ctx, "UPDATE edda_positions SET updated_at = updated_at WHERE handler = $1", m.id); err != nil {
			return nil, nil, err
		}
		row, err := selectPosition(ctx, tx, m.id)
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
	events, err := r.a.rows.selectEvents(ctx, tx, r.a.db.Dialect(), eventRange{After: r.place, Until: until, Limit: rebuildRest + 1})
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

// compare compares a table with its double.
func (r *rebuild) compare(ctx context.Context, tx *Tx, s *shape) (t RebuiltTable, err error) {
	t.Table = s.table
	if t.Rows, t.Checksum, err = r.tables.checksum(ctx, tx, s, string(s.table)); err != nil {
		return t, err
	}
	t.RebuiltRows, t.RebuiltChecksum, err = r.tables.checksum(ctx, tx, s, s.table.double())
	return t, err
}

// replace makes the live tables equal to their doubles.
func (r *rebuild) replace(ctx context.Context, tx *Tx, last *Rebuilt, rows []*positionRow, skips []matched) error {
	last.Replaced = true
	for i, s := range slices.Backward(r.shapes) {
		n, err := r.remove(ctx, tx, s)
		if err != nil {
			return err
		}
		last.Tables[i].Changed += n
	}
	for i, s := range r.shapes {
		n, err := r.insert(ctx, tx, s)
		if err != nil {
			return err
		}
		last.Tables[i].Changed += n
	}
	if err := r.tables.numbers(ctx, tx, r.shapes); err != nil {
		return err
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
func (r *rebuild) unpark(ctx context.Context, tx *Tx, row *positionRow, kept map[skip]bool) error {
	parked, err := selectParked(ctx, tx, parkedRange{Handler: row.Handler})
	if err != nil {
		return err
	}
	for _, p := range parked {
		if k := (skip{row.Handler, p.Position}); r.skipped[k] || kept[k] {
			continue
		}
		if err := deleteParked(ctx, tx, row.Handler, p.Position); err != nil {
			return err
		}
	}
	row.Generation++
	return movePosition(ctx, tx, row, time.Now())
}

// shape is a table of a projection, as the database has it.
type shape struct {
	table   Table
	sql     []string // that make the double
	columns []column
	key     []string // of the primary key
	// id names the table in the database, and from are the ids of the tables of the projection that
	// refer to it.
	id   string
	from []string
	keep bool // the key is compared, so that it tells rows apart
}

// inOrder puts tables after those that they refer to.
func inOrder(all []*shape) []*shape {
	var sorted []*shape
	var add func(s *shape, depth int)
	add = func(s *shape, depth int) {
		if slices.Contains(sorted, s) || depth > len(all) { // they refer to each other
			return
		}
		for _, o := range all {
			if slices.Contains(o.from, s.id) {
				add(o, depth+1)
			}
		}
		if !slices.Contains(sorted, s) {
			sorted = append(sorted, s)
		}
	}
	for _, s := range all {
		add(s, 0)
	}
	return sorted
}

func refuseReference(table string) error {
	return fmt.Errorf("table %s refers to it and is not of the projection, so its rows cannot be replaced", table)
}

func refuseTriggers(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("it has the trigger %s: what triggers do cannot be rebuilt", strings.Join(names, ", "))
}

type column struct {
	name string
	// computed is made of other columns; given has a default.
	computed, given bool
	// identity is numbered by a sequence of its own.
	identity bool
	ignored  bool
}

// ignore marks the columns that are not compared.
func (r *rebuild) ignore() error {
	for _, name := range r.o.Ignore {
		found := false
		for _, s := range r.shapes {
			for i := range s.columns {
				if strings.EqualFold(name, string(s.table)+"."+s.columns[i].name) {
					s.columns[i].ignored, found = true, true
				}
			}
		}
		if !found {
			return badValue("", "Ignore names %q, which is no column of its tables; it must be TABLE.COLUMN", name)
		}
	}
	for _, s := range r.shapes {
		if len(s.compared()) == 0 {
			return badValue("", "Ignore leaves no column of table %s to compare", s.table)
		}
		s.keep = len(s.key) > 0 && !slices.ContainsFunc(s.columns, func(c column) bool { return c.ignored && slices.Contains(s.key, c.name) })
	}
	return nil
}

// compared are the columns that are compared.
func (s *shape) compared() []string {
	var names []string
	for _, c := range s.columns {
		if !c.ignored {
			names = append(names, c.name)
		}
	}
	return names
}

// written are the columns that are written. What is ignored the database may give anew.
func (s *shape) written() []string {
	var names []string
	for _, c := range s.columns {
		if !c.computed && (!c.ignored || !c.given) {
			names = append(names, c.name)
		}
	}
	return names
}

func quotedNames(alias string, names []string) string {
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = alias + quoteName(n)
	}
	return strings.Join(all, ", ")
}

// match is the condition that row t of the table and row d of the double have the same key.
func (s *shape) match() string {
	all := make([]string, len(s.key))
	for i, n := range s.key {
		all[i] = "t." + quoteName(n) + " = d." + quoteName(n)
	}
	return strings.Join(all, " AND ")
}

// remove deletes the rows that the double does not have, and those that it has otherwise, unless others
// refer to them.
func (r *rebuild) remove(ctx context.Context, tx *Tx, s *shape) (int64, error) {
	statement := "DELETE FROM " + string(s.table)
	if s.keep {
		same := s.match()
		if len(s.from) == 0 {
			same += " AND " + r.tables.same(s)
		}
		statement += " AS t WHERE NOT EXISTS (SELECT 1 FROM " + s.table.double() + " AS d WHERE " + same + ")"
	}
	return execRows(ctx, tx, statement)
}

// insert writes the rows that the table does not have, or has otherwise.
func (r *rebuild) insert(ctx context.Context, tx *Tx, s *shape) (changed int64, err error) {
	if s.keep && len(s.from) > 0 {
		var set []string
		for _, n := range s.written() {
			if !slices.Contains(s.key, n) {
				set = append(set, quoteName(n)+" = d."+quoteName(n))
			}
		}
		if len(set) > 0 {
			changed, err = execRows(ctx, tx, "UPDATE "+string(s.table)+" AS t SET "+strings.Join(set, ", ")+" FROM "+s.table.double()+
				" AS d WHERE "+s.match()+" AND NOT ("+r.tables.same(s)+")")
			if err != nil {
				return 0, err
			}
		}
	}
	statement := "INSERT INTO " + string(s.table) + " (" + quotedNames("", s.written()) + ")" + r.tables.overriding() +
		" SELECT " + quotedNames("d.", s.written()) + " FROM " + s.table.double() + " AS d"
	if s.keep {
		statement += " WHERE NOT EXISTS (SELECT 1 FROM " + string(s.table) + " AS t WHERE " + s.match() + ")"
	}
	n, err := execRows(ctx, tx, statement)
	return changed + n, err
}

func execRows(ctx context.Context, tx *Tx, statement string, args ...any) (int64, error) {
	result, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// tables is what is different about tables between databases.
type tables interface {
	// shapes describes tables, and refuses those that cannot be rebuilt.
	shapes(ctx context.Context, tx *Tx, names []Table) ([]*shape, error)
	// create makes the doubles.
	create(ctx context.Context, tx *Tx, all []*shape) error
	// drop removes a double. If it is not known to be one, its being there is an error.
	drop(ctx context.Context, tx *Tx, t Table, ours bool) error
	// lock keeps others from writing the tables, but not from reading them.
	lock(ctx context.Context, tx *Tx, all []*shape) error
	// checksum is that of the columns that are compared, of the table or its double.
	checksum(ctx context.Context, tx *Tx, s *shape, name string) (rows int64, sum string, err error)
	// same is the condition that row t of the table and row d of the double are equal.
	same(s *shape) string
	// overriding lets an INSERT write numbers that the database gives.
	overriding() string
	// numbers lets what numbers the rows go on after those there are.
	numbers(ctx context.Context, tx *Tx, all []*shape) error
}

// notDouble says that the name of a double is taken.
func notDouble(t Table) error {
	return &edda.Error{Reason: edda.Conflict, Err: fmt.Errorf("there is a table %s, which no rebuild has made: rename it, since %s is rebuilt under this name", t.double(), t)}
}

var errNoTable = errors.New("there is no such table")
