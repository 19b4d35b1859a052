package sqlitedb

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"

	"modernc.org/sqlite"

	cqrsdriver "github.com/edda-io/edda/cqrs/driver"
)

// maxStatements is how many prepared statements a connection keeps.
const maxStatements = 256

// connector opens connections that keep their statements prepared.
type connector struct {
	driver driver.Driver
	dsn    string
}

func newConnector(dsn string) (*connector, error) {
	// The driver that is registered has the functions and collations of the program.
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	c := &connector{driver: db.Driver(), dsn: dsn}
	return c, db.Close() // it has opened nothing
}

// Connect implements driver.Connector.
func (c *connector) Connect(context.Context) (driver.Conn, error) {
	inner, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	i, ok := inner.(innerConn)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver's connection lacks methods that are needed"), inner.Close())
	}
	own := &conn{innerConn: i, statements: make(map[string]*statement), open: make(map[*rows]struct{})}
	own.RegisterCommitHook(own.onCommit)
	own.RegisterRollbackHook(own.onRollback)
	return own, nil
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return c.driver }

// innerConn is the connection of package sqlite.
type innerConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	sqlite.HookRegisterer
}

// conn is a connection that keeps its statements prepared, and knows whether the
// transaction on it is still there. The methods of drivers, and open, are used under the lock
// that database/sql has for a connection.
type conn struct {
	innerConn
	statements map[string]*statement
	clock      uint64 // counts uses of statements

	// guarded is set while a transaction of Transact is open: then nothing is committed
	// unless committing is set, and when the database rolls back by itself lost is set.
	guarded, committing, lost atomic.Bool
	// open are the rows that nobody has closed yet.
	open map[*rows]struct{}
}

// statement is a prepared one.
type statement struct {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
	kept bool   // it is in conn.statements
	busy bool   // its rows are open
	used uint64 // conn.clock when it was last used
}

// onCommit is asked by SQLite before each commit; what is not 0 makes it a rollback.
func (c *conn) onCommit() int32 {
	if c.guarded.Load() && !c.committing.Load() {
		return 1
	}
	return 0
}

// onRollback is told by SQLite of each rollback of a whole transaction.
func (c *conn) onRollback() {
	if c.guarded.Load() {
		c.lost.Store(true)
	}
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := s.ExecContext(ctx, args)
	return result, c.put(s, err)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	r, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, c.put(s, err)
	}
	own := &rows{innerRows: r.(innerRows), conn: c, statement: s}
	c.open[own] = struct{}{}
	return own, nil
}

// take returns a prepared statement that is in nobody's hands.
func (c *conn) take(ctx context.Context, query string) (*statement, error) {
	if c.lost.Load() {
		return nil, cqrsdriver.ErrRolledBack
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.clock++
	s := c.statements[query]
	if s != nil && !s.busy {
		s.busy, s.used = true, c.clock
		return s, nil
	}
	prepared, err := c.PrepareContext(ctx, positional(query))
	if err != nil {
		return nil, err
	}
	fresh := &statement{
		Stmt: prepared, StmtExecContext: prepared.(driver.StmtExecContext), StmtQueryContext: prepared.(driver.StmtQueryContext),
		busy: true, used: c.clock, kept: s == nil,
	}
	if !fresh.kept { // rows of the other are open
		return fresh, nil
	}
	c.statements[query] = fresh
	return fresh, c.evict()
}

// put takes a statement back, whose run had this error.
func (c *conn) put(s *statement, err error) error {
	s.busy = false
	if s.kept {
		return err
	}
	return cmp.Or(err, s.Close())
}

// closeRows closes what rows are open, and reports whether there were any.
func (c *conn) closeRows() (were bool, err error) {
	for r := range c.open {
		were, err = true, errors.Join(err, r.Close())
	}
	return were, err
}

// evict closes the statement that has not been used for the longest time, when there are
// too many.
func (c *conn) evict() error {
	if len(c.statements) <= maxStatements {
		return nil
	}
	var oldest string
	for query, s := range c.statements {
		if o := c.statements[oldest]; !s.busy && (o == nil || s.used < o.used) {
			oldest = query
		}
	}
	s := c.statements[oldest]
	if s == nil { // all are in use
		return nil
	}
	delete(c.statements, oldest)
	return s.Close()
}

// Close implements driver.Conn.
func (c *conn) Close() error {
	var errs []error
	for _, s := range c.statements {
		errs = append(errs, s.Close())
	}
	c.RegisterCommitHook(nil)
	c.RegisterRollbackHook(nil)
	return errors.Join(append(errs, c.innerConn.Close())...)
}

// innerRows are the rows of package sqlite.
type innerRows interface {
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

// rows give their statement back when they are closed.
type rows struct {
	innerRows
	conn      *conn
	statement *statement
}

// Next implements driver.Rows. A statement that was reset would be run again.
func (r *rows) Next(dest []driver.Value) error {
	if _, ok := r.conn.open[r]; !ok {
		return cqrsdriver.ErrEnded
	}
	return r.innerRows.Next(dest)
}

// Close implements driver.Rows.
func (r *rows) Close() error {
	if _, ok := r.conn.open[r]; !ok {
		return nil
	}
	delete(r.conn.open, r)
	return r.conn.put(r.statement, r.innerRows.Close())
}
