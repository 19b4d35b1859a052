package cqrs

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/migrate"
)

const otherData = "with other data: another command needs an id of its own"

// Under the id of a command only that is taken: with other data, another type of event, or one that
// saves nothing, it is another one. Who asks, from where and on which version is no part of it.
func TestOtherCommandUnderItsID(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		for name, b := range map[string]*Broadcaster{"plain": newUsers(), "hooks": renaming()} {
			w := start(t, db, b)
			id := newID()
			first := Command{ID: id, Type: "create.user", Data: staged(t, users, user{ID: id.String(), Email: "ada@example.org"})}
			out := w.do(&first)
			for what, change := range map[string]func(c *Command){
				"data":  func(c *Command) { c.Data = staged(t, users, user{ID: id.String(), Email: "eve@example.org"}) },
				"event": func(c *Command) { c.EventType = "user.:user_uuid.found" },
				"kept":  func(c *Command) { c.DoNotSave = true },
			} {
				t.Run(name+" "+what, func(t *testing.T) {
					other := first
					change(&other)
					(&world{App: w.App, t: t, db: w.db}).refused(&other, edda.IdempotencyMismatch, otherData)
				})
			}
			again := first
			again.Metadata = map[string]json.RawMessage{"ip": raw("::1")}
			again.Principal, again.CorrelationID, again.Explain = "ann", "another story", raw("why")
			again.Expect, again.NoTransaction = Version(7), true
			if got := w.do(&again); !got.Replayed || got.Event.ID != out.Event.ID {
				t.Errorf("%s: asked for again from elsewhere, it is %+v", name, got)
			}
			w.exec("UPDATE edda_commands SET fingerprint = NULL WHERE command_uuid = $1", id.String())
			again.Data = staged(t, users, user{ID: id.String(), Email: "eve@example.org"})
			if got := w.do(&again); !got.Replayed {
				t.Errorf("%s: with a row that has none, it is %+v", name, got)
			}
		}
	})
}

// renaming is a broadcaster with a hook that changes the data each time to something else.
func renaming() *Broadcaster {
	b := newUsers()
	n := 0
	b.Hook("A.rename", func(_ context.Context, _ Querier, c *Command) (Data, error) {
		n++
		return users.Stage(user{ID: c.Data.Keys()[0], Name: fmt.Sprint(n)})
	}, On("*", Config{Merge: Merge{True: true}}))
	return b
}

// What the model makes of an object is no part of what was asked for, neither in process nor
// through the service: an object that has a new number each time is the same as before.
func TestModelsFunctionsAreNotCompared(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		n := 0
		numbered := NewModel(ModelOptions[user]{Name: "User", Key: []string{"user_uuid"}, Before: []func(*user) error{func(u *user) error {
			n++
			u.Ref = fmt.Sprint(n)
			return nil
		}}})
		b := NewBroadcaster("Users")
		b.Command(CommandSpec{Type: "create.user", Event: "user.created", Model: numbered})
		b.Validator("*", fine)
		w, node := hosted(t, db, Options{NoRelay: true}, b)
		w.run()
		reply, err := call(t.Context(), node, "Users/1", "create.user", `{"email":"ada@example.org", "user_uuid":"1"}`)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if out := w.do(&Command{ID: reply.RequestID, Type: "create.user", Data: staged(t, numbered, user{ID: "1", Email: "ada@example.org"})}); !out.Replayed {
				t.Errorf("it is %+v", out)
			}
		}
		w.refused(&Command{ID: reply.RequestID, Type: "create.user", Data: staged(t, numbered, user{ID: "1", Email: "eve@example.org"})},
			edda.IdempotencyMismatch, otherData)
		some := []user{{ID: "2"}, {ID: "3"}}
		id := newID()
		for i := range 2 {
			d, err := numbered.StageList(some[:2:2])
			some[0].Ref, some[1].Ref = "", ""
			if err != nil {
				t.Fatal(err)
			}
			if out := w.do(&Command{ID: id, Type: "create.user", Data: d}); out.Replayed != (i == 1) {
				t.Errorf("the list is %+v", out)
			}
		}
	})
}

// A request that has the id of another command is refused for good.
func TestRequestUnderAnothersID(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		w, n := hosted(t, db, Options{NoRelay: true}, newUsers())
		w.run()
		to := edda.Address{Name: "Users", Key: "1"}
		id := edda.NewID(to.Hash(), time.Now())
		w.do(&Command{ID: id, Type: "create.user", Data: staged(t, users, user{ID: "1", Email: "ada@example.org"})})
		m := &edda.Message{
			ID: id, To: to, Type: "create.user", ContentType: "application/json",
			Payload: []byte(`{"email":"eve@example.org"}`),
		}
		_, err := n.Client().Call(t.Context(), m)
		if got, want := fmt.Sprint(err), string(edda.IdempotencyMismatch); edda.ReasonOf(err) != edda.Failed || !containsAll(got, want, otherData) {
			t.Errorf("got %s: %v", edda.ReasonOf(err), err)
		}
	})
}

