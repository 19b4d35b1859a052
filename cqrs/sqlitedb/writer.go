package sqlitedb

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/edda-io/edda/cqrs/driver"
)

// Bounds of what shares a commit.
const (
	groupSize = 256                   // transactions
	groupTime = 10 * time.Millisecond // after which no further one is begun
)

// Statements of the writer.
const (
	begin     = "BEGIN IMMEDIATE"
	commit    = "COMMIT"
	rollback  = "ROLLBACK"
	savepoint = "SAVEPOINT edda_group"
	release   = "RELEASE SAVEPOINT edda_group"
	undo      = "ROLLBACK TO SAVEPOINT edda_group; RELEASE SAVEPOINT edda_group"
)

// writer runs jobs on the one connection that writes. It belongs to whoever leads.
//
// The jobs of a group run one after the other in one transaction, each in a savepoint but
// the first, which has nothing before it that a failure could harm. SQLite may end a
// whole transaction because one statement was interrupted, or the disk is full: the
// connection notices that (conn.lost), the job that ran is at fault, and the others are
// run again.
type writer struct {
	db   *sql.DB
	busy time.Duration

	link    *sql.Conn // nil until it is needed
	conn    *conn     // that of link
	current *job      // whose function runs
	kept    []*job    // have run in the open transaction, and wait for its commit
	again   []*job    // have run in one that was rolled back, and must be run again
}

// round runs one group of jobs: those to be run again, then those that next finds.
func (w *writer) round(next func(fits func(*job) bool) *job) {
	take := func(fits func(*job) bool) *job {
		if len(w.again) == 0 {
			return next(fits)
		}
		j := w.again[0]
		if !fits(j) {
			return nil
		}
		w.again = w.again[1:]
		return j
	}
	j := take(func(*job) bool { return true })
	switch {
	case j == nil:
		return
	case j.ctx.Err() != nil:
		j.end(j.ctx.Err())
		return
	case j.direct:
		j.end(w.direct(j))
		return
	}
	if err := w.begin(j); err != nil {
		j.end(err)
		return
	}
	limit := time.Now().Add(groupTime)
	for j != nil && w.run(j) && !j.alone && len(w.kept) < groupSize && time.Now().Before(limit) {
		j = take(func(j *job) bool { return !j.alone && !j.direct })
	}
	if len(w.kept) > 0 {
		w.commit()
	}
}

// begin begins a transaction, and waits while another process has one.
func (w *writer) begin(j *job) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		err := w.tryBegin()
		if !busy(err) {
			return err
		}
		if time.Since(j.since) > w.busy {
			return fmt.Errorf("%w: %w", driver.ErrBusy, err)
		}
		t := time.NewTimer(wait)
		select {
		case <-j.ctx.Done():
			t.Stop()
			return j.ctx.Err()
		case <-t.C:
		}
	}
}

func (w *writer) tryBegin() error {
	if err := w.connect(); err != nil {
		return err
	}
	if err := w.exec(begin); err != nil {
		if !busy(err) {
			w.disconnect()
		}
		return err
	}
	w.conn.guarded.Store(true)
	return nil
}

// run runs a job in the open transaction, and reports whether that goes on.
func (w *writer) run(j *job) (open bool) {
	if err := j.ctx.Err(); err != nil && len(w.kept) > 0 {
		j.end(err)
		return true
	}
	first := len(w.kept) == 0
	err := w.try(j, first)
	switch {
	case w.conn.lost.Load():
		w.rollback()
		j.end(because(err))
		return false
	case err == nil:
		w.kept = append(w.kept, j)
		return true
	case first:
		w.rollback()
		j.end(err)
		return false
	default:
		if back := w.exec(undo); back != nil { // the transaction is not to be trusted
			w.rollback()
		}
		j.end(err)
		return len(w.kept) > 0
	}
}

// try runs the function of a job, in a savepoint unless it is the first. After an error
// what it did must be undone.
func (w *writer) try(j *job, first bool) error {
	if !first {
		if err := w.exec(savepoint); err != nil {
			return err
		}
	}
	err := w.call(j, driver.NewTx(w.link, driver.Watch{Left: w.left}))
	if err == nil && !first && !w.conn.lost.Load() {
		err = w.exec(release)
	}
	return err
}

