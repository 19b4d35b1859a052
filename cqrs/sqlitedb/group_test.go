package sqlitedb

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"modernc.org/sqlite"

	"github.com/edda-io/edda/cqrs/driver"
)

var errTest = errors.New("the test's error")

// fn is what runs in a transaction.
type fn = func(ctx context.Context, tx *driver.Tx) error

func open(t *testing.T, o Options) *DB {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "edda.db"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	run(t, d, "CREATE TABLE names (name TEXT PRIMARY KEY, body BLOB) STRICT")
	return d
}

func run(t *testing.T, d *DB, query string) {
	t.Helper()
	err := d.Direct(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
		_, err := tx.ExecContext(ctx, query)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func insert(name string) fn {
	return func(ctx context.Context, tx *driver.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO names (name) VALUES ($1)", name)
		return err
	}
}

// names are the names that are stored, in the order of their rows.
func names(t *testing.T, d *DB) string {
	t.Helper()
	rows, err := d.Reader().QueryContext(t.Context(), "SELECT name FROM names ORDER BY rowid")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(got, " ")
}

// member is a transaction of a group, and what became of it.
type member struct {
	name  string
	f     fn // on top of inserting the name
	o     driver.TxOptions
	calls int
	err   error
}

// group runs members one after the other behind a transaction that holds the writer until
// all wait.
func group(t *testing.T, d *DB, members ...*member) {
	t.Helper()
	var wg sync.WaitGroup
	defer wg.Wait()
	inside, leave := make(chan struct{}), make(chan struct{})
	wg.Go(func() {
		held := sync.OnceFunc(func() { close(inside); <-leave })
		err := d.Transact(t.Context(), driver.TxOptions{Alone: true}, func(context.Context, *driver.Tx) error { held(); return nil })
		if err != nil {
			t.Error(err)
		}
	})
	<-inside
	for i, m := range members {
		wg.Go(func() {
			m.err = d.Transact(t.Context(), m.o, func(ctx context.Context, tx *driver.Tx) error {
				m.calls++
				if err := insert(m.name)(ctx, tx); err != nil || m.f == nil {
					return err
				}
				return m.f(ctx, tx)
			})
		})
		for waiting := 0; waiting <= i; { // until it waits, so that the order is known
			d.queue.mu.Lock()
			waiting = len(d.queue.waiting)
			d.queue.mu.Unlock()
		}
	}
	close(leave)
}

// running is told that an interrupted statement has begun.
var running = make(chan struct{})

// tellRunning makes the SQL function that tells it, for connections that are made afterwards.
var tellRunning = sync.OnceValue(func() error {
	return sqlite.RegisterScalarFunction("running", 0, func(*sqlite.FunctionContext, []sqldriver.Value) (sqldriver.Value, error) {
		running <- struct{}{}
		return int64(0), nil
	})
})

// interrupted writes for ever, until its context is cancelled in the midst of the statement.
func interrupted(ctx context.Context, tx *driver.Tx) error {
	ctx, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()
	waiting.Go(func() {
		select {
		case <-running:
			cancel()
		case <-ctx.Done(): // it has never begun
		}
	})
	_, err := tx.ExecContext(ctx, "INSERT INTO names (name) WITH RECURSIVE r(i) AS (SELECT running() UNION ALL SELECT i + 1 FROM r) SELECT 'x' || max(i) FROM r")
	return err
}

func TestGroupSharesACommit(t *testing.T) {
	d := open(t, Options{})
	commits := 0
	hook := func() int32 { commits++; return d.queue.w.conn.onCommit() }
	d.queue.w.conn.RegisterCommitHook(hook)
	var members []*member
	for name := range strings.FieldsSeq("a b c d e f") {
		members = append(members, &member{name: name})
	}
	members[2].f = func(context.Context, *driver.Tx) error { return errTest }
	members[4].o.Alone = true
	group(t, d, members...)
	if got := names(t, d); got != "a b d e f" {
		t.Errorf("got the names %q", got)
	}
	// What holds the writer has one; then the first four share one, e has its own, and f.
	if commits != 4 {
		t.Errorf("got %d commits, want 4", commits)
	}
}

// One member's failure is nobody else's.
func TestGroupMemberFails(t *testing.T) {
	for name, c := range map[string]struct {
		f     fn
		want  func(err error) bool
		calls [3]int // of the first, the failing and the last member
	}{
		"error": {
			f:     func(context.Context, *driver.Tx) error { return errTest },
			want:  func(err error) bool { return errors.Is(err, errTest) },
			calls: [3]int{1, 1, 1},
		},
		"panic": {
			f:     func(context.Context, *driver.Tx) error { panic(errTest) },
			want:  func(err error) bool { return errors.Is(err, errTest) },
			calls: [3]int{1, 1, 1},
		},
		"statement": {
			f:     func(ctx context.Context, tx *driver.Tx) error { return insert("first")(ctx, tx) },
			want:  func(err error) bool { return code(err) == codeConstraint },
			calls: [3]int{1, 1, 1},
		},
		"interrupted write": {
			f:     interrupted,
			want:  func(err error) bool { return errors.Is(err, context.Canceled) },
			calls: [3]int{2, 1, 1},
		},
		"interrupted write whose error is hidden": {
			f: func(ctx context.Context, tx *driver.Tx) error {
				_ = interrupted(ctx, tx)
				if err := insert("after")(ctx, tx); !errors.Is(err, driver.ErrRolledBack) {
					return errTest
				}
				return nil
			},
			want:  func(err error) bool { return errors.Is(err, driver.ErrRolledBack) },
			calls: [3]int{2, 1, 1},
		},
		"interrupted write in a savepoint": {
			f: func(ctx context.Context, tx *driver.Tx) error {
				_ = tx.Savepoint(ctx, func() error { return interrupted(ctx, tx) })
				return nil
			},
			want:  func(err error) bool { return errors.Is(err, driver.ErrRolledBack) },
			calls: [3]int{2, 1, 1},
		},
		"COMMIT": {
			f: func(ctx context.Context, tx *driver.Tx) error {
				_, _ = tx.ExecContext(ctx, "COMMIT")
				return nil
			},
			want:  func(err error) bool { return errors.Is(err, driver.ErrControl) },
			calls: [3]int{1, 1, 1},
		},
		"COMMIT that its text does not show": {
			f: func(ctx context.Context, tx *driver.Tx) error {
				_, _ = tx.ExecContext(ctx, "CREATE TRIGGER own AFTER INSERT ON names BEGIN SELECT 1; END; END")
				return nil
			},
			want:  func(err error) bool { return errors.Is(err, driver.ErrRolledBack) },
			calls: [3]int{2, 1, 1},
		},
		"ROLLBACK": {
			f: func(ctx context.Context, tx *driver.Tx) error {
				_, err := tx.ExecContext(ctx, "ROLLBACK")
				return err
			},
			want:  func(err error) bool { return errors.Is(err, driver.ErrControl) },
			calls: [3]int{1, 1, 1},
		},
		"open rows": {
			f: func(_ context.Context, tx *driver.Tx) error {
				return tx.QueryRowContext(context.Background(), "UPDATE names SET body = x'00' RETURNING name").Err()
			},
			want:  func(err error) bool { return errors.Is(err, driver.ErrOpenRows) },
			calls: [3]int{1, 1, 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tellRunning(); err != nil {
				t.Fatal(err)
			}
			d := open(t, Options{})
			first, failing, last := &member{name: "first"}, &member{name: "failing", f: c.f}, &member{name: "last"}
			group(t, d, first, failing, last)
			if first.err != nil || last.err != nil || !c.want(failing.err) {
				t.Errorf("got the errors %v, %v and %v", first.err, failing.err, last.err)
			}
			if got := [3]int{first.calls, failing.calls, last.calls}; got != c.calls {
				t.Errorf("got the calls %v, want %v", got, c.calls)
			}
			if got := names(t, d); got != "first last" {
				t.Errorf("got the names %q", got)
			}
		})
	}
}

// A constraint that is checked by the commit does not say whose statement has broken it.
func TestGroupBreaksADeferredConstraint(t *testing.T) {
	d := open(t, Options{})
	run(t, d, "CREATE TABLE friends (name TEXT REFERENCES names (name) DEFERRABLE INITIALLY DEFERRED)")
	befriend := func(name string) fn {
		return func(ctx context.Context, tx *driver.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO friends (name) VALUES ($1)", name)
			return err
		}
	}
	members := []*member{{name: "a", f: befriend("a")}, {name: "b", f: befriend("nobody")}, {name: "c", f: befriend("a")}}
	group(t, d, members...)
	if members[0].err != nil || code(members[1].err) != codeConstraint || members[2].err != nil {
		t.Errorf("got the errors %v, %v and %v", members[0].err, members[1].err, members[2].err)
	}
	if got := names(t, d); got != "a c" {
		t.Errorf("got the names %q", got)
	}
}

// Who finds no room fails, and is told that nothing is stored; the others go on.
func TestGroupFillsTheDisk(t *testing.T) {
	d := open(t, Options{})
	run(t, d, "PRAGMA max_page_count = 40")
	big := func(ctx context.Context, tx *driver.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO names (name, body) VALUES ('big', zeroblob(1000000))")
		return err
	}
	members := []*member{{name: "a"}, {name: "b", f: big}, {name: "c"}}
	group(t, d, members...)
	if members[0].err != nil || code(members[1].err) != codeFull || members[2].err != nil {
		t.Errorf("got the errors %v, %v and %v", members[0].err, members[1].err, members[2].err)
	}
	if got := names(t, d); got != "a c" {
		t.Errorf("got the names %q", got)
	}
}

// Another process has the file: transactions wait, for as long as they may.
func TestBusy(t *testing.T) {
	const patience = 30 * time.Millisecond
	d := open(t, Options{BusyTimeout: patience})
	other, err := d.SQL().BeginTx(t.Context(), &sql.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Transact(t.Context(), driver.TxOptions{}, insert("late")); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("got error %v, want ErrBusy", err)
	}
	d.queue.w.busy = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.Transact(ctx, driver.TxOptions{}, insert("cancelled")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want that of the context", err)
	}
	done := make(chan error)
	go func() { done <- d.Transact(t.Context(), driver.TxOptions{}, insert("patient")) }()
	if _, err := other.ExecContext(t.Context(), "INSERT INTO names (name) VALUES ('other')"); err != nil {
		t.Error(err)
	}
	if err := other.Commit(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := names(t, d); got != "other patient" {
		t.Errorf("got the names %q", got)
	}
}
