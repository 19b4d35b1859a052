package cqrs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// logBook is where a logger writes to, and who waits for a line hears of it.
type logBook struct {
	mu      sync.Mutex // guards what follows
	text    bytes.Buffer
	written chan struct{}
}

func newLogBook() *logBook { return &logBook{written: make(chan struct{})} }

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Write(p)
	close(b.written)
	b.written = make(chan struct{})
	return len(p), nil
}

// await returns the first line that has a text.
func (b *logBook) await(t testing.TB, want string) string {
	t.Helper()
	limit := time.After(100 * time.Second)
	for {
		b.mu.Lock()
		text, written := b.text.String(), b.written
		b.mu.Unlock()
		for line := range strings.Lines(text) {
			if strings.Contains(line, want) {
				return line
			}
		}
		select {
		case <-written:
		case <-limit:
			t.Fatalf("the log has no line with %q:\n%s", want, text)
		}
	}
}

// restore makes the database what it was after its first events.
func restore(t testing.TB, db driver.DB, events int) {
	t.Helper()
	all, err := (eventRows{}).selectEvents(t.Context(), db.Reader(), db.Dialect(), ledger.Range{})
	if err != nil {
		t.Fatal(err)
	}
	last := Position{}
	if events > 0 {
		last = all[events-1].Position
	}
	execute(t, db, "DELETE FROM edda_events WHERE (tx, seq) > ($1, $2)", last.Tx, last.Seq)
	execute(t, db, "UPDATE edda_relays SET tx = $1, seq = $2, number = $3", last.Tx, last.Seq, events)
}

// Where a database was restored from a backup that is older than what the stream has, nothing
// is relayed, and nothing passed over, however many events it has by then; until a person
// says that they are other events.
func TestRelayOfARestoredDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		for _, c := range []struct{ shards, before, fewer, since int }{
			{1, 40, 20, 1}, {1, 40, 20, 19}, {1, 40, 20, 20}, {1, 40, 20, 21}, {1, 40, 40, 90}, {3, 60, 30, 5}, {3, 60, 30, 200}, {1, 3000, 1500, 4000},
		} {
			t.Run(fmt.Sprint(c), func(t *testing.T) {
				execute(t, db, "DELETE FROM edda_events")
				execute(t, db, "DELETE FROM edda_relays")
				n := newRelayNode(t)
				makeEvents(t, db, c.before, 17, 500)
				_, stop := startRelay(t, db, n, Options{Shards: c.shards})
				isRelayed(t, db, n, c.shards)
				stop()
				restore(t, db, c.before-c.fewer)
				makeEvents(t, db, c.since, 17, 500)
				book := newLogBook()
				a, stop := startRelay(t, db, n, Options{Shards: c.shards, Logger: slog.New(slog.NewTextHandler(book, nil))})
				line := book.await(t, "restored from a backup")
				if got := streamed(t, n, c.shards, c.before); total(got) != c.before {
					t.Errorf("%d events have come to the stream, want none", total(got)-c.before)
				}
				update := regexp.MustCompile(`UPDATE edda_relays SET producer = '[0-9a-f-]+' WHERE name = 'default/cqrs'`).FindString(line)
				if update == "" || !strings.Contains(line, "events are not relayed") {
					t.Fatalf("the log says %s", line)
				}
				execute(t, db, update)
				a.committed()
				book.await(t, "relayed again")
				got := streamed(t, n, c.shards, c.before+c.since)
				if total(got) != c.before+c.since {
					t.Errorf("%d messages are in the stream, want %d", total(got), c.before+c.since)
				}
				stop()
			})
		}
	})
}

