// Package dbtest opens databases for tests: an SQLite in a file of the test's own, and a private
// PostgreSQL. Tests may use it at the same time.
package dbtest

import (
	"path/filepath"
	"testing"

	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/pgdb"
	"github.com/edda-io/edda/cqrs/sqlitedb"
	"github.com/edda-io/edda/internal/pgtest"
)

// OnBoth runs a test on each kind of database, named sqlite and postgres, at the same time.
func OnBoth(t *testing.T, f func(t *testing.T, db driver.DB)) {
	t.Helper()
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f(t, Open(t, kind))
		})
	}
}

// Open makes a migrated database of a kind, which is closed when the test ends.
func Open(t testing.TB, kind string) (db driver.DB) {
	t.Helper()
	var err error
	if kind == "sqlite" {
		db, err = sqlitedb.Open(filepath.Join(t.TempDir(), "edda.db"), sqlitedb.Options{})
	} else {
		db, err = pgdb.Open(t.Context(), pgtest.Open(t), pgdb.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return db
}
