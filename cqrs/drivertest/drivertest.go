// Package drivertest is what every adapter of package driver must pass.
package drivertest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/edda-io/edda/cqrs/driver"
)

// Make makes an empty database for a test, and returns what opens it, once or several
// times.
type Make func(t *testing.T) (open func() (driver.DB, error))

// Run runs the suite.
func Run(t *testing.T, m Make) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s *suite)
	}{
		{"Commit", testCommit},
		{"Fail", testFail},
		{"FailBetween", testFailBetween},
		{"HiddenError", testHiddenError},
		{"Savepoints", testSavepoints},
		{"SavepointOfFailedStatement", testSavepointOfFailedStatement},
		{"Tables", testTables},
		{"Options", testOptions},
		{"Inside", testInside},
		{"Ended", testEnded},
		{"OpenRows", testOpenRows},
		{"OpenRowsOfAFailure", testOpenRowsOfAFailure},
		{"StatementAmongOpenRows", testStatementAmongOpenRows},
		{"Check", testCheck},
		{"Control", testControl},
		{"ControlDirect", testControlDirect},
		{"NoControl", testNoControl},
		{"Goexit", testGoexit},
		{"Direct", testDirect},
		{"ReaderSeesCommitted", testReaderSeesCommitted},
		{"NoLostUpdate", testNoLostUpdate},
		{"SomeFail", testSomeFail},
		{"WaitEnds", testWaitEnds},
		{"SlowStatement", testSlowStatement},
		{"Close", testClose},
		{"CloseDuringUse", testCloseDuringUse},
		{"MigrateTwice", testMigrateTwice},
		{"MigrateAtOnce", testMigrateAtOnce},
		{"Order", testOrder},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &suite{open: m(t)}
			s.db = s.another(t)
			s.exec(t, "CREATE TABLE counters (id bigint PRIMARY KEY, n bigint NOT NULL)")
			c.test(t, s)
		})
	}
}

// suite is a database with a table of counters.
type suite struct {
	open func() (driver.DB, error)
	db   driver.DB
}

// another opens the database once more.
func (s *suite) another(t *testing.T) driver.DB {
	t.Helper()
	db, err := s.open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	return db
}

// exec runs a statement by itself.
func (s *suite) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	err := s.db.Direct(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// transact runs f in a transaction.
func (s *suite) transact(ctx context.Context, f func(ctx context.Context, tx *driver.Tx) error) error {
	return s.db.Transact(ctx, driver.TxOptions{}, f)
}

// want says which counters are stored.
func (s *suite) want(t *testing.T, want map[int]int) {
	t.Helper()
	got, err := counters(t.Context(), s.db.Reader())
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got the counters %v, want %v", got, want)
	}
}

func counters(ctx context.Context, q driver.Querier) (got map[int]int, err error) {
	rows, err := q.QueryContext(ctx, "SELECT id, n FROM counters")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	got = map[int]int{}
	for rows.Next() {
		var id, n int
		if err := rows.Scan(&id, &n); err != nil {
			return nil, err
		}
		got[id] = n
	}
	return got, rows.Err()
}

// count adds one to a counter, which it makes if there is none.
func count(ctx context.Context, tx *driver.Tx, id int) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO counters (id, n) VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET n = counters.n + 1", id)
	return err
}

// duplicate is a statement that fails, as the counter is there.
func duplicate(ctx context.Context, tx *driver.Tx, id int) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO counters (id, n) VALUES ($1, 0)", id)
	return err
}
