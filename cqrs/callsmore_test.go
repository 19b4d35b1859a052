package cqrs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/node"
)

// TestCreateUserNodeStops stops the node at each step that it runs. When it comes back, the
// calls are undone.
func TestCreateUserNodeStops(t *testing.T) {
	undone := []string{"do join", "do mail", "undo mail", "undo join"}
	onBoth(t, func(t *testing.T, db driver.DB) {
		for place, heard := range map[string][]string{
			"join": {"undo join"}, "join told": {"do join", "undo join"}, "mail told": undone,
			"after": undone, "projector": undone, "processor": undone, "child": undone,
		} {
			t.Run(place, func(t *testing.T) {
				o := node.Options{Dir: t.TempDir()}
				f := &flow{partner: &partner{}, faults: &faults{}}
				h := hostWith(t, &faultyDB{DB: db}, f, o)
				id := newID()
				var stopping sync.WaitGroup
				f.faults.set(place, id, once(func(ctx context.Context, _ *Tx) error {
					stopping.Go(func() {
						cut, cancel := context.WithCancel(t.Context())
						cancel()
						if err := h.node.Stop(cut); err != nil {
							t.Error(err)
						}
					})
					<-ctx.Done()
					return ctx.Err()
				}))
				_, err := h.Do(t.Context(), h.create(id))
				if err == nil {
					t.Error("the command succeeded while the node went away")
				}
				stopping.Wait()
				if err := h.Stop(t.Context()); err != nil {
					t.Fatal(err)
				}
				h = hostWith(t, h.db, f, o)
				h.heard(id, 1, heard...)
				h.notStored(id)
				h.do(h.create(id))
				h.heard(id, 2, "do join", "do mail")
				h.stored(id)
			})
		}
	})
}

// TestStopLeavesCommands stops an app while a command waits for a step that nobody runs any more.
func TestStopLeavesCommands(t *testing.T) {
	h := newHost(t, onSQLite(t))
	id := newID()
	begun, release := make(chan struct{}), make(chan struct{})
	h.flow.faults.set("mail", id, once(func(context.Context, *Tx) error {
		close(begun)
		<-release // whatever its context says
		return nil
	}))
	failed := make(chan error, 1)
	go func() {
		_, err := h.Do(context.WithoutCancel(t.Context()), h.create(id))
		failed <- err
	}()
	<-begun
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- h.Stop(cut) }()
	if err := <-failed; edda.ReasonOf(err) != edda.Unavailable || !strings.Contains(err.Error(), "the app was stopped") {
		t.Errorf("Do returned %v", err)
	}
	close(release)
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("Stop returned %v", err)
	}
	h.notStored(id)
}

// TestCommitIsLost loses the answer to a commit of a command without calls.
func TestCommitIsLost(t *testing.T) {
	update := func(t *testing.T, id edda.ID) *Command {
		return &Command{ID: id, Type: "update.user", Data: staged(t, users, user{ID: id.String(), Email: "eve@example.org"})}
	}
	onBoth(t, func(t *testing.T, db driver.DB) {
		h := newHost(t, db)
		t.Run("stored", func(t *testing.T) {
			h.t = t
			id := newID()
			h.db.nextCommit(lostAfter)
			out := h.do(update(t, id))
			if out.Replayed || out.Event == nil || out.Position == (Position{}) {
				t.Errorf("the outcome is %+v", out)
			}
			if again := h.do(update(t, id)); !again.Replayed || again.Event.ID != out.Event.ID {
				t.Errorf("repeated, the outcome is %+v", again)
			}
		})
		t.Run("not stored", func(t *testing.T) {
			h.t = t
			id := newID()
			h.db.nextCommit(lostBefore)
			h.refused(update(t, id), edda.Unavailable, "it was not stored")
			h.notStored(id)
			if out := h.do(update(t, id)); out.Replayed {
				t.Errorf("repeated, the outcome is %+v", out)
			}
			h.is("SELECT status FROM edda_commands WHERE run = 2 AND command_uuid = '"+id.String()+"'", "committed")
		})
	})
}

// goneDB is a database that cannot be reached any more.
type goneDB struct{ driver.DB }

// Transact implements driver.DB.
func (goneDB) Transact(context.Context, driver.TxOptions, func(context.Context, *Tx) error) error {
	return errors.New("there is no database")
}

// TestCommitIsLostWithItsDatabase asks a database that is gone what became of a commit.
func TestCommitIsLostWithItsDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newUsers()
		table, err := newTable([]*Broadcaster{b}, nil)
		if err != nil {
			t.Fatal(err)
		}
		a := &App{db: goneDB{}, table: table}
		x, err := a.newExecution(&Command{Type: "create.user", Data: staged(t, users, user{ID: "7", Email: "ann@example.org"})})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // whose end does not keep anybody from looking
		began := time.Now()
		_, err = a.resolve(ctx, x, driver.ErrUnknown)
		if edda.ReasonOf(err) != edda.OutcomeUnknown || time.Since(began) != settleWithin {
			t.Errorf("after %s it ended with %v (%s), want %s after %s", time.Since(began), err, edda.ReasonOf(err), edda.OutcomeUnknown, settleWithin)
		}
	})
}

