package cqrs_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda/cqrs"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/pgdb"
	"github.com/edda-io/edda/cqrs/sqlitedb"
	"github.com/edda-io/edda/eddatest"
	"github.com/edda-io/edda/internal/pgtest"
)

// fixture is the object that the fixtures of spool-broadcast are about.
type fixture struct {
	UUID string `json:"test_uuid"`
	Name string `json:"name"`
}

var fixtureModel = cqrs.NewModel(cqrs.ModelOptions[fixture]{Name: "TestModel", Key: []string{"test_uuid"}})

// fixtureWiring is how the fixtures are wired: as data, in the form of spool-broadcast.
const fixtureWiring = `{
  "hooks": {"TestHook": {"broadcasters": {"TestBroadcaster": {
    "create.test": {"create": {"lifecycle": "before", "config": {"priority": 1, "expects_input": "TestModel", "merge": true, "expects_response": "TestModel"}}},
    "create.:test_uuid.test": {
      "create": {"lifecycle": "before", "config": {"priority": 1, "expects_input": "TestModel", "merge": true, "expects_response": "TestModel"}},
      "satisfy": {"lifecycle": "after", "config": {"priority": 1, "expects_input": "TestModel", "merge": true, "expects_response": "TestModel"}}
    },
    "*.test": {"proper": {"lifecycle": "before", "config": {"priority": 2, "expects_input": ["TestModel", "TestModel.list"]}}}
  }}}},
  "processors": {"TestProcessor": {"broadcasters": {"TestBroadcaster": {
    "test.:test_uuid.created": {"update": {"consistency": "strong", "config": {"priority": 2, "expects_input": "TestModel",
      "dispatches_command": "update.test.:test_uuid", "expects_response": "TestModel", "expects_output": "TestModel", "data": {"merge": true}}}},
    "test.listed": {"number": {"consistency": "strong", "config": {"priority": 1, "expects_input": "TestModel.list",
      "dispatches_command": "number.test.list", "expects_response": "TestModel.list", "data": {"zip": {"on": "test_uuid"}}}}}
  }}}},
  "projectors": {"TestProjector": {"broadcasters": {"TestBroadcaster": {
    "test.:crud": {"save": {"consistency": "strong", "config": {"priority": 3, "expects_input": ["TestModel", "TestModel.list"]}}},
    "test.:test_uuid.created": {
      "save": {"consistency": "strong", "config": {"priority": 1, "expects_input": "TestModel", "expects_output": "TestModel"}},
      "logger": {"consistency": "eventual", "config": {"priority": 3, "expects_input": "TestModel"}}
    },
    "test.:test_uuid.test.:test_uuid.created": {
      "save": {"consistency": "strong", "config": {"priority": 1, "expects_input": "TestModel"}},
      "logger": {"consistency": "eventual", "config": {"priority": 3, "expects_input": "TestModel"}}
    },
    "test.:test_uuid.updated": {"save": {"consistency": "strong", "config": {"priority": 1}}},
    "test.:test_uuid.destroyed": {"remove": {"consistency": "strong", "config": {"priority": 1}}},
    "test.*": {"wild": {"consistency": "eventual", "config": {"priority": 255, "expects_input": "*", "expects_response": "*", "expects_output": "*"}}}
  }}}}
}`

// fixtures is a TestBroadcaster, and another one whose processors command it.
type fixtures struct {
	*testing.T

	db   *sql.DB
	app  *cqrs.App
	node *eddatest.Node
}

// onFixtures runs a test with the fixtures on each database.
func onFixtures(t *testing.T, test func(f *fixtures)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqlitedb.Open(filepath.Join(t.TempDir(), "test.db"), sqlitedb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		test(newFixtures(t, db, db.SQL()))
	})
	t.Run("postgres", func(t *testing.T) {
		db, err := pgdb.Open(t.Context(), pgtest.Open(t), pgdb.Options{})
		if err != nil {
			t.Fatal(err)
		}
		test(newFixtures(t, db, db.SQL()))
	})
}

