package cqrs

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// makesFriend is a processor that makes a friend of the user's id.
func makesFriend(_ context.Context, _ Querier, e *Event) (*Command, error) {
	d, err := friends.Stage(friend{ID: "f" + e.Key, User: e.Key})
	return &Command{Type: "create.friend", Data: d}, err
}

// Strong handlers run by priority, then registration, once each; the next one sees what
// the one before has written and merged, a command that followed included.
func TestStrongHandlers(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Last.see", func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
			var u user
			if err := e.Decode(&u); err != nil || u.Friend == nil {
				return Data{}, errors.New("no friend is there: " + string(e.Data))
			}
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM log WHERE line = 'made friend.created'").Scan(&n); err != nil || n != 1 {
				return Data{}, errors.New("its row is not there")
			}
			return logs("last "+strings.Join(e.Chain, " "))(ctx, tx, e)
		}, nil, On("user.*", Config{Priority: 1000}))
		b.Processor("Friends.make", makesFriend, On("user.:user_uuid.created", Config{
			Priority: 2, Merge: Merge{As: "friend"}, ExpectsInput: Objects{"*"}, ExpectsOutput: Objects{"Friend"}, ExpectsResponse: Objects{"Friend"},
			DispatchesCommand: "create.:what",
		}))
		b.Projector("First.write", logs("first"), nil, On("*.created", Config{Priority: 1}), On("*", Config{Priority: 999}))
		b.Projector("Made.write", logs("made"), nil, On("friend.created", Config{}))
		w := start(t, db, b)
		out := w.do(&Command{
			Type: "create.user", Data: staged(t, users, user{ID: "1"}), Principal: "ann", CorrelationID: "story",
			Metadata: map[string]json.RawMessage{"ip": raw("::1")},
		})
		w.is("SELECT line FROM log ORDER BY n", "first user.1.created", "first friend.created", "made friend.created",
			"last First.write Friends.make user.1.created")
		w.is("SELECT event_type FROM edda_events ORDER BY seq", "user.1.created", "friend.created")
		if got, want := strings.Join(out.Event.Chain, " "), "First.write Friends.make Last.see"; got != want {
			t.Errorf("chain %q, want %q", got, want)
		}
		events, err := (eventRows{}).selectEvents(t.Context(), db.Reader(), db.Dialect(), ledger.Range{})
		if err != nil {
			t.Fatal(err)
		}
		parent, child := events[0], events[1]
		if !strings.Contains(string(parent.Data), `"friend":{"friend_uuid":"f1","user_uuid":"1"}`) {
			t.Errorf("what was merged is not stored: %s", parent.Data)
		}
		if child.CausationID != parent.ID || child.CausationLevel != 1 || child.CorrelationID != "story" || child.CommandID == parent.CommandID ||
			string(child.Metadata["principal"]) != `"ann"` || string(child.Metadata["ip"]) != `"::1"` || child.Broadcaster != "Users" {
			t.Errorf("child %+v", child)
		}
		if !slices.Equal(child.Chain, []string{"First.write", "Made.write"}) {
			t.Errorf("chain of the child %q", child.Chain)
		}
		if out.Position != child.Position || parent.Position != out.Event.Position {
			t.Errorf("position %v of the outcome, %v of the last event", out.Position, child.Position)
		}
		w.is("SELECT command_type FROM edda_commands ORDER BY command_type", "create.friend", "create.user")
	})
}

