package double

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"math/bits"
	"strings"

	"github.com/edda-io/edda/cqrs/driver"
)

// sqlite is a database of SQLite.
type sqlite struct{}

// plain is a table's name as SQLite keeps it.
func (sqlite) plain(t string) string {
	tokens := tokensOf(t)
	return tokens[len(tokens)-1].name
}

func (d sqlite) shapes(ctx context.Context, tx *driver.Tx, names []string) ([]*shape, error) {
	doubles := map[string]string{}
	for _, t := range names {
		doubles[d.plain(t)] = d.plain(Name(t))
	}
	all := make([]*shape, len(names))
	for i, t := range names {
		all[i] = &shape{table: t}
		if err := d.shape(ctx, tx, all[i], doubles); err != nil {
			return nil, fmt.Errorf("table %s: %w", t, err)
		}
	}
	return inOrder(all), nil
}

func (d sqlite) shape(ctx context.Context, tx *driver.Tx, s *shape, doubles map[string]string) error {
	name := d.plain(s.table)
	var made string
	err := tx.QueryRowContext(ctx, "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = $1 COLLATE NOCASE", name).Scan(&made)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return errNoTable
	case err != nil:
		return err
	case strings.HasPrefix(strings.ToUpper(made), "CREATE VIRTUAL"):
		return errors.New("it is a virtual table, which cannot be rebuilt")
	}
	withoutRowID := strings.Contains(strings.ToUpper(made), "WITHOUT ROWID")
	index := func(s string) string { return s + suffix }
	s.sql = []string{renameTables(made, doubles, index)}
	others, err := textsOf(ctx, tx, "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = $1 COLLATE NOCASE ORDER BY rowid", name)
	if err != nil {
		return err
	}
	for _, statement := range others {
		s.sql = append(s.sql, renameTables(statement, doubles, index))
	}
	triggers, err := textsOf(ctx, tx, "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = $1 COLLATE NOCASE", name)
	if err != nil || len(triggers) > 0 {
		return errors.Join(err, refuseTriggers(triggers))
	}
	if err := d.columns(ctx, tx, s, name, withoutRowID); err != nil {
		return err
	}
	s.id = strings.ToLower(name)
	from, err := textsOf(ctx, tx, `SELECT DISTINCT lower(m.name) FROM sqlite_schema AS m, pragma_foreign_key_list(m.name) AS f`+
		` WHERE m.type = 'table' AND f."table" = $1 COLLATE NOCASE AND m.name <> $1 COLLATE NOCASE`, name)
	if err != nil {
		return err
	}
	for _, n := range from {
		known := false
		for live := range doubles {
			known = known || strings.EqualFold(live, n)
		}
		if !known {
			return refuseReference(n)
		}
		s.from = append(s.from, n)
	}
	return nil
}

func (sqlite) columns(ctx context.Context, tx *driver.Tx, s *shape, name string, withoutRowID bool) (err error) {
	rows, err := tx.QueryContext(ctx, "SELECT name, upper(type), pk, hidden, dflt_value IS NOT NULL FROM pragma_table_xinfo($1) ORDER BY cid", name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	keys := map[int]string{}
	numbered := -1
	for rows.Next() {
		var (
			c          column
			typ        string
			pk, hidden int
		)
		if err := rows.Scan(&c.name, &typ, &pk, &hidden, &c.given); err != nil {
			return err
		}
		c.computed = hidden > 1
		if pk > 0 {
			keys[pk] = c.name
		}
		if pk == 1 && typ == "INTEGER" && !withoutRowID {
			numbered = len(s.columns)
		}
		s.columns = append(s.columns, c)
	}
	for i := range len(keys) {
		s.key = append(s.key, keys[i+1])
	}
	if numbered >= 0 && len(keys) == 1 {
		s.columns[numbered].given = true
	}
	return rows.Err()
}

// textsOf reads texts.
func textsOf(ctx context.Context, tx *driver.Tx, query string, args ...any) (all []string, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()

	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

func (sqlite) create(ctx context.Context, tx *driver.Tx, all []*shape) error {
	for _, s := range all {
		for _, statement := range s.sql {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return fmt.Errorf("make the double of table %s: %w", s.table, err)
			}
		}
	}
	return nil
}

func (d sqlite) drop(ctx context.Context, tx *driver.Tx, t string, ours bool) error {
	there, err := textsOf(ctx, tx, "SELECT name FROM sqlite_schema WHERE name = $1 COLLATE NOCASE", d.plain(Name(t)))
	if err != nil || len(there) == 0 {
		return err
	}
	if !ours {
		return notDouble(t)
	}
	// Doubles refer to each other: what is deleted with one need not be there for the other.
	if _, err := tx.ExecContext(ctx, "PRAGMA defer_foreign_keys = ON"); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DROP TABLE "+Name(t))
	return err
}

// lock has nothing to do: there is one writer.
func (sqlite) lock(ctx context.Context, tx *driver.Tx, _ []*shape) error {
	_, err := tx.ExecContext(ctx, "PRAGMA defer_foreign_keys = ON")
	return err
}

func (sqlite) same(s *shape) string {
	names := s.compared()
	all := make([]string, len(names))
	for i, n := range names {
		all[i] = "t." + quoteName(n) + " IS d." + quoteName(n)
	}
	return strings.Join(all, " AND ")
}

func (sqlite) overriding() string { return "" }

// numbers has nothing to do: SQLite goes on after the greatest number.
func (sqlite) numbers(context.Context, *driver.Tx, []*shape) error { return nil }

// checksum adds the hashes of rows, so that their order is of no account.
func (sqlite) checksum(ctx context.Context, tx *driver.Tx, s *shape, name string) (n int64, sum string, err error) {
	names := s.compared()
	rows, err := tx.QueryContext(ctx, "SELECT "+quotedNames("", names)+" FROM "+name)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values, into := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	h := sha256.New()
	var hi, lo uint64
	var room [sha256.Size]byte
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return 0, "", err
		}
		h.Reset()
		for _, v := range values {
			hashValue(h, v)
		}
		one := h.Sum(room[:0])
		var carry uint64
		lo, carry = bits.Add64(lo, binary.BigEndian.Uint64(one[8:]), 0)
		hi, _ = bits.Add64(hi, binary.BigEndian.Uint64(one), carry)
		n++
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	return n, hex.EncodeToString(b[:]), rows.Err()
}

// hashValue hashes a value with its type, so that no two rows of different values look the same.
func hashValue(h hash.Hash, v any) {
	var room [9]byte
	number := func(kind byte, n uint64) {
		room[0] = kind
		binary.BigEndian.PutUint64(room[1:], n)
		h.Write(room[:])
	}
	switch v := v.(type) {
	case nil:
		number('n', 0)
	case int64:
		number('i', uint64(v))
	case float64:
		number('f', math.Float64bits(v))
	case string:
		number('s', uint64(len(v)))
		h.Write([]byte(v))
	case []byte:
		number('b', uint64(len(v)))
		h.Write(v)
	default: // a time, of a column that the driver takes for one
		text := fmt.Sprint(v)
		number('t', uint64(len(text)))
		h.Write([]byte(text))
	}
}
