package cqrs

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// The rows follow the routing table, and what is as it was is not written again.
func TestHandlerRows(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		write := func(app string, at int64, fill func(b *Broadcaster)) {
			t.Helper()
			made := tableOf(t, fill)
			transact(t, db, func(ctx context.Context, tx *Tx) error {
				rows, err := handlerRows(made.infos())
				if err != nil {
					return err
				}
				return ledger.WriteHandlers(ctx, tx, app, rows, time.UnixMicro(at))
			})
		}
		first := func(b *Broadcaster) {
			b.Hook("H.same", nothingHooked, On("create.*", Config{Priority: 1, ExpectsInput: Objects{"Test"}}))
			b.Projector("P.changed", nothingProjected, nil, On("test.*", Config{}))
			b.Projector("P.gone", nothingProjected, nil)
		}
		write("one", 1, first)
		write("other", 1, first)
		write("one", 2, first)
		write("one", 3, func(b *Broadcaster) {
			b.Hook("H.same", nothingHooked, On("create.*", Config{Priority: 1, ExpectsInput: Objects{"Test"}}))
			b.Processor("P.changed", nothingProcessed, On("test.*", Config{}), On("*", Config{}))
			b.Projector("P.new", nothingProjected, nil)
		})
		rows, err := db.Reader().QueryContext(t.Context(), "SELECT app, broadcaster, name, kind, updated_at FROM edda_handlers ORDER BY app, broadcaster, name")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		type row struct {
			App, Broadcaster, Name, Kind string
			UpdatedAt                    int64
		}
		var got []row
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.App, &r.Broadcaster, &r.Name, &r.Kind, &r.UpdatedAt); err != nil {
				t.Fatal(err)
			}
			got = append(got, r)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]row{
			{"one", "Test", "H.same", "hook", 1}, {"one", "Test", "P.changed", "processor", 3}, {"one", "Test", "P.new", "projector", 3},
			{"other", "Test", "H.same", "hook", 1}, {"other", "Test", "P.changed", "projector", 1}, {"other", "Test", "P.gone", "projector", 1},
		}, got); diff != "" {
			t.Errorf("the rows (-want +got):\n%s", diff)
		}
		var routes []byte
		err = db.Reader().QueryRowContext(t.Context(), "SELECT routes FROM edda_handlers WHERE app = 'one' AND name = 'H.same'").Scan(&routes)
		if err != nil {
			t.Fatal(err)
		}
		const want = `[{"pattern":"create.*","config":{"priority":1,"lifecycle":"before","expects_input":"Test",` +
			`"retry":{"max":1,"delay":"100ms","maxDelay":"30s","backoff":2,"jitter":0.2},"timeout":"30s","onDead":"continue"}}]`
		if diff := cmp.Diff(json.RawMessage(want), json.RawMessage(routes), sameJSON); diff != "" {
			t.Errorf("the routes (-want +got):\n%s", diff)
		}
	})
}

// An app writes its table when it starts.
func TestStartWritesHandlers(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("P.p", nothingProjected, nil, On("*", Config{}))
		w := start(t, db, b)
		if got := w.strings("SELECT name FROM edda_handlers WHERE app = 'cqrs' AND kind = 'projector'"); !cmp.Equal(got, []string{"P.p"}) {
			t.Errorf("the handlers are %v, want P.p", got)
		}
	})
}
