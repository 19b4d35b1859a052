package double

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/dbtest"
)

// exec runs statements in a transaction.
func exec(t *testing.T, db driver.DB, statements ...string) {
	t.Helper()
	transact(t, db, func(ctx context.Context, tx *driver.Tx) error {
		for _, s := range statements {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

func transact(t *testing.T, db driver.DB, f func(ctx context.Context, tx *driver.Tx) error) {
	t.Helper()
	if err := db.Transact(t.Context(), driver.TxOptions{}, f); err != nil {
		t.Fatal(err)
	}
}

func TestReplaceMakesTablesEqualToTheirDoubles(t *testing.T) {
	dbtest.OnBoth(t, func(t *testing.T, db driver.DB) {
		exec(t, db,
			"CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT, at INTEGER DEFAULT 7)",
			"CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents (id))",
			"INSERT INTO parents (id, name, at) VALUES (1, 'one', 1), (2, 'two', 1), (3, 'three', 1)",
			"INSERT INTO children (id, parent) VALUES (1, 1), (2, 3)")
		var s *Set
		transact(t, db, func(ctx context.Context, tx *driver.Tx) (err error) {
			if s, err = Open(ctx, tx, db.Dialect(), []string{"children", "parents"}, []string{"parents.at"}); err != nil {
				return err
			}
			return s.Create(ctx, tx)
		})
		if names := s.Names(); names["parents"] != "parents__2" || names["children"] != "children__2" {
			t.Errorf("the doubles are called %v", names)
		}
		exec(t, db,
			"INSERT INTO parents__2 (id, name, at) VALUES (1, 'one', 2), (2, 'zwei', 2), (4, 'four', 2)",
			"INSERT INTO children__2 (id, parent) VALUES (1, 1), (2, 4)")

		var before, after []Comparison
		var changed []int64
		transact(t, db, func(ctx context.Context, tx *driver.Tx) (err error) {
			if err = s.Lock(ctx, tx); err != nil {
				return err
			}
			if before, err = s.Compare(ctx, tx); err != nil {
				return err
			}
			if changed, err = s.Replace(ctx, tx); err != nil {
				return err
			}
			if after, err = s.Compare(ctx, tx); err != nil {
				return err
			}
			return s.Drop(ctx, tx)
		})
		for i, table := range []string{"parents", "children"} {
			if b, a := before[i], after[i]; b.Table != table || b.Equal() || !a.Equal() || a.Rows != b.DoubleRows || a.Checksum != b.DoubleChecksum {
				t.Errorf("table %s was %+v and is %+v", table, b, a)
			}
		}
		if want := []int64{3, 2}; !slices.Equal(changed, want) { // 3 is deleted, 2 changed, 4 written; a child is written anew
			t.Errorf("changed %v rows, want %v", changed, want)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	dbtest.OnBoth(t, func(t *testing.T, db driver.DB) {
		exec(t, db,
			"CREATE TABLE referred (id INTEGER PRIMARY KEY)",
			"CREATE TABLE other (id INTEGER REFERENCES referred (id))")
		for _, c := range []struct {
			table, ignored, want string
		}{
			{"nowhere", "", "table nowhere: there is no such table"},
			{"referred", "", "table other refers to it"},
			{"other", "other.ids", `Ignore names "other.ids"`},
			{"other", "other.id", "no column of table other to compare"},
		} {
			err := db.Transact(t.Context(), driver.TxOptions{}, func(ctx context.Context, tx *driver.Tx) error {
				var ignored []string
				if c.ignored != "" {
					ignored = []string{c.ignored}
				}
				_, err := Open(ctx, tx, db.Dialect(), []string{c.table}, ignored)
				return err
			})
			if edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), c.want) {
				t.Errorf("table %s without %q: %v, want %q", c.table, c.ignored, err, c.want)
			}
		}
	})
}

func TestDropLeavesWhatIsNotOurs(t *testing.T) {
	dbtest.OnBoth(t, func(t *testing.T, db driver.DB) {
		exec(t, db, "CREATE TABLE mine (id INTEGER)", "CREATE TABLE mine__2 (id INTEGER)")
		for _, ours := range []bool{false, true} {
			err := db.Transact(t.Context(), driver.TxOptions{}, func(ctx context.Context, tx *driver.Tx) error {
				return Drop(ctx, tx, db.Dialect(), "mine", ours)
			})
			if refused := edda.ReasonOf(err) == edda.Conflict; refused == ours || ours && err != nil {
				t.Errorf("ours is %v: %v", ours, err)
			}
		}
	})
}

func TestName(t *testing.T) {
	for table, want := range map[string]string{
		"a": "a__2", `"a"`: `"a__2"`, "s.a": "s.a__2", `s."a b"`: `s."a b__2"`, "[a]": "[a__2]", "a b": "a b",
	} {
		if got := Name(table); got != want {
			t.Errorf("the double of %s is %s, want %s", table, got, want)
		}
		if bad := Check(table) != nil; bad != (table == "a b") {
			t.Errorf("%s is refused: %v", table, bad)
		}
	}
}