// A failing strong handler fails the command, whatever it is and however it fails:
// nothing is stored, and nothing after it runs.
func TestStrongHandlersFail(t *testing.T) {
	fails := map[string]struct {
		f      func(ctx context.Context, tx *Tx) error
		reason edda.Reason
		want   string
	}{
		"an error":      {func(context.Context, *Tx) error { return errors.New("no") }, edda.Failed, "Odd.fails: no"},
		"its own error": {func(context.Context, *Tx) error { return &edda.Error{Reason: edda.NotAllowed} }, edda.NotAllowed, "NOT_ALLOWED"},
		"a panic":       {func(context.Context, *Tx) error { panic("oh") }, edda.Panicked, "panicked: oh"},
		"SQL": {func(ctx context.Context, tx *Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO nowhere VALUES (1)")
			return err
		}, edda.Failed, "nowhere"},
		"a constraint": {func(ctx context.Context, tx *Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO log (n, line) VALUES (0, 'twice')")
			return err
		}, edda.Failed, "log"},
		"too slow": {func(ctx context.Context, tx *Tx) error {
			<-ctx.Done()
			return ctx.Err()
		}, edda.Timeout, "longer than its timeout"},
		"too slow, and unaware": {func(ctx context.Context, tx *Tx) error {
			<-ctx.Done()
			return nil
		}, edda.Timeout, "longer than its timeout"},
		"too slow in SQL": {func(ctx context.Context, tx *Tx) error {
			var n int
			return tx.QueryRowContext(ctx, "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM t WHERE n < 1000000000) SELECT count(*) FROM t").Scan(&n)
		}, edda.Timeout, "longer than its timeout"},
	}
	onBoth(t, func(t *testing.T, db driver.DB) {
		for name, c := range fails {
			for _, kind := range []Kind{KindProjector, KindProcessor, KindDispatcher, KindHook} {
				t.Run(name+" in a "+string(kind), func(t *testing.T) {
					b := newUsers()
					b.Projector("Log.write", logs("saw"), nil, On("*", Config{Priority: 1}))
					b.Processor("Friends.make", makesFriend, On("user.*", Config{Priority: 2}))
					timeout := time.Duration(0) // the default
					if c.reason == edda.Timeout {
						timeout = 50 * time.Millisecond
					}
					on := On("user.*", Config{Priority: 3, Timeout: timeout})
					switch kind {
					case KindProjector:
						b.Projector("Odd.fails", func(ctx context.Context, tx *Tx, e *Event) (Data, error) { return Data{}, c.f(ctx, tx) }, nil, on)
					case KindProcessor:
						b.Processor("Odd.fails", func(ctx context.Context, q Querier, e *Event) (*Command, error) { return nil, c.f(ctx, q.(*Tx)) }, on)
					case KindDispatcher:
						b.Dispatcher("Odd.fails", func(ctx context.Context, q Querier, e *Event) ([]*Derived, error) { return nil, c.f(ctx, q.(*Tx)) }, on)
					case KindHook: // of a command that follows
						b.Hook("Odd.fails", func(ctx context.Context, q Querier, _ *Command) (Data, error) { return Data{}, c.f(ctx, q.(*Tx)) },
							On("create.friend", Config{Timeout: timeout}))
					}
					b.Projector("Profile.save", profiles, nil, On("user.*", Config{}))
					w := start(t, db, b)
					w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}, c.reason, c.want)
					w.nothing()
				})
			}
		}
	})
}

// An error in SQL that a handler keeps to itself fails the command where it has undone the
// transaction, and the command is not reported as done.
func TestSwallowedSQLError(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		for _, doNotSave := range []bool{false, true} {
			b := newUsers()
			b.Projector("Log.write", logs("saw"), nil, On("*", Config{Priority: 1}))
			b.Projector("Odd.swallows", func(ctx context.Context, tx *Tx, _ *Event) (Data, error) {
				_, _ = tx.ExecContext(ctx, "INSERT INTO nowhere VALUES (1)")
				return Data{}, nil
			}, nil, On("*", Config{}))
			w := start(t, db, b)
			_, err := w.Do(t.Context(), &Command{Type: "create.user", Data: staged(t, users, user{ID: "1"}), DoNotSave: doNotSave})
			if db.Dialect().Name == "postgres" {
				if err == nil {
					t.Error("it succeeded, though its transaction was undone")
				}
				w.nothing()
				continue
			}
			if err != nil { // only the statement failed
				t.Error(err)
			}
			w.exec("DELETE FROM log")
		}
	})
}

