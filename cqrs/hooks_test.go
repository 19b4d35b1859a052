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
)

// recorder notes what ran, one goroutine at a time.
type recorder struct{ ran []string }

func (r *recorder) hook(line string) HookFunc {
	return func(context.Context, Querier, *Command) (Data, error) {
		r.ran = append(r.ran, line)
		return Data{}, nil
	}
}

func (r *recorder) took(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(r.ran, want) {
		t.Errorf("ran %q, want %q", r.ran, want)
	}
	r.ran = nil
}

// Hooks run by lifecycle, priority and registration, each once, around nothing but the
// transaction; the chains of the event say which.
func TestHooksOrder(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		var r recorder
		b := newUsers()
		b.Hook("A.late", r.hook("late"), On("create.*", Config{Priority: 300}), On("*", Config{Priority: 999}))
		b.Hook("A.after", r.hook("after"), On("create.user", Config{Lifecycle: After, Priority: 1}))
		b.Hook("A.first", r.hook("first"), On("create.user", Config{}))
		b.Hook("A.second", r.hook("second"), On("create.:what", Config{}))
		b.Hook("A.other", r.hook("other"), On("update.*", Config{}))
		b.Projector("A.projects", func(context.Context, *Tx, *Event) (Data, error) {
			r.ran = append(r.ran, "projects")
			return Data{}, nil
		}, nil, On("*", Config{}))
		w := start(t, db, b)
		e := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}).Event
		r.took(t, "first", "second", "late", "after", "projects")
		if got := strings.Join(e.Before, " "); got != "A.first A.second A.late" {
			t.Errorf("chain before %q", got)
		}
		if got := strings.Join(e.After, " "); got != "A.after" {
			t.Errorf("chain after %q", got)
		}
	})
}

// A failing hook, before or after, fails the command: no event, and nothing else runs.
func TestHooksFail(t *testing.T) {
	refused := errors.New("the e-mail is taken")
	cases := map[string]struct {
		hook   HookFunc
		reason edda.Reason
		want   string
	}{
		"an error": {func(context.Context, Querier, *Command) (Data, error) { return Data{}, refused }, edda.Failed, "hook Users.isUnique: the e-mail is taken"},
		"its own error": {func(context.Context, Querier, *Command) (Data, error) {
			return Data{}, &edda.Error{Reason: edda.NotAllowed}
		}, edda.NotAllowed, "NOT_ALLOWED"},
		"a panic": {func(context.Context, Querier, *Command) (Data, error) { panic("oh") }, edda.Panicked, "panicked: oh"},
		"SQL": {func(ctx context.Context, q Querier, _ *Command) (Data, error) {
			var n int
			return Data{}, q.QueryRowContext(ctx, "SELECT n FROM nowhere").Scan(&n)
		}, edda.Failed, "nowhere"},
		"too slow": {func(ctx context.Context, _ Querier, _ *Command) (Data, error) {
			<-ctx.Done()
			return Data{}, ctx.Err()
		}, edda.Timeout, "longer than its timeout of 20ms"},
		"too slow, and unaware": {func(ctx context.Context, _ Querier, _ *Command) (Data, error) {
			<-ctx.Done()
			return Data{}, nil
		}, edda.Timeout, "longer than its timeout"},
	}
	onBoth(t, func(t *testing.T, db driver.DB) {
		for name, c := range cases {
			for _, l := range []Lifecycle{Before, After} {
				t.Run(name+" "+string(l), func(t *testing.T) {
					var r recorder
					timeout := time.Duration(0) // the default
					if c.reason == edda.Timeout {
						timeout = 20 * time.Millisecond
					}
					b := newUsers()
					b.Hook("Users.isUnique", c.hook, On("*", Config{Lifecycle: l, Timeout: timeout}))
					b.Hook("Users.next", r.hook("next"), On("*", Config{Lifecycle: After}))
					b.Projector("Log.write", logs("saw"), nil, On("*", Config{}))
					w := start(t, db, b)
					w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}, c.reason, c.want)
					r.took(t)
					w.nothing()
				})
			}
		}
	})
}

// A hook is tried as often as its policy says.
func TestHookRetry(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		n, final := 0, false
		b := newUsers()
		b.Hook("Users.flaky", func(context.Context, Querier, *Command) (Data, error) {
			switch n++; {
			case final:
				return Data{}, edda.Final("NEVER", "no")
			case n%3 != 0:
				panic("not yet")
			}
			return Data{}, nil
		}, On("*", Config{Retry: edda.RetryPolicy{Max: 3, Delay: time.Microsecond}}))
		w := start(t, db, b)
		w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})})
		if n != 3 {
			t.Errorf("it ran %d times", n)
		}
		final, n = true, 0
		w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "2"})}, edda.Failed, "NEVER: no")
		if n != 1 {
			t.Errorf("after a final error it ran %d times", n)
		}
	})
}