func newFixtures(t *testing.T, db driver.DB, reads *sql.DB) *fixtures {
	t.Helper()
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	f := &fixtures{T: t, db: reads}
	for _, statement := range []string{
		"CREATE TABLE tests (test_uuid TEXT PRIMARY KEY, name TEXT NOT NULL)",
		"CREATE TABLE test_log (handler TEXT NOT NULL, event_uuid TEXT NOT NULL, event_type TEXT NOT NULL)",
	} {
		if _, err := reads.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	var w cqrs.Wiring
	if err := json.Unmarshal([]byte(fixtureWiring), &w); err != nil {
		t.Fatal(err)
	}
	var err error
	if f.app, err = cqrs.New(db, cqrs.Options{Wiring: &w}, f.test(), f.other()); err != nil {
		t.Fatal(err)
	}
	f.node = eddatest.Start(t, f.app.Services()...)
	if err := f.app.Start(t.Context(), f.node.Node); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.app.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return f
}

// test is the TestBroadcaster, whose handlers have no routes but those of the wiring.
func (f *fixtures) test() *cqrs.Broadcaster {
	b := cqrs.NewBroadcaster("TestBroadcaster")
	for typ, event := range map[string]string{
		"create.test":                             "test.created",
		"create.:test_uuid.test":                  "test.:test_uuid.created",
		"create.:test_uuid.test.:test_uuid.inner": "test.:test_uuid.test.:test_uuid.created",
		"update.test.:test_uuid":                  "test.:test_uuid.updated",
		"destroy.test.:test_uuid":                 "test.:test_uuid.destroyed",
		"list.test":                               "test.listed",
		"number.test.list":                        "test.numbered.list",
	} {
		b.Command(cqrs.CommandSpec{Type: typ, Event: event, Model: fixtureModel})
	}
	b.Validator("*", func(_ context.Context, c *cqrs.Command) error {
		if c.Data.Object() == "" {
			return errors.New("there is no data")
		}
		return nil
	})
	b.Hook("TestHook.create", rename("created"))
	b.Hook("TestHook.satisfy", rename("satisfied"))
	b.Hook("TestHook.proper", func(_ context.Context, _ cqrs.Querier, c *cqrs.Command) (cqrs.Data, error) {
		if strings.Contains(string(c.Data.JSON()), "improper") {
			return cqrs.Data{}, errors.New("that is improper")
		}
		return cqrs.Data{}, nil
	})
	b.Processor("TestProcessor.update", f.update)
	b.Processor("TestProcessor.number", number)
	b.Projector("TestProjector.save", f.save, nil)
	b.Projector("TestProjector.remove", cqrs.Projects(func(ctx context.Context, tx *cqrs.Tx, _ *cqrs.Event, v *fixture) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM tests WHERE test_uuid = $1", v.UUID)
		return err
	}), nil)
	b.Projector("TestProjector.logger", logs("logger"), nil)
	b.Projector("TestProjector.wild", logs("wild"), nil)
	return b
}

// rename has a hook append to the name.
func rename(what string) cqrs.HookFunc {
	return func(_ context.Context, _ cqrs.Querier, c *cqrs.Command) (cqrs.Data, error) {
		var v fixture
		if err := json.Unmarshal(c.Data.JSON(), &v); err != nil {
			return cqrs.Data{}, err
		}
		v.Name += " " + what
		return fixtureModel.Stage(v)
	}
}

// update makes the command that updates what was created.
func (f *fixtures) update(_ context.Context, _ cqrs.Querier, e *cqrs.Event) (*cqrs.Command, error) {
	var v fixture
	if err := e.Decode(&v); err != nil {
		return nil, err
	}
	v.Name += " updated"
	data, err := fixtureModel.Stage(v)
	return &cqrs.Command{Type: "update.test.:test_uuid", Data: data}, err
}

