package cqrs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// counts is a projector of how many events users have had, and of their last emails, which begin with the text.
func counts(text *atomic.Pointer[string]) ProjectFunc {
	return func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
		var u user
		if err := e.Decode(&u); err != nil {
			return Data{}, err
		}
		table := tx.Table("counts")
		_, err := tx.ExecContext(ctx, "INSERT INTO "+table+" (id, email, n) VALUES ($1, $2, 1) ON CONFLICT (id) DO UPDATE SET email = excluded.email, n = "+
			table+".n + 1", e.Key, *text.Load()+u.Email)
		return Data{}, err
	}
}

// countsBatch is the same for many events.
func countsBatch(text *atomic.Pointer[string]) ProjectBatchFunc {
	return func(ctx context.Context, tx *Tx, events []*Event) error {
		for _, e := range events {
			if _, err := counts(text)(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	}
}

const countsTable = "CREATE TABLE counts (id TEXT PRIMARY KEY, email TEXT NOT NULL, n INTEGER NOT NULL, CHECK (n > 0))"

// onConsistencies runs a test with a strong projector, an eventual one, and one of batches, on both databases.
func onConsistencies(t *testing.T, f func(t *testing.T, w *world, text *atomic.Pointer[string])) {
	for _, name := range []string{"strong", "eventual", "batch"} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db driver.DB) {
				var text atomic.Pointer[string]
				text.Store(new(string))
				b := newUsers()
				switch name {
				case "strong":
					b.Projector("Counts.add", counts(&text), []Table{"counts"}, On("user.*", Config{}))
				case "eventual":
					b.Projector("Counts.add", counts(&text), []Table{"counts"}, On("user.*", Config{Consistency: Eventual, Retry: quick(1)}))
				case "batch":
					b.BatchProjector("Counts.add", countsBatch(&text), []Table{"counts"}, On("user.*", Config{Retry: quick(1)}))
				}
				w := startLate(t, db, b)
				w.exec(countsTable)
				f(t, w, &text)
			})
		})
	}
}

const countsHandler = "Users/Counts.add"

