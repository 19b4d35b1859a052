package pgdb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/edda-io/edda/cqrs/driver"
)

const (
	// maxPause is the longest pause before a transaction is run again.
	maxPause = 100 * time.Millisecond
	// maxLost is how often a transaction is run again that has lost its connection.
	maxLost = 3
	// undoTimeout is how long a rollback may take, whose own context may be over.
	undoTimeout = 10 * time.Second
)

// verdict is what is to be done after an attempt.
type verdict int

const (
	final    verdict = iota
	inTheWay         // another transaction was; run it again
	lost             // the connection was, and nothing is stored; run it again
)

// Transact implements driver.DB.
func (d *DB) Transact(ctx context.Context, o driver.TxOptions, f func(ctx context.Context, tx *driver.Tx) error) error {
	if err := o.Validate(); err != nil {
		return err
	}
	return d.enter(ctx, func() error { return d.attempts(ctx, o, f) })
}

func (d *DB) attempts(ctx context.Context, o driver.TxOptions, f func(ctx context.Context, tx *driver.Tx) error) error {
	limit := time.Now().Add(d.o.RetryLimit)
	lostOnes := 0
	for pause := time.Millisecond; ; pause = min(2*pause, maxPause) {
		v, err := d.attempt(ctx, o, f)
		switch v {
		case final:
			return err
		case inTheWay:
			if time.Now().After(limit) {
				return fmt.Errorf("%w: %w", driver.ErrBusy, err)
			}
		case lost:
			if lostOnes++; lostOnes > maxLost {
				return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
			}
		}
		t := time.NewTimer(rand.N(pause))
		select {
		case <-ctx.Done():
			t.Stop()
			return driver.WithCause(ctx, err)
		case <-t.C:
		}
	}
}

// attempt runs the transaction once.
func (d *DB) attempt(ctx context.Context, o driver.TxOptions, f func(ctx context.Context, tx *driver.Tx) error) (verdict, error) {
	s, err := d.begin(ctx, o)
	if err != nil {
		return final, err
	}
	defer s.close()
	if err := driver.Run(ctx, driver.NewTx(s.link, driver.Watch{Busy: s.busy, Failed: s.failed, Left: s.left}), f); err != nil {
		gone := s.pg().IsClosed()
		s.rollback(ctx)
		switch {
		case s.dropped:
			return final, err
		case conflict(err), conflict(s.hidden):
			return inTheWay, err
		case gone:
			return lost, err
		}
		return final, err
	}
	return s.commit(ctx, d.o.CommitTimeout)
}

var errLost = errors.New("the connection was lost")

// errOwnEnd is about a statement whose text did not show that it ends the transaction.
var errOwnEnd = fmt.Errorf("%w, and this one was ended: what was done until then is stored", driver.ErrControl)

// session is a connection in use.
type session struct {
	link *sql.Conn
	conn *pgx.Conn
	// hidden is an error of a statement, which the function may have kept to itself.
	hidden  error
	dropped bool // it was closed here: rows were left open
}

// session takes a connection from the pool.
func (d *DB) session(ctx context.Context) (*session, error) {
	link, err := d.db.Conn(ctx)
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	s := &session{link: link}
	err = link.Raw(func(c any) error {
		s.conn = c.(*stdlib.Conn).Conn()
		return nil
	})
	return s, err
}

// begin begins a transaction, on the first connection that is not dead: when the server was
// restarted, all that waited in the pool are.
func (d *DB) begin(ctx context.Context, o driver.TxOptions) (*session, error) {
	statement := "BEGIN ISOLATION LEVEL SERIALIZABLE"
	if o.Isolation == sql.LevelRepeatableRead {
		statement = "BEGIN ISOLATION LEVEL REPEATABLE READ"
	}
	for dead := 0; ; dead++ {
		s, err := d.session(ctx)
		if err != nil {
			return nil, err
		}
		if err = s.exec(ctx, statement); err == nil {
			return s, nil
		}
		closed := s.pg().IsClosed()
		s.close()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !closed:
			return nil, err
		case dead > d.o.MaxConns:
			return nil, unavailable(ctx, err)
		}
	}
}

// unavailable is the error of a connection that could not be had.
func unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
}

func (s *session) pg() *pgconn.PgConn { return s.conn.PgConn() }

// failed is driver.Watch.Failed.
func (s *session) failed(err error) {
	if s.hidden == nil || conflict(err) {
		s.hidden = err
	}
}

// left is driver.Watch.Left within a transaction.
func (s *session) left() error {
	if err := s.leftOpen(); err != nil {
		return err
	}
	switch pg := s.pg(); {
	case pg.IsClosed():
	case pg.TxStatus() == 'E': // a commit would be answered with a rollback that looks like a success
		return errors.Join(driver.ErrRolledBack, s.hidden)
	case pg.TxStatus() == 'I':
		return errOwnEnd
	}
	return nil
}

// leftOpen is driver.Watch.Left without a transaction.
func (s *session) leftOpen() error {
	if !s.busy() {
		return nil
	}
	s.drop()
	return driver.ErrOpenRows
}

// busy is driver.Watch.Busy. A statement would be answered with an error that has package sql close the
// connection, for which it waits until the rows are closed.
func (s *session) busy() (is bool) {
	_ = s.link.Raw(func(any) error { // under the lock of the connection
		is = s.pg().IsBusy()
		return nil
	})
	return is
}

// drop closes the connection. Nobody here could close the rows, and to read them to their end may take
// for ever.
func (s *session) drop() {
	s.dropped = true
	ctx, cancel := context.WithTimeout(context.Background(), undoTimeout)
	defer cancel()
	_ = s.link.Raw(func(any) error { // under the lock of the connection
		_ = s.conn.Close(ctx) // it is closed whatever comes of that
		return nil
	})
}

// rollback rolls back; a connection that is lost has done so.
func (s *session) rollback(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if !s.pg().IsClosed() {
		_ = s.exec(ctx, "ROLLBACK") // if it fails, the pool drops the connection
	}
}

// commit commits, and says what is known then.
func (s *session) commit(ctx context.Context, timeout time.Duration) (verdict, error) {
	if s.pg().IsClosed() {
		return lost, errLost
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	// Once it may have been sent, only an answer of the server says what became of it. The
	// connection's own view, that it is safe to repeat what failed, does not: pgx takes a
	// connection that closes in place of the answer for one that was closed before.
	switch err := s.exec(ctx, "COMMIT"); {
	case err == nil:
		return final, nil
	case conflict(err):
		return inTheWay, err
	case refused(err):
		return final, err
	default:
		return final, fmt.Errorf("%w: %w", driver.ErrUnknown, err)
	}
}

// exec runs a statement without parameters.
func (s *session) exec(ctx context.Context, statement string) (err error) {
	raw := s.link.Raw(func(any) error { // under the lock of the connection
		_, err = s.conn.Exec(ctx, statement)
		return nil
	})
	return cmp.Or(err, raw)
}

// close gives the connection back to the pool, which drops it unless it is as it was.
func (s *session) close() { _ = s.link.Close() }

// conflict reports whether PostgreSQL says that it is no fault of the transaction.
func conflict(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch e.Code {
	case "40001", "40P01": // serialization failure, deadlock
		return true
	}
	return e.Routine == "RevalidateCachedQuery" // a table was changed meanwhile
}

// refused reports whether the server has answered and goes on: then it has rolled back.
func refused(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.SeverityUnlocalized == "ERROR"
}
