// Package double makes doubles of tables, beside them in the same database: what a projection is
// rebuilt in. It compares the two, and makes the tables equal to the doubles.
//
// All of it happens in transactions of the caller's: until they commit nobody else sees anything,
// and a failure leaves tables and doubles as they were. Tables that cannot be compared row by row,
// or replaced without changing others, are refused. A Set belongs to one goroutine.
package double

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// suffix is what the names of doubles end with.
const suffix = "__2"

// Check refuses what is no name of a table: a name, or a schema and a name, as SQL has them.
func Check(table string) error {
	_, _, err := parse(table)
	return err
}

// Name is what the double of a table is called.
func Name(table string) string {
	schema, name, err := parse(table)
	if err != nil {
		return table
	}
	if last := name[len(name)-1]; strings.ContainsRune("\"`]", rune(last)) {
		name = name[:len(name)-1] + suffix + string(last)
	} else {
		name += suffix
	}
	if schema != "" {
		return schema + "." + name
	}
	return name
}

// parse splits a table's name into a schema, "" for none, and the name, as they are written.
func parse(table string) (schema, name string, err error) {
	tokens := tokensOf(table)
	text := func(i int) string { return table[tokens[i].from:tokens[i].to] }
	switch {
	case len(tokens) == 1 && tokens[0].name != "":
		return "", text(0), nil
	case len(tokens) == 3 && tokens[0].name != "" && text(1) == "." && tokens[2].name != "":
		return text(0), text(2), nil
	}
	return "", "", fmt.Errorf("table %q: must be a name, or a schema and a name with a dot between", table)
}

// Drop removes the double of a table, if there is one. If it is not known to be ours, its being
// there is a *edda.Error, Conflict.
func Drop(ctx context.Context, tx *driver.Tx, d *driver.Dialect, table string, ours bool) error {
	return databaseOf(d).drop(ctx, tx, table, ours)
}

// Set is tables whose doubles hang together as they do.
type Set struct {
	db     database
	shapes []*shape // a table comes after those that it refers to
}

// Open describes tables as the database has them. Ignored are columns, as TABLE.COLUMN, that are not
// compared. The error is a *edda.Error, BadValue, for what cannot be doubled, or cannot be ignored.
func Open(ctx context.Context, tx *driver.Tx, d *driver.Dialect, tables, ignored []string) (*Set, error) {
	s := &Set{db: databaseOf(d)}
	var err error
	if s.shapes, err = s.db.shapes(ctx, tx, tables); err != nil {
		return nil, &edda.Error{Reason: edda.BadValue, Err: err}
	}
	return s, s.ignore(ignored)
}

func badValue(format string, args ...any) error {
	return &edda.Error{Reason: edda.BadValue, Err: fmt.Errorf(format, args...)}
}

// ignore marks the columns that are not compared.
func (s *Set) ignore(columns []string) error {
	for _, name := range columns {
		found := false
		for _, one := range s.shapes {
			for i := range one.columns {
				if strings.EqualFold(name, one.table+"."+one.columns[i].name) {
					one.columns[i].ignored, found = true, true
				}
			}
		}
		if !found {
			return badValue("Ignore names %q, which is no column of its tables; it must be TABLE.COLUMN", name)
		}
	}
	for _, one := range s.shapes {
		if len(one.compared()) == 0 {
			return badValue("Ignore leaves no column of table %s to compare", one.table)
		}
		one.keep = len(one.key) > 0 && !slices.ContainsFunc(one.columns, func(c column) bool { return c.ignored && slices.Contains(one.key, c.name) })
	}
	return nil
}

// Names are those of the doubles, by the tables', for Tx.WithTables.
func (s *Set) Names() map[string]string {
	all := make(map[string]string, len(s.shapes))
	for _, one := range s.shapes {
		all[one.table] = Name(one.table)
	}
	return all
}

// Create makes the doubles, empty, with the columns, indexes and constraints of the tables.
func (s *Set) Create(ctx context.Context, tx *driver.Tx) error { return s.db.create(ctx, tx, s.shapes) }

// Drop removes the doubles.
func (s *Set) Drop(ctx context.Context, tx *driver.Tx) error {
	for _, one := range s.shapes {
		if err := s.db.drop(ctx, tx, one.table, true); err != nil {
			return err
		}
	}
	return nil
}

// Lock keeps others from writing the tables until the transaction ends, but not from reading them. It
// must be the first statement of its transaction, so that what others have committed is seen.
func (s *Set) Lock(ctx context.Context, tx *driver.Tx) error { return s.db.lock(ctx, tx, s.shapes) }

// Comparison compares a table with its double. Checksums do not depend on the order of the rows.
type Comparison struct {
	Table                    string
	Rows, DoubleRows         int64
	Checksum, DoubleChecksum string
}

// Equal reports whether the two have the same rows, but for what is ignored.
func (c *Comparison) Equal() bool {
	return c.Rows == c.DoubleRows && c.Checksum == c.DoubleChecksum
}

// Compare compares all tables with their doubles.
func (s *Set) Compare(ctx context.Context, tx *driver.Tx) ([]Comparison, error) {
	all := make([]Comparison, len(s.shapes))
	for i, one := range s.shapes {
		c := Comparison{Table: one.table}
		var err error
		if c.Rows, c.Checksum, err = s.db.checksum(ctx, tx, one, one.table); err != nil {
			return nil, err
		}
		if c.DoubleRows, c.DoubleChecksum, err = s.db.checksum(ctx, tx, one, Name(one.table)); err != nil {
			return nil, err
		}
		all[i] = c
	}
	return all, nil
}

// database is what is different about tables between databases.
type database interface {
	// shapes describes tables, and refuses those that cannot be rebuilt.
	shapes(ctx context.Context, tx *driver.Tx, names []string) ([]*shape, error)
	// create makes the doubles.
	create(ctx context.Context, tx *driver.Tx, all []*shape) error
	// drop removes a double. If it is not known to be one, its being there is an error.
	drop(ctx context.Context, tx *driver.Tx, t string, ours bool) error
	// lock keeps others from writing the tables, but not from reading them.
	lock(ctx context.Context, tx *driver.Tx, all []*shape) error
	// checksum is that of the columns that are compared, of the table or its double.
	checksum(ctx context.Context, tx *driver.Tx, s *shape, name string) (rows int64, sum string, err error)
	// same is the condition that row t of the table and row d of the double are equal.
	same(s *shape) string
	// overriding lets an INSERT write numbers that the database gives.
	overriding() string
	// numbers lets what numbers the rows go on after those there are.
	numbers(ctx context.Context, tx *driver.Tx, all []*shape) error
}

func databaseOf(d *driver.Dialect) database {
	if d.Name == "postgres" {
		return postgres{}
	}
	return sqlite{}
}

// notDouble says that the name of a double is taken.
func notDouble(t string) error {
	return &edda.Error{Reason: edda.Conflict, Err: fmt.Errorf("there is a table %s, which no rebuild has made: rename it, since %s is rebuilt under this name", Name(t), t)}
}

var errNoTable = errors.New("there is no such table")
