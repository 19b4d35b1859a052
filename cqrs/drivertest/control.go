package drivertest

import (
	"context"
	"errors"
	"testing"

	"github.com/edda-io/edda/cqrs/driver"
)

// ways are those by which a function can run a statement.
var ways = map[string]func(ctx context.Context, tx *driver.Tx, statement string) error{
	"exec": func(ctx context.Context, tx *driver.Tx, statement string) error {
		_, err := tx.ExecContext(ctx, statement)
		return err
	},
	"query": func(ctx context.Context, tx *driver.Tx, statement string) error {
		rows, err := tx.QueryContext(ctx, statement)
		if err != nil {
			return err
		}
		return errors.Join(rows.Err(), rows.Close())
	},
	"row": func(ctx context.Context, tx *driver.Tx, statement string) error {
		return tx.QueryRowContext(ctx, statement).Scan(new(int))
	},
}

// A function that begins or ends a transaction by a statement fails, whether it tells or not, before
// anything is stored; those after it are as ever.
func testControl(t *testing.T, s *suite) {
	for _, statement := range []string{
		"COMMIT", "ROLLBACK", "END", "BEGIN", "COMMIT; BEGIN", "INSERT INTO counters (id, n) VALUES (3, 1); COMMIT",
		" -- a comment\n/* ; */ commit;",
	} {
		for way, run := range ways {
			for _, hidden := range []bool{false, true} {
				err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
					if err := count(ctx, tx, 1); err != nil {
						return err
					}
					err := run(ctx, tx, statement)
					if !errors.Is(err, driver.ErrControl) {
						t.Errorf("%s by %s: got error %v, want ErrControl", statement, way, err)
					}
					if hidden {
						return count(ctx, tx, 2)
					}
					return errors.Join(err, count(ctx, tx, 2))
				})
				if !errors.Is(err, driver.ErrControl) {
					t.Errorf("%s by %s, hidden %v: got error %v, want ErrControl", statement, way, hidden, err)
				}
				s.want(t, map[int]int{})
			}
		}
	}
	if err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error { return count(ctx, tx, 1) }); err != nil {
		t.Error(err)
	}
	s.want(t, map[int]int{1: 1})
}

// Without a transaction none may be begun either: nobody would end it.
func testControlDirect(t *testing.T, s *suite) {
	err := s.db.Direct(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
		_, _ = tx.ExecContext(ctx, "BEGIN")
		return count(ctx, tx, 1)
	})
	if !errors.Is(err, driver.ErrControl) {
		t.Errorf("got error %v, want ErrControl", err)
	}
	s.want(t, map[int]int{1: 1})
}

// Savepoints and what only looks like a statement are the function's own business.
func testNoControl(t *testing.T, s *suite) {
	err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
		for _, statement := range []string{
			"SAVEPOINT own", "INSERT INTO counters (id, n) VALUES (1, 1)", "ROLLBACK TO own", "ROLLBACK TRANSACTION TO SAVEPOINT own; RELEASE SAVEPOINT own",
			"CREATE TABLE notes (line TEXT, \"commit; begin\" TEXT)", "INSERT INTO notes VALUES ('it''s; COMMIT', ''); -- ; COMMIT",
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return count(ctx, tx, 2)
	})
	if err != nil {
		t.Error(err)
	}
	s.want(t, map[int]int{2: 1})
}

// leaveRows leaves rows open.
func leaveRows(ctx context.Context, tx *driver.Tx) error {
	rows, err := tx.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2") //nolint:rowserrcheck,sqlclosecheck // they are left as they are
	if err == nil && !rows.Next() {
		err = errors.New("there are no rows")
	}
	return err
}

// Of several functions on one transaction the one that has left rows open is found.
func testCheck(t *testing.T, s *suite) {
	err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
		for name, f := range map[string]func() error{
			"fine": func() error { return count(ctx, tx, 1) }, "failed": func() error { return errTest },
		} {
			if err, want := driver.Check(tx, f()), f(); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%s: got error %v, want %v", name, err, want)
			}
		}
		err := driver.Check(tx, leaveRows(ctx, tx))
		if !errors.Is(err, driver.ErrOpenRows) {
			t.Errorf("got error %v, want ErrOpenRows", err)
		}
		return err
	})
	if !errors.Is(err, driver.ErrOpenRows) {
		t.Errorf("got error %v, want ErrOpenRows", err)
	}
	s.want(t, map[int]int{})
}

// A function that fails, or panics, among open rows has failed for its own reason, and once.
func testOpenRowsOfAFailure(t *testing.T, s *suite) {
	for name, c := range map[string]struct {
		end   func() error
		check func(err error) bool
	}{
		"error": {func() error { return errTest }, func(err error) bool { return errors.Is(err, errTest) }},
		"panic": {func() error { panic("oops") }, func(err error) bool {
			_, ok := errors.AsType[*driver.PanicError](err)
			return ok
		}},
	} {
		calls := 0
		err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
			calls++
			if err := errors.Join(count(ctx, tx, 1), leaveRows(ctx, tx)); err != nil {
				return err
			}
			return c.end()
		})
		if !c.check(err) || !errors.Is(err, driver.ErrOpenRows) || calls != 1 {
			t.Errorf("%s: got error %v after %d calls", name, err, calls)
		}
		s.want(t, map[int]int{})
	}
}

// A statement among open rows is run or refused at once, and after them all goes on.
func testStatementAmongOpenRows(t *testing.T, s *suite) {
	for _, transact := range []func(f func(context.Context, *driver.Tx) error) error{
		func(f func(context.Context, *driver.Tx) error) error { return s.transact(t.Context(), f) },
		func(f func(context.Context, *driver.Tx) error) error { return s.db.Direct(t.Context(), f) },
	} {
		err := transact(func(ctx context.Context, tx *driver.Tx) error {
			rows, err := tx.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				if err := count(ctx, tx, 1); err != nil && !errors.Is(err, driver.ErrOpenRows) {
					t.Errorf("got error %v, want none or ErrOpenRows", err)
				}
			}
			return errors.Join(rows.Err(), count(ctx, tx, 2)) // they are closed at their end
		})
		if err != nil {
			t.Error(err)
		}
	}
	got, err := counters(t.Context(), s.db.Reader())
	if err != nil || got[2] != 2 {
		t.Errorf("got the counters %v and error %v, want 2 of the second", got, err)
	}
}
