package cqrs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// user and friend are what the tests are about.
type user struct {
	ID    string `json:"user_uuid"`
	Email string `json:"email"`
	Ref   string `json:"ref,omitempty"`
	Name  string `json:"name,omitempty"`
	// Friend is put there by a handler.
	Friend *friend `json:"friend,omitempty"`
}

type friend struct {
	ID   string `json:"friend_uuid"`
	User string `json:"user_uuid"`
}

var (
	users   = NewModel(ModelOptions[user]{Name: "User", Key: []string{"user_uuid"}})
	friends = NewModel(ModelOptions[friend]{Name: "Friend", Key: []string{"friend_uuid"}})
)

// staged is data of an object, which must be in order.
func staged[T any](t testing.TB, m *Model[T], v ...T) Data {
	t.Helper()
	var d Data
	var err error
	if len(v) == 1 {
		d, err = m.Stage(v[0])
	} else {
		d, err = m.StageList(v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fine is a validator that takes anything.
func fine(context.Context, *Command) error { return nil }

// newUsers is a broadcaster with commands and no handlers.
func newUsers() *Broadcaster {
	b := NewBroadcaster("Users")
	b.Command(CommandSpec{Type: "create.user", Event: "user.:user_uuid.created", Model: users})
	b.Command(CommandSpec{Type: "update.user.:user_uuid", Event: "user.:user_uuid.updated", Model: users})
	b.Command(CommandSpec{Type: "create.friend", Event: "friend.created", Model: friends})
	b.Validator("*", fine)
	return b
}

// world is an app with its database.
type world struct {
	*App
	t  testing.TB
	db sqlDB
}

// sqlDB is what both adapters have.
type sqlDB interface {
	driver.DB
	SQL() *sql.DB
}

// start starts an app without a node, and tables log(n, text) and profiles(user_uuid, email).
func start(t testing.TB, db driver.DB, bs ...*Broadcaster) *world {
	t.Helper()
	return startWith(t, db, Options{NoRelay: true, AppVersion: "1.2", Logger: slog.New(slog.DiscardHandler)}, nil, bs...)
}

func startWith(t testing.TB, db driver.DB, o Options, backend Backend, bs ...*Broadcaster) *world {
	t.Helper()
	a, err := New(db, o, bs...)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context(), backend); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	w := &world{App: a, t: t, db: db.(sqlDB)}
	w.tables()
	return w
}

// tables makes the tables of the tests' handlers.
func (w *world) tables() {
	w.t.Helper()
	w.exec("CREATE TABLE IF NOT EXISTS log (n INTEGER PRIMARY KEY, line TEXT NOT NULL)")
	w.exec("CREATE TABLE IF NOT EXISTS profiles (user_uuid TEXT PRIMARY KEY, email TEXT NOT NULL)")
}

func (w *world) exec(statement string, args ...any) {
	w.t.Helper()
	if _, err := w.db.SQL().ExecContext(w.t.Context(), statement, args...); err != nil {
		w.t.Fatal(err)
	}
}

// strings are the first column of a query's rows.
func (w *world) strings(query string, args ...any) []string {
	w.t.Helper()
	rows, err := w.db.SQL().QueryContext(w.t.Context(), query, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return all
}

// do runs a command, which must succeed.
func (w *world) do(c *Command) *Outcome {
	w.t.Helper()
	out, err := w.Do(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// refused runs a command, which must fail with the reason, and a text that has want.
func (w *world) refused(c *Command, reason edda.Reason, want string) {
	w.t.Helper()
	out, err := w.Do(w.t.Context(), c)
	if err == nil {
		w.t.Fatalf("%s succeeded: %+v", c.Type, out)
	}
	e, ok := errors.AsType[*edda.Error](err)
	if !ok || e.Reason != reason || !strings.Contains(err.Error(), want) {
		w.t.Errorf("%s failed with %s: %v\nwant %s: %s", c.Type, edda.ReasonOf(err), err, reason, want)
	}
}

// eventTypes are those of all events, in their order.
func (w *world) eventTypes() []string {
	w.t.Helper()
	return w.strings("SELECT event_type FROM edda_events ORDER BY tx, seq")
}

// is checks what a table has.
func (w *world) is(query string, want ...string) {
	w.t.Helper()
	if got := w.strings(query); !slices.Equal(got, want) {
		w.t.Errorf("%s\ngot  %q\nwant %q", query, got, want)
	}
}

// nothing checks that nothing is stored at all.
func (w *world) nothing() {
	w.t.Helper()
	w.is("SELECT event_type FROM edda_events")
	w.is("SELECT key FROM edda_aggregates")
	w.is("SELECT command_type FROM edda_commands")
	w.is("SELECT key FROM edda_event_items")
	w.is("SELECT line FROM log")
	w.is("SELECT user_uuid FROM profiles")
}

// logs is a projector that writes a line for each event.
func logs(text string) ProjectFunc {
	return func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO log (n, line) SELECT count(*), $1 FROM log", text+" "+e.Type)
		return Data{}, err
	}
}

// profiles is a projector that writes a row for each user.
func profiles(ctx context.Context, tx *Tx, e *Event) (Data, error) {
	var us []user
	if e.List() {
		if err := e.Decode(&us); err != nil {
			return Data{}, err
		}
	} else {
		us = make([]user, 1)
		if err := e.Decode(&us[0]); err != nil {
			return Data{}, err
		}
	}
	for _, u := range us {
		if _, err := tx.ExecContext(ctx, "INSERT INTO profiles (user_uuid, email) VALUES ($1, $2)"+
			" ON CONFLICT (user_uuid) DO UPDATE SET email = excluded.email", u.ID, u.Email); err != nil {
			return Data{}, err
		}
	}
	return Data{}, nil
}

// raw is JSON of what can always be written.
func raw(v any) json.RawMessage { return edda.JSON(v) }

func seq(format string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(format, i)
	}
	return all
}
