// Package pgdb is PostgreSQL, for package cqrs.
package pgdb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
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
	DefaultMaxConns   = 32
	DefaultRetryLimit = 30 * time.Second
)

// Options of a database. The zero value works.
type Options struct {
	// MaxConns is how many connections may be open at once. DefaultMaxConns when zero.
	MaxConns int
	// RetryLimit is for how long a transaction is run again while others are in its way.
	// DefaultRetryLimit when zero.
	RetryLimit time.Duration
}

// DB is an open database. All methods are safe for concurrent use.
type DB struct {
	o       Options
	dialect driver.Dialect
	db      *sql.DB
}

// Open opens the database that the connection string names, and asks it whether it is there.
func Open(ctx context.Context, dsn string, o Options) (*DB, error) {
	if o.MaxConns == 0 {
		o.MaxConns = DefaultMaxConns
	}
	if o.RetryLimit == 0 {
		o.RetryLimit = DefaultRetryLimit
	}
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL database: %w", err)
	}
	// What a context ends is cancelled at the server, and the connection goes on: by default
	// it would be closed, and a handler whose time is over would end the transaction.
	c.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: 5 * time.Second}
	}
	migrations, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, err
	}
	d := &DB{o: o, db: stdlib.OpenDB(*c), dialect: driver.Dialect{
		Name:       "postgres",
		ForUpdate:  "FOR UPDATE SKIP LOCKED",
		Settled:    "tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
		LockEvents: "LOCK TABLE edda_events IN EXCLUSIVE MODE",
		Migrations: migrations,
	}}
	d.db.SetMaxOpenConns(o.MaxConns)
	d.db.SetMaxIdleConns(o.MaxConns)
	if err := d.db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open PostgreSQL database: %w", err), d.Close())
	}
	return d, nil
}

// SQL is the database for the user's own reading, and for making tables. It is closed
// with d.
func (d *DB) SQL() *sql.DB { return d.db }

// Dialect implements driver.DB.
func (d *DB) Dialect() *driver.Dialect { return &d.dialect }

// Reader implements driver.DB.
func (d *DB) Reader() driver.Querier { return d.db }

// Transact implements driver.DB.
func (d *DB) Transact(ctx context.Context, o driver.TxOptions, f func(ctx context.Context, tx *driver.Tx) error) error {
	if err := o.Validate(); err != nil {
		return err
	}
	limit := time.Now().Add(d.o.RetryLimit)
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := d.transact(ctx, o, f)
		if !inTheWay(err) {
			return err
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%w: %w", driver.ErrBusy, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(wait)):
		}
	}
}

func (d *DB) transact(ctx context.Context, o driver.TxOptions, f func(ctx context.Context, tx *driver.Tx) error) error {
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	begin := "BEGIN ISOLATION LEVEL SERIALIZABLE"
	if o.Isolation == sql.LevelRepeatableRead {
		begin = "BEGIN ISOLATION LEVEL REPEATABLE READ"
	}
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return err
	}
	after := context.WithoutCancel(ctx)
	if err := driver.Run(ctx, driver.NewTx(conn), f); err != nil {
		_, _ = conn.ExecContext(after, "ROLLBACK") // a connection that is lost has rolled back
		return err
	}
	if err := ctx.Err(); err != nil {
		_, _ = conn.ExecContext(after, "ROLLBACK")
		return err
	}
	_, err = conn.ExecContext(after, "COMMIT")
	if _, ok := errors.AsType[*pgconn.PgError](err); err != nil && !ok {
		return fmt.Errorf("%w: %w", driver.ErrUnknown, err)
	}
	return err
}

// inTheWay reports whether another transaction was in the way.
func inTheWay(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40001" || e.Code == "40P01")
}

// Direct implements driver.DB.
func (d *DB) Direct(ctx context.Context, f func(ctx context.Context, tx *driver.Tx) error) error {
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return driver.Run(ctx, driver.NewTx(conn), f)
}

// migrationLock is the advisory lock that one process holds while it migrates.
const migrationLock = 0x65646461_63717273

// Migrate implements driver.DB.
func (d *DB) Migrate(ctx context.Context) error {
	conn, err := d.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return err
	}
	err = migrate.Up(ctx, database.DialectPostgres, d.db, d.dialect.Migrations)
	_, free := conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", int64(migrationLock))
	return errors.Join(err, free)
}

// Close implements driver.DB.
func (d *DB) Close() error { return d.db.Close() }
