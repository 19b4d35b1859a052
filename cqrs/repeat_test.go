package cqrs

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// Who repeats a command gets what was done then, and nothing is done: neither by handlers,
// nor, where there are any, by hooks.
func TestRepeat(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		for _, hooks := range []bool{false, true} {
			var r recorder
			b := newUsers()
			if hooks {
				b.Hook("A.hook", r.hook("hook"), On("*", Config{}))
			}
			b.Processor("Friends.make", makesFriend, On("user.*", Config{}))
			w := start(t, db, b)
			id := newID()
			c := Command{ID: id, Type: "create.user", Data: staged(t, users, user{ID: id.String()})}
			first := w.do(&c)
			ran := len(r.ran)
			again := w.do(&c)
			if !again.Replayed || again.Command != id || again.Position != first.Position {
				t.Errorf("the second time %+v, the first %+v", again, first)
			}
			if diff := cmp.Diff(first.Event, again.Event, cmpopts.EquateEmpty(), sameJSON); diff != "" {
				t.Errorf("event (-first +again):\n%s", diff)
			}
			if len(r.ran) != ran {
				t.Error("hooks ran again")
			}
			if got := w.strings("SELECT count(*) FROM edda_events WHERE correlation_uuid = $1", id.String()); got[0] != "2" {
				t.Errorf("%s events", got)
			}
			other := Command{ID: id, Type: "create.user", Data: staged(t, users, user{ID: "2"})}
			w.refused(&other, edda.IdempotencyMismatch, "is that of a command create.user of User "+id.String())
		}
	})
}

// A command that failed leaves no trace, and its id may be used again; one that was
// aborted is done in the next run.
func TestRepeatAfterFailure(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		fail := true
		b := newUsers()
		b.Projector("Odd.fails", func(context.Context, *Tx, *Event) (Data, error) {
			if fail {
				return Data{}, errors.New("not yet")
			}
			return Data{}, nil
		}, nil, On("*", Config{}))
		w := start(t, db, b)
		c := Command{ID: newID(), Type: "create.user", Data: staged(t, users, user{ID: "1"})}
		w.refused(&c, edda.Failed, "not yet")
		w.nothing()
		fail = false
		if out := w.do(&c); out.Replayed || out.Event.Version != 1 {
			t.Errorf("%+v", out)
		}

		for _, hooks := range []bool{false, true} {
			b := newUsers()
			if hooks {
				b.Hook("A.hook", (&recorder{}).hook(""), On("*", Config{}))
			}
			w := start(t, db, b)
			id := newID()
			c := Command{ID: id, Type: "create.user", Data: staged(t, users, user{ID: id.String()})}
			x, err := w.newExecution(&c)
			if err != nil {
				t.Fatal(err)
			}
			transact(t, db, func(ctx context.Context, tx *Tx) error {
				_, err := ledger.AbortCommand(ctx, tx, x.row())
				return err
			})
			if out := w.do(&c); out.Replayed || out.Event.Version != 1 {
				t.Errorf("%+v", out)
			}
			if got := w.strings("SELECT run || ' ' || status FROM edda_commands WHERE command_uuid = $1", id.String()); !slices.Equal(got, []string{"2 committed"}) {
				t.Errorf("row %s", got)
			}
			if out := w.do(&c); !out.Replayed {
				t.Errorf("%+v", out)
			}
		}
	})
}

// The same command many times at once is done once.
func TestRepeatAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Log.write", logs("saw"), nil, On("*", Config{}))
		w := start(t, db, b)
		id, d := newID(), staged(t, users, user{ID: "1"})
		const n = 16
		outs := make([]*Outcome, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				var err error
				if outs[i], err = w.Do(t.Context(), &Command{ID: id, Type: "create.user", Data: d}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		done := 0
		for _, out := range outs {
			if out != nil && !out.Replayed {
				done++
			}
			if out != nil && out.Event.ID != outs[0].Event.ID {
				t.Errorf("another event: %+v", out.Event)
			}
		}
		if done != 1 {
			t.Errorf("done %d times", done)
		}
		w.is("SELECT line FROM log", "saw user.1.created")
	})
}

