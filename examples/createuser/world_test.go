package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/channel"
	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/eddatest"
	"github.com/edda-io/edda/examples/createuser/party"
	"github.com/edda-io/edda/internal/pgtest"
	"github.com/edda-io/edda/node"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// short is a timeout for steps that hang. On a busy machine others may take longer, too.
const short = 300 * time.Millisecond

// onEach runs a test on each database.
func onEach(t *testing.T, f func(w *world)) {
	t.Helper()
	onEachWith(t, time.Minute, f)
}

// onEachWith is onEach with a timeout for hooks and handlers.
func onEachWith(t *testing.T, timeout time.Duration, f func(w *world)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(newWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "users.db"), timeout)) })
	t.Run("postgres", func(t *testing.T) { f(newWorld(t, pgtest.Open(t), timeout)) })
}

// world is the example on a database, with a node in memory and a third party.
type world struct {
	*testing.T

	db    database
	node  *node.Node
	app   *cqrs.App
	party *party.Party
	flow  *flow
}

func newWorld(t *testing.T, where string, timeout time.Duration) *world {
	t.Helper()
	w := &world{T: t, party: &party.Party{}}
	third := httptest.NewServer(w.party)
	t.Cleanup(third.Close)
	var err error
	if w.db, err = openDatabase(t.Context(), where); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.must(w.db.Close()) })
	w.flow = &flow{party: party.Client{URL: third.URL}, trouble: &trouble{}, timeout: timeout}
	if w.app, err = cqrs.New(w.db, cqrs.Options{Name: "createuser", Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}, w.flow.broadcaster()); err != nil {
		t.Fatal(err)
	}
	w.node = eddatest.Start(t, w.app.Services()...).Node
	if err := w.app.Start(t.Context(), w.node); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.must(w.app.Stop(context.WithoutCancel(t.Context()))) })
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Error(err)
	}
}

// command is one that creates a user, and has a step go wrong.
func (w *world) command(u User, trouble string) *cqrs.Command {
	w.Helper()
	data, err := users.Stage(u)
	if err != nil {
		w.Fatal(err)
	}
	c := &cqrs.Command{ID: edda.NewID(0, time.Now()), Type: "create.user", Data: data}
	if trouble != "" {
		c.Metadata = map[string]json.RawMessage{"trouble": edda.JSON(trouble)}
	}
	return c
}

// create creates a user.
func (w *world) create(u User) *cqrs.Outcome {
	w.Helper()
	out, err := w.app.Do(w.Context(), w.command(u, ""))
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// undone waits until the saga of a command has undone what it did.
func (w *world) undone(c edda.ID) {
	w.Helper()
	if s := w.saga(c); s == nil {
		w.Error("no saga was begun")
	} else if s.State != edda.SagaCompensated {
		w.Errorf("the saga of the calls is %s, want %s", s.State, edda.SagaCompensated)
	}
}

// heard returns the types of the events that the channel has had until the one of an
// outcome, which must come.
func (w *world) heard(last *cqrs.Outcome) []string {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	var types []string
	for m, err := range channel.Subscribe(ctx, w.node, edda.Subscribe{Channel: "users", From: edda.FromStart}) {
		if err != nil {
			w.Fatalf("after %q: %v", types, err)
		}
		var e cqrs.Event
		if err := json.Unmarshal(m.Message.Payload, &e); err != nil {
			w.Fatal(err)
		}
		if e.Type != m.Message.Type {
			w.Errorf("the message of type %q carries an event of type %q", m.Message.Type, e.Type)
		}
		types = append(types, e.Type)
		if e.ID == last.Event.ID {
			break
		}
	}
	return types
}

// tables returns what is stored, once the logger has seen the outcome.
func (w *world) tables(after *cqrs.Outcome) stored {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	if err := w.app.Wait(ctx, "users/Logger.log", after.Position); err != nil {
		w.Fatal(err)
	}
	s, err := read(ctx, w.db.SQL())
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// wants fails the test unless two lists are the same.
func wants[T comparable](w *world, what string, got []T, want ...T) {
	w.Helper()
	if !slices.Equal(got, want) {
		w.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// told returns what the third party was told, each as "join Ada".
func (w *world) told() []string {
	var all []string
	for _, t := range w.party.Told() {
		all = append(all, strings.TrimSpace(t.What+" "+t.Name))
	}
	return all
}