// number makes the command that numbers what was listed, the last one first.
func number(_ context.Context, _ cqrs.Querier, e *cqrs.Event) (*cqrs.Command, error) {
	var vs []fixture
	if err := e.Decode(&vs); err != nil {
		return nil, err
	}
	for i := range vs {
		vs[i].Name += fmt.Sprint(i)
	}
	slices.Reverse(vs)
	data, err := fixtureModel.StageList(vs)
	return &cqrs.Command{Type: "number.test.list", Data: data}, err
}

// save saves one or all of a list, and returns what it has saved.
func (f *fixtures) save(ctx context.Context, tx *cqrs.Tx, e *cqrs.Event) (cqrs.Data, error) {
	var vs []fixture
	if e.List() {
		if err := e.Decode(&vs); err != nil {
			return cqrs.Data{}, err
		}
	} else {
		vs = make([]fixture, 1)
		if err := e.Decode(&vs[0]); err != nil {
			return cqrs.Data{}, err
		}
	}
	for _, v := range vs {
		_, err := tx.ExecContext(ctx, "INSERT INTO tests (test_uuid, name) VALUES ($1, $2) ON CONFLICT (test_uuid) DO UPDATE SET name = excluded.name", v.UUID, v.Name)
		if err != nil {
			return cqrs.Data{}, err
		}
	}
	if strings.HasPrefix(vs[0].Name, "half") {
		return cqrs.Data{}, errors.New("it shall fail")
	}
	if e.List() {
		return fixtureModel.StageList(vs)
	}
	return fixtureModel.Stage(vs[0])
}

// logs writes a line for each event that a projector has.
func logs(handler string) cqrs.ProjectFunc {
	return func(ctx context.Context, tx *cqrs.Tx, e *cqrs.Event) (cqrs.Data, error) {
		_, err := tx.ExecContext(ctx, "INSERT INTO test_log (handler, event_uuid, event_type) VALUES ($1, $2, $3)", handler, e.ID.String(), e.Type)
		return cqrs.Data{}, err
	}
}

// other is a broadcaster whose event has objects of the TestBroadcaster created, updated
// and destroyed.
func (f *fixtures) other() *cqrs.Broadcaster {
	b := cqrs.NewBroadcaster("OtherBroadcaster")
	b.Command(cqrs.CommandSpec{Type: "play.all", Event: "all.played", Model: fixtureModel})
	b.Validator("play.all", cqrs.Check(func(*fixture) error { return nil }))
	for i, typ := range []string{"create.test", "update.test.:test_uuid", "destroy.test.:test_uuid"} {
		b.Processor("Play."+strings.Split(typ, ".")[0], func(_ context.Context, _ cqrs.Querier, e *cqrs.Event) (*cqrs.Command, error) {
			var v fixture
			if err := e.Decode(&v); err != nil {
				return nil, err
			}
			v.UUID += "-played"
			if v.Name == "half" && i != 1 {
				v.Name = "whole" // so the second one fails, when the first is done
			}
			data, err := fixtureModel.Stage(v)
			return &cqrs.Command{Type: typ, Data: data}, err
		}, cqrs.On("all.played", cqrs.Config{Priority: i + 1, DispatchesCommand: typ}))
	}
	return b
}

// do runs a command about one object, or several.
func (f *fixtures) do(typ string, change func(*cqrs.Command), vs ...fixture) (*cqrs.Outcome, error) {
	f.Helper()
	data, err := fixtureModel.Stage(vs[0])
	if len(vs) > 1 {
		data, err = fixtureModel.StageList(vs)
	}
	if err != nil {
		f.Fatal(err)
	}
	c := &cqrs.Command{Type: typ, Data: data}
	if change != nil {
		change(c)
	}
	return f.app.Do(f.Context(), c)
}

// must is do for what must succeed.
func (f *fixtures) must(typ string, vs ...fixture) *cqrs.Outcome {
	f.Helper()
	out, err := f.do(typ, nil, vs...)
	if err != nil {
		f.Fatal(err)
	}
	return out
}

// strings returns the first column of a query, in its order.
func (f *fixtures) strings(query string) []string {
	f.Helper()
	rows, err := f.db.QueryContext(f.Context(), query)
	if err != nil {
		f.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			f.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		f.Fatal(err)
	}
	return all
}

