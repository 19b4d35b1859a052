// Package pgdb is PostgreSQL, for package cqrs, through pgx.
//
// Transactions are serializable, or repeatable read by choice. What PostgreSQL refuses
// because another transaction was in the way (serialization failures, deadlocks) is run
// again, after a short pause of random length, for as long as Options.RetryLimit. So is
// what has lost its connection before the commit was sent, a few times: nothing of it is
// stored. A commit that was sent and not answered is driver.ErrUnknown.
//
// A connection keeps 512 statements prepared, those used last; statement_cache_capacity in
// the connection string says otherwise. Behind a pooler that hands a connection from
// transaction to transaction, the string needs default_query_exec_mode=exec. When the time
// of a statement is over, it is cancelled at the server, and its connection goes on.
package pgdb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/database"

	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/migrate"
)

//go:embed migrations/*.sql
var files embed.FS

var _ driver.DB = (*DB)(nil)

// Defaults of Options.
const (
	DefaultMaxConns      = 32
	DefaultRetryLimit    = 30 * time.Second
	DefaultCommitTimeout = 30 * time.Second
)

const defaultCancelTimeout = 5 * time.Second

// minConns is what migrations take: they hold one connection, and ask by another.
const minConns = 2

// Options of a database. The zero value works.
type Options struct {
	// MaxConns is how many connections may be open at once, at least two. DefaultMaxConns when zero.
	MaxConns int
	// RetryLimit is for how long a transaction is run again while others are in its way.
	// DefaultRetryLimit when zero.
	RetryLimit time.Duration
	// CommitTimeout is how long the answer to a commit is waited for, whatever the context
	// of the transaction says. DefaultCommitTimeout when zero.
	CommitTimeout time.Duration

	// cancelTimeout is how long the server has to say that it has cancelled a statement,
	// before the connection is given up.
	cancelTimeout time.Duration
}

// DB is an open database. All methods are safe for concurrent use.
type DB struct {
	o       Options
	dialect driver.Dialect
	db      *sql.DB
	close   func() error

	mu     sync.Mutex // guards closed, and that nothing is added to users after it
	closed bool
	users  sync.WaitGroup // what runs
}

// Open opens the database that the connection string names, in the form of libpq: a URL,
// or words like host=/tmp dbname=edda. It must answer. Close it.
func Open(ctx context.Context, dsn string, o Options) (*DB, error) {
	d, err := open(dsn, o)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL database: %w", err)
	}
	if err := d.db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open PostgreSQL database: %w", err), d.Close())
	}
	return d, nil
}

func open(dsn string, o Options) (*DB, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	// By default what ends a context closes the connection, and a handler whose time is over
	// would end the whole transaction.
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: o.cancelTimeout}
	}
	migrations, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, err
	}
	d := &DB{o: o, db: stdlib.OpenDB(*c), dialect: driver.Dialect{
		Name:       "postgres",
		ForUpdate:  "FOR UPDATE SKIP LOCKED",
		Settled:    "tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
		Migrations: migrations,
	}}
	d.close = sync.OnceValue(d.closeAll)
	d.db.SetMaxOpenConns(o.MaxConns)
	d.db.SetMaxIdleConns(o.MaxConns)
	return d, nil
}

func (o *Options) complete() error {
	if o.MaxConns == 0 {
		o.MaxConns = DefaultMaxConns
	}
	if o.RetryLimit == 0 {
		o.RetryLimit = DefaultRetryLimit
	}
	if o.CommitTimeout == 0 {
		o.CommitTimeout = DefaultCommitTimeout
	}
	if o.cancelTimeout == 0 {
		o.cancelTimeout = defaultCancelTimeout
	}
	switch {
	case o.MaxConns < minConns:
		return fmt.Errorf("the option MaxConns is %d, and must be at least %d", o.MaxConns, minConns)
	case o.RetryLimit < 0:
		return fmt.Errorf("the option RetryLimit is %v, and must not be negative", o.RetryLimit)
	case o.CommitTimeout < 0:
		return fmt.Errorf("the option CommitTimeout is %v, and must not be negative", o.CommitTimeout)
	}
	return nil
}

// SQL is the database for the user's own reading and writing, and for making tables. It is
// closed with d.
func (d *DB) SQL() *sql.DB { return d.db }

// Dialect implements driver.DB.
func (d *DB) Dialect() *driver.Dialect { return &d.dialect }

// Reader implements driver.DB.
func (d *DB) Reader() driver.Querier { return d.db }

// Direct implements driver.DB.
func (d *DB) Direct(ctx context.Context, f func(ctx context.Context, tx *driver.Tx) error) error {
	return d.enter(ctx, func() error {
		s, err := d.session(ctx)
		if err != nil {
			return err
		}
		defer s.close()
		return driver.Run(ctx, driver.NewDirect(s.link, driver.Watch{Busy: s.busy, Left: s.leftOpen}), f)
	})
}

// enter calls f unless the database is closed, and lets Close wait for it.
func (d *DB) enter(ctx context.Context, f func() error) error {
	if err := driver.Outside(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return driver.ErrClosed
	}
	d.users.Add(1)
	d.mu.Unlock()
	defer d.users.Done()
	return f()
}

// migrationLock is the advisory lock of whoever migrates.
const migrationLock = 0x65646461_63717273

// Migrate implements driver.DB.
func (d *DB) Migrate(ctx context.Context) error {
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("run the migrations: %w", err)
	}
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return errors.Join(fmt.Errorf("wait for others that run the migrations: %w", err), conn.Close())
	}
	err = migrate.Up(ctx, database.DialectPostgres, d.db, d.dialect.Migrations)
	_, free := conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrationLock))
	return errors.Join(err, free, conn.Close())
}

// Close implements driver.DB.
func (d *DB) Close() error { return d.close() }

func (d *DB) closeAll() error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.users.Wait()
	return d.db.Close()
}
