package cqrs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// quick is a policy for tests.
func quick(attempts int) edda.RetryPolicy {
	return edda.RetryPolicy{Max: attempts, Delay: time.Millisecond, Backoff: 1, Jitter: -1}
}

// late is a route of an eventual handler on all events.
func late(attempts int, onDead edda.OnDead) Route {
	return On("*", Config{Consistency: Eventual, Retry: quick(attempts), OnDead: onDead})
}

// startLate starts an app without a node, and its eventual handlers.
func startLate(t testing.TB, db driver.DB, bs ...*Broadcaster) *world {
	t.Helper()
	w := start(t, db, bs...)
	w.runLate()
	return w
}

// runLate runs the eventual handlers until the test ends.
func (w *world) runLate() (stop func()) {
	w.late = w.newLanes(w.table.names)
	w.parts = []component{w.late}
	ctx, cancel := context.WithCancel(w.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.late.Run(ctx) })
	stop = func() {
		cancel()
		wg.Wait()
	}
	w.t.Cleanup(stop)
	return stop
}

// second is another process on the same database.
func (w *world) second(bs ...*Broadcaster) *world {
	w.t.Helper()
	a, err := New(w.db, w.o, bs...)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := a.Start(w.t.Context(), nil); err != nil {
		w.t.Fatal(err)
	}
	other := &world{App: a, t: w.t, db: w.db}
	w.t.Cleanup(func() {
		if err := a.Stop(context.WithoutCancel(w.t.Context())); err != nil {
			w.t.Error(err)
		}
	})
	other.runLate()
	return other
}

// wait waits until a handler has come to a position.
func (w *world) wait(handler string, p Position) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 30*time.Second)
	defer cancel()
	if err := w.Wait(ctx, handler, p); err != nil {
		w.t.Fatal(err)
	}
}

// until waits until a condition holds, which is looked at whenever a lane has changed.
func (w *world) until(what string, f func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("never: %s", what)
		}
		w.pause(w.t.Context(), time.Millisecond, nil)
	}
}

func (w *world) user(id, email string) *Outcome {
	w.t.Helper()
	return w.do(&Command{Type: "create.user", Data: staged(w.t, users, user{ID: id, Email: email})})
}

// journal is a table with a line for each event that a handler was run on; tables are made with it.
const journal = "CREATE TABLE journal (n INTEGER PRIMARY KEY, key TEXT NOT NULL, line TEXT NOT NULL)"

// journals is a projector that writes a line for each event; it fails as fail says.
func journals(fail func(ctx context.Context, e *Event) error) ProjectFunc {
	return func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
		var u user
		if err := e.Decode(&u); err != nil {
			return Data{}, err
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO journal (n, key, line) SELECT count(*), $1, $2 FROM journal", e.Key, u.Email)
		if err == nil && fail != nil {
			err = fail(ctx, e)
		}
		return Data{}, err
	}
}

// journalsBatch is the same for many events at once.
func journalsBatch(fail func(ctx context.Context, e *Event) error) ProjectBatchFunc {
	return func(ctx context.Context, tx *Tx, events []*Event) error {
		for _, e := range events {
			if _, err := journals(fail)(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	}
}

// onKinds runs a test with a projector and with one of batches, on both databases.
func onKinds(t *testing.T, f func(t *testing.T, db driver.DB, add func(b *Broadcaster, fail func(context.Context, *Event) error, on Route))) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		f(t, db, func(b *Broadcaster, fail func(context.Context, *Event) error, on Route) {
			b.Projector("Journal.write", journals(fail), nil, on)
		})
	})
	t.Run("batch", func(t *testing.T) {
		onBoth(t, func(t *testing.T, db driver.DB) {
			f(t, db, func(b *Broadcaster, fail func(context.Context, *Event) error, on Route) {
				b.BatchProjector("Journal.write", journalsBatch(fail), nil, on)
			})
		})
	})
}

const journalHandler = "Users/Journal.write"

