package pgdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errTest = errors.New("the test's error")

// opened opens a database with counters 1 and 2, which are 0.
func opened(t *testing.T, dsn string, o Options) *DB {
	t.Helper()
	d, err := Open(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	_, err = d.SQL().ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS counters (id bigint PRIMARY KEY, n bigint NOT NULL)")
	if err == nil {
		_, err = d.SQL().ExecContext(t.Context(), "INSERT INTO counters VALUES (1, 0), (2, 0) ON CONFLICT DO NOTHING")
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *DB) transact(ctx context.Context, f func(ctx context.Context, tx *driver.Tx) error) error {
	return d.Transact(ctx, driver.TxOptions{}, f)
}

const raise = "UPDATE counters SET n = n + 1 WHERE id = $1"

// count raises a counter.
func count(ctx context.Context, tx *driver.Tx, id int) error {
	_, err := tx.ExecContext(ctx, raise, id)
	return err
}

// want says what counter 1 is.
func want(t *testing.T, d *DB, n int) {
	t.Helper()
	var got int
	if err := d.Reader().QueryRowContext(t.Context(), "SELECT n FROM counters WHERE id = 1").Scan(&got); err != nil || got != n {
		t.Errorf("got counter %d and error %v, want %d", got, err, n)
	}
}

// What another transaction is in the way of is run again, whatever its function makes of
// the error.
func TestConflictIsRunAgain(t *testing.T) {
	for name, after := range map[string]func(err error) error{
		"returned": func(err error) error { return err },
		"wrapped":  func(err error) error { return fmt.Errorf("the handler: %w", err) },
		"replaced": func(error) error { return errTest },
		"hidden":   func(error) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			d := opened(t, pgtest.Open(t), Options{})
			calls := 0
			err := d.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
				calls++
				var n int
				if err := tx.QueryRowContext(ctx, "SELECT n FROM counters WHERE id = 1").Scan(&n); err != nil {
					return err
				}
				if calls == 1 {
					if _, err := d.SQL().ExecContext(ctx, raise, 1); err != nil {
						return err
					}
				}
				if err := count(ctx, tx, 1); err != nil {
					return after(err)
				}
				return nil
			})
			if err != nil || calls != 2 {
				t.Errorf("got error %v after %d calls, want 2", err, calls)
			}
			want(t, d, 2)
		})
	}
}