// A processor's command may have an id of its own; it is done once in all.
func TestRepeatedChild(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		id := newID()
		b := newUsers()
		b.Processor("Friends.make", func(context.Context, Querier, *Event) (*Command, error) {
			d, err := friends.Stage(friend{ID: "7"})
			return &Command{ID: id, Type: "create.friend", Data: d}, err
		}, On("user.*", Config{Priority: 1, Merge: Merge{As: "friend"}}))
		b.Processor("Friends.again", func(context.Context, Querier, *Event) (*Command, error) {
			d, err := friends.Stage(friend{ID: "7"})
			return &Command{ID: id, Type: "create.friend", Data: d}, err
		}, On("user.*", Config{Merge: Merge{As: "friend"}}))
		b.Projector("Log.write", logs("saw"), nil, On("friend.*", Config{}))
		w := start(t, db, b)
		for _, key := range []string{"1", "2"} {
			e := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: key})}).Event
			if want := `{"user_uuid":"` + key + `","email":"","friend":{"friend_uuid":"7","user_uuid":""}}`; string(e.Data) != want {
				t.Errorf("event %s, want %s", e.Data, want)
			}
		}
		w.is("SELECT line FROM log", "saw friend.created")
		w.is("SELECT event_type FROM edda_events ORDER BY seq", "user.1.created", "friend.created", "user.2.created")
		id = w.do(&Command{Type: "create.user", DoNotSave: true, Data: staged(t, users, user{ID: "9"})}).Command
		w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "3"})}, edda.IdempotencyMismatch, "Friends.make")
	})
}

// twiceDB runs each transaction twice, as if another one had been in the way of the first
// run.
type twiceDB struct{ sqlDB }

// Transact implements driver.DB.
func (d twiceDB) Transact(ctx context.Context, o driver.TxOptions, f func(context.Context, *Tx) error) error {
	undo := errors.New("in the way")
	err := d.sqlDB.Transact(ctx, o, func(ctx context.Context, tx *Tx) error {
		if err := f(ctx, tx); err != nil {
			return err
		}
		return undo
	})
	if !errors.Is(err, undo) {
		return err
	}
	return d.sqlDB.Transact(ctx, o, f)
}

// A transaction that is run again begins from what the command was before the first run.
func TestRunAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		for _, noTransaction := range []bool{false, true} {
			var r recorder
			b := newUsers()
			b.Hook("A.hook", r.hook("hook"), On("create.user", Config{MergeMetadata: Merge{As: "x"}}))
			b.Hook("A.child", (&recorder{}).hook(""), On("create.friend", Config{}))
			b.Processor("Friends.make", makesFriend, On("user.*", Config{Merge: Merge{As: "friend"}, MergeMetadata: Merge{Push: "met"}}))
			b.Projector("Log.write", logs("saw"), nil, On("*", Config{}))
			w := start(t, twiceDB{db.(sqlDB)}, b)
			key := newID().String()
			e := w.do(&Command{
				Type: "create.user", Data: staged(t, users, user{ID: key}), Expect: NewAggregate(), NoTransaction: noTransaction,
				Metadata: map[string]json.RawMessage{"ip": raw("::1")},
			}).Event
			r.took(t, "hook")
			if e.Version != 1 || !slices.Equal(e.Before, []string{"A.hook"}) || !slices.Equal(e.Chain, []string{"Friends.make", "Log.write"}) {
				t.Errorf("%+v", e)
			}
			if got, want := string(e.Metadata["met"]), `[{"friend_uuid":"f`+key+`","user_uuid":"`+key+`"}]`; got != want {
				t.Errorf("metadata %s, want %s", got, want)
			}
			if got := w.strings("SELECT object || ' ' || version FROM edda_events WHERE correlation_uuid = $1 ORDER BY seq", e.CorrelationID); !slices.Equal(got, []string{"User 1", "Friend 1"}) {
				t.Errorf("events %q", got)
			}
			w.is("SELECT count(*) FROM log", "2")
			w.exec("DELETE FROM log")
		}
	})
}
