// Package sqlitedb is SQLite in a file, for package cqrs: nothing to install.
//
// The file is in WAL mode, and each commit is flushed to the disk before it is
// acknowledged, unless Options.Sync says otherwise. One connection writes; transactions
// that are wanted at the same time share a commit, and with it the flush, each in a
// savepoint of its own, so that what fails undoes only itself. Others read at the same
// time, and never wait.
//
// Several processes may have the file open; then those that write wait for each other.
// It must be on a disk of the machine.
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

// Sync says when what is committed is flushed to the disk.
type Sync string

// The settings. Whatever is set, a process that is killed loses no commit.
const (
	// SyncFull flushes each commit before it is acknowledged. It is the default.
	SyncFull Sync = "full"
	// SyncNormal flushes now and then: a machine that loses power may lose the last
	// commits, in whole, and the database stays sound.
	SyncNormal Sync = "normal"
)

// Options of a database. The zero value works.
type Options struct {
	// Sync is SyncFull when empty.
	Sync Sync
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
	queue   *queue
	close   func() error
}

// Open opens the database in the file, and creates it if there is none. Close it.
func Open(path string, o Options) (*DB, error) {
	d := &DB{o: o}
	d.close = sync.OnceValue(d.closeAll)
	err := d.o.complete()
	if err == nil {
		err = d.open(path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open SQLite database %q: %w", path, err), d.Close())
	}
	return d, nil
}

func (o *Options) complete() error {
	if o.BusyTimeout == 0 {
		o.BusyTimeout = DefaultBusyTimeout
	}
	if o.Readers == 0 {
		o.Readers = DefaultReaders
	}
	if o.Sync == "" {
		o.Sync = SyncFull
	}
	switch {
	case o.Sync != SyncFull && o.Sync != SyncNormal:
		return fmt.Errorf("the option Sync is %q, and must be %q or %q", o.Sync, SyncFull, SyncNormal)
	case o.BusyTimeout < 0:
		return fmt.Errorf("the option BusyTimeout is %v, and must not be negative", o.BusyTimeout)
	case o.Readers < 0:
		return fmt.Errorf("the option Readers is %d, and must not be negative", o.Readers)
	}
	return nil
}

func (d *DB) open(path string) error {
	if path == "" || strings.Contains(path, ":memory:") {
		return errors.New("it must be a file, which several connections can share")
	}
	migrations, err := fs.Sub(files, "migrations")
	if err != nil {
		return err
	}
	d.dialect = driver.Dialect{Name: "sqlite", Migrations: migrations}
	if d.pool, err = sql.Open("sqlite", d.dsn(path)); err != nil {
		return err
	}
	writes, err := newConnector(d.dsn(path))
	if err != nil {
		return err
	}
	d.writes = sql.OpenDB(writes)
	reads, err := newConnector(d.dsn(path, "query_only(1)"))
	if err != nil {
		return err
	}
	d.reads = sql.OpenDB(reads)
	d.reads.SetMaxOpenConns(d.o.Readers)
	d.reads.SetMaxIdleConns(d.o.Readers)
	w := &writer{db: d.writes, busy: d.o.BusyTimeout}
	d.queue = newQueue(w)
	return w.connect()
}

// dsn is the data source name of the file, with settings beside those that all
// connections have.
func (d *DB) dsn(path string, pragmas ...string) string {
	pragmas = append([]string{
		fmt.Sprintf("busy_timeout(%d)", d.o.BusyTimeout.Milliseconds()),
		"journal_mode(wal)", "synchronous(" + string(d.o.Sync) + ")", "foreign_keys(1)",
	}, pragmas...)
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	u.RawQuery = url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}.Encode()
	return u.String()
}

// SQL is the database for the user's own reading, and for making tables: what is written
// there is committed by itself, and waits for the transactions of commands, as they do for
// it. It is closed with d.
func (d *DB) SQL() *sql.DB { return d.pool }

// Dialect implements driver.DB.
func (d *DB) Dialect() *driver.Dialect { return &d.dialect }

// Reader implements driver.DB.
func (d *DB) Reader() driver.Querier { return d.reads }

// Transact implements driver.DB.
func (d *DB) Transact(ctx context.Context, o driver.TxOptions, f func(ctx context.Context, tx *driver.Tx) error) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if err := driver.Outside(ctx); err != nil {
		return err
	}
	return d.queue.do(&job{ctx: ctx, f: f, alone: o.Alone})
}

// Direct implements driver.DB.
func (d *DB) Direct(ctx context.Context, f func(ctx context.Context, tx *driver.Tx) error) error {
	if err := driver.Outside(ctx); err != nil {
		return err
	}
	return d.queue.do(&job{ctx: ctx, f: f, direct: true})
}

// Migrate implements driver.DB.
func (d *DB) Migrate(ctx context.Context) error {
	const tries = 3
	var err error
	for range tries {
		// Nothing locks out another process that migrates. Where it comes first, what is
		// done here fails, and the next try finds it done.
		if err = migrate.Up(ctx, database.DialectSQLite3, d.pool, d.dialect.Migrations); err == nil {
			break
		}
	}
	return err
}

// Close implements driver.DB.
func (d *DB) Close() error { return d.close() }

func (d *DB) closeAll() error {
	if d.queue != nil {
		d.queue.close()
		d.queue.w.disconnect()
	}
	var errs []error
	for _, db := range []*sql.DB{d.reads, d.pool, d.writes} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