// rebuilt rebuilds, which must succeed.
func (w *world) rebuilt(handler string, o RebuildOptions) *Rebuilt {
	w.t.Helper()
	r, err := w.Rebuild(w.t.Context(), handler, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.noDoubles()
	return r
}

// noDoubles checks that a rebuild has left nothing.
func (w *world) noDoubles() {
	w.t.Helper()
	w.is("SELECT handler FROM edda_positions WHERE handler LIKE '#%'")
	query := "SELECT name FROM sqlite_schema WHERE name LIKE '%\\_\\_2' ESCAPE '\\'"
	if w.db.Dialect().Name == "postgres" {
		query = "SELECT relname::text FROM pg_class WHERE relname LIKE '%\\_\\_2'"
	}
	w.is(query)
}

func TestRebuildOfWhatIsRightChangesNothing(t *testing.T) {
	onConsistencies(t, func(t *testing.T, w *world, _ *atomic.Pointer[string]) {
		var last Position
		for i := range 20 {
			last = w.user(fmt.Sprint(i%5), fmt.Sprint(i)).Position
		}
		w.wait(countsHandler, last)
		before := w.strings("SELECT id || email || n FROM counts ORDER BY id")
		r := w.rebuilt(countsHandler, RebuildOptions{})
		if r.Events != 20 || r.Replaced || len(r.Tables) != 1 || r.Tables[0].Rows != 5 || !r.Tables[0].equal() || r.Tables[0].Changed != 0 {
			t.Errorf("the rebuild says %+v", r)
		}
		w.is("SELECT id || email || n FROM counts ORDER BY id", before...)
		w.wait(countsHandler, w.user("0", "again").Position)
		w.is("SELECT id || email || n FROM counts WHERE id = '0'", "0again5")
	})
}

func TestRebuildReplacesWhatDiffersWhenAskedTo(t *testing.T) {
	onConsistencies(t, func(t *testing.T, w *world, text *atomic.Pointer[string]) {
		var last Position
		for i := range 6 {
			last = w.user(fmt.Sprint(i%3), fmt.Sprint(i)).Position
		}
		w.wait(countsHandler, last)
		w.exec("UPDATE counts SET n = 9 WHERE id = '0'")
		w.exec("DELETE FROM counts WHERE id = '1'")
		w.exec("INSERT INTO counts (id, email, n) VALUES ('x', 'y', 1)")
		before := w.strings("SELECT id || email || n FROM counts ORDER BY id")
		r, err := w.Rebuild(t.Context(), countsHandler, RebuildOptions{})
		if edda.ReasonOf(err) != edda.Conflict || !strings.Contains(err.Error(), "counts has 3 rows") || r == nil || r.Replaced {
			t.Fatalf("a rebuild that differs says %+v, %v", r, err)
		}
		w.noDoubles()
		w.is("SELECT id || email || n FROM counts ORDER BY id", before...)

		r = w.rebuilt(countsHandler, RebuildOptions{Replace: true})
		if !r.Replaced || r.Tables[0].Changed != 4 { // 0 and x removed, 0 and 1 written
			t.Errorf("the rebuild says %+v", r)
		}
		w.is("SELECT id || email || n FROM counts ORDER BY id", "032", "142", "252")

		text.Store(new("v2:"))
		w.rebuilt(countsHandler, RebuildOptions{Replace: true})
		w.is("SELECT id || email || n FROM counts ORDER BY id", "0v2:32", "1v2:42", "2v2:52")
		text.Store(new("v3:"))
		r = w.rebuilt(countsHandler, RebuildOptions{Ignore: []string{"counts.email"}})
		if r.Replaced {
			t.Errorf("what differs in a column that is ignored was replaced: %+v", r)
		}
	})
}

func TestRebuildWhileCommandsRun(t *testing.T) {
	onConsistencies(t, func(t *testing.T, w *world, text *atomic.Pointer[string]) {
		var some Position
		for i := range 50 {
			some = w.user(fmt.Sprint(i%5), fmt.Sprint(i)).Position
		}
		w.wait(countsHandler, some)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var last atomic.Pointer[Position]
		for g := range 3 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					out, err := w.Do(t.Context(), &Command{Type: "create.user", Data: staged(t, users, user{ID: fmt.Sprint(g), Email: fmt.Sprint(i)}), Expect: AnyVersion()})
					if err != nil {
						t.Error(err)
						return
					}
					last.Store(&out.Position)
				}
			})
		}
		for range 3 {
			text.Store(new(*text.Load() + "+"))
			r, err := w.Rebuild(t.Context(), countsHandler, RebuildOptions{Replace: true})
			if err != nil || !r.Replaced || r.Events < 50 {
				t.Errorf("rebuild: %+v, %v", r, err)
			}
		}
		cancel()
		wg.Wait()
		for p := last.Load(); p != nil; p = nil {
			w.wait(countsHandler, *p)
		}
		w.wait(countsHandler, w.user("x", "last").Position)
		w.rebuilt(countsHandler, RebuildOptions{})
		w.is("SELECT (sum(n) - (SELECT count(*) FROM edda_events)) || '' FROM counts", "0")
	})
}

func TestRebuildOfAProjectorThatFails(t *testing.T) {
	onConsistencies(t, func(t *testing.T, w *world, text *atomic.Pointer[string]) {
		w.wait(countsHandler, w.user("a", "1").Position)
		p := w.user("b", "2").Position
		w.wait(countsHandler, p)
		text.Store(nil) // it panics
		_, err := w.Rebuild(t.Context(), countsHandler, RebuildOptions{Replace: true})
		if edda.ReasonOf(err) != edda.Panicked || !strings.Contains(err.Error(), "user.a.created") {
			t.Errorf("the rebuild says %v", err)
		}
		w.noDoubles()
		w.is("SELECT id || email || n FROM counts ORDER BY id", "a11", "b21")
	})
}

