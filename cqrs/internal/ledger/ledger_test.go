package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/dbtest"
)

// transact runs f in a transaction, which must commit.
func transact(t testing.TB, db driver.DB, f func(ctx context.Context, tx *driver.Tx) error) {
	t.Helper()
	if err := db.Transact(t.Context(), driver.TxOptions{}, f); err != nil {
		t.Fatal(err)
	}
}

func newID() edda.ID { return edda.NewID(0, time.Now()) }

func TestCommandRows(t *testing.T) {
	dbtest.OnBoth(t, func(t *testing.T, db driver.DB) {
		row := &Command{
			ID: newID(), Run: 1, Status: Committed, Broadcaster: "Users", Type: "create.user", Object: "User", Key: "42",
			EventID: newID(), Principal: "ann", CreatedAt: time.UnixMicro(1_700_000_000_123_456).UTC(),
		}
		insert := func(r *Command, want *Command) {
			t.Helper()
			transact(t, db, func(ctx context.Context, tx *driver.Tx) error {
				there, err := InsertCommand(ctx, tx, r)
				if diff := cmp.Diff(want, there); diff != "" {
					t.Errorf("the row that is there (-want +got):\n%s", diff)
				}
				return err
			})
		}
		insert(row, nil)
		again := *row
		again.Reason = "again"
		insert(&again, row)
		second := *row
		second.Run = 2
		insert(&second, row) // run 1 was not aborted

		aborted := *row
		aborted.ID, aborted.Reason = newID(), "it was not answered"
		transact(t, db, func(ctx context.Context, tx *driver.Tx) error {
			there, err := AbortCommand(ctx, tx, &aborted)
			if there != nil {
				t.Errorf("got %+v, want no row", there)
			}
			return err
		})
		late := aborted
		aborted.Status, aborted.EventID = Aborted, edda.ID{}
		insert(&late, &aborted)
		next := late
		next.Run = 2
		insert(&next, nil)
		got, err := SelectCommand(t.Context(), db.Reader(), next.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&next, got); diff != "" {
			t.Errorf("the row of run 2 (-want +got):\n%s", diff)
		}
		if got, err := SelectCommand(t.Context(), db.Reader(), newID()); err != nil || got != nil {
			t.Errorf("of an unknown command got %+v and %v, want none", got, err)
		}
	})
}

func TestVersions(t *testing.T) {
	dbtest.OnBoth(t, func(t *testing.T, db driver.DB) {
		raise := func(want ...Expectation) (got []uint64, err error) {
			err = db.Transact(t.Context(), driver.TxOptions{}, func(ctx context.Context, tx *driver.Tx) error {
				got, err = RaiseVersions(ctx, tx, "User", want)
				return err
			})
			return got, err
		}
		for _, c := range []struct {
			want     []Expectation
			raised   []uint64
			conflict *VersionError
		}{
			{want: []Expectation{{Key: "a"}}, raised: []uint64{1}},
			{want: []Expectation{{Key: "a"}}, conflict: &VersionError{"User", "a", 0, 1}},
			{want: []Expectation{{Key: "a", Version: 1}, {Key: "b"}}, raised: []uint64{2, 1}},
			{want: []Expectation{{Key: "b", Version: 1}, {Key: "a", Version: 1}}, conflict: &VersionError{"User", "a", 1, 2}},
			{want: []Expectation{{Key: "c", Any: true}, {Key: "a", Any: true}, {Key: "b", Any: true}}, raised: []uint64{1, 3, 2}},
			{want: []Expectation{{Key: "d", Version: 7}}, conflict: &VersionError{"User", "d", 7, 0}},
		} {
			raised, err := raise(c.want...)
			conflict, _ := errors.AsType[*VersionError](err)
			if diff := cmp.Diff(c.conflict, conflict); diff != "" || (err != nil) != (c.conflict != nil) {
				t.Errorf("raise %+v: got error %v, want %v", c.want, err, c.conflict)
			}
			if diff := cmp.Diff(c.raised, raised); diff != "" {
				t.Errorf("raise %+v (-want +got):\n%s", c.want, diff)
			}
		}
		got, err := SelectVersions(t.Context(), db.Reader(), "User", []string{"c", "nobody", "a", "b"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]uint64{1, 0, 3, 2}, got); diff != "" {
			t.Errorf("versions (-want +got):\n%s", diff)
		}
	})
}