// has fails the test unless a query returns this.
func (f *fixtures) has(query string, want ...string) {
	f.Helper()
	if got := f.strings(query); !slices.Equal(got, want) {
		f.Errorf("%s: got %q, want %q", query, got, want)
	}
}

// Queries of the fixtures.
const (
	names      = "SELECT name FROM tests ORDER BY test_uuid"
	eventTypes = "SELECT event_type FROM edda_events ORDER BY tx, seq"
	logLines   = "SELECT handler || ' ' || event_type FROM test_log ORDER BY handler, event_type"
)

// seen waits until the eventual handlers have seen an outcome.
func (f *fixtures) seen(out *cqrs.Outcome) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 30*time.Second)
	defer cancel()
	for _, h := range []string{"TestBroadcaster/TestProjector.logger", "TestBroadcaster/TestProjector.wild"} {
		if err := f.app.Wait(ctx, h, out.Position); err != nil {
			f.Fatal(err)
		}
	}
}

// test.created is matched by test.:crud and test.*, and each handler runs once.
func TestFixtureCrud(t *testing.T) {
	onFixtures(t, func(f *fixtures) {
		out := f.must("create.test", fixture{"1", "test"})
		if e := out.Event; e.Type != "test.created" || e.Pattern != "test.created" || !slices.Equal(e.Chain, []string{"TestProjector.save"}) {
			f.Errorf("got %s of pattern %s through %q", e.Type, e.Pattern, e.Chain)
		}
		f.seen(out)
		f.has(names, "test created")
		f.has(logLines, "wild test.created")

		_, err := f.do("create.test", nil, fixture{"2", "improper"})
		if err == nil || !strings.Contains(err.Error(), "that is improper") {
			f.Errorf("got %v, want the hook on *.test to refuse it", err)
		}
		f.has(names, "test created")
	})
}

// The parameter of a type is filled from the data; hooks run before and after, a processor
// between the projectors that match, and the last version of the name is the one that is there.
func TestFixtureParameter(t *testing.T) {
	onFixtures(t, func(f *fixtures) {
		out := f.must("create.:test_uuid.test", fixture{"42", "test"})
		e := out.Event
		if e.Type != "test.42.created" || e.Pattern != "test.:test_uuid.created" || e.CorrelationType != "create.42.test" || e.CorrelationPattern != "create.:test_uuid.test" {
			f.Errorf("got %s of pattern %s, by %s of pattern %s", e.Type, e.Pattern, e.CorrelationType, e.CorrelationPattern)
		}
		for what, chain := range map[string][2][]string{
			"chain_before": {e.Before, {"TestHook.create", "TestHook.proper"}},
			"chain_after":  {e.After, {"TestHook.satisfy"}},
			"chain_events": {e.Chain, {"TestProjector.save", "TestProcessor.update"}},
		} {
			if !slices.Equal(chain[0], chain[1]) {
				f.Errorf("%s: got %q, want %q", what, chain[0], chain[1])
			}
		}
		f.seen(out)
		const name = "test created satisfied updated"
		f.has(names, name)
		if !strings.Contains(string(e.Data), name) {
			f.Errorf("the event has the data %s, want that of its processor merged", e.Data)
		}
		f.has(eventTypes, "test.42.created", "test.42.updated")
		f.has(logLines, "logger test.42.created", "wild test.42.created", "wild test.42.updated")
		if out.Event.Version != 1 {
			f.Errorf("the event that was there first has version %d, want 1", out.Event.Version)
		}
		f.has("SELECT CAST(version AS TEXT) FROM edda_aggregates", "2")
	})
}

// A parameter may be there twice.
func TestFixtureDoubleParameter(t *testing.T) {
	onFixtures(t, func(f *fixtures) {
		out := f.must("create.:test_uuid.test.:test_uuid.inner", fixture{"7", "test"})
		if out.Event.Type != "test.7.test.7.created" {
			f.Errorf("got %s", out.Event.Type)
		}
		f.seen(out)
		f.has(names, "test")
		f.has(logLines, "logger test.7.test.7.created", "wild test.7.test.7.created")
	})
}

