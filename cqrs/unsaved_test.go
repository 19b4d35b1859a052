package cqrs

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// A command that is not saved runs its strong handlers, checks versions, and leaves its
// row alone; what follows from it is not saved either.
func TestDoNotSave(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Log.write", logs("saw"), nil, On("*", Config{}))
		b.Processor("Friends.make", makesFriend, On("user.*", Config{Merge: Merge{As: "friend"}}))
		b.Dispatcher("Users.tell", func(context.Context, Querier, *Event) ([]*Derived, error) {
			return []*Derived{{Type: "told"}}, nil
		}, On("user.*", Config{}))
		w := start(t, db, b)
		c := Command{ID: newID(), Type: "create.user", Data: staged(t, users, user{ID: "1"}), DoNotSave: true}
		out := w.do(&c)
		if !out.Position.IsZero() || out.Replayed || out.Event.Version != 1 || !strings.Contains(string(out.Event.Data), "friend_uuid") {
			t.Errorf("%+v %+v", out, out.Event)
		}
		w.is("SELECT line FROM log ORDER BY n", "saw user.1.created", "saw friend.created", "saw told")
		w.is("SELECT event_type FROM edda_events")
		w.is("SELECT key FROM edda_aggregates")
		w.is("SELECT command_type FROM edda_commands ORDER BY command_type", "create.friend", "create.user")
		if out := w.do(&c); !out.Replayed || out.Event != nil || !out.Position.IsZero() {
			t.Errorf("again: %+v", out)
		}
		w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "2"}), DoNotSave: true, Expect: Version(3)},
			edda.Conflict, "version 3 was expected")
		w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"}), Expect: NewAggregate()})
		if e := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"}), DoNotSave: true, Expect: Version(2)}).Event; e.Version != 3 {
			t.Errorf("version %d", e.Version)
		}
	})
}

// A processor may run a command that is not saved, within one that is.
func TestDoNotSaveChild(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Log.write", logs("saw"), nil, On("friend.*", Config{}))
		b.Processor("Friends.make", func(ctx context.Context, q Querier, e *Event) (*Command, error) {
			c, err := makesFriend(ctx, q, e)
			c.DoNotSave = true
			return c, err
		}, On("user.*", Config{Merge: Merge{As: "friend"}}))
		w := start(t, db, b)
		e := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}).Event
		if !strings.Contains(string(e.Data), `"friend_uuid":"f1"`) {
			t.Errorf("event %s", e.Data)
		}
		w.is("SELECT line FROM log", "saw friend.created")
		w.is("SELECT event_type FROM edda_events", "user.1.created")
		w.is("SELECT object FROM edda_aggregates", "User")
	})
}

// Without a transaction, what a handler has done stays when a later one fails, and that is
// all: no event, no version, no row, so the command may be repeated.
func TestNoTransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		n := 0
		b := newUsers()
		b.Projector("Log.write", logs("saw"), nil, On("*", Config{Priority: 1}))
		b.Processor("Friends.make", makesFriend, On("user.*", Config{Priority: 2, Merge: Merge{As: "friend"}}))
		b.Processor("Users.rename", func(_ context.Context, _ Querier, e *Event) (*Command, error) {
			d, err := users.Stage(user{ID: e.Key, Email: "new"})
			return &Command{Type: "update.user." + e.Key, Data: d, Expect: Version(e.Version)}, err
		}, On("user.*.created", Config{Priority: 3}))
		b.Processor("Odd.fails", func(ctx context.Context, q Querier, e *Event) (*Command, error) {
			if n++; n < 3 {
				return nil, errors.New("not yet")
			}
			return nil, nil
		}, On("user.*.updated", Config{Priority: 4, Retry: edda.RetryPolicy{Max: 2, Delay: time.Microsecond}}))
		w := start(t, db, b)
		c := Command{ID: newID(), Type: "create.user", Data: staged(t, users, user{ID: "1"}), NoTransaction: true}
		w.refused(&c, edda.Failed, "not yet")
		w.is("SELECT line FROM log ORDER BY n", "saw user.1.created", "saw friend.created", "saw user.1.updated", "saw friend.created")
		w.is("SELECT event_type FROM edda_events")
		w.is("SELECT key FROM edda_aggregates")
		w.is("SELECT command_type FROM edda_commands")
		out := w.do(&c)
		if out.Replayed || out.Event.Version != 1 || out.Position.IsZero() {
			t.Errorf("%+v", out)
		}
		w.is("SELECT event_type || ' ' || version FROM edda_events ORDER BY seq",
			"user.1.created 1", "friend.created 1", "user.1.updated 2", "friend.created 2")
		w.is("SELECT object || ' ' || version FROM edda_aggregates ORDER BY object", "Friend 2", "User 2")
		w.is("SELECT count(*) FROM edda_commands", "4")
		if again := w.do(&c); !again.Replayed || again.Event.ID != out.Event.ID {
			t.Errorf("again: %+v", again)
		}
		w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"}), NoTransaction: true, Expect: NewAggregate()},
			edda.Conflict, "it exists already, with version 2")
	})
}

// Who comes between the handlers and the storing makes a conflict, here too.
func TestNoTransactionConflict(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Odd.between", func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
			_, err := tx.ExecContext(ctx, "INSERT INTO edda_aggregates (object, key, version) VALUES ('User', '1', 7)")
			return Data{}, err
		}, nil, On("user.1.*", Config{}))
		w := start(t, db, b)
		w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"}), NoTransaction: true}, edda.Conflict, "it exists already, with version 7")
		w.is("SELECT event_type FROM edda_events")
		w.is("SELECT command_type FROM edda_commands")
		w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "2"}, user{ID: "3"}), NoTransaction: true, DoNotSave: true, EventType: "other"})
		w.is("SELECT event_type FROM edda_events")
		w.is("SELECT command_type FROM edda_commands", "create.user")
	})
}
