package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/pgdb"
	"github.com/edda-io/edda/cqrs/sqlitedb"
)

// tables are the program's own. They are the same for both databases, and live beside those
// of package cqrs, which makes its own.
var tables = []string{
	`CREATE TABLE IF NOT EXISTS profiles (user_uuid TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, ref TEXT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS friend_list_entries (entry_uuid TEXT PRIMARY KEY, user_uuid TEXT NOT NULL, friend TEXT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS friend_lists (user_uuid TEXT PRIMARY KEY, friends BIGINT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS log (event_uuid TEXT NOT NULL, line TEXT NOT NULL)`,
	// Whether there is such a host is looked at by the commit, and not before.
	`CREATE TABLE IF NOT EXISTS hosts (name TEXT PRIMARY KEY)`,
	`CREATE TABLE IF NOT EXISTS invitations (user_uuid TEXT PRIMARY KEY, host TEXT NOT NULL REFERENCES hosts (name) DEFERRABLE INITIALLY DEFERRED)`,
}

// database is either one.
type database interface {
	driver.DB
	SQL() *sql.DB
}

// openDatabase opens sqlite:FILE, or what a connection string of PostgreSQL names, and makes
// the tables.
func openDatabase(ctx context.Context, where string) (db database, err error) {
	if file, ok := strings.CutPrefix(where, "sqlite:"); ok {
		db, err = sqlitedb.Open(file, sqlitedb.Options{})
	} else {
		db, err = pgdb.Open(ctx, where, pgdb.Options{})
	}
	if err != nil {
		return nil, err
	}
	for _, statement := range tables {
		if _, err := db.SQL().ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(fmt.Errorf("make tables: %w", err), db.Close())
		}
	}
	return db, nil
}

// profile is a user as the tables have it.
type profile struct {
	User

	Friends int `json:"friends"`
}

// stored is what the tables hold.
type stored struct {
	Profiles []profile `json:"profiles"`
	Events   []string  `json:"events"`
	Log      []string  `json:"log"`
}

// read reads the tables, and the types of the events in the order of their commits.
func read(ctx context.Context, db *sql.DB) (s stored, err error) {
	s.Profiles, err = all(ctx, db, func(p *profile) []any { return []any{&p.ID, &p.Email, &p.Name, &p.Ref, &p.Friends} },
		`SELECT p.user_uuid, p.email, p.name, p.ref, l.friends FROM profiles p JOIN friend_lists l ON l.user_uuid = p.user_uuid ORDER BY p.email`)
	if err != nil {
		return s, err
	}
	one := func(v *string) []any { return []any{v} }
	if s.Events, err = all(ctx, db, one, `SELECT event_type FROM edda_events ORDER BY tx, seq`); err != nil {
		return s, err
	}
	s.Log, err = all(ctx, db, one, `SELECT line FROM log ORDER BY line`)
	return s, err
}

// all returns the rows of a query.
func all[T any](ctx context.Context, db *sql.DB, columns func(*T) []any, query string) ([]T, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	found := []T{}
	for rows.Next() {
		var v T
		if err := rows.Scan(columns(&v)...); err != nil {
			return nil, err
		}
		found = append(found, v)
	}
	return found, rows.Err()
}