func TestEventualHandlersRunOnceAndInOrder(t *testing.T) {
	onKinds(t, func(t *testing.T, db driver.DB, add func(*Broadcaster, func(context.Context, *Event) error, Route)) {
		b := newUsers()
		add(b, nil, late(1, ""))
		w := startLate(t, db, b)
		w.exec(journal)
		var last Position
		var want []string
		for i := range 100 {
			email := fmt.Sprint(i)
			last = w.user(fmt.Sprint(i%7), email).Position
			want = append(want, email)
		}
		w.wait(journalHandler, last)
		w.is("SELECT line FROM journal ORDER BY n", want...)
	})
}

func TestWaitLetsReadWhatWasWritten(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Journal.write", journals(nil), nil, late(1, ""))
		b.Projector("Profile.save", profiles, nil, On("user.:user_uuid.created", Config{}))
		b.Projector("Idle.never", profiles, nil, On("nothing.like.it", Config{Consistency: Eventual}))
		w := startLate(t, db, b)
		w.exec(journal)
		for i := range 20 {
			p := w.user("a", fmt.Sprint(i)).Position
			w.wait(journalHandler, p)
			w.is("SELECT max(n) || '' FROM journal", fmt.Sprint(i))
			w.wait("Users/Idle.never", p)
			w.wait("Users/Profile.save", p) // strong
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		ahead := Position{Tx: 1 << 60, Seq: 1 << 60}
		if err := w.Wait(ctx, journalHandler, ahead); edda.ReasonOf(err) != edda.Cancelled {
			t.Errorf("waiting with a context that has ended: %v", err)
		}
		err := w.Wait(t.Context(), "Users/Nobody.knows", ahead)
		if edda.ReasonOf(err) != edda.BadName || !strings.Contains(err.Error(), journalHandler) {
			t.Errorf("waiting for a handler that is not there: %v", err)
		}
	})
}

func TestWaitForAHandlerOfAnotherProcess(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Journal.write", journals(nil), nil, late(1, ""))
		w := start(t, db, b)
		w.exec(journal)
		p := w.user("a", "1").Position
		waited := make(chan error, 1)
		go func() { waited <- w.Wait(t.Context(), journalHandler, p) }()
		w.second(b)
		if err := <-waited; err != nil {
			t.Fatal(err)
		}
		w.is("SELECT line FROM journal", "1")
	})
}

func TestEventsOfAnAggregateWaitBehindOneThatFails(t *testing.T) {
	onKinds(t, func(t *testing.T, db driver.DB, add func(*Broadcaster, func(context.Context, *Event) error, Route)) {
		var mend atomic.Bool
		b := newUsers()
		add(b, func(_ context.Context, e *Event) error {
			if e.Version == 2 && e.Key == "a" && !mend.Load() {
				return errors.New("not yet")
			}
			return nil
		}, On("*", Config{Consistency: Eventual, Retry: quick(-1)}))
		w := start(t, db, b)
		w.exec(journal)
		for i := range 4 {
			w.user("a", fmt.Sprint("a", i))
			w.user("b", fmt.Sprint("b", i))
		}
		last := w.user("b", "b4").Position
		w.runLate()
		w.wait(journalHandler, last)
		w.is("SELECT line FROM journal WHERE key = 'b' ORDER BY n", "b0", "b1", "b2", "b3", "b4")
		w.is("SELECT line FROM journal WHERE key = 'a' ORDER BY n", "a0")
		mend.Store(true)
		w.wait(journalHandler, w.user("a", "a4").Position)
		w.is("SELECT line FROM journal WHERE key = 'a' ORDER BY n", "a0", "a1", "a2", "a3", "a4")
		w.is("SELECT state FROM edda_parked")
	})
}

