package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/dbtest"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// How many events a second are read, as messages.
func BenchmarkRead(b *testing.B) {
	for _, kind := range []string{"sqlite", "postgres"} {
		b.Run(kind, func(b *testing.B) {
			db := dbtest.Open(b, kind)
			const events = 20_000
			store(b, db, events)
			b.ReportAllocs()
			for b.Loop() {
				after, n := ledger.Position{}, 0
				for {
					some, _, err := readRelayed(context.Background(), db.Reader(), db.Dialect(), &Options{Shards: 1}, after)
					if err != nil {
						b.Fatal(err)
					}
					if len(some) == 0 {
						break
					}
					n += len(some)
					after = some[len(some)-1].position
				}
				if n != events {
					b.Fatal(n)
				}
			}
			b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// store stores events of a thousand aggregates.
func store(b *testing.B, db driver.DB, n int) {
	b.Helper()
	all := make([]*ledger.Event, n)
	for i := range all {
		key, now := fmt.Sprint(i%1000), time.Now()
		all[i] = &ledger.Event{
			ID: edda.NewID(uint64(i), now), CommandID: edda.NewID(uint64(i), now), CorrelationID: "story", CorrelationType: "create.user",
			Broadcaster: "Users", Type: "user." + key + ".created", Pattern: "user.:id.created", Object: "User", Key: key,
			PrimaryKeys: map[string]json.RawMessage{"id": edda.JSON(key)}, Data: edda.JSON(map[string]string{"id": key, "email": "ada@example.org"}),
			Metadata: map[string]json.RawMessage{"user": edda.JSON("ada")}, Version: uint64(i/1000 + 1), Live: true, CreatedAt: now,
			Before: []string{"Users.isUnique"}, Chain: []string{"Users.project"},
		}
	}
	err := db.Transact(b.Context(), driver.TxOptions{}, func(ctx context.Context, tx *driver.Tx) error {
		return ledger.Events{}.Insert(ctx, tx, all)
	})
	if err != nil {
		b.Fatal(err)
	}
}