// Hooks read what is committed, get their own copy of the command, and what they return is
// merged into it, is in the metadata, and is seen by the next.
func TestHooksMerge(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		var seen []string
		see := func(_ context.Context, _ Querier, c *Command) (Data, error) {
			seen = append(seen, string(c.Data.JSON()))
			c.Data, c.Type = Data{}, "delete.user"
			c.Metadata["x"] = raw("y")
			return Data{}, nil
		}
		b := newUsers()
		b.Hook("Users.see", see, On("*", Config{Priority: 1}))
		b.Hook("Users.ref", func(ctx context.Context, q Querier, c *Command) (Data, error) {
			var n int
			if err := q.QueryRowContext(ctx, "SELECT count(*) FROM log").Scan(&n); err != nil {
				return Data{}, err
			}
			var u user
			if err := c.Data.Decode(&u); err != nil {
				return Data{}, err
			}
			u.Ref = strings.Repeat("r", n)
			return users.Stage(u)
		}, On("*", Config{Priority: 2, Merge: Merge{True: true}, ExpectsResponse: Objects{"User"}}))
		b.Hook("Users.friend", func(context.Context, Querier, *Command) (Data, error) {
			return friends.Stage(friend{ID: "7", User: "1"})
		}, On("*", Config{Lifecycle: After, Merge: Merge{As: "friend", Include: "*"}, MergeMetadata: Merge{As: "met"}}))
		b.Hook("Users.seeAgain", see, On("*", Config{Lifecycle: After}))
		w := start(t, db, b)
		w.exec("INSERT INTO log (n, line) VALUES (1, 'a'), (2, 'b')")
		e := w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"}), Metadata: map[string]json.RawMessage{"ip": raw("::1")}}).Event
		const first = `{"user_uuid":"1","email":""}`
		const last = `{"user_uuid":"1","email":"","ref":"rr","friend":{"friend_uuid":"7","user_uuid":"1"}}`
		if want := []string{first, last}; !slices.Equal(seen, want) {
			t.Errorf("seen %q, want %q", seen, want)
		}
		if string(e.Data) != last || e.Type != "user.1.created" {
			t.Errorf("event %s %s", e.Type, e.Data)
		}
		const friendJSON = `{"friend_uuid":"7","user_uuid":"1"}`
		var got map[string]json.RawMessage
		if err := json.Unmarshal(e.Metadata["hooks"], &got); err != nil || len(got) != 2 || string(got["Users.friend"]) != friendJSON {
			t.Errorf("what hooks returned: %s", e.Metadata["hooks"])
		}
		if string(e.Metadata["met"]) != friendJSON || e.Metadata["x"] != nil || string(e.Includes["Friend"]) != friendJSON {
			t.Errorf("metadata %s, includes %s", e.Metadata, e.Includes)
		}
	})
}