// Where an app meets another node, nothing is relayed there, and all of it still goes to the
// first; until a person says that the other node takes its place, with all events or with those
// from here on. Then the first one has no more.
func TestRelayAtAnotherNode(t *testing.T) {
	for _, c := range []struct {
		name, statement string
		want            int // how many of the 45 events the other stream has in the end
	}{
		{"all", `UPDATE edda_relays SET stream_at = \d+, producer = '[0-9a-f-]+', tx = 0, seq = 0, number = 0 WHERE name = 'default/cqrs'`, 45},
		{"further", `UPDATE edda_relays SET stream_at = \d+ WHERE name = 'default/cqrs'`, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, db driver.DB) {
				first, other := newDiskNode(t), newDiskNode(t)
				makeEvents(t, db, 30, 7, 500)
				stopped, book := newLogBook(), newLogBook()
				a, _ := startRelay(t, db, first, Options{Logger: slog.New(slog.NewTextHandler(stopped, nil))})
				isRelayed(t, db, first, 1)
				b, _ := startRelay(t, db, other, Options{Logger: slog.New(slog.NewTextHandler(book, nil))})
				line := book.await(t, "events are not relayed")
				makeEvents(t, db, 10, 7, 500)
				a.committed()
				b.committed()
				isRelayed(t, db, first, 1)
				if got := streamed(t, other, 1, 0); total(got) != 0 {
					t.Errorf("%d events have come to the other node, want none", total(got))
				}
				isNoted(t, db, 40)
				update := regexp.MustCompile(c.statement).FindString(line)
				if update == "" {
					t.Fatalf("the log says %s", line)
				}
				execute(t, db, update)
				stopped.await(t, "at another node") // though it has relayed so far
				makeEvents(t, db, 5, 7, 500)
				a.committed()
				b.committed()
				book.await(t, "relayed again")
				if got := streamed(t, other, 1, c.want); total(got) != c.want {
					t.Errorf("%d events have come to the other node, want %d", total(got), c.want)
				}
				isNoted(t, db, 45)
				if got := streamed(t, first, 1, 40); total(got) != 40 {
					t.Errorf("%d events have come to the first node, want 40", total(got))
				}
			})
		})
	}
}

// A stream that is deleted under a relay and made anew by somebody is not gone on with.
func TestRelayOfADeletedStream(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		n, book := newDiskNode(t), newLogBook()
		makeEvents(t, db, 30, 7, 500)
		a, _ := startRelay(t, db, n, Options{Logger: slog.New(slog.NewTextHandler(book, nil))})
		isRelayed(t, db, n, 1)
		if err := n.DeleteStream(t.Context(), "", a.EventStream()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: a.EventStream()}); err != nil {
			t.Fatal(err)
		}
		book.await(t, "before it was deleted")
	})
}

func total(ms map[string][]edda.StreamMessage) (n int) {
	for _, m := range ms {
		n += len(m)
	}
	return n
}

// A relay that is killed between append and note leaves nothing behind that makes the next one
// err, also when the ids of its messages are forgotten.
func TestRelayKilledBeforeItsNote(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		n := newRelayNode(t)
		if _, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: "cqrs.events", Dedupe: 1}); err != nil {
			t.Fatal(err)
		}
		dead := &noDirect{DB: db}
		for range 5 {
			makeEvents(t, db, 100, 7, 30)
			dead.on = false
			ctx, appended := context.WithCancel(t.Context())
			own := &relayNode{Node: n.Node, after: func(a *edda.Append) error {
				if len(a.Messages) > 1 {
					dead.on = true // it notes nothing any more
					appended()
				}
				return nil
			}}
			_, stop := startRelay(t, dead, own, Options{})
			<-ctx.Done()
			stop()
		}
		startRelay(t, db, n, Options{})
		isRelayed(t, db, n, 1)
	})
}

// noDirect is a database that can be written by transactions alone.
type noDirect struct {
	driver.DB

	on bool
}

func (d *noDirect) Direct(ctx context.Context, f func(ctx context.Context, tx *Tx) error) error {
	if d.on {
		return errors.New("the connection is lost")
	}
	return d.DB.Direct(ctx, f)
}
