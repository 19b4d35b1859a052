package double

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/edda-io/edda/cqrs/driver"
)

// postgres is a database of PostgreSQL.
type postgres struct{}

func (d postgres) shapes(ctx context.Context, tx *driver.Tx, names []string) ([]*shape, error) {
	doubles := map[string]string{}
	oids := make([]int64, len(names))
	for i, t := range names {
		oid, name, err := d.find(ctx, tx, t)
		if err == nil && oid == 0 {
			err = errNoTable
		}
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t, err)
		}
		oids[i], doubles[name] = oid, name+suffix
	}
	all := make([]*shape, len(names))
	for i, t := range names {
		all[i] = &shape{table: t}
		if err := d.shape(ctx, tx, all[i], oids[i], oids, doubles); err != nil {
			return nil, fmt.Errorf("table %s: %w", t, err)
		}
	}
	return inOrder(all), nil
}

// find returns a table's number, 0 when there is none, and its plain name.
func (postgres) find(ctx context.Context, tx *driver.Tx, t string) (oid int64, name string, err error) {
	var kind string
	err = tx.QueryRowContext(ctx, "SELECT oid::bigint, relname::text, relkind::text FROM pg_class WHERE oid = to_regclass($1)", t).Scan(&oid, &name, &kind)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, "", nil
	case err != nil:
		return 0, "", err
	case kind != "r" && kind != "p":
		return 0, "", errors.New("it is no table, and cannot be rebuilt")
	}
	return oid, name, nil
}

func (d postgres) shape(ctx context.Context, tx *driver.Tx, s *shape, oid int64, oids []int64, doubles map[string]string) error {
	const longest = 63
	if _, name, _ := parse(s.table); len(strings.Trim(name, `"`))+len(suffix) > longest {
		return errors.New("its name is too long: that of its double, with __2 at the end, must have at most 63 bytes")
	}
	triggers, err := textsOf(ctx, tx, "SELECT tgname::text FROM pg_trigger WHERE tgrelid = $1::bigint::oid AND NOT tgisinternal", oid)
	if err != nil || len(triggers) > 0 {
		return errors.Join(err, refuseTriggers(triggers))
	}
	s.sql = []string{"CREATE TABLE " + Name(s.table) + " (LIKE " + s.table + " INCLUDING ALL)"}
	keys, err := textsOf(ctx, tx, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1::bigint::oid AND contype = 'f' ORDER BY conname", oid)
	if err != nil {
		return err
	}
	for _, k := range keys {
		s.sql = append(s.sql, "ALTER TABLE "+Name(s.table)+" ADD "+renameTables(k, doubles, func(s string) string { return s }))
	}
	if err := d.columns(ctx, tx, s, oid); err != nil {
		return err
	}
	if s.key, err = textsOf(ctx, tx, "SELECT a.attname::text FROM pg_index AS i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, n)"+
		" JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum"+
		" WHERE i.indrelid = $1::bigint::oid AND i.indisprimary AND k.n <= i.indnkeyatts ORDER BY k.n", oid); err != nil {
		return err
	}
	s.id = strconv.FormatInt(oid, 10)
	others, err := textsOf(ctx, tx, "SELECT DISTINCT conrelid::bigint || ' ' || conrelid::regclass::text FROM pg_constraint"+
		" WHERE contype = 'f' AND confrelid = $1::bigint::oid AND conrelid <> confrelid", oid)
	if err != nil {
		return err
	}
	for _, o := range others {
		number, name, _ := strings.Cut(o, " ")
		if !slices.ContainsFunc(oids, func(o int64) bool { return strconv.FormatInt(o, 10) == number }) {
			return refuseReference(name)
		}
		s.from = append(s.from, number)
	}
	return nil
}

func (postgres) columns(ctx context.Context, tx *driver.Tx, s *shape, oid int64) (err error) {
	rows, err := tx.QueryContext(ctx, "SELECT attname::text, attgenerated <> '', atthasdef OR attidentity <> '', attidentity <> '' FROM pg_attribute"+
		" WHERE attrelid = $1::bigint::oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum", oid)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.name, &c.computed, &c.given, &c.identity); err != nil {
			return err
		}
		s.columns = append(s.columns, c)
	}
	return rows.Err()
}

// create makes all doubles before the keys by which they refer to each other.
func (postgres) create(ctx context.Context, tx *driver.Tx, all []*shape) error {
	for _, first := range []bool{true, false} {
		for _, s := range all {
			statements := s.sql[1:]
			if first {
				statements = s.sql[:1]
			}
			for _, statement := range statements {
				if _, err := tx.ExecContext(ctx, statement); err != nil {
					return fmt.Errorf("make the double of table %s: %w", s.table, err)
				}
			}
		}
	}
	return nil
}

func (d postgres) drop(ctx context.Context, tx *driver.Tx, t string, ours bool) error {
	oid, _, err := d.find(ctx, tx, Name(t))
	if err != nil || oid == 0 {
		return err
	}
	if !ours {
		return notDouble(t)
	}
	_, err = tx.ExecContext(ctx, "DROP TABLE "+Name(t)+" CASCADE") // the keys of other doubles
	return err
}

// lock waits for the transactions that have written the tables; others wait for this one. It is the first
// statement, so that what they have committed is seen.
func (postgres) lock(ctx context.Context, tx *driver.Tx, all []*shape) error {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.table
	}
	_, err := tx.ExecContext(ctx, "LOCK TABLE "+strings.Join(names, ", ")+" IN SHARE ROW EXCLUSIVE MODE")
	return err
}

// same compares texts: not all types can be compared.
func (postgres) same(s *shape) string {
	return "ROW(" + quotedNames("t.", s.compared()) + ")::text = ROW(" + quotedNames("d.", s.compared()) + ")::text"
}

func (postgres) overriding() string { return " OVERRIDING SYSTEM VALUE" }

func (postgres) numbers(ctx context.Context, tx *driver.Tx, all []*shape) error {
	for _, s := range all {
		for _, c := range s.columns {
			if !c.identity {
				continue
			}
			_, err := tx.ExecContext(ctx, "SELECT setval(pg_get_serial_sequence($1, $2), greatest(nextval(pg_get_serial_sequence($1, $2)),"+
				" (SELECT max("+quoteName(c.name)+") FROM "+s.table+")))", s.table, c.name)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// checksum adds the hashes of rows, so that their order is of no account.
func (postgres) checksum(ctx context.Context, tx *driver.Tx, s *shape, name string) (rows int64, sum string, err error) {
	err = tx.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(('x' || substr(md5(ROW("+quotedNames("", s.compared())+")::text), 1, 16))::bit(64)::bigint::numeric), 0)::text FROM "+name).
		Scan(&rows, &sum)
	return rows, sum, err
}
