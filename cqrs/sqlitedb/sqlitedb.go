// Package sqlitedb is SQLite in a file, for package cqrs: nothing to install, and commands
// of one process share their commits.
package sqlitedb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3/database"
	_ "modernc.org/sqlite" // the driver

	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/migrate"
)

//go:embed migrations/*.sql
var files embed.FS

var _ driver.DB = (*DB)(nil)

// Defaults of Options.
const (
	DefaultBusyTimeout = 10 * time.Second
	DefaultReaders     = 8
)

// Options of a database. The zero value works.
type Options struct {
	// BusyTimeout is how long a transaction waits for another process that writes the same
	// file. DefaultBusyTimeout when zero.
	BusyTimeout time.Duration
	// Readers is how many queries may run at once. DefaultReaders when zero.
	Readers int
}

// DB is an open database. All methods are safe for concurrent use.
type DB struct {
	o       Options
	dialect driver.Dialect
	pool    *sql.DB // the user's
	reads   *sql.DB
	writes  *sql.DB

	mu   sync.Mutex // is held by whoever writes
	conn *sql.Conn
}

// Open opens the database in the file, and creates it if there is none.
func Open(path string, o Options) (*DB, error) {
	if path == "" || strings.Contains(path, ":memory:") {
		return nil, fmt.Errorf("open SQLite database %q: it must be a file, which several connections can share", path)
	}
	if o.BusyTimeout == 0 {
		o.BusyTimeout = DefaultBusyTimeout
	}
	if o.Readers == 0 {
		o.Readers = DefaultReaders
	}
	migrations, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, err
	}
	d := &DB{o: o, dialect: driver.Dialect{Name: "sqlite", Migrations: migrations}}
	if err := d.open(path); err != nil {
		return nil, errors.Join(fmt.Errorf("open SQLite database %q: %w", path, err), d.Close())
	}
	return d, nil
}

func (d *DB) open(path string) (err error) {
	if d.pool, err = sql.Open("sqlite", d.dsn(path)); err != nil {
		return err
	}
	if d.writes, err = sql.Open("sqlite", d.dsn(path)); err != nil {
		return err
	}
	if d.reads, err = sql.Open("sqlite", d.dsn(path, "query_only(1)")); err != nil {
		return err
	}
	d.reads.SetMaxOpenConns(d.o.Readers)
	d.reads.SetMaxIdleConns(d.o.Readers)
	d.conn, err = d.writes.Conn(context.Background())
	return err
}

// dsn is the data source name of the file, with settings beside those that all
// connections have.
func (d *DB) dsn(path string, pragmas ...string) string {
	pragmas = append([]string{
		fmt.Sprintf("busy_timeout(%d)", d.o.BusyTimeout.Milliseconds()),
		"journal_mode(wal)", "synchronous(full)", "foreign_keys(1)",
	}, pragmas...)
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	u.RawQuery = url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}.Encode()
	return u.String()
}

// SQL is the database for the user's own reading, and for making tables. It is closed
// with d.
func (d *DB) SQL() *sql.DB { return d.pool }

// Dialect implements driver.DB.
func (d *DB) Dialect() *driver.Dialect { return &d.dialect }

// Reader implements driver.DB.
func (d *DB) Reader() driver.Querier { return d.reads }

// Transact implements driver.DB.
func (d *DB) Transact(ctx context.Context, o driver.TxOptions, f func(ctx context.Context, tx *driver.Tx) error) (err error) {
	if err := o.Validate(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := d.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := driver.Run(ctx, driver.NewTx(d.conn), f); err != nil {
		_, back := d.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		if back != nil {
			return fmt.Errorf("%w (and to roll back: %w)", err, back)
		}
		return err
	}
	_, err = d.conn.ExecContext(context.WithoutCancel(ctx), "COMMIT")
	return err
}

// Direct implements driver.DB.
func (d *DB) Direct(ctx context.Context, f func(ctx context.Context, tx *driver.Tx) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return driver.Run(ctx, driver.NewTx(d.conn), f)
}

// Migrate implements driver.DB.
func (d *DB) Migrate(ctx context.Context) error {
	return migrate.Up(ctx, database.DialectSQLite3, d.pool, d.dialect.Migrations)
}

// Close implements driver.DB.
func (d *DB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	if d.conn != nil {
		errs = append(errs, d.conn.Close())
		d.conn = nil
	}
	for _, db := range []*sql.DB{d.reads, d.pool, d.writes} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