// call calls the function of a job, and leaves no rows open.
func (w *writer) call(j *job, tx *driver.Tx) error {
	w.current = j
	err := driver.Run(j.ctx, tx, j.f)
	w.current = nil
	return err
}

// left is driver.Watch.Left: it closes the rows that a function has left open.
func (w *writer) left() error {
	var open bool
	err := w.link.Raw(func(any) (err error) { // under the lock of the connection
		open, err = w.conn.closeRows()
		return err
	})
	switch {
	case open:
		return errors.Join(driver.ErrOpenRows, err)
	case err == nil && w.conn.lost.Load():
		return driver.ErrRolledBack
	}
	return err
}

// because is the error of a job that has made SQLite roll back.
func because(err error) error {
	if err == nil || errors.Is(err, driver.ErrRolledBack) {
		return errors.Join(err, driver.ErrRolledBack)
	}
	return err
}

// commit commits, and ends the jobs.
func (w *writer) commit() {
	w.conn.committing.Store(true)
	err := w.exec(commit)
	w.conn.committing.Store(false)
	if err == nil {
		w.conn.guarded.Store(false)
		for _, j := range w.kept {
			j.end(nil)
		}
		w.kept = w.kept[:0]
		return
	}
	kept := w.kept
	w.kept = nil
	w.rollback()
	if code(err) == codeConstraint && len(kept) > 1 {
		// A deferred constraint does not say whose statement has broken it.
		for _, j := range kept {
			j.alone = true
		}
		w.again = append(kept, w.again...)
		return
	}
	switch {
	case busy(err):
		err = fmt.Errorf("%w: %w", driver.ErrBusy, err)
	case code(err) != codeConstraint && code(err) != codeFull:
		// What was written may yet be found whole by whoever opens the file next.
		err = fmt.Errorf("%w: %w", driver.ErrUnknown, err)
		w.disconnect()
	}
	for _, j := range kept {
		j.end(err)
	}
}

// rollback rolls back. The jobs that have run are run again.
func (w *writer) rollback() {
	w.conn.guarded.Store(false)
	lost := w.conn.lost.Swap(false)
	w.again = append(w.kept, w.again...)
	w.kept = nil
	if err := w.exec(rollback); err != nil && !lost {
		w.disconnect() // which rolls back, whatever it was
	}
}

// abandon is for a leader whose goroutine was ended by the function that it ran.
func (w *writer) abandon(leader *job) {
	j := w.current
	w.current = nil
	if w.link != nil {
		w.rollback()
		w.disconnect()
	}
	if j != nil {
		j.end(errGoexit)
	}
	again := w.again[:0]
	for _, j := range w.again {
		if j != leader { // nobody waits for that one any more
			again = append(again, j)
		}
	}
	w.again = again
}

// takeBack returns the jobs to be run again, for another leader.
func (w *writer) takeBack() []*job {
	again := w.again
	w.again = nil
	return again
}

// direct runs the function of a job without a transaction.
func (w *writer) direct(j *job) error {
	if err := w.connect(); err != nil {
		return err
	}
	if err := w.setBusyTimeout(w.busy); err != nil {
		return err
	}
	err := w.call(j, driver.NewDirect(w.link, driver.Watch{Left: w.left}))
	return errors.Join(err, w.setBusyTimeout(0))
}

func (w *writer) exec(statement string) error {
	_, err := w.link.ExecContext(context.Background(), statement)
	return err
}

// connect makes the connection if there is none.
func (w *writer) connect() error {
	if w.link != nil {
		return nil
	}
	link, err := w.db.Conn(context.Background())
	if err != nil {
		return fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
	}
	w.link = link
	err = link.Raw(func(c any) error {
		w.conn = c.(*conn)
		return nil
	})
	if err == nil {
		err = w.setBusyTimeout(0) // begin waits, and can be told to stop
	}
	if err != nil {
		w.disconnect()
	}
	return err
}

func (w *writer) setBusyTimeout(d time.Duration) error {
	return w.exec(fmt.Sprintf("PRAGMA busy_timeout = %d", d.Milliseconds()))
}

// disconnect drops the connection. The next transaction makes another.
func (w *writer) disconnect() {
	if w.link == nil {
		return
	}
	_ = w.link.Raw(func(any) error { return sqldriver.ErrBadConn }) // so that it is not used again
	_ = w.link.Close()
	w.link, w.conn = nil, nil
}
