package pgdb_test

import (
	"testing"

	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/drivertest"
	"github.com/edda-io/edda/cqrs/pgdb"
	"github.com/edda-io/edda/internal/pgtest"
)

func TestConformance(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) func() (driver.DB, error) {
		dsn := pgtest.Open(t)
		return func() (driver.DB, error) { return pgdb.Open(t.Context(), dsn, pgdb.Options{}) }
	})
}
