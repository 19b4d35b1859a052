package double

import (
	"context"
	"slices"
	"strings"

	"github.com/edda-io/edda/cqrs/driver"
)

// Replace makes the tables equal to their doubles, and says how many rows of each were written or
// removed, in the order of Compare.
func (s *Set) Replace(ctx context.Context, tx *driver.Tx) (changed []int64, err error) {
	changed = make([]int64, len(s.shapes))
	for i, one := range slices.Backward(s.shapes) {
		n, err := s.remove(ctx, tx, one)
		if err != nil {
			return nil, err
		}
		changed[i] += n
	}
	for i, one := range s.shapes {
		n, err := s.insert(ctx, tx, one)
		if err != nil {
			return nil, err
		}
		changed[i] += n
	}
	return changed, s.db.numbers(ctx, tx, s.shapes)
}

// remove deletes the rows that the double does not have, and those that it has otherwise, unless others
// refer to them.
func (s *Set) remove(ctx context.Context, tx *driver.Tx, one *shape) (int64, error) {
	statement := "DELETE FROM " + one.table
	if one.keep {
		same := one.match()
		if len(one.from) == 0 {
			same += " AND " + s.db.same(one)
		}
		statement += " AS t WHERE NOT EXISTS (SELECT 1 FROM " + Name(one.table) + " AS d WHERE " + same + ")"
	}
	return execRows(ctx, tx, statement)
}

// insert writes the rows that the table does not have, or has otherwise.
func (s *Set) insert(ctx context.Context, tx *driver.Tx, one *shape) (changed int64, err error) {
	if one.keep && len(one.from) > 0 {
		var set []string
		for _, n := range one.written() {
			if !slices.Contains(one.key, n) {
				set = append(set, quoteName(n)+" = d."+quoteName(n))
			}
		}
		if len(set) > 0 {
			changed, err = execRows(ctx, tx, "UPDATE "+one.table+" AS t SET "+strings.Join(set, ", ")+" FROM "+Name(one.table)+
				" AS d WHERE "+one.match()+" AND NOT ("+s.db.same(one)+")")
			if err != nil {
				return 0, err
			}
		}
	}
	statement := "INSERT INTO " + one.table + " (" + quotedNames("", one.written()) + ")" + s.db.overriding() +
		" SELECT " + quotedNames("d.", one.written()) + " FROM " + Name(one.table) + " AS d"
	if one.keep {
		statement += " WHERE NOT EXISTS (SELECT 1 FROM " + one.table + " AS t WHERE " + one.match() + ")"
	}
	n, err := execRows(ctx, tx, statement)
	return changed + n, err
}

func execRows(ctx context.Context, tx *driver.Tx, statement string, args ...any) (int64, error) {
	result, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