// A strong handler is tried as its policy says; what an attempt did in SQL, and the events
// of the commands that followed from it, are forgotten.
func TestStrongRetry(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		n := 0
		retry := Config{Retry: edda.RetryPolicy{Max: 3, Delay: time.Microsecond}}
		b := newUsers()
		b.Projector("Log.write", logs("saw"), nil, On("friend.*", Config{Priority: 1}))
		b.Projector("Friends.flaky", func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
			switch n++; n {
			case 1:
				return Data{}, errors.New("not yet")
			case 2:
				_, err := tx.ExecContext(ctx, "INSERT INTO nowhere VALUES (1)")
				return Data{}, err
			}
			return Data{}, nil
		}, nil, On("friend.*", Config{}))
		b.Processor("Friends.make", makesFriend, On("user.*", retry))
		b.Dispatcher("Users.tell", func(context.Context, Querier, *Event) ([]*Derived, error) {
			if n++; n == 5 { // once after the processor
				return []*Derived{{Type: "friend.told"}}, nil
			}
			return []*Derived{{Type: "told.first"}, nil}, nil
		}, On("user.*", retry))
		w := start(t, db, b)
		e := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}).Event
		w.is("SELECT line FROM log ORDER BY n", "saw friend.created", "saw friend.told")
		w.is("SELECT event_type FROM edda_events ORDER BY seq", "user.1.created", "friend.created", "friend.told")
		w.is("SELECT object || ' ' || key || ' ' || version FROM edda_aggregates ORDER BY object", "Friend f1 1", "User 1 2")
		w.is("SELECT command_type FROM edda_commands ORDER BY command_type", "create.friend", "create.user")
		if got := strings.Join(e.Chain, " "); got != "Friends.make Users.tell" {
			t.Errorf("chain %q", got)
		}
		n = -100
		w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "2"})}, edda.Failed, "derived event 2 is nil")
		w.is("SELECT key FROM edda_aggregates ORDER BY object", "f1", "1")
	})
}

