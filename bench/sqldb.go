package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	sqldriver "github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/pgdb"
	"github.com/edda-io/edda/cqrs/sqlitedb"
)

// database is a SQL database of a row's own, which is removed with it.
type database struct {
	sqldriver.DB

	// sql is for what is written by hand.
	sql    *sql.DB
	remove func() error
}

// opensDatabase makes an empty one, with the tables of package cqrs and those of the rows'
// projections.
type opensDatabase func(ctx context.Context, e *env) (*database, error)

// projections are the tables of the rows' projections.
var projections = []string{
	"CREATE TABLE profiles (id TEXT PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL)",
	"CREATE TABLE names (id TEXT PRIMARY KEY, name TEXT NOT NULL)",
	"CREATE TABLE counts (id TEXT PRIMARY KEY, n BIGINT NOT NULL)",
}

func (d *database) prepare(ctx context.Context) (*database, error) {
	err := d.Migrate(ctx)
	for _, table := range projections {
		if err == nil {
			_, err = d.sql.ExecContext(ctx, table)
		}
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *database) close() error { return errors.Join(d.Close(), d.remove()) }

// openSQLite makes a database in a file. It flushes whatever the node does.
func openSQLite(ctx context.Context, e *env) (*database, error) {
	dir, remove, err := e.subdir()
	if err != nil {
		return nil, err
	}
	db, err := sqlitedb.Open(filepath.Join(dir, "bench.db"), sqlitedb.Options{})
	if err != nil {
		remove()
		return nil, err
	}
	d := &database{DB: db, sql: db.SQL(), remove: func() error { remove(); return nil }}
	return d.prepare(ctx)
}

// openPostgres makes a database on the server that Options.Postgres names.
func openPostgres(ctx context.Context, e *env) (*database, error) {
	e.made++
	name := fmt.Sprintf("edda_bench_%d_%d", os.Getpid(), e.made)
	if err := onServer(ctx, e.Postgres, "CREATE DATABASE "+name); err != nil {
		return nil, err
	}
	remove := func() error {
		return onServer(context.WithoutCancel(ctx), e.Postgres, "DROP DATABASE "+name+" WITH (FORCE)")
	}
	db, err := pgdb.Open(ctx, withDatabase(e.Postgres, name), pgdb.Options{MaxConns: sqlCallers + 8})
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	d := &database{DB: db, sql: db.SQL(), remove: remove}
	return d.prepare(ctx)
}

// withDatabase is a connection string, a URL or keywords, for another database of the server.
func withDatabase(dsn, name string) string {
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		u.Path = "/" + name
		return u.String()
	}
	return dsn + " dbname=" + name
}

// onServer runs a statement that is for the server, on a connection of its own.
func onServer(ctx context.Context, dsn, statement string) error {
	db, err := pgdb.Open(ctx, dsn, pgdb.Options{MaxConns: 2})
	if err != nil {
		return err
	}
	_, err = db.SQL().ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}
