package cqrs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/node"
)

// account has a number and a text in its key.
type account struct {
	Number int    `json:"number"`
	Bank   string `json:"bank"`
	Cents  int    `json:"cents"`
}

// hosted starts an app whose services a node hosts.
func hosted(t *testing.T, db driver.DB, o Options, bs ...*Broadcaster) (*world, *node.Node) {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	a, err := New(db, o, bs...)
	if err != nil {
		t.Fatal(err)
	}
	services := a.Services()
	for _, s := range services {
		s.Retry = edda.RetryPolicy{Max: 3, Delay: time.Millisecond}
	}
	n, err := node.Open(t.Context(), node.Options{Durability: edda.Memory, Services: services})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return &world{App: a, t: t, db: db.(sqlDB)}, n
}

// run starts the app, and makes the tables.
func (w *world) run() {
	w.t.Helper()
	w.tables()
	if err := w.Start(w.t.Context(), nil); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := w.Stop(context.WithoutCancel(w.t.Context())); err != nil {
			w.t.Error(err)
		}
	})
}

func call(ctx context.Context, n *node.Node, to, method, payload string) (*edda.Reply, error) {
	a, err := edda.ParseAddress(to)
	if err != nil {
		return nil, err
	}
	return n.Client().As("ann").Call(ctx, &edda.Message{
		To: a, Type: method, ContentType: "application/json", Payload: []byte(payload), CorrelationID: "story",
	})
}

// Requests are commands: key, id, principal and correlation are theirs, and the reply is the
// outcome.
func TestService(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Profile.save", profiles, nil, On("user.*", Config{}))
		w, n := hosted(t, db, Options{NoRelay: true}, b)
		first := make(chan error, 1)
		go func() { // before the start, it waits
			_, err := call(t.Context(), n, "Users/1", "create.user", `{"user_uuid":"1","email":"a"}`)
			first <- err
		}()
		w.run()
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		reply, err := call(t.Context(), n, "Users/1", "update.user.user_uuid", `{"email":"b"}`)
		if err != nil {
			t.Fatal(err)
		}
		var out Outcome
		if err := json.Unmarshal(reply.Payload, &out); err != nil {
			t.Fatal(err)
		}
		e := out.Event
		if out.Command != reply.RequestID || e.CommandID != reply.RequestID || e.CorrelationID != "story" || string(e.Metadata["principal"]) != `"ann"` ||
			e.Type != "user.1.updated" || e.Version != 2 || out.Position.IsZero() || string(e.Data) != `{"user_uuid":"1","email":"b"}` {
			t.Errorf("%+v %+v", out, e)
		}
		if _, err := call(t.Context(), n, "Users/1", "update.user.1", ""); err != nil {
			t.Error(err)
		}
		w.is("SELECT event_type || ' ' || version FROM edda_events ORDER BY seq", "user.1.created 1", "user.1.updated 2", "user.1.updated 3")
		w.is("SELECT email FROM profiles", "")
	})
}

func TestServiceRefuses(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		attempts := 0
		b := newUsers()
		b.Hook("Odd.fails", func(_ context.Context, _ Querier, c *Command) (Data, error) {
			attempts++
			switch c.Data.Keys()[0] {
			case "taken":
				return Data{}, errors.New("the e-mail is taken")
			case "final":
				return Data{}, edda.Final("TAKEN", "by bob")
			case "again":
				return Data{}, edda.Retry(time.Millisecond, "later")
			case "panic":
				panic("oh")
			case "conflict":
				return Data{}, &edda.Error{Reason: edda.Conflict, Err: errors.New("of the hook's own")}
			}
			return Data{}, nil
		}, On("*", Config{}))
		w, n := hosted(t, db, Options{NoRelay: true}, b)
		w.run()
		for _, c := range []struct {
			to, method, payload string
			attempts            int
			reason              edda.Reason
			want                string
		}{
			{"Users/1", "create.user", "[]", 0, edda.Failed, "SCHEMA: payload is a list, must be an object"},
			{"Users/1", "create.user", "{", 0, edda.Failed, "SCHEMA: payload is not JSON"},
			{"Users/1", "bury.user", "{}", 0, edda.Failed, "NO_METHOD: broadcaster Users has no command bury.user"},
			{"Users/1", "create.user", `{"user_uuid":"2"}`, 0, edda.Failed, `the request is for the key "1", but the data has the primary key "2"`},
			{"Users/1", "create.user", `{"email":1}`, 0, edda.Failed, "SCHEMA: stage User"},
			{"Users/1", "update.user.2", `{}`, 0, edda.Failed, "but its data makes that update.user.1"},
			{"Users/taken", "create.user", "{}", 1, edda.Failed, "the e-mail is taken"},
			{"Users/final", "create.user", "{}", 1, edda.Failed, "TAKEN: by bob"},
			{"Users/conflict", "create.user", "{}", 1, edda.Failed, "of the hook's own"},
			{"Users/again", "create.user", "{}", 3, edda.Dead, "later"},
			{"Users/panic", "create.user", "{}", 3, edda.Dead, "oh"},
		} {
			attempts = 0
			_, err := call(t.Context(), n, c.to, c.method, c.payload)
			if edda.ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.want) || attempts != c.attempts {
				t.Errorf("%s %s %s: %s after %d attempts: %v\nwant %s after %d: %s",
					c.to, c.method, c.payload, edda.ReasonOf(err), attempts, err, c.reason, c.attempts, c.want)
			}
		}
		w.nothing()
	})
}