func TestDeadLetters(t *testing.T) {
	for onDead, want := range map[edda.OnDead]struct{ a, b, state []string }{
		edda.Continue: {[]string{"a0", "a2"}, []string{"b0", "b1"}, []string{ledger.Dead}},
		edda.StopKey:  {[]string{"a0"}, []string{"b0", "b1"}, []string{ledger.Stopped, ledger.Waiting}},
		edda.Pause:    {[]string{"a0"}, []string{"b0"}, []string{ledger.Dead}},
	} {
		t.Run(string(onDead), func(t *testing.T) {
			onKinds(t, func(t *testing.T, db driver.DB, add func(*Broadcaster, func(context.Context, *Event) error, Route)) {
				var mend atomic.Bool
				var tries atomic.Int32
				b := newUsers()
				add(b, func(_ context.Context, e *Event) error {
					if e.Version == 2 && e.Key == "a" && !mend.Load() {
						tries.Add(1)
						return errors.New("never")
					}
					return nil
				}, late(3, onDead))
				w := start(t, db, b)
				w.exec(journal)
				w.user("a", "a0")
				w.user("b", "b0")
				bad := w.user("a", "a1")
				w.runLate()
				err := w.Wait(t.Context(), journalHandler, bad.Position)
				if edda.ReasonOf(err) != edda.Dead || !strings.Contains(err.Error(), "never") {
					t.Fatalf("waiting for the event that fails: %v", err)
				}
				w.user("a", "a2")
				last := w.user("b", "b1").Position
				if onDead != edda.Pause {
					w.wait(journalHandler, last)
				}
				w.is("SELECT line FROM journal WHERE key = 'a' ORDER BY n", want.a...)
				w.is("SELECT line FROM journal WHERE key = 'b' ORDER BY n", want.b...)
				w.is("SELECT state FROM edda_parked ORDER BY tx, seq", want.state...)
				dead, err := w.DeadLetters(t.Context(), DeadLetterFilter{Handler: journalHandler})
				if err != nil || len(dead) != 1 || dead[0].Event != bad.Event.ID || dead[0].Attempts != 3 || !strings.Contains(dead[0].Error, "never") {
					t.Fatalf("dead letters are %+v, %v", dead, err)
				}
				if p := w.projection(journalHandler); p.Dead != 1 || (onDead == edda.Pause) != (p.State == ledger.Paused) {
					t.Errorf("the projection is %+v", p)
				}

				mend.Store(true)
				if err := w.RetryDead(t.Context(), journalHandler, bad.Event.ID); err != nil {
					t.Fatal(err)
				}
				if err := w.ResumeProjection(t.Context(), journalHandler); err != nil {
					t.Fatal(err)
				}
				w.wait(journalHandler, last)
				w.wait(journalHandler, bad.Position)
				w.until("all is handled", func() bool { return len(w.strings("SELECT state FROM edda_parked")) == 0 })
				all := []string{"a0", "a1", "a2"}
				if onDead == edda.Continue {
					all = []string{"a0", "a2", "a1"}
				}
				w.is("SELECT line FROM journal WHERE key = 'a' ORDER BY n", all...)
				w.is("SELECT line FROM journal WHERE key = 'b' ORDER BY n", "b0", "b1")
				if err := w.RetryDead(t.Context(), journalHandler, bad.Event.ID); edda.ReasonOf(err) != edda.NoDeadLetter {
					t.Errorf("retrying what is none: %v", err)
				}
			})
		})
	}
}

// projection is what Projections says of a handler.
func (w *world) projection(handler string) Projection {
	w.t.Helper()
	all, err := w.Projections(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(p Projection) bool { return p.Handler == handler })
	if i < 0 {
		w.t.Fatalf("there is no projection %s in %+v", handler, all)
	}
	return all[i]
}

