package cqrs

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/pgdb"
	"github.com/edda-io/edda/cqrs/sqlitedb"
	"github.com/edda-io/edda/internal/pgtest"
)

// How many events a second go from the database to a stream.
func BenchmarkRelay(b *testing.B) {
	benchBoth(b, func(b *testing.B, db driver.DB) {
		const events = 50_000
		makeEvents(b, db, events, 1000, 5000)
		for b.Loop() {
			b.StopTimer()
			execute(b, db, "DELETE FROM edda_relays")
			n := newRelayNode(b)
			b.StartTimer()
			began := time.Now()
			_, stop := startRelay(b, db, n, Options{})
			next := uint64(0)
			for next < events {
				page, err := n.ReadStream(context.Background(), edda.Read{Stream: "cqrs.events", From: edda.FromEnd, Wait: 10 * time.Millisecond})
				if err == nil {
					next = page.End
				}
			}
			b.ReportMetric(float64(events)/time.Since(began).Seconds(), "events/s")
			b.StopTimer()
			stop()
			b.StartTimer()
		}
	})
}

func benchBoth(b *testing.B, f func(b *testing.B, db driver.DB)) {
	for name, open := range map[string]func() (driver.DB, error){
		"sqlite": func() (driver.DB, error) {
			return sqlitedb.Open(filepath.Join(b.TempDir(), "edda.db"), sqlitedb.Options{})
		},
		"postgres": func() (driver.DB, error) { return pgdb.Open(b.Context(), pgtest.Open(b), pgdb.Options{}) },
	} {
		b.Run(name, func(b *testing.B) {
			db, err := open()
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			if err := db.Migrate(b.Context()); err != nil {
				b.Fatal(err)
			}
			f(b, db)
		})
	}
}