// testEvent is an event with something in each field that is stored.
func testEvent(key string, version uint64) *Event {
	return &Event{
		ID: newID(), CommandID: newID(), CausationID: newID(), CausationLevel: 2, CorrelationID: "story", CorrelationType: "create.user",
		CorrelationPattern: "create.user", Broadcaster: "Users", Type: "user." + key + ".created", Pattern: "user.:id.created",
		Object: "User", Key: key, PrimaryKeys: map[string]json.RawMessage{"id": json.RawMessage(`"` + key + `"`)},
		Data: json.RawMessage(`{"z": 1, "id": "` + key + `"}`), Metadata: map[string]json.RawMessage{"ip": json.RawMessage(`"::1"`)},
		Version: version, AppVersion: "1.2", Before: []string{"B"}, Saga: []string{"S"}, After: []string{}, Chain: []string{"P", "Q"},
		Explain: json.RawMessage(`"because"`), Live: true, CreatedAt: time.UnixMicro(1_700_000_000_123_456).UTC(),
	}
}

func TestEvents(t *testing.T) {
	dbtest.OnBoth(t, func(t *testing.T, db driver.DB) {
		var events []*Event
		for i := range uint64(100) {
			events = append(events, testEvent("a", i+1))
		}
		list := testEvent("b", 1)
		list.Object, list.Items = "User.list", []Item{{"b", 1}, {"a2", 1}, {"c", 9}}
		plain := testEvent("d", 1)
		plain.Metadata, plain.Explain, plain.CausationID = nil, nil, edda.ID{}
		events = append(events, list, plain)
		transact(t, db, func(ctx context.Context, tx *driver.Tx) error { return (Events{}).Insert(ctx, tx, events) })
		for i := 1; i < len(events); i++ {
			if !events[i-1].Position.Before(events[i].Position) {
				t.Fatalf("event %d is at %v and the next at %v", i-1, events[i-1].Position, events[i].Position)
			}
		}
		sel := func(r Range) []*Event {
			t.Helper()
			got, err := (Events{}).Select(t.Context(), db.Reader(), db.Dialect(), r)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		check := func(what string, want, got []*Event) {
			t.Helper()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		check("all", events, sel(Range{Settled: true}))
		check("a part", events[3:7], sel(Range{After: events[2].Position, Until: events[6].Position}))
		check("some", events[10:20], sel(Range{After: events[9].Position, Limit: 10}))
		check("another's", nil, sel(Range{Broadcaster: "Others"}))
		got, err := (Events{}).ByID(t.Context(), db.Reader(), list.ID)
		if err != nil {
			t.Fatal(err)
		}
		check("the list", []*Event{list}, []*Event{got})
		if got, err := (Events{}).ByID(t.Context(), db.Reader(), newID()); got != nil || err != nil {
			t.Errorf("of an unknown id got %v and %v", got, err)
		}
		row := &Command{ID: plain.CommandID, Run: 1, Status: Committed, EventID: plain.ID}
		transact(t, db, func(ctx context.Context, tx *driver.Tx) error { _, err := InsertCommand(ctx, tx, row); return err })
		got, err = (Events{}).OfCommand(t.Context(), db.Reader(), plain.CommandID)
		if err != nil {
			t.Fatal(err)
		}
		check("of the command", []*Event{plain}, []*Event{got})
	})
}

func TestManyVersions(t *testing.T) {
	dbtest.OnBoth(t, func(t *testing.T, db driver.DB) {
		const n = 357
		want := make([]Expectation, n)
		has := map[string]uint64{}
		keys := make([]string, n)
		for i := range n {
			keys[i] = fmt.Sprintf("k%03d", (i*101)%n) // in no order
			want[i].Key = keys[i]
		}
		for round := range 4 {
			for i := range want {
				want[i].Any = round > 0 && (i/7)%3 == 0
				want[i].Version = has[want[i].Key]
			}
			transact(t, db, func(ctx context.Context, tx *driver.Tx) error {
				got, err := RaiseVersions(ctx, tx, "User", want)
				for i, v := range got {
					if has[want[i].Key]++; v != has[want[i].Key] {
						t.Errorf("round %d: got version %d of %s, want %d", round, v, want[i].Key, has[want[i].Key])
					}
				}
				return err
			})
		}
		for i := range want {
			want[i].Version = has[want[i].Key]
		}
		want[200].Any, want[200].Version = false, 9
		err := db.Transact(t.Context(), driver.TxOptions{}, func(ctx context.Context, tx *driver.Tx) error {
			_, err := RaiseVersions(ctx, tx, "User", want)
			return err
		})
		conflict, _ := errors.AsType[*VersionError](err)
		if diff := cmp.Diff(&VersionError{"User", keys[200], 9, 4}, conflict); diff != "" {
			t.Errorf("the conflict (-want +got):\n%s", diff)
		}
		got, err := SelectVersions(t.Context(), db.Reader(), "User", keys)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			if v != has[keys[i]] {
				t.Errorf("%s has version %d, want %d", keys[i], v, has[keys[i]])
			}
		}
	})
}

func TestLongLists(t *testing.T) {
	dbtest.OnBoth(t, func(t *testing.T, db driver.DB) {
		var events []*Event
		for i := range 12 {
			e := testEvent(fmt.Sprint("first", i), 1)
			e.Object = "User.list"
			for j := range 251 {
				e.Items = append(e.Items, Item{Key: fmt.Sprintf("%d/%d", i, j), Version: uint64(j + 1)})
			}
			events = append(events, e)
		}
		transact(t, db, func(ctx context.Context, tx *driver.Tx) error { return (Events{}).Insert(ctx, tx, events) })
		got, err := (Events{}).Select(t.Context(), db.Reader(), db.Dialect(), Range{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(events, got); diff != "" {
			t.Errorf("the lists (-want +got):\n%s", diff)
		}
	})
}

// The events after a place are found by an index, however many there are.
func TestEventsAreReadByAnIndex(t *testing.T) {
	for _, c := range []struct{ name, explain, index string }{
		{"sqlite", "EXPLAIN QUERY PLAN ", "USING INTEGER PRIMARY KEY"},
		{"postgres", "EXPLAIN (COSTS OFF) ", "Index Scan using edda_events_order"},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := dbtest.Open(t, c.name)
			for key := range 20 {
				events := make([]*Event, 100)
				for i := range events {
					events[i] = testEvent(fmt.Sprint(key), uint64(i+1))
				}
				transact(t, db, func(ctx context.Context, tx *driver.Tx) error { return (Events{}).Insert(ctx, tx, events) })
			}
			if c.name == "postgres" {
				transact(t, db, func(ctx context.Context, tx *driver.Tx) error { _, err := tx.ExecContext(ctx, "ANALYZE"); return err })
			}
			statement, args := selectEventsSQL(db.Dialect(), Range{After: Position{Tx: 5, Seq: 5}, Limit: 100, Settled: true})
			rows, err := db.Reader().QueryContext(t.Context(), c.explain+statement, args...)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			columns, err := rows.Columns()
			if err != nil {
				t.Fatal(err)
			}
			plan := ""
			for rows.Next() {
				dest := make([]any, len(columns))
				for i := range dest {
					dest[i] = new(string)
				}
				if err := rows.Scan(dest...); err != nil {
					t.Fatal(err)
				}
				plan += *dest[len(dest)-1].(*string) + "\n"
			}
			if err := rows.Err(); err != nil || !strings.Contains(plan, c.index) || strings.Contains(strings.ToUpper(plan), "SORT") || strings.Contains(plan, "B-TREE") {
				t.Errorf("got error %v and the plan\n%s", err, plan)
			}
		})
	}
}

func TestPositionText(t *testing.T) {
	for _, p := range []Position{{}, {0, 1}, {1, 0}, {math.MaxInt64, math.MaxInt64}} {
		got, err := ParsePosition(p.String())
		if err != nil || got != p {
			t.Errorf("%v: got %v and error %v", p, got, err)
		}
		text, err := json.Marshal(p)
		if err != nil || json.Unmarshal(text, &got) != nil || got != p {
			t.Errorf("%s: got %v and error %v", text, got, err)
		}
	}
	for _, s := range []string{"", "1", "1.", ".1", "1.2.3", "-1.2", "+1.2", "01.2", "a.b", "1.9223372036854775808", " 1.2"} {
		if p, err := ParsePosition(s); err == nil {
			t.Errorf("%q was read as %v", s, p)
		}
	}
	ordered := []Position{{}, {0, 5}, {1, 2}, {1, 3}, {2, 1}}
	for i, p := range ordered {
		for j, o := range ordered {
			if p.Before(o) != (i < j) {
				t.Errorf("%v before %v: got %v", p, o, p.Before(o))
			}
		}
	}
}
