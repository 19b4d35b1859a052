package cqrs

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/pgdb"
	"github.com/edda-io/edda/cqrs/sqlitedb"
	"github.com/edda-io/edda/internal/pgtest"
)

// benchOnBoth runs a benchmark on a migrated database of each kind.
func benchOnBoth(b *testing.B, f func(b *testing.B, db driver.DB)) {
	for _, name := range []string{"sqlite", "postgres"} {
		b.Run(name, func(b *testing.B) {
			var db driver.DB
			var err error
			if name == "sqlite" {
				db, err = sqlitedb.Open(filepath.Join(b.TempDir(), "edda.db"), sqlitedb.Options{})
			} else {
				db, err = pgdb.Open(b.Context(), pgtest.Open(b), pgdb.Options{})
			}
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

// store stores events of users, as many as n, of a thousand aggregates.
func (w *world) store(n int) (last Position) {
	w.t.Helper()
	const atOnce = 1000
	for from := 0; from < n; from += atOnce {
		transact(w.t, w.db, func(ctx context.Context, tx *Tx) error {
			events := make([]*Event, min(atOnce, n-from))
			for i := range events {
				id := fmt.Sprintf("u%d", (from+i)%1000)
				data, err := json.Marshal(user{ID: id, Email: fmt.Sprint(from + i), Name: "somebody"})
				if err != nil {
					return err
				}
				events[i] = &Event{
					ID: newID(), CommandID: newID(), CorrelationID: "c", CorrelationType: "create.user", CorrelationPattern: "create.user", Broadcaster: "Users",
					Type: "user." + id + ".created", Pattern: "user.:user_uuid.created", Object: "User", Key: id, Data: data,
					PrimaryKeys: map[string]json.RawMessage{"user_uuid": edda.JSON(id)}, Metadata: map[string]json.RawMessage{"principal": json.RawMessage(`"anonymous"`)},
					Version: uint64((from+i)/1000 + 1), Live: true, CreatedAt: time.Now(),
				}
			}
			if err := (eventRows{}).insertEvents(ctx, tx, events); err != nil {
				return err
			}
			last = events[len(events)-1].Position
			return nil
		})
	}
	return last
}

// folds is a projector of batches that folds events in memory, and writes one row for each aggregate.
func folds(ctx context.Context, tx *Tx, events []*Event) error {
	type row struct {
		email string
		n     int
	}
	all := make(map[string]*row, len(events))
	for _, e := range events {
		var u user
		if err := json.Unmarshal(e.Data, &u); err != nil {
			return err
		}
		r := all[e.Key]
		if r == nil {
			r = &row{}
			all[e.Key] = r
		}
		r.email, r.n = u.Email, r.n+1
	}
	table := tx.Table("counts")
	const atOnce = 300
	args, values := make([]any, 0, 3*atOnce), make([]string, 0, atOnce)
	flush := func() error {
		_, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (id, email, n) VALUES "+strings.Join(values, ",")+
			" ON CONFLICT (id) DO UPDATE SET email = excluded.email, n = "+table+".n + excluded.n", args...)
		args, values = args[:0], values[:0]
		return err
	}
	for key, r := range all {
		i := len(args)
		values = append(values, fmt.Sprintf("($%d, $%d, $%d)", i+1, i+2, i+3))
		if args = append(args, key, r.email, r.n); len(values) == atOnce {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(values) == 0 {
		return nil
	}
	return flush()
}

func benchProjector() *Broadcaster {
	b := newUsers()
	b.BatchProjector("Counts.add", folds, []Table{"counts"}, On("user.*", Config{}))
	return b
}

func BenchmarkEventualBatches(b *testing.B) {
	benchOnBoth(b, func(b *testing.B, db driver.DB) {
		w := start(b, db, benchProjector())
		w.exec(countsTable)
		const n = 50_000
		last := w.store(n)
		for b.Loop() {
			w.exec("DELETE FROM edda_positions")
			stop := w.runLate()
			w.wait(countsHandler, last)
			stop()
		}
		b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
	})
}

func BenchmarkRebuild(b *testing.B) {
	benchOnBoth(b, func(b *testing.B, db driver.DB) {
		w := start(b, db, benchProjector())
		w.exec(countsTable)
		const n = 200_000
		last := w.store(n)
		stop := w.runLate()
		w.wait(countsHandler, last)
		stop()
		for b.Loop() {
			if r, err := w.Rebuild(b.Context(), countsHandler, RebuildOptions{}); err != nil || r.Events != n {
				b.Fatalf("%+v, %v", r, err)
			}
		}
		b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
	})
}