func TestRebuildSkipsWhatIsParkedAndFailsAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		var text atomic.Pointer[string]
		text.Store(new(string))
		var mend atomic.Bool
		b := newUsers()
		b.BatchProjector("Counts.add", func(ctx context.Context, tx *Tx, events []*Event) error {
			for _, e := range events {
				if e.Key == "bad" && e.Version == 2 && !mend.Load() {
					return errors.New("no")
				}
			}
			return countsBatch(&text)(ctx, tx, events)
		}, []Table{"counts"}, On("*", Config{Retry: quick(1), OnDead: edda.StopKey}))
		w := startLate(t, db, b)
		w.exec(countsTable)
		w.user("bad", "1")
		dead := w.user("bad", "2").Position
		w.user("bad", "3")
		w.wait(countsHandler, w.user("good", "4").Position)
		if err := w.Wait(t.Context(), countsHandler, dead); edda.ReasonOf(err) != edda.Dead {
			t.Fatalf("waiting for the event that fails: %v", err)
		}
		if r := w.rebuilt(countsHandler, RebuildOptions{}); r.Events != 2 {
			t.Errorf("the rebuild says %+v", r)
		}
		mend.Store(true)
		if r := w.rebuilt(countsHandler, RebuildOptions{Replace: true}); r.Events != 4 || !r.Replaced {
			t.Errorf("the rebuild says %+v", r)
		}
		w.is("SELECT id || email || n FROM counts ORDER BY id", "bad33", "good41")
		w.is("SELECT state FROM edda_parked")
		w.wait(countsHandler, w.user("bad", "5").Position)
		w.is("SELECT id || email || n FROM counts ORDER BY id", "bad54", "good41")
	})
}