func TestDroppedDeadLettersLetTheAggregateGoOn(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Journal.write", journals(func(_ context.Context, e *Event) error {
			if e.Version == 1 {
				return edda.Final("NO", "never")
			}
			return nil
		}), nil, late(5, edda.StopKey))
		w := startLate(t, db, b)
		w.exec(journal)
		first := w.user("a", "a0")
		second := w.user("a", "a1")
		if err := w.Wait(t.Context(), journalHandler, first.Position); edda.ReasonOf(err) != edda.Dead {
			t.Fatalf("waiting for the event that fails: %v", err)
		}
		dead, err := w.DeadLetters(t.Context(), DeadLetterFilter{})
		if err != nil || len(dead) != 1 || dead[0].Attempts != 1 {
			t.Fatalf("a final error has the dead letters %+v, %v", dead, err)
		}
		if err := w.DropDead(t.Context(), journalHandler, first.Event.ID); err != nil {
			t.Fatal(err)
		}
		w.wait(journalHandler, second.Position)
		w.is("SELECT line FROM journal", "a1")
	})
}

func TestPausedHandlersWaitAndGoOn(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		b.Projector("Journal.write", journals(nil), nil, late(1, ""))
		b.Projector("Profile.save", profiles, nil, On("user.:user_uuid.created", Config{}))
		w := startLate(t, db, b)
		w.exec(journal)
		w.wait(journalHandler, w.user("a", "0").Position)
		if err := w.PauseProjection(t.Context(), journalHandler); err != nil {
			t.Fatal(err)
		}
		p := w.user("a", "1").Position
		if got := w.projection(journalHandler); got.State != ledger.Paused || got.LagEvents != 1 || got.Lag <= 0 {
			t.Errorf("the projection is %+v", got)
		}
		w.is("SELECT line FROM journal", "0")
		if err := w.ResumeProjection(t.Context(), journalHandler); err != nil {
			t.Fatal(err)
		}
		w.wait(journalHandler, p)
		w.is("SELECT line FROM journal ORDER BY n", "0", "1")
		for _, name := range []string{"Users/Profile.save", "Users/Nobody"} {
			if err := w.PauseProjection(t.Context(), name); edda.ReasonOf(err) != edda.BadName {
				t.Errorf("pausing %s: %v", name, err)
			}
		}
	})
}

func TestHandlersThatBreakTheirTransaction(t *testing.T) {
	for name, c := range map[string]struct {
		fail    func(ctx context.Context, e *Event) error
		timeout time.Duration // holds for those that do not fail too
	}{
		"panic":   {fail: func(context.Context, *Event) error { panic("no") }},
		"timeout": {func(ctx context.Context, _ *Event) error { <-ctx.Done(); return ctx.Err() }, 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			onKinds(t, func(t *testing.T, db driver.DB, add func(*Broadcaster, func(context.Context, *Event) error, Route)) {
				b := newUsers()
				add(b, func(ctx context.Context, e *Event) error {
					if e.Key == "bad" {
						return c.fail(ctx, e)
					}
					return nil
				}, On("*", Config{Consistency: Eventual, Retry: quick(2), Timeout: c.timeout}))
				w := start(t, db, b)
				w.exec(journal)
				w.user("a", "a0")
				bad := w.user("bad", "b0").Position
				last := w.user("a", "a1").Position
				w.runLate()
				w.wait(journalHandler, last)
				if err := w.Wait(t.Context(), journalHandler, bad); edda.ReasonOf(err) != edda.Dead {
					t.Errorf("waiting for the event that fails: %v", err)
				}
				w.is("SELECT line FROM journal ORDER BY n", "a0", "a1")
			})
		})
	}
}

func TestAnEventualHandlerThatHidesAnErrorOfTheDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		b := newUsers()
		hide := func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
			if e.Key == "bad" {
				_, _ = tx.ExecContext(ctx, "INSERT INTO no_such_table VALUES (1)")
				return Data{}, nil
			}
			return journals(nil)(ctx, tx, e)
		}
		b.Projector("Journal.write", hide, nil, late(2, ""))
		w := start(t, db, b)
		w.exec(journal)
		w.user("a", "a0")
		w.user("bad", "b0")
		last := w.user("a", "a1").Position
		w.runLate()
		w.wait(journalHandler, last)
		w.is("SELECT line FROM journal ORDER BY n", "a0", "a1")
	})
}
