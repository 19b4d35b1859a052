package sqlitedb_test

import (
	"path/filepath"
	"testing"

	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/drivertest"
	"github.com/edda-io/edda/cqrs/sqlitedb"
)

func TestConformance(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) func() (driver.DB, error) {
		path := filepath.Join(t.TempDir(), "a b?.db")
		return func() (driver.DB, error) { return sqlitedb.Open(path, sqlitedb.Options{}) }
	})
}
