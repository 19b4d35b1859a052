// Package driver is what package cqrs asks of a SQL database. Users open one with
// package sqlitedb or pgdb and hand it to cqrs.New; only who writes another adapter needs
// this package, and package drivertest, which every adapter must pass.
package driver

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
)

// DB is a database that commands commit in, together with the user's own tables. All
// methods are safe for concurrent use.
type DB interface {
	// Dialect says what is different about the database. It never changes.
	Dialect() *Dialect
	// Transact runs f in a transaction and commits what it did. When f fails, or panics, or
	// ctx ends before the commit, nothing is stored, and f's error is returned as it is (a
	// panic as a *PanicError, with ctx's if that has ended). What fails because another
	// transaction was in the way, or the connection was lost before the commit, is run
	// again, from its beginning, so f may be called several times; when that goes on for too
	// long the error is ErrBusy, or ErrUnavailable. When the fate of a commit is not known,
	// the error is ErrUnknown. In all other cases an error says that nothing is stored.
	//
	// Several calls may share one commit: f then has a savepoint, what it sees may be what
	// another call has just done, which is stored if f's is, and f may be run by another
	// call's goroutine. Within f, the database's Transact and Direct are refused.
	Transact(ctx context.Context, o TxOptions, f func(ctx context.Context, tx *Tx) error) error
	// Direct runs f once, without a transaction: each of its statements is stored by itself,
	// and Tx.Savepoint undoes nothing.
	Direct(ctx context.Context, f func(ctx context.Context, tx *Tx) error) error
	// Reader reads what is committed. Each query sees a state of its own.
	Reader() Querier
	// Migrate brings the tables named edda_* to the newest form. Several processes may do
	// it at once.
	Migrate(ctx context.Context) error
	// Close waits for the transactions that run or wait, and closes the database: what comes
	// later fails with ErrClosed. A second Close does nothing.
	Close() error
}

// TxOptions say how a transaction runs. The zero value is what commands use.
type TxOptions struct {
	// Isolation is sql.LevelSerializable when zero. The one other level is
	// sql.LevelRepeatableRead: below it, the order of transaction ids would not be the
	// order of commits for each aggregate. It is right, and spares conflicts, for what reads
	// settled events only and writes rows that nobody else does. SQLite knows one level.
	Isolation sql.IsolationLevel
	// Alone says that the transaction shares its commit with no other.
	Alone bool
}

// Errors of a DB. Test with errors.Is.
var (
	// ErrUnknown says that a commit was sent and not answered: the transaction is stored,
	// or is not. The command's row tells.
	ErrUnknown = errors.New("the outcome of the commit is not known")
	// ErrBusy says that other transactions were in the way, every time; nothing is stored.
	ErrBusy = errors.New("other transactions were in the way, every time")
	// ErrUnavailable says that the database cannot be reached; nothing is stored.
	ErrUnavailable = errors.New("the database cannot be reached")
	// ErrRolledBack says that a statement that failed, or was interrupted, made the database
	// undo the whole transaction; nothing is stored.
	ErrRolledBack = errors.New("the database has rolled the transaction back")
	// ErrOpenRows says that a function left the rows of a query open; nothing is stored.
	ErrOpenRows = errors.New("the rows of a query were not closed, or a row was not scanned")
	// ErrControl says that a function has begun or ended a transaction by a statement of its own.
	// Such a statement is refused before it reaches the database, and fails its function, also
	// one that passes over that; nothing is stored. Where one could not be told by its text the
	// error says that what was done until then is stored.
	ErrControl = errors.New("what is handed a Tx must not begin or end a transaction")
	// ErrEnded says that a Tx was used after its function had returned.
	ErrEnded = errors.New("the transaction has ended")
	// ErrClosed says that the database was closed; nothing is stored.
	ErrClosed = errors.New("the database is closed")
)

// PanicError is a panic within a transaction.
type PanicError struct {
	Value any
	Stack []byte
}

// Dialect is what is different about a database. The statements of package cqrs are the
// same for all: their parameters are $1, $2, …, they use RETURNING and ON CONFLICT, and
// all numbers and times are 64-bit integers.
type Dialect struct {
	// Name is "sqlite" or "postgres".
	Name string
	// ForUpdate, after a SELECT, locks its rows and passes over those that others have
	// locked; "" where there is one writer anyway.
	ForUpdate string
	// Settled is the condition on table edda_events under which an event has its place in
	// the order for good: no event that commits later comes before it. "" when always.
	Settled string
	// Migrations are the migrations, in the form of goose, for a tool of the user's.
	Migrations fs.FS
}

// Querier reads. Tx is one; so are *sql.DB, *sql.Tx and *sql.Conn.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
