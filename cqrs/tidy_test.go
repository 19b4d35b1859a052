package cqrs

import (
	"context"
	"errors"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// misdeeds are what a handler must not do with what it is handed, and what the error of the one that
// has done it says.
var misdeeds = map[string]struct {
	do   func(ctx context.Context, q Querier) error
	want string
}{
	"rows": {func(ctx context.Context, q Querier) error {
		rows, err := q.QueryContext(ctx, "SELECT 1 UNION ALL SELECT 2")
		if err == nil && !rows.Next() {
			err = errors.New("there are no rows")
		}
		return err
	}, driver.ErrOpenRows.Error()},
	"row": {func(ctx context.Context, q Querier) error { return q.QueryRowContext(ctx, "SELECT 1").Err() }, driver.ErrOpenRows.Error()},
	"rows and an error": {func(ctx context.Context, q Querier) error {
		return errors.Join(q.QueryRowContext(ctx, "SELECT 1").Err(), errors.New("it does not want to"))
	}, "it does not want to (and " + driver.ErrOpenRows.Error() + ")"},
	"commit": {func(ctx context.Context, q Querier) error {
		_ = q.QueryRowContext(ctx, "COMMIT").Err() // which it keeps to itself
		return nil
	}, "COMMIT was refused: " + driver.ErrControl.Error()},
}

// Where a handler leaves rows open, or ends the transaction, it is the one that fails, and not the next,
// whose statement would find that; and nothing is stored.
func TestUntidyHandlers(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		for what, m := range misdeeds {
			project := func(ctx context.Context, tx *Tx, _ *Event) (Data, error) { return Data{}, m.do(ctx, tx) }
			for kind, add := range map[string]func(b *Broadcaster, c Config){
				"projector": func(b *Broadcaster, c Config) { b.Projector("Bad.one", project, nil, On("user.*", c)) },
				"processor": func(b *Broadcaster, c Config) {
					b.Processor("Bad.one", func(ctx context.Context, q Querier, e *Event) (*Command, error) {
						c, err := makesFriend(ctx, q, e)
						return c, errors.Join(err, m.do(ctx, q))
					}, On("user.*", c))
				},
				"dispatcher": func(b *Broadcaster, c Config) {
					b.Dispatcher("Bad.one", func(ctx context.Context, q Querier, _ *Event) ([]*Derived, error) {
						return []*Derived{{Type: "user.seen"}}, m.do(ctx, q)
					}, On("user.*.created", c))
				},
				"hook": func(b *Broadcaster, c Config) {
					b.Processor("Friends.make", makesFriend, On("user.*", Config{Priority: 1}))
					b.Hook("Bad.one", func(ctx context.Context, q Querier, _ *Command) (Data, error) {
						return Data{}, m.do(ctx, q)
					}, On("create.friend", c))
				},
			} {
				for retries, c := range map[string]Config{"once": {Priority: 1}, "twice": {Priority: 1, Retry: quick(2)}} {
					t.Run(what+" of a "+kind+" "+retries, func(t *testing.T) {
						b := newUsers()
						add(b, c)
						b.Projector("Log.write", logs("saw"), nil, On("*", Config{}))
						w := start(t, db, b)
						w.refused(&Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}, edda.Failed, kind+" Bad.one: "+m.want)
						w.nothing()
					})
				}
			}
		}
	})
}

// One that passes over an error of its statement has failed where the database has given up the
// transaction for that, and not the next one.
func TestHandlerPassesOverAnError(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Bad.one", func(ctx context.Context, tx *Tx, _ *Event) (Data, error) {
			_ = sqlFailing(ctx, tx)
			return Data{}, nil
		}, nil, On("user.*", Config{Priority: 1}))
		b.Projector("Log.write", logs("saw"), nil, On("*", Config{}))
		w := start(t, db, b)
		c := &Command{Type: "create.user", Data: staged(t, users, user{ID: "1"})}
		if db.Dialect().Name == "sqlite" {
			w.do(c)
			return
		}
		w.refused(c, edda.Failed, "projector Bad.one: "+driver.ErrRolledBack.Error())
		w.nothing()
	})
}

// Without a transaction it is the same, but for what is stored already.
func TestUntidyHandlersWithoutATransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		for what, m := range misdeeds {
			t.Run(what, func(t *testing.T) {
				b := newUsers()
				b.Projector("Bad.one", func(ctx context.Context, tx *Tx, _ *Event) (Data, error) { return Data{}, m.do(ctx, tx) }, nil, On("*", Config{Priority: 1}))
				b.Projector("Log.write", logs("saw"), nil, On("*", Config{}))
				w := start(t, db, b)
				w.refused(&Command{Type: "create.user", NoTransaction: true, Data: staged(t, users, user{ID: "1"})}, edda.Failed, "projector Bad.one: "+m.want)
				w.nothing()
			})
		}
	})
}

// An eventual handler that does so has its event for a dead letter, and those of others go on.
func TestUntidyEventualHandlers(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		for what, m := range misdeeds {
			t.Run(what, func(t *testing.T) {
				bad := func(ctx context.Context, q Querier, e *Event) error {
					if e.Key != "bad "+what {
						return nil
					}
					return m.do(ctx, q)
				}
				b := NewBroadcaster(edda.NewID(0, now()).String())
				b.Command(CommandSpec{Type: "create.user", Event: "user.created", Model: users})
				b.Validator("*", fine)
				write := journals(nil)
				b.Projector("One.by", func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
					if err := bad(ctx, tx, e); err != nil {
						return Data{}, err
					}
					return write(ctx, tx, e)
				}, nil, late(1, edda.Continue))
				b.BatchProjector("Many.at", func(ctx context.Context, tx *Tx, all []*Event) error {
					for _, e := range all {
						if err := bad(ctx, tx, e); err != nil {
							return err
						}
					}
					return nil
				}, nil, late(1, edda.Continue))
				b.Dispatcher("Dis.patch", func(ctx context.Context, q Querier, e *Event) ([]*Derived, error) { return nil, bad(ctx, q, e) }, late(1, edda.Continue))
				w := start(t, db, b)
				w.exec("DROP TABLE IF EXISTS journal")
				w.exec(journal)
				w.user("a "+what, "before")
				w.user("bad "+what, "bad")
				p := w.user("z "+what, "after").Position
				w.runLate()
				for _, h := range []string{"One.by", "Many.at", "Dis.patch"} {
					h = b.name + "/" + h
					w.wait(h, p)
					dead, err := w.DeadLetters(t.Context(), DeadLetterFilter{Handler: h})
					if err != nil || len(dead) != 1 || dead[0].Key != "bad "+what || !containsAll(dead[0].Error, m.want) {
						t.Errorf("the dead letters of %s are %+v, %v", h, dead, err)
					}
				}
				w.is("SELECT line FROM journal WHERE line <> 'bad' ORDER BY n", "before", "after")
			})
		}
	})
}