func TestOneRebuildAtATime(t *testing.T) {
	onConsistencies(t, func(t *testing.T, w *world, _ *atomic.Pointer[string]) {
		w.wait(countsHandler, w.user("a", "1").Position)
		died, _, err := w.newRebuild(countsHandler, RebuildOptions{})
		if err == nil {
			err = died.Claim(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if p := w.projection(countsHandler); p.Rebuild == nil {
			t.Errorf("a rebuild under way does not show in %+v", p)
		}
		if _, err := w.Rebuild(t.Context(), countsHandler, RebuildOptions{}); edda.ReasonOf(err) != edda.Conflict {
			t.Errorf("a second rebuild says %v", err)
		}
		w.exec("UPDATE edda_positions SET updated_at = $1 WHERE handler LIKE '#%'", time.Now().Add(-time.Minute).UnixMicro())
		w.rebuilt(countsHandler, RebuildOptions{})
		if _, err := died.Run(t.Context()); edda.ReasonOf(err) != edda.Conflict {
			t.Errorf("the one that was given up says %v", err)
		}
		if err := died.Claim(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.rebuilt(countsHandler, RebuildOptions{TakeOver: true})
		w.exec("CREATE TABLE counts__2 (mine INTEGER)")
		if _, err := w.Rebuild(t.Context(), countsHandler, RebuildOptions{}); edda.ReasonOf(err) != edda.Conflict || !strings.Contains(err.Error(), "counts__2") {
			t.Errorf("a rebuild whose name is taken says %v", err)
		}
		w.is("SELECT mine || '' FROM counts__2")
	})
}

// family is a projector of two tables, one of which refers to the other.
func family(ctx context.Context, tx *Tx, e *Event) (Data, error) {
	var u user
	if err := e.Decode(&u); err != nil {
		return Data{}, err
	}
	parent, child := tx.Table("z_parent"), tx.Table("a_child")
	if u.Name == "gone" {
		_, err := tx.ExecContext(ctx, "DELETE FROM "+parent+" WHERE id = $1", e.Key)
		return Data{}, err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO "+parent+" (id, email) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET email = excluded.email", e.Key, u.Email); err != nil {
		return Data{}, err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO "+child+" (parent, email) VALUES ($1, $2)", e.Key, u.Email)
	return Data{}, err
}

func TestRebuildOfTablesThatReferToEachOther(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Family.add", family, []Table{"a_child", "z_parent"}, On("user.*", Config{}))
		w := start(t, db, b)
		w.exec("CREATE TABLE z_parent (id TEXT PRIMARY KEY, email TEXT NOT NULL, size INTEGER GENERATED ALWAYS AS (length(email)) STORED, UNIQUE (email))")
		numbered := "INTEGER PRIMARY KEY AUTOINCREMENT"
		if db.Dialect().Name == "postgres" {
			numbered = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
		}
		w.exec("CREATE TABLE a_child (n " + numbered + ", parent TEXT NOT NULL REFERENCES z_parent (id) ON DELETE CASCADE, email TEXT NOT NULL)")
		w.exec("CREATE INDEX by_email ON a_child (email) WHERE a_child.n > 0")
		for i := range 6 {
			w.user(fmt.Sprint(i%3), fmt.Sprint("e", i))
		}
		w.do(&Command{Type: "create.user", Data: staged(t, users, user{ID: "2", Name: "gone"})})
		parents := w.strings("SELECT id || email || size FROM z_parent ORDER BY id")
		children := w.strings("SELECT n || parent || email FROM a_child ORDER BY n")
		if r := w.rebuilt("Users/Family.add", RebuildOptions{}); r.Replaced || r.Tables[0].Table != "z_parent" {
			t.Errorf("the rebuild says %+v", r)
		}
		w.exec("UPDATE z_parent SET email = 'wrong' WHERE id = '0'")
		w.exec("DELETE FROM z_parent WHERE id = '1'") // with its children
		w.exec("INSERT INTO z_parent (id, email) VALUES ('x', 'x')")
		w.exec("INSERT INTO a_child (parent, email) VALUES ('x', 'x')")
		w.rebuilt("Users/Family.add", RebuildOptions{Replace: true})
		w.is("SELECT id || email || size FROM z_parent ORDER BY id", parents...)
		w.is("SELECT n || parent || email FROM a_child ORDER BY n", children...)
		w.user("3", "later") // the numbers go on
		w.exec("DELETE FROM a_child WHERE parent = '0'")
		w.rebuilt("Users/Family.add", RebuildOptions{Replace: true, Ignore: []string{"a_child.n"}})
		w.is("SELECT count(*) || '' FROM a_child WHERE parent = '0'", "2")
	})
}

func TestTablesThatCannotBeRebuilt(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("No.tables", profiles, nil, On("user.*", Config{}))
		b.Projector("No.such", profiles, []Table{"no_such_table"}, On("user.*", Config{}))
		b.Projector("Referred.to", profiles, []Table{"referred"}, On("user.*", Config{}))
		b.Projector("Triggered.one", profiles, []Table{"triggered"}, On("user.*", Config{}))
		b.Projector("Viewed.one", profiles, []Table{"viewed"}, On("user.*", Config{}))
		b.Projector("Mixed.strong", profiles, []Table{"mixed"}, On("user.*", Config{}))
		b.Projector("Mixed.late", profiles, []Table{"mixed"}, On("user.*", Config{Consistency: Eventual}))
		b.Projector("Fine.one", profiles, []Table{"profiles"}, On("user.*", Config{}))
		w := start(t, db, b)
		w.exec("CREATE TABLE referred (id TEXT PRIMARY KEY)")
		w.exec("CREATE TABLE other (id TEXT REFERENCES referred (id))")
		w.exec("CREATE TABLE triggered (id TEXT PRIMARY KEY)")
		w.exec("CREATE VIEW viewed AS SELECT id FROM triggered")
		if db.Dialect().Name == "postgres" {
			w.exec("CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
			w.exec("CREATE TRIGGER tr AFTER INSERT ON triggered EXECUTE FUNCTION nothing()")
		} else {
			w.exec("CREATE TRIGGER tr AFTER INSERT ON triggered BEGIN SELECT 1; END")
		}
		for handler, want := range map[string]struct {
			reason edda.Reason
			text   string
			o      RebuildOptions
		}{
			"Users/Nobody":        {reason: edda.BadName, text: "Users/No.tables"},
			"Users/No.tables":     {reason: edda.BadValue, text: "names no tables"},
			"Users/No.such":       {reason: edda.BadValue, text: "there is no such table"},
			"Users/Referred.to":   {reason: edda.BadValue, text: "table other refers to it"},
			"Users/Triggered.one": {reason: edda.BadValue, text: "trigger tr"},
			"Users/Viewed.one":    {reason: edda.BadValue, text: "no"},
			"Users/Mixed.late":    {reason: edda.BadValue, text: "one is strong, the other eventual"},
			"Users/Fine.one":      {reason: edda.BadValue, text: "TABLE.COLUMN", o: RebuildOptions{Ignore: []string{"email"}}},
		} {
			_, err := w.Rebuild(t.Context(), handler, want.o)
			if edda.ReasonOf(err) != want.reason || !strings.Contains(err.Error(), want.text) {
				t.Errorf("rebuilding %s says %s: %v\nwant %s with %q", handler, edda.ReasonOf(err), err, want.reason, want.text)
			}
			w.noDoubles()
		}
	})
}