// Derived events are about the same aggregate, or another, and run handlers of their own.
func TestDispatcher(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Hook("Users.hook", (&recorder{}).hook(""), On("*", Config{}))
		b.Dispatcher("Users.tell", func(_ context.Context, _ Querier, e *Event) ([]*Derived, error) {
			fs, err := friends.StageList([]friend{{ID: "8"}, {ID: "7"}})
			return []*Derived{{Type: "told.:user_uuid", Explain: raw("why"), Metadata: map[string]json.RawMessage{"channel": raw("told"), "to": raw("ann")}}, {Type: "listed.:friend_uuid", Data: fs}}, err
		}, On("user.*", Config{ExpectsOutput: Objects{"User", "Friend.list"}}))
		b.Dispatcher("Told.again", func(context.Context, Querier, *Event) ([]*Derived, error) {
			return []*Derived{{Type: "told.:user_uuid.again"}}, nil
		}, On("told.:user_uuid", Config{}))
		b.Projector("Log.write", logs("saw"), nil, On("*", Config{Priority: 999}))
		w := start(t, db, b)
		out := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"}), CorrelationID: "story", Metadata: map[string]json.RawMessage{"channel": raw("web"), "ip": raw("::1")}})
		w.is("SELECT line FROM log ORDER BY n", "saw told.1.again", "saw told.1", "saw listed.8", "saw user.1.created")
		events, err := (eventRows{}).selectEvents(t.Context(), db.Reader(), db.Dialect(), ledger.Range{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range events {
			if e.CorrelationID != "story" || e.CommandID != out.Command || e.CorrelationType != "create.user" {
				t.Errorf("%s: correlation %s %s, command %s", e.Type, e.CorrelationID, e.CorrelationType, e.CommandID)
			}
			got = append(got, e.Type+" "+e.Object+" "+string(rune('0'+e.Version))+" "+string(rune('0'+e.CausationLevel))+" "+strings.Join(e.Before, "")+" "+strings.Join(e.Chain, ","))
		}
		want := []string{
			"user.1.created User 1 0 Users.hook Users.tell,Log.write",
			"told.1 User 2 1  Told.again,Log.write",
			"told.1.again User 3 2  Log.write",
			"listed.8 Friend.list 1 1  Log.write",
		}
		if !slices.Equal(got, want) {
			t.Errorf("events\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		told, listed := events[1], events[3]
		if told.CausationID != out.Event.ID || events[2].CausationID != told.ID || string(told.Explain) != `"why"` || string(told.Data) != string(out.Event.Data) {
			t.Errorf("%+v", told)
		}
		if m := told.Metadata; string(m["channel"]) != `"told"` || string(m["to"]) != `"ann"` || string(m["ip"]) != `"::1"` || string(m["principal"]) != `"anonymous"` {
			t.Errorf("metadata %s", m)
		}
		if m := out.Event.Metadata; string(m["channel"]) != `"web"` || m["to"] != nil {
			t.Errorf("the metadata of the event have become %s", m)
		}
		if want := []Item{{Key: "8", Version: 1}, {Key: "7", Version: 1}}; !slices.Equal(listed.Items, want) || listed.Key != "8" || listed.Pattern != "listed.:friend_uuid" {
			t.Errorf("%+v", listed)
		}
	})
}

// What does not fit what was expected of a handler fails the command, at once.
func TestStrongExpect(t *testing.T) {
	projector := func(d Data) func(*Broadcaster, Config) {
		return func(b *Broadcaster, c Config) {
			b.Projector("Odd.one", func(context.Context, *Tx, *Event) (Data, error) { return d, nil }, nil, On("user.*", c))
		}
	}
	processor := func(cmd *Command) func(*Broadcaster, Config) {
		return func(b *Broadcaster, c Config) {
			b.Processor("Odd.one", func(context.Context, Querier, *Event) (*Command, error) { return cmd, nil }, On("user.*", c))
		}
	}
	dispatcher := func(d Derived) func(*Broadcaster, Config) {
		return func(b *Broadcaster, c Config) {
			b.Dispatcher("Odd.one", func(context.Context, Querier, *Event) ([]*Derived, error) { return []*Derived{&d}, nil }, On("user.*", c))
		}
	}
	f, u := staged(t, friends, friend{ID: "1"}), staged(t, users, user{ID: "2"})
	mine := &Command{Type: "create.friend", Data: f}
	cases := map[string]struct {
		add    func(*Broadcaster, Config)
		c      Config
		reason edda.Reason
		want   string
	}{
		"input":               {projector(f), Config{ExpectsInput: Objects{"Friend"}}, edda.Failed, "expects_input is "},
		"output":              {projector(f), Config{ExpectsOutput: Objects{"User"}}, edda.Failed, "but it is Friend"},
		"no output":           {projector(Data{}), Config{ExpectsOutput: Objects{"User"}}, edda.Failed, "but there is nothing"},
		"the primary key":     {projector(u), Config{Merge: Merge{True: true}}, edda.Failed, "it would change user_uuid"},
		"taken metadata":      {projector(u), Config{MergeMetadata: Merge{As: "principal"}}, edda.Failed, `"principal"`},
		"command":             {processor(mine), Config{ExpectsOutput: Objects{"User"}}, edda.Failed, "expects_output is "},
		"command's type":      {processor(mine), Config{DispatchesCommand: "update.*"}, edda.Failed, "dispatches_command is update.*, but its command is create.friend"},
		"response":            {processor(mine), Config{ExpectsResponse: Objects{"User"}}, edda.Failed, "expects_response is "},
		"no such command":     {processor(&Command{Type: "bury.friend", Data: f}), Config{}, edda.NoMethod, "Odd.one: do bury.friend: no broadcaster has"},
		"no data":             {processor(&Command{Type: "create.friend"}), Config{}, edda.BadValue, "it has no data"},
		"no transaction":      {processor(&Command{Type: "create.friend", Data: f, NoTransaction: true}), Config{}, edda.Failed, "NoTransaction"},
		"derived":             {dispatcher(Derived{Type: "x"}), Config{ExpectsOutput: Objects{"Friend"}}, edda.Failed, "expects_output is "},
		"derived type":        {dispatcher(Derived{Type: "x.:y"}), Config{}, edda.Failed, ":y"},
		"derived without one": {dispatcher(Derived{}), Config{}, edda.Failed, "pattern is empty"},
		"derived explanation": {dispatcher(Derived{Type: "x", Explain: []byte("{")}), Config{}, edda.Failed, "Explain: it is no JSON"},
		"derived metadata":    {dispatcher(Derived{Type: "x", Metadata: map[string]json.RawMessage{"principal": raw("ann")}}), Config{}, edda.Failed, `metadata "principal" is taken`},
	}
	onBoth(t, func(t *testing.T, db driver.DB) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				b := newUsers()
				c.c.Retry = edda.RetryPolicy{Max: 2, Delay: time.Hour}
				if c.reason != edda.Failed {
					c.c.Retry = edda.RetryPolicy{}
				}
				c.add(b, c.c)
				w := start(t, db, b)
				w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}, c.reason, c.want)
				w.nothing()
			})
		}
	})
}

