// Package migrate runs the migrations of an adapter's tables.
package migrate

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// Table is where it is noted which migrations have run. It is not goose's own, which may
// be that of the user's migrations.
const Table = "edda_migrations"

// Up runs the migrations in files that have not run yet, each in a transaction.
func Up(ctx context.Context, dialect database.Dialect, db *sql.DB, files fs.FS) error {
	store, err := database.NewStore(dialect, Table)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider("", db, files,
		goose.WithStore(store),
		goose.WithDisableGlobalRegistry(true), // which is the user's
		goose.WithLogger(goose.NopLogger()),
	)
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("run the migrations: %w", err)
	}
	return nil
}
