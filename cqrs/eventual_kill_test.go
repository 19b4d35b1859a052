package cqrs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/pgdb"
	"github.com/edda-io/edda/cqrs/sqlitedb"
	"github.com/edda-io/edda/internal/pgtest"
)

// eventualChild, in the environment, is the database of a process that runs eventual handlers until it is killed.
const eventualChild = "EDDA_TEST_EVENTUAL_CHILD"

// openAny opens a database by where it is: a file, or a PostgreSQL.
func openAny(ctx context.Context, where string) (driver.DB, error) {
	if file, ok := strings.CutPrefix(where, "file:"); ok {
		return sqlitedb.Open(file, sqlitedb.Options{})
	}
	return pgdb.Open(ctx, where, pgdb.Options{})
}

// killable is what processes run that are killed; text begins what counts writes.
func killable(t *testing.T) *Broadcaster {
	var text atomic.Pointer[string]
	text.Store(new(string))
	route := On("user.*", Config{Consistency: Eventual, Retry: quick(-1)})
	b := newUsers()
	b.Projector("Journal.write", journals(nil), nil, route)
	b.BatchProjector("Counts.add", countsBatch(&text), []Table{"counts"}, route)
	b.Processor("Friends.make", befriends(t, nil), route)
	return b
}

// TestEventualChild is the process that is killed, when it is told which database to use.
func TestEventualChild(t *testing.T) {
	where := os.Getenv(eventualChild)
	if where == "" {
		return // this is the process that kills
	}
	db, err := openAny(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	w.process(db, killable(t))
	<-t.Context().Done()
}

// Processes that run eventual handlers are killed at any moment, also in the middle of a batch or of a
// processor's command: each event is handled once, in the order of its aggregate.
func TestEventualHandlersOfKilledProcesses(t *testing.T) {
	rounds := 4
	if os.Getenv("EDDA_LONG") != "" {
		rounds = 100
	}
	for name, where := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { t.Helper(); return "file:" + filepath.Join(t.TempDir(), "edda.db") },
		"postgres": func(t *testing.T) string { t.Helper(); return pgtest.Open(t) },
	} {
		t.Run(name, func(t *testing.T) {
			database := where(t)
			db, err := openAny(t.Context(), database)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
			w := start(t, db, killable(t))
			w.exec(journal)
			w.exec(countsTable)
			n := 0
			for range rounds {
				for range 30 {
					w.user(fmt.Sprint("u", n%4), fmt.Sprint(n))
					n++
				}
				w.killOne(t, database, rand.IntN(n))
			}
			w.runLate()
			last := w.user("last", "last").Position
			for _, h := range []string{journalHandler, countsHandler, friendHandler} {
				w.wait(h, last)
			}
			w.likeAReplay()
		})
	}
}

// killOne starts a process and kills it, once it has made some friends, or all.
func (w *world) killOne(t *testing.T, database string, some int) {
	t.Helper()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEventualChild$")
	child.Env = append(os.Environ(), eventualChild+"="+database)
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	w.until("some friends are made", func() bool {
		return len(w.strings("SELECT key FROM edda_events WHERE event_type = 'friend.created'")) >= some
	})
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = child.Wait() // it was killed
}