// A handler has its own copy of the event: what it does to that is nobody's business.
func TestHandlersCopy(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Odd.scribbles", func(_ context.Context, _ *Tx, e *Event) (Data, error) {
			e.Data[2], e.Chain, e.Metadata["x"], e.Type = 'X', append(e.Chain, "y"), raw(1), "z"
			e.PrimaryKeys["user_uuid"] = raw(2)
			return Data{}, nil
		}, nil, On("*", Config{Priority: 1}))
		b.Projector("Log.write", logs("saw"), nil, On("*", Config{}))
		w := start(t, db, b)
		e := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}).Event
		if string(e.Data) != `{"user_uuid":"1","email":""}` || len(e.Metadata) != 1 || string(e.PrimaryKeys["user_uuid"]) != `"1"` || len(e.Chain) != 2 {
			t.Errorf("%+v", e)
		}
		w.is("SELECT line FROM log", "saw user.1.created")
	})
}

// Commands that bring each other about without end are stopped, and undone.
func TestDepth(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		deepest := 0
		var end int
		b := newUsers()
		b.Processor("Friends.more", func(_ context.Context, _ Querier, e *Event) (*Command, error) {
			if deepest = e.CausationLevel; deepest == end {
				return nil, nil
			}
			return makesFriend(t.Context(), nil, e)
		}, On("*", Config{}))
		w := start(t, db, b)
		end = -1
		w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}, edda.Cycle, "at most 32 may")
		w.nothing()
		end = 31
		w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})})
		if n := len(w.eventTypes()); n != 32 {
			t.Errorf("%d events", n)
		}
	})
}

// A broadcaster's processor may command another broadcaster, whose handlers then run.
func TestAcrossBroadcasters(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		people := NewBroadcaster("People")
		people.Command(CommandSpec{Type: "create.friend", Event: "made", Model: friends, AppVersion: "9"})
		people.Validator("*", fine)
		people.Projector("Log.write", logs("people"), nil, On("*", Config{}))
		b := NewBroadcaster("Users")
		b.Command(CommandSpec{Type: "create.user", Event: "made", Model: users})
		b.Validator("*", fine)
		b.Processor("Friends.make", makesFriend, On("made", Config{}))
		b.Projector("Log.write", logs("users"), nil, On("*", Config{Priority: 999}))
		w := start(t, db, b, people)
		w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})})
		w.is("SELECT line FROM log ORDER BY n", "people made", "users made")
		w.is("SELECT broadcaster || ' ' || version_app FROM edda_events ORDER BY seq", "Users 1.2", "People 9")
	})
}

// Do within a transaction would wait for itself.
func TestDoWithinTransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		var w *world
		again := func(ctx context.Context) error {
			d, err := friends.Stage(friend{ID: "1"})
			if err != nil {
				return err
			}
			_, err = w.Do(ctx, &Command{Type: "create.friend", Data: d})
			return err
		}
		b.Projector("Odd.does", func(ctx context.Context, _ *Tx, _ *Event) (Data, error) { return Data{}, again(ctx) }, nil, On("user.1.*", Config{}))
		b.Hook("Fine.does", func(ctx context.Context, _ Querier, c *Command) (Data, error) {
			if c.Data.Keys()[0] != "2" {
				return Data{}, nil
			}
			return Data{}, again(ctx)
		}, On("create.user", Config{}))
		w = start(t, db, b)
		w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}, edda.Cycle, "let a processor return the command")
		w.nothing()
		w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "2"})})
		w.is("SELECT event_type FROM edda_events ORDER BY seq", "friend.created", "user.2.created")
	})
}
