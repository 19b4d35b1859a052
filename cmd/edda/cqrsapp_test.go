package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/client"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/cqrs/sqlitedb"
	"github.com/edda-io/edda/worker"
)

// cqrsApp is an app of package cqrs, in a process of its own as far as its node can tell: users
// and their lists of friends, whose mail cannot be sent when their address bounces.
type cqrsApp struct {
	*cqrs.App
	t  *testing.T
	db *sqlitedb.DB
}

type appUser struct {
	ID    string `json:"user_uuid"`
	Email string `json:"email"`
	Ref   string `json:"ref,omitempty"`
}

type appFriends struct {
	ID   string `json:"list_uuid"`
	User string `json:"user_uuid"`
}

func appBroadcaster() *cqrs.Broadcaster {
	users := cqrs.NewModel(cqrs.ModelOptions[appUser]{Name: "User", Key: []string{"user_uuid"}})
	lists := cqrs.NewModel(cqrs.ModelOptions[appFriends]{Name: "FriendList", Key: []string{"list_uuid"}})
	b := cqrs.NewBroadcaster("Users")
	b.Command(cqrs.CommandSpec{Type: "create.user", Event: "user.:user_uuid.created", Model: users, Calls: []cqrs.Call{{
		Name:  "crm",
		Do:    func(context.Context, *cqrs.Called) (any, error) { return map[string]string{"ref": "crm-7"}, nil },
		Undo:  func(context.Context, *cqrs.Called) error { return nil },
		Merge: cqrs.Merge{True: true},
	}}})
	b.Command(cqrs.CommandSpec{Type: "create.friend_list", Event: "friend_list.created", Model: lists})
	b.Validator("create.*", func(context.Context, *cqrs.Command) error { return nil })
	b.Hook("Users.isUnique", func(context.Context, cqrs.Querier, *cqrs.Command) (cqrs.Data, error) { return cqrs.Data{}, nil },
		cqrs.On("*", cqrs.Config{Priority: 9}), cqrs.On("create.user", cqrs.Config{Priority: 1, ExpectsInput: cqrs.Objects{"User"}}))
	b.Projector("Profiles.save", cqrs.Projects(func(ctx context.Context, tx *cqrs.Tx, _ *cqrs.Event, u *appUser) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO "+tx.Table("profiles")+" (id, email) VALUES ($1, $2)", u.ID, u.Email)
		return err
	}), []cqrs.Table{"profiles"}, cqrs.On("user.*", cqrs.Config{Priority: 1}))
	b.Processor("Friends.make", func(_ context.Context, _ cqrs.Querier, e *cqrs.Event) (*cqrs.Command, error) {
		var u appUser
		if err := e.Decode(&u); err != nil {
			return nil, err
		}
		d, err := lists.Stage(appFriends{ID: "list-" + u.ID, User: u.ID})
		return &cqrs.Command{Type: "create.friend_list", Data: d}, err
	}, cqrs.On("user.:user_uuid.created", cqrs.Config{Priority: 2, DispatchesCommand: "create.friend_list"}))
	later := cqrs.Config{Consistency: cqrs.Eventual, Retry: edda.RetryPolicy{Max: 1}}
	b.Projector("Log.write", func(context.Context, *cqrs.Tx, *cqrs.Event) (cqrs.Data, error) { return cqrs.Data{}, nil }, nil, cqrs.On("*", later))
	b.Projector("Mail.send", func(_ context.Context, _ *cqrs.Tx, e *cqrs.Event) (cqrs.Data, error) {
		var u appUser
		if err := e.Decode(&u); err != nil {
			return cqrs.Data{}, err
		}
		if u.Email == "bounce@example.com" {
			return cqrs.Data{}, errors.New("nobody lives there")
		}
		return cqrs.Data{}, nil
	}, nil, cqrs.On("user.*", later))
	return b
}

// hostApp hosts the app under a name at a node.
func hostApp(t *testing.T, url, name string) *cqrsApp {
	t.Helper()
	db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "app.db"), sqlitedb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.SQL().ExecContext(t.Context(), "CREATE TABLE profiles (id TEXT PRIMARY KEY, email TEXT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	a, err := cqrs.New(db, cqrs.Options{Name: name, Logger: slog.New(slog.DiscardHandler)}, appBroadcaster())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := client.Dial(url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	there := make(chan string, 1)
	o := worker.Options{OnConnect: func(node string) {
		select {
		case there <- node:
		default:
		}
	}}
	var wg sync.WaitGroup
	wg.Go(func() { _ = o.Run(ctx, url, a.Services()...) })
	t.Cleanup(func() {
		end()
		wg.Wait()
		if err := errors.Join(a.Stop(context.Background()), conn.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-there:
	case <-time.After(appPatience):
		t.Fatalf("waited %v for the worker of the app %s to be registered at %s", appPatience, name, url)
	}
	return &cqrsApp{App: a, t: t, db: db}
}

// appPatience is how long the app may take to be connected, and one of its eventual handlers to
// come to an event: far longer than that takes on a machine that has other things to do.
const appPatience = 2 * time.Minute

// settle waits until the eventual handlers have come to all that there is, and have tried again
// what a person has told them to.
func (a *cqrsApp) settle() {
	a.t.Helper()
	page, err := a.Events(a.t.Context(), cqrs.EventFilter{Limit: 1})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, e := range page.Items {
		a.await("Users/Log.write", e.Position)
		a.await("Users/Mail.send", e.Position)
	}
	letters, err := a.DeadLetters(a.t.Context(), cqrs.DeadLetterFilter{Waiting: true})
	if err != nil {
		a.t.Fatal(err)
	}
	for _, l := range letters {
		a.await(l.Handler, l.Position)
	}
}

// await waits until a handler is done with an event, or it has become a dead letter.
func (a *cqrsApp) await(handler string, p cqrs.Position) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), appPatience)
	defer cancel()
	err := a.Wait(ctx, handler, p)
	if err == nil || edda.ReasonOf(err) == edda.Dead {
		return
	}
	var at strings.Builder
	all, failed := a.Projections(a.t.Context())
	for i := range all {
		fmt.Fprintf(&at, "\n%+v", all[i])
	}
	a.t.Fatalf("waited up to %v for %s to come to the event at %v: %v\nthe handlers are (%v):%s", appPatience, handler, p, err, failed, &at)
}

// tamper changes the user's own tables.
func (a *cqrsApp) tamper(statement string) {
	a.t.Helper()
	if _, err := a.db.SQL().ExecContext(a.t.Context(), statement); err != nil {
		a.t.Fatal(err)
	}
}
