package driver

import (
	"context"
	"database/sql"
	"fmt"
)

// Tx is a transaction, or a connection without one. It is for one goroutine at a time, and
// only while the function runs that it was handed to.
type Tx struct {
	conn   *sql.Conn
	tables map[string]string
	depth  int
}

// NewTx returns a transaction that is open on conn. Adapters call it.
func NewTx(conn *sql.Conn) *Tx { return &Tx{conn: conn} }

// ExecContext runs a statement.
func (t *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.conn.ExecContext(ctx, query, args...)
}

// QueryContext runs a query. Its rows must be closed before the next statement.
func (t *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return t.conn.QueryContext(ctx, query, args...)
}

// QueryRowContext runs a query for one row, which must be scanned before the next statement.
func (t *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return t.conn.QueryRowContext(ctx, query, args...)
}

// Savepoint runs f; when f fails, what it did is undone, and the transaction goes on.
func (t *Tx) Savepoint(ctx context.Context, f func() error) error {
	t.depth++
	defer func() { t.depth-- }()
	name := fmt.Sprintf("edda_%d", t.depth)
	if _, err := t.conn.ExecContext(ctx, "SAVEPOINT "+name); err != nil {
		return err
	}
	if err := f(); err != nil {
		// What ctx has ended still must be undone.
		if _, back := t.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK TO SAVEPOINT "+name); back != nil {
			return fmt.Errorf("%w (and to undo it: %w)", err, back)
		}
		return err
	}
	_, err := t.conn.ExecContext(ctx, "RELEASE SAVEPOINT "+name)
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
func (t *Tx) WithTables(names map[string]string) *Tx {
	other := *t
	other.tables = names
	return &other
}