// TestCallsOfServices has the calls made by a service, as in any language.
func TestCallsOfServices(t *testing.T) {
	db := onSQLite(t)
	var mu sync.Mutex
	var heard []string
	third := edda.NewBalanced("partner")
	method := func(name string, result any) {
		edda.Handle(third, name, func(_ *edda.Context, in edda.StepInput) (any, error) {
			var c Called
			if err := json.Unmarshal(in.Args[0], &c); err != nil {
				return nil, err
			}
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, fmt.Sprintf("%s %s %s", name, strings.TrimPrefix(c.ID, c.Command.String()), in.Dependencies))
			if err, is := result.(error); is {
				return nil, err
			}
			return result, nil
		})
	}
	method("join", map[string]string{"ref": "R-1"})
	method("leave", nil)
	method("mail", true)
	method("forget", nil)
	method("pay", edda.Final("NO_FUNDS", "the account is empty"))
	b := NewBroadcaster("Users")
	join := Call{Name: "join", Service: "partner", Method: "join", UndoMethod: "leave", Merge: Merge{True: true}}
	mail := Call{Name: "mail", Service: "partner", Method: "mail", UndoMethod: "forget"}
	b.Command(CommandSpec{Type: "create.user", Event: "user.created", Model: users, Calls: []Call{join, mail}})
	b.Command(CommandSpec{Type: "sell.user", Event: "user.sold", Model: users, Calls: []Call{
		join, mail, {Name: "pay", Service: "partner", Method: "pay"},
	}})
	b.Validator("*", fine)
	a, err := New(db, Options{NoRelay: true, Logger: slog.New(slog.DiscardHandler)}, b)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), node.Options{
		Durability: edda.Memory, Partitions: 1, Services: append(a.Services(), third), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Stop(context.WithoutCancel(t.Context())) })
	if err := a.Start(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop(context.WithoutCancel(t.Context())) })
	id := newID()
	data := staged(t, users, user{ID: "7", Email: "ann@example.org"})
	out, err := a.Do(t.Context(), &Command{ID: id, Type: "create.user", Data: data})
	if err != nil || refOf(out.Event.Data) != "R-1" || !slices.Equal(out.Event.Saga, []string{"join", "mail"}) {
		t.Errorf("the outcome is %+v (%v)", out, err)
	}
	sold := newID()
	_, err = a.Do(t.Context(), &Command{ID: sold, Type: "sell.user", Data: data})
	if edda.ReasonOf(err) != edda.Failed || !strings.Contains(err.Error(), "NO_FUNDS: the account is empty") {
		t.Errorf("Do returned %v", err)
	}
	if _, err := n.WaitSaga(t.Context(), edda.DefaultNamespace, sagaID(sold, 1)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"join .1.join []", `mail .1.mail [{"ref":"R-1"}]`,
		"join .1.join []", `mail .1.mail [{"ref":"R-1"}]`, `pay .1.pay [{"ref":"R-1"} true]`,
		"forget .1.mail [true]", `leave .1.join [{"ref":"R-1"}]`,
	}
	if diff := cmp.Diff(want, heard); diff != "" {
		t.Errorf("the service heard (-want +got)\n%s", diff)
	}
}

// TestCallsOfLists merges the result of a call into the items of a list.
func TestCallsOfLists(t *testing.T) {
	h := newHost(t, onSQLite(t))
	h.flow.merge = Merge{Zip: "user_uuid"}
	h = hostWith(t, h.db, h.flow, node.Options{Durability: edda.Memory})
	h.flow.onResult = func(call string) any {
		if call != "join" {
			return nil
		}
		return []map[string]string{{"user_uuid": "b", "ref": "R-b"}, {"user_uuid": "a", "ref": "R-a"}}
	}
	h.flow.onFriends = func() bool { return false }
	out := h.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "a", Email: "a@x"}, user{ID: "b", Email: "b@x"})})
	var all []user
	if err := out.Event.Decode(&all); err != nil || len(all) != 2 || all[0].Ref != "R-a" || all[1].Ref != "R-b" {
		t.Errorf("the event has %+v (%v)", all, err)
	}
}

func TestCallsAreChecked(t *testing.T) {
	do := func(context.Context, *Called) (any, error) { return nil, errors.New("unused") }
	for want, c := range map[string]Call{
		"the name is that of the step after the calls": {Name: "commit", Do: do},
		"it has neither Do nor Service":                {Name: "join"},
		"it has functions and a service":               {Name: "join", Do: do, Service: "partner", Method: "join"},
		"it has a service and no method":               {Name: "join", Service: "partner"},
		`call "a b" must be a letter or digit`:         {Name: "a b", Do: do},
	} {
		b := NewBroadcaster("Users")
		b.Command(CommandSpec{Type: "create.user", Event: "user.created", Model: users, Calls: []Call{c}})
		b.Validator("*", fine)
		_, err := New(onSQLite(t), Options{}, b)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New returned %v, want one that says %q", err, want)
		}
	}
}
