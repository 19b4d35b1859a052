package cqrs

import (
	"context"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/dbtest"
)

// onBoth runs a test on each database.
func onBoth(t *testing.T, f func(t *testing.T, db driver.DB)) {
	t.Helper()
	dbtest.OnBoth(t, f)
}

// transact runs f in a transaction, which must commit.
func transact(t testing.TB, db driver.DB, f func(ctx context.Context, tx *Tx) error) {
	t.Helper()
	if err := db.Transact(t.Context(), driver.TxOptions{}, f); err != nil {
		t.Fatal(err)
	}
}

func newID() edda.ID { return edda.NewID(0, time.Now()) }