// A command with calls is compared with the one whose saga is under way, whose calls go on; with the
// one that was committed; and with the one whose calls were undone.
func TestOtherCommandUnderTheIDOfASaga(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		other := func(id edda.ID) *Command {
			return &Command{ID: id, Type: "create.user", Data: staged(t, users, user{ID: id.String(), Email: "eve@example.org"})}
		}
		id := newID()
		begun, release := make(chan struct{}), make(chan struct{})
		h.flow.faults.set("mail", id, once(func(context.Context, *Tx) error {
			close(begun)
			<-release
			return nil
		}))
		done := make(chan error, 1)
		go func() {
			_, err := h.Do(t.Context(), h.create(id))
			done <- err
		}()
		<-begun
		h.refused(other(id), edda.IdempotencyMismatch, otherData)
		close(release)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		h.refused(other(id), edda.IdempotencyMismatch, otherData)
		if out := h.do(h.create(id)); !out.Replayed {
			t.Errorf("it is %+v", out)
		}
		h.heard(id, 1, "do join", "do mail")
		h.stored(id)

		id = newID()
		h.flow.faults.set("projector", id, once(failing))
		h.refused(h.create(id), edda.Failed, "it does not want to")
		h.refused(other(id), edda.IdempotencyMismatch, otherData)
		h.heard(id, 1, "do join", "do mail", "undo mail", "undo join")
		h.do(h.create(id))
		h.stored(id)
	})
}

// Calls are undone also where another command, that came between, was committed under their id.
func TestCallsOfARunThatLostItsIDAreUndone(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		id := newID()
		h.flow.faults.set("mail", id, once(func(context.Context, *Tx) error {
			_, err := h.Do(t.Context(), &Command{ID: id, Type: "update.user", Data: staged(t, users, user{ID: id.String()})})
			return err
		}))
		h.refused(h.create(id), edda.IdempotencyMismatch, "is that of a command update.user")
		h.heard(id, 1, "do join", "do mail", "undo mail", "undo join")
	})
}

// Who has lost the answer to a commit, and finds another command under the id, is told so.
func TestCommitIsLostToAnotherCommand(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		id := newID()
		mine := Command{ID: id, Type: "update.user", Data: staged(t, users, user{ID: id.String(), Email: "ada@example.org"})}
		other := mine
		other.Data = staged(t, users, user{ID: id.String(), Email: "eve@example.org"})
		x, err := h.newExecution(&mine)
		if err != nil {
			t.Fatal(err)
		}
		h.do(&other)
		for name, look := range map[string]func() (*Outcome, error){
			"resolve": func() (*Outcome, error) { return h.resolve(t.Context(), x, driver.ErrUnknown) },
			"recover": func() (*Outcome, error) { return h.recoverCommit(t.Context(), x) },
		} {
			if out, err := look(); edda.ReasonOf(err) != edda.IdempotencyMismatch {
				t.Errorf("%s: %+v and %v", name, out, err)
			}
		}
	})
}

// The command of an eventual processor is known by its event: what it would say now does not count.
func TestDerivedCommandIsNotCompared(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		w := start(t, db, newUsers())
		id := newID()
		for i, email := range []string{"ada@example.org", "eve@example.org"} {
			c := &Command{ID: id, Type: "create.user", Data: staged(t, users, user{ID: "1", Email: email}), derived: true}
			if out := w.do(c); out.Replayed != (i > 0) {
				t.Errorf("%d is %+v", i, out)
			}
		}
	})
}

// Where data is encrypted, no hash of it stays behind.
func TestNoFingerprintWithACodec(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		keep := func(_ context.Context, e *Event) ([]byte, error) { return e.Data, nil }
		back := func(_ context.Context, _ *Event, stored []byte) (json.RawMessage, error) { return stored, nil }
		w := startWith(t, db, Options{NoRelay: true, Codec: Codec{Encode: keep, Decode: back}}, nil, newUsers())
		w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})})
		w.is("SELECT count(*) FROM edda_commands WHERE fingerprint IS NULL", "1")
	})
}

// Tables of before have no fingerprints: their rows are kept, and are not compared. An app that may not
// bring them to the newest form says so at once.
func TestTablesWithoutFingerprints(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		exec := func(statement string, args ...any) {
			t.Helper()
			if _, err := db.(sqlDB).SQL().ExecContext(t.Context(), statement, args...); err != nil {
				t.Fatal(err)
			}
		}
		migrateDown(t, db, 1)
		id := newID()
		exec("INSERT INTO edda_commands (command_uuid, run, status, broadcaster, command_type, object, key, principal, reason, created_at)"+
			" VALUES ($1, 1, $2, 'Users', 'create.user', 'User', '1', 'ann', '', 0)", id.String(), ledger.Committed)
		a, err := New(db, Options{NoRelay: true, NoMigrations: true}, newUsers())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Start(t.Context(), nil); edda.ReasonOf(err) != edda.Unavailable || !containsAll(fmt.Sprint(err), "NoMigrations", "fingerprint") {
			t.Errorf("without migrations: %v", err)
		}
		w := start(t, db, newUsers())
		if out := w.do(&Command{ID: id, Type: "create.user", Data: staged(t, users, user{ID: "1"})}); !out.Replayed {
			t.Errorf("it is %+v", out)
		}
	})
}

// migrateDown makes the tables what they were with an earlier migration.
func migrateDown(t *testing.T, db driver.DB, version int64) {
	t.Helper()
	dialect := database.DialectSQLite3
	if db.Dialect().Name == "postgres" {
		dialect = database.DialectPostgres
	}
	store, err := database.NewStore(dialect, migrate.Table)
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider("", db.(sqlDB).SQL(), db.Dialect().Migrations, goose.WithStore(store), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
}

// containsAll reports whether a text has all of the others.
func containsAll(text string, all ...string) bool {
	return !slices.ContainsFunc(all, func(s string) bool { return !strings.Contains(text, s) })
}
