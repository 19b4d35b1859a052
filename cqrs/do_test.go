package cqrs

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// The whole of it: a command becomes an event with its projections, all at once.
func TestDo(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Profile.save", profiles, nil, On("user.:user_uuid.created", Config{Priority: 1}))
		b.Projector("Log.write", logs("saw"), nil, On("user.*", Config{}))
		w := start(t, db, b)
		before := now()
		out := w.do(&Command{
			Type: "create.user", Data: staged(t, users, user{ID: "42", Email: "ann@x"}),
			Metadata: map[string]json.RawMessage{"ip": raw("::1")}, Explain: raw("sign-up"), Principal: "ann",
		})
		want := &Event{
			CommandID: out.Command, CorrelationID: out.Command.String(),
			CorrelationType: "create.user", CorrelationPattern: "create.user", Broadcaster: "Users",
			Type: "user.42.created", Pattern: "user.:user_uuid.created", Object: "User", Key: "42",
			PrimaryKeys: map[string]json.RawMessage{"user_uuid": raw("42")},
			Data:        json.RawMessage(`{"user_uuid":"42","email":"ann@x"}`),
			Metadata:    map[string]json.RawMessage{"ip": raw("::1"), "principal": raw("ann")},
			Version:     1, AppVersion: "1.2", Chain: []string{"Profile.save", "Log.write"},
			Explain: raw("sign-up"), Live: true,
		}
		got := out.Event
		volatile := cmpopts.IgnoreFields(Event{}, "ID", "CreatedAt", "Position")
		if diff := cmp.Diff(want, got, volatile, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
		if got.ID.IsZero() || got.ID == out.Command || got.CreatedAt.Before(before) || time.Since(got.CreatedAt) < 0 {
			t.Errorf("id %v of command %v, made at %v", got.ID, out.Command, got.CreatedAt)
		}
		if out.Replayed || out.Position.IsZero() || out.Position != got.Position {
			t.Errorf("outcome %+v", out)
		}
		stored, err := (eventRows{}).eventByID(t.Context(), db.Reader(), got.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, stored, cmpopts.EquateEmpty(), sameJSON); diff != "" {
			t.Errorf("stored (-returned +stored):\n%s", diff)
		}
		w.is("SELECT email FROM profiles", "ann@x")
		w.is("SELECT line FROM log", "saw user.42.created")
		w.is("SELECT status || ' ' || command_type || ' ' || object || ' ' || key || ' ' || principal FROM edda_commands",
			"committed create.user User 42 ann")
	})
}

// sameJSON compares JSON without regard to white space, which jsonb does not keep.
var sameJSON = cmp.FilterValues(func(a, b json.RawMessage) bool { return len(a) > 0 && len(b) > 0 },
	cmp.Transformer("JSON", func(raw json.RawMessage) (v any) {
		_ = json.Unmarshal(raw, &v)
		return v
	}))

// What a command says goes into its event, and nowhere is it made up.
func TestDoCarries(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		w := start(t, db, newUsers())
		parent := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}).Event
		id := newID()
		e := w.do(&Command{
			ID: id, Type: "UPDATE.user.1", EventType: "user.:email.renamed", Data: staged(t, users, user{ID: "1", Email: "b"}),
			CorrelationID: "story", CausationID: parent.ID,
		}).Event
		if e.CommandID != id || e.CorrelationID != "story" || e.CausationID != parent.ID || e.CausationLevel != 1 {
			t.Errorf("%+v", e)
		}
		if e.Type != "user.b.renamed" || e.Pattern != "user.:email.renamed" || e.Version != 2 ||
			e.CorrelationType != "update.user.1" || e.CorrelationPattern != "update.user.:user_uuid" {
			t.Errorf("%+v", e)
		}
		if got := string(e.Metadata["principal"]); got != `"anonymous"` {
			t.Errorf("principal %s", got)
		}
		elsewhere := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "2"}), CausationID: newID()}).Event
		if elsewhere.CausationLevel != 1 {
			t.Errorf("level %d under an event of elsewhere", elsewhere.CausationLevel)
		}
	})
}

func TestDoRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Log.write", logs("saw"), nil, On("*", Config{}))
		w := start(t, db, b)
		u := staged(t, users, user{ID: "1", Email: "a"})
		same := NewModel(ModelOptions[user]{Name: "User", Key: []string{"user_uuid"}})
		for _, c := range []struct {
			c      Command
			reason edda.Reason
			want   string
		}{
			{Command{Data: u}, edda.NoMethod, `no broadcaster has a command ""`},
			{Command{Type: "delete.user", Data: u}, edda.NoMethod, "there is create.user, update.user.:user_uuid"},
			{Command{Type: "create.user"}, edda.BadValue, "no data; Model.Stage"},
			{Command{Type: "create.user", Data: staged(t, friends, friend{ID: "1"})}, edda.BadValue, "its data is a Friend, must be one of the model User"},
			{Command{Type: "create.user", Data: staged(t, same, user{ID: "1"})}, edda.BadValue, "must be one of the model User"},
			{Command{Type: "update.user.2", Data: u}, edda.BadValue, "but its data makes that update.user.1"},
			{Command{Type: "create.user", EventType: "user.*", Data: u}, edda.BadValue, "stands for many types"},
			{Command{Type: "create.user", EventType: "user.:nothing.made", Data: u}, edda.BadValue, ":nothing"},
			{Command{Type: "create.user", Data: staged(t, users, user{ID: "a.b"})}, edda.BadValue, "must be one segment"},
			{Command{Type: "create.user", Data: u, Metadata: map[string]json.RawMessage{"ip": []byte("{")}}, edda.BadValue, `metadata "ip": it is no JSON`},
			{Command{Type: "create.user", Data: u, Explain: []byte("why")}, edda.BadValue, "Explain: it is no JSON"},
			{Command{Type: "create.user", Data: staged(t, users, user{ID: "1"}, user{ID: "2"}), Expect: Version(2)}, edda.BadValue, "version 2 for a list"},
		} {
			w.refused(&c.c, c.reason, c.want)
		}
		for _, name := range []string{"changes", "previous", "hooks", "principal"} {
			w.refused(&Command{Type: "create.user", Data: u, Metadata: map[string]json.RawMessage{name: raw(1)}}, edda.BadValue, "is taken")
		}
		if _, err := w.Do(t.Context(), nil); edda.ReasonOf(err) != edda.BadValue {
			t.Error(err)
		}
		w.nothing()
	})
}

// A command whose caller has gone is not run, and one that is cut short leaves nothing behind.
func TestDoCancelled(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newUsers()
		b.Projector("Log.write", logs("saw"), nil, On("*", Config{Priority: 1}))
		b.Projector("Caller.leaves", func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
			cancel()
			return Data{}, nil
		}, nil, On("*", Config{}))
		w := start(t, db, b)
		for range 2 {
			_, err := w.Do(ctx, &Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})})
			if edda.ReasonOf(err) != edda.Cancelled {
				t.Errorf("%v, want %s", err, edda.Cancelled)
			}
		}
		w.nothing()
	})
}

func TestDoBeforeAndAfter(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		a, err := New(db, Options{NoRelay: true}, newUsers())
		if err != nil {
			t.Fatal(err)
		}
		c := &Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}
		if _, err := a.Do(t.Context(), c); edda.ReasonOf(err) != edda.Unavailable {
			t.Errorf("before the start: %v", err)
		}
		if err := a.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Do(t.Context(), c); err != nil {
			t.Error(err)
		}
		if err := a.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := a.Do(t.Context(), c); edda.ReasonOf(err) != edda.Unavailable {
			t.Errorf("after the stop: %v", err)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		for name, o := range map[string]Options{
			"the name":      {Name: "a b"},
			"the namespace": {Namespace: "/"},
			"the shards":    {Shards: -1},
			"the isolation": {Isolation: "none"},
			"the slowness":  {SlowAfter: -1},
			"the profile":   {Profile: []string{"Others"}},
		} {
			if _, err := New(db, o, newUsers()); err == nil {
				t.Errorf("%s is taken", name)
			}
		}
		if _, err := New(nil, Options{}, newUsers()); edda.ReasonOf(err) != edda.BadValue {
			t.Errorf("no database: %v", err)
		}
		if _, err := New(db, Options{}, newUsers(), newUsers()); edda.ReasonOf(err) != edda.BadValue {
			t.Errorf("twice the same: %v", err)
		}
		a, err := New(db, Options{}, newUsers())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Start(t.Context(), nil); edda.ReasonOf(err) != edda.BadValue {
			t.Errorf("no node: %v", err)
		}
	})
}

// Lists: one event about several aggregates, each with its own version.
func TestDoList(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Profile.save", profiles, nil, On("user.*", Config{ExpectsInput: Objects{"User", "User.list"}}))
		w := start(t, db, b)
		w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "2"})})
		e := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "3", Email: "c"}, user{ID: "2", Email: "b"}, user{ID: "1"})}).Event
		if e.Object != "User.list" || !e.List() || e.Key != "3" || e.Version != 1 || e.Type != "user.3.created" {
			t.Errorf("%+v", e)
		}
		if want := []Item{{Key: "3", Version: 1}, {Key: "2", Version: 2}, {Key: "1", Version: 1}}; !slices.Equal(e.Items, want) {
			t.Errorf("items %v, want %v", e.Items, want)
		}
		w.is("SELECT email FROM profiles ORDER BY user_uuid", "", "b", "c")
		stored, err := (eventRows{}).eventByID(t.Context(), db.Reader(), e.ID)
		if err != nil || !slices.Equal(stored.Items, e.Items) {
			t.Errorf("stored %v, %v", stored, err)
		}
		w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "4"}, user{ID: "2"}), Expect: NewAggregate()},
			edda.Conflict, `User "2": it exists already, with version 2`)
		w.is("SELECT key FROM edda_aggregates ORDER BY key", "1", "2", "3")
	})
}
