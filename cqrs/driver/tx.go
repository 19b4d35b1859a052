package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// Tx is a transaction, or a connection without one. It is for one goroutine at a time, and
// only while the function runs that it was handed to; later, its methods fail with ErrEnded. Statements
// that begin or end a transaction fail with ErrControl.
type Tx struct {
	s      *state
	tables map[string]string
}

// state is what a transaction has in common with those that WithTables made of it.
type state struct {
	conn    *sql.Conn
	life    context.Context // ends with the transaction; set by Run
	watch   Watch
	refused error // a statement that began or ended a transaction; whoever ran it may hide that
	over    bool  // rows were left open, and nobody may wait for those
	direct  bool
	depth   int
	ended   atomic.Bool
}

// undoTimeout is how long the end of a savepoint, whose own context is over, may take.
const undoTimeout = 10 * time.Second

// Watch is what an adapter knows, and wants to know, of a connection beside what its functions say. All may be nil.
type Watch struct {
	// Busy reports that the rows of a query are open, so that no statement can be run before they
	// are closed: who tries may wait for ever.
	Busy func() bool
	// Failed is told the errors of statements: functions may hide them.
	Failed func(error)
	// Left cleans up what a function has left behind, and says what that was: ErrOpenRows,
	// ErrRolledBack of a transaction that was rolled back, ErrControl of one that was ended.
	Left func() error
}

// NewTx returns a transaction that is open on conn. Adapters call it.
func NewTx(conn *sql.Conn, w Watch) *Tx {
	if w.Busy == nil {
		w.Busy = func() bool { return false }
	}
	if w.Failed == nil {
		w.Failed = func(error) {}
	}
	if w.Left == nil {
		w.Left = func() error { return nil }
	}
	return &Tx{s: &state{conn: conn, watch: w}}
}

// NewDirect returns a Tx without a transaction. Adapters call it.
func NewDirect(conn *sql.Conn, w Watch) *Tx {
	tx := NewTx(conn, w)
	tx.s.direct = true
	return tx
}

// ExecContext runs a statement.
func (t *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx, err := t.s.begin(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := t.s.conn.ExecContext(ctx, query, args...)
	return result, t.s.end(ctx, err)
}

// QueryContext runs a query. Its rows must be closed before the next statement, which fails with
// ErrOpenRows where the database cannot run it among them, and before the function returns.
func (t *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	ctx, err := t.s.begin(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := t.s.conn.QueryContext(ctx, query, args...)
	return rows, t.s.end(ctx, err)
}

// QueryRowContext runs a query for one row, which must be scanned before the next statement.
func (t *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	ctx, err := t.s.begin(ctx, query)
	if err != nil {
		return failedRow(err)
	}
	row := t.s.conn.QueryRowContext(ctx, query, args...)
	if err := t.s.end(ctx, row.Err()); err != nil {
		return failedRow(err)
	}
	return row
}

// Savepoint runs f; when f fails or panics, what it did is undone, and the transaction goes
// on. Without a transaction it runs f, and nothing is undone.
func (t *Tx) Savepoint(ctx context.Context, f func() error) (err error) {
	if t.s.over || t.s.ended.Load() {
		return ErrEnded
	}
	if t.s.direct {
		return f()
	}
	t.s.depth++
	defer func() { t.s.depth-- }()
	name := "edda_" + strconv.Itoa(t.s.depth)
	if _, err := t.ExecContext(ctx, "SAVEPOINT "+name); err != nil {
		return err
	}
	released := false
	defer func() {
		if released {
			return
		}
		if back := t.undo(ctx, name); back != nil {
			err = errors.Join(err, fmt.Errorf("undo to the savepoint: %w", back))
		}
	}()
	if err := f(); err != nil {
		return err
	}
	// Where a statement of f has failed and f has kept that to itself, this fails too.
	if _, err := t.ExecContext(ctx, "RELEASE SAVEPOINT "+name); err != nil {
		return err
	}
	released = true
	return nil
}

func (t *Tx) undo(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	_, err := t.ExecContext(ctx, "ROLLBACK TO SAVEPOINT "+name+"; RELEASE SAVEPOINT "+name)
	return err
}

// Table is the name of the table to write for a table of the projection: the name itself,
// or that of its double while the projection is rebuilt.
func (t *Tx) Table(name string) string {
	if double, ok := t.tables[name]; ok {
		return double
	}
	return name
}

// WithTables returns the same transaction with other names for tables.
func (t *Tx) WithTables(names map[string]string) *Tx { return &Tx{s: t.s, tables: names} }

// begin returns the context for a statement. It ends with the transaction at the latest,
// and with it the rows of a query, which otherwise nobody might close. A context that has
// ended must not reach the connection: some drivers give that up then. Neither must a statement
// that would end the transaction: what it commits nobody could undo.
func (s *state) begin(ctx context.Context, query string) (context.Context, error) {
	if s.over || s.ended.Load() {
		return nil, ErrEnded
	}
	if statement := control(query); statement != "" {
		s.refused = controlError{statement}
		return nil, s.refused
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.watch.Busy() {
		return nil, fmt.Errorf("the connection is busy: %w", ErrOpenRows)
	}
	if ctx.Value(insideKey{}) == s { // it was made of the one that f was handed
		return ctx, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(s.life, cancel)
	return ctx, nil
}

// end returns the error of a statement, which names the end of the context if that was why.
func (s *state) end(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	s.watch.Failed(err)
	return WithCause(ctx, err)
}

// WithCause adds the end of the context, if it has ended, to an error that does not name
// it. Adapters call it.
func WithCause(ctx context.Context, err error) error {
	if over := ctx.Err(); over != nil && !errors.Is(err, over) {
		return fmt.Errorf("%w: %w", over, err)
	}
	return err
}

// failedRow returns a row with an error. Package sql lets nobody else make one.
func failedRow(err error) *sql.Row {
	db := sql.OpenDB(refusal{err})
	row := db.QueryRowContext(context.Background(), "")
	_ = db.Close() // it has no connections
	return row
}

// refusal is a driver.Connector that makes no connections.
type refusal struct{ err error }

// Connect implements driver.Connector.
func (r refusal) Connect(context.Context) (driver.Conn, error) { return nil, r.err }

// Driver implements driver.Connector.
func (r refusal) Driver() driver.Driver { return nil }