// The items of a list are numbered by a processor, whose results come in another order, and
// are merged by test_uuid.
func TestFixtureBulkZip(t *testing.T) {
	onFixtures(t, func(f *fixtures) {
		out := f.must("list.test", fixture{"a", "test"}, fixture{"b", "1test"})
		e := out.Event
		var vs []fixture
		if err := e.Decode(&vs); err != nil || !slices.Equal(vs, []fixture{{"a", "test0"}, {"b", "1test1"}}) {
			f.Errorf("got %s, %v", e.Data, err)
		}
		if e.Object != "TestModel.list" || e.Key != "a" || !slices.Equal(e.Items, []cqrs.Item{{Key: "a", Version: 1}, {Key: "b", Version: 1}}) {
			f.Errorf("got the object %s, key %s and items %v", e.Object, e.Key, e.Items)
		}
		f.seen(out)
		f.has(names, "test0", "1test1")
		f.has(eventTypes, "test.listed", "test.numbered.list")
		f.has("SELECT CAST(version AS TEXT) FROM edda_aggregates ORDER BY key", "2", "2")
	})
}

// Without a transaction each statement is stored by itself, also when a later one fails.
func TestFixtureNoTransaction(t *testing.T) {
	onFixtures(t, func(f *fixtures) {
		alone := func(c *cqrs.Command) { c.NoTransaction = true }
		out, err := f.do("create.test", alone, fixture{"1", "test"})
		if err != nil {
			f.Fatal(err)
		}
		f.seen(out)
		f.has(eventTypes, "test.created")
		f.has(logLines, "wild test.created")
		if _, err := f.do("create.test", alone, fixture{"2", "half"}); err == nil {
			f.Error("the command succeeded, though its projector failed")
		}
		f.has(names, "test created", "half created")
		f.has(eventTypes, "test.created")
	})
}

// What is not to be saved is projected, and nobody else hears of it.
func TestFixtureDoNotSave(t *testing.T) {
	onFixtures(t, func(f *fixtures) {
		for i, alone := range []bool{false, true} {
			out, err := f.do("create.test", func(c *cqrs.Command) { c.DoNotSave, c.NoTransaction = true, alone }, fixture{fmt.Sprint(i), "test"})
			if err != nil {
				f.Fatal(err)
			}
			if out.Position != (cqrs.Position{}) || out.Event.Type != "test.created" {
				f.Errorf("got position %v and event %s", out.Position, out.Event.Type)
			}
		}
		f.has(names, "test created", "test created")
		f.has(eventTypes)
		f.has("SELECT CAST(version AS TEXT) FROM edda_aggregates")
		f.seen(f.must("update.test.:test_uuid", fixture{"1", "again"}))
		f.has(logLines, "wild test.1.updated")
	})
}

// An event of one broadcaster has processors create, update and destroy what is another's.
func TestFixtureCrossBroadcaster(t *testing.T) {
	onFixtures(t, func(f *fixtures) {
		out := f.must("play.all", fixture{"1", "test"})
		f.has(eventTypes, "all.played", "test.created", "test.1-played.updated", "test.1-played.destroyed")
		f.has(names)
		f.has("SELECT CAST(version AS TEXT) FROM edda_aggregates ORDER BY key", "1", "3")
		f.has("SELECT event_type || ' of ' || broadcaster || ', version ' || version FROM edda_events WHERE causation_hierarchy_level = 1 ORDER BY version",
			"test.created of TestBroadcaster, version 1", "test.1-played.updated of TestBroadcaster, version 2", "test.1-played.destroyed of TestBroadcaster, version 3")
		f.has("SELECT DISTINCT correlation_uuid FROM edda_events", out.Event.CorrelationID)

		before := f.strings(eventTypes)
		if _, err := f.do("play.all", nil, fixture{"2", "half"}); err == nil {
			f.Error("the command succeeded, though the second of its children failed")
		}
		f.has(eventTypes, before...)
		f.has(names)
	})
}