// What does not fit is an error, whichever way it goes.
// Nothing changes the numbers of data that a result is merged into.
func TestMergingLeavesNumbers(t *testing.T) {
	type odd struct {
		ID    string `json:"id"`
		Any   any    `json:"any"`
		Other string `json:"other,omitempty"`
	}
	odds := NewModel(ModelOptions[odd]{Name: "Odd", Key: []string{"id"}})
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := NewBroadcaster("Odds")
		b.Command(CommandSpec{Type: "create.odd", Event: "odd.created", Model: odds})
		b.Validator("*", fine)
		b.Hook("Odd.more", func(_ context.Context, _ Querier, c *Command) (Data, error) {
			return odds.stage(json.RawMessage(`{"id":"1","any":9007199254740993,"other":"x"}`), false, true)
		}, On("*", Config{Merge: Merge{True: true}}))
		w := start(t, db, b)
		out := w.do(&Command{Type: "create.odd", Data: staged(t, odds, odd{ID: "1", Any: uint64(9007199254740993)})})
		if got, want := string(out.Event.Data), `{"id":"1","any":9007199254740993,"other":"x"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestHooksExpect(t *testing.T) {
	returns := func(d Data) HookFunc {
		return func(context.Context, Querier, *Command) (Data, error) { return d, nil }
	}
	f := staged(t, friends, friend{ID: "1"})
	cases := map[string]struct {
		hook HookFunc
		c    Config
		want string
	}{
		"another input":    {returns(Data{}), Config{ExpectsInput: Objects{"Friend", "User.list"}}, "expects_input is "},
		"another response": {returns(f), Config{ExpectsResponse: Objects{"User"}}, "but it is Friend"},
		"no response":      {returns(Data{}), Config{ExpectsResponse: Objects{"User"}}, "but there is nothing"},
		"no such member":   {returns(f), Config{Merge: Merge{As: "pal"}}, "unknown field"},
		"the primary key":  {returns(staged(t, users, user{ID: "2"})), Config{Merge: Merge{True: true}}, "the primary key was 1 and would be 2"},
		"taken metadata":   {returns(f), Config{MergeMetadata: Merge{As: "hooks"}}, `"hooks"`},
		"a list into one":  {returns(staged(t, users, user{ID: "1"}, user{ID: "2"})), Config{Merge: Merge{True: true}}, "must be one"},
	}
	onBoth(t, func(t *testing.T, db driver.DB) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				n := 0
				b := newUsers()
				c.c.Retry = edda.RetryPolicy{Max: 3, Delay: time.Microsecond}
				b.Hook("Users.odd", func(ctx context.Context, q Querier, cmd *Command) (Data, error) {
					n++
					return c.hook(ctx, q, cmd)
				}, On("*", c.c))
				w := start(t, db, b)
				_, err := w.Do(t.Context(), &Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})})
				if err == nil || !strings.Contains(err.Error(), c.want) || n > 1 {
					t.Errorf("%v, after %d attempts, want %q", err, n, c.want)
				}
				w.nothing()
			})
		}
	})
}

// Validators run with hooks and without, and again when a hook has changed the data.
func TestValidators(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		var r recorder
		b := NewBroadcaster("Users")
		b.Command(CommandSpec{Type: "create.user", Event: "user.created", Model: users})
		b.Command(CommandSpec{Type: "create.friend", Event: "friend.created", Model: friends})
		b.Validator("create.:what", func(_ context.Context, c *Command) error {
			r.ran = append(r.ran, "all "+c.Type)
			return nil
		})
		b.Validator("create.user", Check(func(u *user) error {
			r.ran = append(r.ran, "user "+u.Ref)
			switch u.Ref {
			case "bad":
				return errors.New("the ref is bad")
			case "denied":
				return &edda.Error{Reason: edda.NotAllowed, Err: errors.New("no")}
			case "panic":
				panic("oh")
			}
			return nil
		}))
		ref := "fine"
		b.Hook("Users.same", func(_ context.Context, _ Querier, c *Command) (Data, error) { return c.Data, nil },
			On("create.user", Config{Merge: Merge{True: true}}))
		b.Hook("Users.ref", func(context.Context, Querier, *Command) (Data, error) {
			return users.Stage(user{ID: "1", Ref: ref})
		}, On("create.user", Config{Lifecycle: After, Merge: Merge{True: true}}))
		w := start(t, db, b)
		c := &Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}
		ref = "bad"
		w.refused(c, edda.BadSchema, "hook Users.ref: validator of create.user: the ref is bad")
		r.took(t, "all create.user", "user ", "all create.user", "user bad")
		ref = "denied"
		w.refused(c, edda.NotAllowed, "no")
		ref = "panic"
		w.refused(c, edda.Panicked, "validator of create.user: it panicked: oh")
		w.nothing()
		r.ran = nil
		ref = "fine"
		w.do(c)
		r.took(t, "all create.user", "user ", "all create.user", "user fine")
		w.do(&Command{Type: "create.friend", Data: staged(t, friends, friend{ID: "1"})})
		r.took(t, "all create.friend")
		w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "2", Ref: "bad"})}, edda.BadSchema, "validator of create.user: the ref is bad")
		w.is("SELECT key FROM edda_events ORDER BY seq", "1", "1")
	})
}

// A validator that matches the command's pattern and not this very type leaves it without
// one.
func TestNoValidator(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := NewBroadcaster("Users")
		b.Command(CommandSpec{Type: "update.user.:user_uuid", Event: "user.updated", Model: users})
		b.Validator("update.user.1", fine)
		w := start(t, db, b)
		w.do(&Command{Type: "update.user.:user_uuid", Data: staged(t, users, user{ID: "1"})})
		w.refused(&Command{Type: "update.user.:user_uuid", Data: staged(t, users, user{ID: "2"})}, edda.BadSchema, "no validator of broadcaster Users")
	})
}

// A model that panics on what a hook has returned fails the command, and not the process.
func TestModelPanics(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		m := NewModel(ModelOptions[user]{Name: "User", Key: []string{"user_uuid"}, After: []func(*user) error{func(u *user) error {
			if u.Ref != "" {
				panic("oh")
			}
			return nil
		}}})
		b := NewBroadcaster("Users")
		b.Command(CommandSpec{Type: "create.user", Event: "created", Model: m})
		b.Validator("*", fine)
		b.Hook("Users.ref", func(context.Context, Querier, *Command) (Data, error) {
			return users.Stage(user{ID: "1", Ref: "r"})
		}, On("*", Config{Merge: Merge{True: true}}))
		w := start(t, db, b)
		w.refused(&Command{Type: "create.user", Data: staged(t, m, user{ID: "1"})}, edda.Panicked, "hook Users.ref: it panicked: oh")
		w.nothing()
	})
}
