package cqrs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// faulty is a database whose transactions fail now and then: before they begin, at their end, and with a
// commit whose answer is lost.
type faulty struct {
	driver.DB
	mu     sync.Mutex
	random *rand.Rand
	often  float64
}

var errFault = errors.New("the connection is lost")

// are says how often, from 0 to 1.
func (f *faulty) are(often float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.often = often
}

// chance is from 0 to 1 for a fault.
func (f *faulty) chance() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.often == 0 {
		return 1
	}
	return f.random.Float64() / f.often
}

func (f *faulty) Transact(ctx context.Context, o driver.TxOptions, do func(ctx context.Context, tx *driver.Tx) error) error {
	switch c := f.chance(); {
	case c < 0.25:
		return errFault
	case c < 0.5:
		return f.DB.Transact(ctx, o, func(ctx context.Context, tx *driver.Tx) error {
			if err := do(ctx, tx); err != nil {
				return err
			}
			return errFault
		})
	case c < 0.75:
		if err := f.DB.Transact(ctx, o, do); err != nil {
			return err
		}
		return fmt.Errorf("%w: %w", driver.ErrUnknown, errFault)
	case c < 1: // begun twice, as after a conflict
		err := f.DB.Transact(ctx, o, func(ctx context.Context, tx *driver.Tx) error {
			return errors.Join(do(ctx, tx), errFault)
		})
		if !errors.Is(err, errFault) {
			return err
		}
		return f.DB.Transact(ctx, o, do)
	}
	return f.DB.Transact(ctx, o, do)
}

// lines is what a naive replay writes: for each aggregate the emails in their order.
func (w *world) lines(handled func(typ string) bool) map[string][]string {
	w.t.Helper()
	events, err := (eventRows{}).selectEvents(w.t.Context(), w.db.Reader(), w.db.Dialect(), ledger.Range{})
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string][]string{}
	for _, e := range events {
		var u user
		if err := e.Decode(&u); err != nil {
			w.t.Fatal(err)
		}
		if handled(e.Type) {
			all[e.Key] = append(all[e.Key], u.Email)
		}
	}
	return all
}

// TestProjectionsEqualANaiveReplay runs random commands while two processes share the handlers, transactions
// fail, handlers fail, and people pause, resume, retry and rebuild.
func TestProjectionsEqualANaiveReplay(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 1))
		var calm atomic.Bool
		flaky := func(_ context.Context, e *Event) error {
			if !calm.Load() && rand.IntN(20) == 0 {
				return errors.New("now and then")
			}
			return nil
		}
		var text atomic.Pointer[string]
		text.Store(new(string))
		route := On("user.*", Config{Consistency: Eventual, Retry: quick(-1)})
		b := newUsers()
		b.Projector("Journal.write", journals(flaky), nil, route)
		b.BatchProjector("Counts.add", func(ctx context.Context, tx *Tx, events []*Event) error {
			if tx.Table("counts") == "counts" { // not while it is rebuilt
				if err := flaky(ctx, nil); err != nil {
					return err
				}
			}
			return countsBatch(&text)(ctx, tx, events)
		}, []Table{"counts"}, route)
		b.Processor("Friends.make", befriends(t, func(e *Event) error { return flaky(nil, e) }), route)

		w := start(t, db, b)
		w.exec(journal)
		w.exec(countsTable)
		faults := &faulty{DB: db, random: rand.New(rand.NewPCG(seed, 2))}
		faults.are(0)
		processes := []*App{w.process(faults, b), w.process(faults, b)}
		faults.are(0.1)

		var wg sync.WaitGroup
		var commands atomic.Int32
		for g := range 3 {
			wg.Go(func() {
				for i := range 40 {
					_, err := w.Do(t.Context(), &Command{Type: "create.user", Expect: AnyVersion(),
						Data: staged(t, users, user{ID: fmt.Sprint("u", i%5), Email: fmt.Sprintf("%d-%d", g, i)})})
					if err != nil {
						t.Error(err)
					}
					commands.Add(1)
				}
			})
		}
		for commands.Load() < 120 {
			app := processes[random.IntN(2)]
			handler := []string{journalHandler, countsHandler, friendHandler}[random.IntN(3)]
			var err error
			switch random.IntN(4) {
			case 0:
				err = app.PauseProjection(t.Context(), handler)
			case 1, 2:
				err = app.ResumeProjection(t.Context(), handler)
			case 3:
				_, err = app.Rebuild(t.Context(), countsHandler, RebuildOptions{Replace: true})
			}
			if err != nil && !errors.Is(err, errFault) && !errors.Is(err, driver.ErrUnknown) && edda.ReasonOf(err) != edda.Conflict {
				t.Error(err)
			}
		}
		wg.Wait()
		calm.Store(true)
		faults.are(0)
		last := w.user("last", "last").Position
		for _, h := range []string{journalHandler, countsHandler, friendHandler} {
			if err := processes[0].ResumeProjection(t.Context(), h); err != nil {
				t.Fatal(err)
			}
			w.wait(h, last)
		}
		w.until("nothing is parked", func() bool { return len(w.strings("SELECT state FROM edda_parked")) == 0 })

		w.likeAReplay()
		// What a rebuild has left whose transactions failed the next one removes; and it finds all as it should be.
		w.rebuilt(countsHandler, RebuildOptions{TakeOver: true})
	})
}

// likeAReplay checks that journal, counts and friends are what a naive replay of the events makes.
func (w *world) likeAReplay() {
	w.t.Helper()
	n := 0
	for key, emails := range w.lines(func(typ string) bool { return typ != "friend.created" }) {
		w.is("SELECT line FROM journal WHERE key = '"+key+"' ORDER BY n", emails...)
		w.is("SELECT email || n FROM counts WHERE id = '"+key+"'", fmt.Sprintf("%s%d", emails[len(emails)-1], len(emails)))
		n += len(emails)
	}
	w.is("SELECT count(*) || '' FROM journal", fmt.Sprint(n))
	w.is("SELECT count(*) || '' FROM edda_events WHERE event_type = 'friend.created'", fmt.Sprint(n))
}

// process is another process on a database, with its own eventual handlers.
func (w *world) process(db driver.DB, bs ...*Broadcaster) *App {
	w.t.Helper()
	a, err := New(db, Options{NoRelay: true, NoMigrations: true, Logger: slog.New(slog.DiscardHandler)}, bs...)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := a.Start(w.t.Context(), nil); err != nil {
		w.t.Fatal(err)
	}
	a.late = a.newLanes(slices.Clone(a.table.names))
	a.parts = []component{a.late}
	ctx, cancel := context.WithCancel(w.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { a.late.Run(ctx) })
	w.t.Cleanup(func() {
		cancel()
		wg.Wait()
		if err := a.Stop(context.WithoutCancel(w.t.Context())); err != nil {
			w.t.Error(err)
		}
	})
	return a
}
