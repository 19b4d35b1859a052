package cqrs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

func TestExpect(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		for _, hooks := range []bool{false, true} {
			b := newUsers()
			b.Projector("Log.write", logs("saw"), nil, On("*", Config{}))
			if hooks {
				b.Hook("A.hook", (&recorder{}).hook(""), On("*", Config{}))
			}
			w := start(t, db, b)
			key := fmt.Sprint(hooks)
			do := func(e Expect) *Command {
				return &Command{Type: "update.user.:user_uuid", Data: staged(t, users, user{ID: key}), Expect: e}
			}
			w.refused(do(Version(1)), edda.Conflict, "version 1 was expected, but it does not exist")
			for i, e := range []Expect{NewAggregate(), {}, Version(2), AnyVersion(), {}} {
				if got := w.do(do(e)).Event.Version; got != uint64(i+1) {
					t.Errorf("version %d, want %d", got, i+1)
				}
			}
			w.refused(do(NewAggregate()), edda.Conflict, "it exists already, with version 5")
			w.refused(do(Version(4)), edda.Conflict, "version 4 was expected, but it has 5")
			w.refused(do(Version(6)), edda.Conflict, "version 6 was expected, but it has 5")
			if got := w.strings("SELECT count(*) FROM log"); got[0] != "5" {
				t.Errorf("%s lines", got)
			}
			w.exec("DELETE FROM log")
		}
	})
}

// What a hook has found is what the transaction finds: who comes between makes a
// conflict, and no update is lost.
func TestConflictSinceHook(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		var w *world
		between := true
		b := newUsers()
		b.Hook("A.slow", func(ctx context.Context, _ Querier, c *Command) (Data, error) {
			if !between {
				return Data{}, nil
			}
			between = false
			_, err := w.Do(ctx, &Command{Type: "update.user.1", EventType: "user.stolen", Data: c.Data})
			return Data{}, err
		}, On("*", Config{Lifecycle: After}))
		w = start(t, db, b)
		w.refused(&Command{Type: "update.user.1", Data: staged(t, users, user{ID: "1"})}, edda.Conflict, "it exists already, with version 1")
		between = true
		w.refused(&Command{Type: "update.user.1", Data: staged(t, users, user{ID: "1"})}, edda.Conflict, "version 1 was expected, but it has 2")
		between = true
		w.do(&Command{Type: "update.user.1", Data: staged(t, users, user{ID: "1"}), Expect: AnyVersion()})
		w.is("SELECT event_type || ' ' || version FROM edda_events ORDER BY seq",
			"user.stolen 1", "user.stolen 2", "user.stolen 3", "user.1.updated 4")
	})
}

// Writers who race: what a hook reads and a projector writes is never lost. Whoever was
// too late gets a conflict, and as many get through as there are versions.
func TestNoLostUpdate(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Hook("Count.read", func(ctx context.Context, q Querier, c *Command) (Data, error) {
			var n int
			if err := q.QueryRowContext(ctx, "SELECT count(*) FROM log").Scan(&n); err != nil {
				return Data{}, err
			}
			return users.Stage(user{ID: "1", Name: strconv.Itoa(n + 1)})
		}, On("update.user.*", Config{Merge: Merge{True: true}}))
		b.Projector("Count.write", func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
			var u user
			if err := e.Decode(&u); err != nil {
				return Data{}, err
			}
			_, err := tx.ExecContext(ctx, "INSERT INTO log (n, line) SELECT count(*), $1 FROM log", u.Name)
			return Data{}, err
		}, nil, On("user.*", Config{}))
		w := start(t, db, b)
		d := staged(t, users, user{ID: "1"})
		const callers, each = 8, 5
		var mu sync.Mutex // guards won
		won := 0
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for done := 0; done < each; {
					_, err := w.Do(t.Context(), &Command{Type: "update.user.1", Data: d})
					switch {
					case err == nil:
						done++
						mu.Lock()
						won++
						mu.Unlock()
					case edda.ReasonOf(err) != edda.Conflict:
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		want := make([]string, callers*each)
		for i := range want {
			want[i] = strconv.Itoa(i + 1)
		}
		if got := w.strings("SELECT line FROM log ORDER BY n"); !slices.Equal(got, want) || won != len(want) {
			t.Errorf("%d got through, and made %q", won, got)
		}
		w.is("SELECT CAST(max(version) AS TEXT) FROM edda_events", strconv.Itoa(callers*each))
	})
}

// The same without hooks: handlers read in the transaction, which is serializable.
func TestNoLostUpdateInTransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Count.up", func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM log").Scan(&n); err != nil {
				return Data{}, err
			}
			_, err := tx.ExecContext(ctx, "INSERT INTO log (n, line) VALUES ($1, $2)", n, strconv.Itoa(n))
			return Data{}, err
		}, nil, On("user.*", Config{}))
		w := start(t, db, b)
		const callers, each = 8, 5
		var wg sync.WaitGroup
		for i := range callers {
			d := staged(t, users, user{ID: strconv.Itoa(i)})
			wg.Go(func() {
				for range each {
					if _, err := w.Do(t.Context(), &Command{Type: "create.user", Data: d}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got := w.strings("SELECT line FROM log ORDER BY n"); !slices.Equal(got, seq("%d", callers*each)) {
			t.Errorf("%q", got)
		}
	})
}

// Lists that have aggregates in common, in any order, do not wait for each other for
// ever.
func TestListsAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		w := start(t, db, newUsers())
		forth := staged(t, users, user{ID: "1"}, user{ID: "2"}, user{ID: "3"})
		back := staged(t, users, user{ID: "3"}, user{ID: "2"}, user{ID: "1"})
		const each = 10
		var wg sync.WaitGroup
		for _, d := range []Data{forth, back, forth, back} {
			wg.Go(func() {
				for range each {
					if _, err := w.Do(t.Context(), &Command{Type: "create.user", Data: d}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		w.is("SELECT CAST(version AS TEXT) FROM edda_aggregates ORDER BY key", "40", "40", "40")
	})
}
