package cqrs

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

func TestLifecycle(t *testing.T) {
	l := newLifecycle()
	if got := edda.ReasonOf(l.enter("do")); got != edda.Unavailable {
		t.Errorf("before the start: %q", got)
	}
	ran := false
	run := func(context.Context, *sync.WaitGroup) { ran = true }
	if err := l.start("start", run); err != nil || !ran {
		t.Fatalf("started with %v, ran: %v", err, ran)
	}
	if got := edda.ReasonOf(l.start("start", run)); got != edda.Conflict {
		t.Errorf("started twice: %q", got)
	}
	if err := l.awaitStart(t.Context()); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := l.stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := edda.ReasonOf(l.enter("do")); got != edda.Unavailable {
		t.Errorf("after the stop: %q", got)
	}
	if got := edda.ReasonOf(l.start("start", run)); got != edda.Conflict {
		t.Errorf("started after the stop: %q", got)
	}
}

// What runs beside the commands ends after the last of them, or when the patience of
// whoever stops has ended.
func TestStopWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLifecycle()
		var ended time.Time
		err := l.start("start", func(ctx context.Context, wg *sync.WaitGroup) {
			wg.Go(func() { <-ctx.Done(); ended = time.Now() })
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.enter("do"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		hurried, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.stop(hurried); err == nil || ended.Sub(start) != time.Second {
			t.Errorf("stopped with %v, the rest ended after %v", err, ended.Sub(start))
		}
		time.AfterFunc(time.Minute, l.leave)
		if err := l.stop(t.Context()); err != nil || time.Since(start) != time.Second+time.Minute {
			t.Errorf("stopped again with %v after %v", err, time.Since(start))
		}
	})
}

func TestAwaitStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLifecycle()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.awaitStart(ctx); err == nil {
			t.Error("it did not wait")
		}
		time.AfterFunc(time.Second, func() { _ = l.stop(t.Context()) })
		if err := l.awaitStart(t.Context()); err != nil {
			t.Errorf("stopped before it started: %v", err)
		}
	})
}

func TestStartWithoutTablesSaysWhoMakesThem(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		if _, err := db.(sqlDB).SQL().ExecContext(t.Context(), "DROP TABLE edda_handlers"); err != nil {
			t.Fatal(err)
		}
		a, err := New(db, Options{NoRelay: true, NoMigrations: true}, newUsers())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Start(t.Context(), nil); edda.ReasonOf(err) != edda.Unavailable || !strings.Contains(err.Error(), "with NoMigrations somebody else makes them: ") {
			t.Errorf("got %v", err)
		}
	})
}