// Of two that only read what the other writes one is run again: so the result is that of
// one after the other. Repeatable read lets both pass.
func TestSerializable(t *testing.T) {
	for level, wantCalls := range map[sql.IsolationLevel]int32{sql.LevelDefault: 3, sql.LevelSerializable: 3, sql.LevelRepeatableRead: 2} {
		t.Run(level.String(), func(t *testing.T) {
			d := opened(t, pgtest.Open(t), Options{})
			var calls atomic.Int32
			var read, wg sync.WaitGroup
			read.Add(2)
			for id := 1; id <= 2; id++ {
				wg.Go(func() {
					once := sync.OnceFunc(func() { read.Done(); read.Wait() })
					err := d.Transact(t.Context(), driver.TxOptions{Isolation: level}, func(ctx context.Context, tx *driver.Tx) error {
						calls.Add(1)
						var sum int
						if err := tx.QueryRowContext(ctx, "SELECT sum(n) FROM counters").Scan(&sum); err != nil {
							return err
						}
						once() // both have read
						_, err := tx.ExecContext(ctx, "UPDATE counters SET n = $1 WHERE id = $2", sum+1, id)
						return err
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			// One that is run again may meet the other while that is still about to end.
			if n := calls.Load(); n < wantCalls || level == sql.LevelRepeatableRead && n != wantCalls {
				t.Errorf("got %d calls, want %d", n, wantCalls)
			}
			wantLast := 2 // whoever came second has seen the first
			if level == sql.LevelRepeatableRead {
				wantLast = 1
			}
			var last int
			if err := d.Reader().QueryRowContext(t.Context(), "SELECT max(n) FROM counters").Scan(&last); err != nil || last != wantLast {
				t.Errorf("the larger counter is %d, %v, want %d", last, err, wantLast)
			}
		})
	}
}

func TestDeadlockIsRunAgain(t *testing.T) {
	d := opened(t, pgtest.Open(t), Options{})
	var first, wg sync.WaitGroup
	first.Add(2)
	for id := 1; id <= 2; id++ {
		wg.Go(func() {
			once := sync.OnceFunc(func() { first.Done(); first.Wait() })
			err := d.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
				if _, err := tx.ExecContext(ctx, "SET LOCAL deadlock_timeout = '5ms'"); err != nil {
					return err
				}
				if err := count(ctx, tx, id); err != nil {
					return err
				}
				once() // each has one
				return count(ctx, tx, 3-id)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	want(t, d, 2)
}

func TestRunAgainUntilTheLimit(t *testing.T) {
	d := opened(t, pgtest.Open(t), Options{RetryLimit: 200 * time.Millisecond})
	calls := 0
	always := func(ctx context.Context, tx *driver.Tx) error {
		calls++
		_, err := tx.ExecContext(ctx, "DO $$ BEGIN RAISE EXCEPTION 'test' USING ERRCODE = '40001'; END $$")
		return err
	}
	if err := d.transact(t.Context(), always); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("got error %v after %d calls, want ErrBusy", err, calls)
	}
	d.o.RetryLimit = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	calls = 0
	err := d.transact(ctx, func(ctx context.Context, tx *driver.Tx) error {
		if calls == 2 {
			cancel()
		}
		return always(ctx, tx)
	})
	if !errors.Is(err, context.Canceled) || calls != 3 {
		t.Errorf("got error %v after %d calls, want that of the context after 3", err, calls)
	}
}

// A statement that was prepared before a column was changed would fail in each transaction.
func TestTableIsChanged(t *testing.T) {
	d := opened(t, pgtest.Open(t), Options{MaxConns: 2})
	read := func(ctx context.Context, tx *driver.Tx) error {
		var n any
		return tx.QueryRowContext(ctx, "SELECT n FROM counters WHERE id = 1").Scan(&n)
	}
	for _, typ := range []string{"bigint", "text", "numeric USING n::numeric"} {
		if _, err := d.SQL().ExecContext(t.Context(), "ALTER TABLE counters ALTER n TYPE "+typ); err != nil {
			t.Fatal(err)
		}
		if err := d.transact(t.Context(), read); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
	}
}

// What a statement's text does not show is found when its function has returned.
func TestFunctionEndsTheTransaction(t *testing.T) {
	d := opened(t, pgtest.Open(t), Options{})
	const body = "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END"
	for n, c := range []struct {
		statement string
		want      error
	}{{body, nil}, {body + "; END", errOwnEnd}} {
		err := d.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
			if err := count(ctx, tx, 1); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, c.statement)
			return err
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", c.statement, err, c.want)
		}
		want(t, d, n+1) // which the error says
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		dsn string
		o   Options
	}{
		"string":     {"postgres://%", Options{}},
		"connection": {"host=/nowhere dbname=x", Options{}},
		"conns":      {"host=/nowhere", Options{MaxConns: -1}},
		"retry":      {"host=/nowhere", Options{RetryLimit: -1}},
		"commit":     {"host=/nowhere", Options{CommitTimeout: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := Open(t.Context(), c.dsn, c.o); err == nil {
				t.Errorf("it was opened; closed with %v", d.Close())
			} else {
				t.Log(err)
			}
		})
	}
}

// With one connection, Start would wait for another one for ever.
func TestMigrateTakesTwoConnections(t *testing.T) {
	if d, err := Open(t.Context(), pgtest.Open(t), Options{MaxConns: 1}); err == nil || !strings.Contains(err.Error(), "MaxConns is 1, and must be at least 2") {
		t.Errorf("opened with one connection: %v, %v", d, err)
	}
	d := opened(t, pgtest.Open(t), Options{MaxConns: 2})
	if err := d.Migrate(t.Context()); err != nil {
		t.Error(err)
	}
}