// A conflict with a writer who does not come through the service is no fault of the
// request: it is tried again.
func TestServiceConflict(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		var w *world
		between := 2
		b := newUsers()
		b.Hook("A.slow", func(ctx context.Context, _ Querier, c *Command) (Data, error) {
			if between--; between < 0 {
				return Data{}, nil
			}
			_, err := db.(sqlDB).SQL().ExecContext(ctx, "INSERT INTO edda_aggregates (object, key, version) VALUES ('User', '1', 1)"+
				" ON CONFLICT (object, key) DO UPDATE SET version = edda_aggregates.version + 1")
			return Data{}, err
		}, On("*", Config{}))
		w, n := hosted(t, db, Options{NoRelay: true}, b)
		w.run()
		if _, err := call(t.Context(), n, "Users/1", "create.user", "{}"); err != nil {
			t.Fatal(err)
		}
		w.is("SELECT version FROM edda_events", "3")
	})
}

// Commands of one aggregate come one at a time, so nobody gets a conflict.
func TestServiceOrders(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Hook("A.hook", (func(context.Context, Querier, *Command) (Data, error) { return Data{}, nil }), On("*", Config{}))
		w, n := hosted(t, db, Options{NoRelay: true}, b)
		w.run()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if _, err := call(t.Context(), n, "Users/"+string(rune('a'+i%2)), "create.user", "{}"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.is("SELECT max(version) FROM edda_events", "10")
		if got := w.strings("SELECT DISTINCT run FROM edda_commands"); !slices.Equal(got, []string{"1"}) {
			t.Errorf("runs %s", got)
		}
	})
}

// The key's parts are put where the data has none, as what they are.
func TestServiceKeys(t *testing.T) {
	m := NewModel(ModelOptions[account]{Name: "Account", Key: []string{"bank", "number"}})
	anything := NewModel(ModelOptions[map[string]any]{Name: "Anything", Key: []string{"id"}})
	numbers := NewModel(ModelOptions[struct {
		ID float64 `json:"id"`
	}]{Name: "Number", Key: []string{"id"}})
	for _, c := range []struct {
		m                  *model
		key, payload, want string
	}{
		{m.core(), "north/7", "", `{"number":7,"bank":"north","cents":0}`},
		{m.core(), "7/7", `{"bank":null,"cents":1}`, `{"number":7,"bank":"7","cents":1}`},
		{m.core(), "7/7", `{"bank":"7","number":7,"more":1}`, `{"number":7,"bank":"7","cents":0}`},
		{m.core(), "north", "{}", "has 1 parts, must have 2: bank/number"},
		{m.core(), "north/x", "{}", "cannot unmarshal"},
		{m.core(), "north/7/8", "{}", "has 3 parts"},
		{anything.core(), "a/7", "{}", `{"id":"a/7"}`},
		{anything.core(), "7", "{}", `{"id":"7"}`},
		{anything.core(), "7", `{"id":7}`, `{"id":7}`},
		{numbers.core(), "7.5", "", `{"id":7.5}`},
		{numbers.core(), "7.0", "", `the data has the primary key "7"`},
	} {
		d, err := c.m.fromRequest(&edda.Message{To: edda.Address{Name: "x", Key: c.key}, Payload: []byte(c.payload)})
		got := string(d.raw)
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("key %s of %s: got %s, want %s", c.key, c.payload, got, c.want)
		}
	}
}

// Each broadcaster of the profile has a service, and no other.
func TestServices(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		odd := NewBroadcaster("Odd")
		odd.Command(CommandSpec{Type: "say it", Event: "said", Model: users})
		odd.Command(CommandSpec{Type: "say.x", Event: "said", Model: users})
		odd.Command(CommandSpec{Type: "say.:x", Event: "said", Model: users})
		odd.Validator("*", fine)
		a, err := New(db, Options{Namespace: "ns", Name: "app"}, newUsers(), odd, NewBroadcaster("Empty"))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range a.Services() {
			names = append(names, s.Namespace+" "+s.Name+" "+string(s.Kind))
			if err := s.Validate(); err != nil {
				t.Error(err)
			}
		}
		want := []string{"ns Users ordered", "ns Odd ordered", "ns Empty ordered", "ns cqrs.app balanced"}
		if !slices.Equal(names, want) {
			t.Errorf("services %q, want %q", names, want)
		}
		if a, err = New(db, Options{Profile: []string{"Odd"}}, newUsers(), odd); err != nil {
			t.Fatal(err)
		}
		if s := a.Services(); len(s) != 2 || s[0].Name != "Odd" || s[1].Name != "cqrs.cqrs" {
			t.Errorf("services %v", s)
		}
	})
}
