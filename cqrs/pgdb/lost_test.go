package pgdb

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/internal/pgtest"
)

// fates decides on the first statements that begin with a word.
func fates(word string, first ...pgtest.Fate) func(statement string) pgtest.Fate {
	var mu sync.Mutex
	return func(statement string) pgtest.Fate {
		mu.Lock()
		defer mu.Unlock()
		if !strings.HasPrefix(statement, word) || len(first) == 0 {
			return pgtest.Pass
		}
		f := first[0]
		first = first[1:]
		return f
	}
}

// The fate of a commit that is not answered is unknown, whether it came through or not.
func TestConnectionIsLostAtCommit(t *testing.T) {
	for name, c := range map[string]struct {
		fate   pgtest.Fate
		o      Options
		stored int
	}{
		"before": {pgtest.CutBefore, Options{}, 0},
		"after":  {pgtest.CutAfter, Options{}, 1},
		"held":   {pgtest.Hold, Options{CommitTimeout: time.Second, cancelTimeout: 50 * time.Millisecond}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dsn := pgtest.Open(t)
			p := pgtest.NewProxy(t, dsn)
			d, direct := opened(t, p.DSN(), c.o), opened(t, dsn, Options{})
			p.Decide(fates("COMMIT", c.fate))
			calls := 0
			err := d.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
				calls++
				return count(ctx, tx, 1)
			})
			if !errors.Is(err, driver.ErrUnknown) || calls != 1 {
				t.Errorf("got error %v after %d calls, want ErrUnknown", err, calls)
			}
			want(t, direct, c.stored)
			if err := d.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error { return count(ctx, tx, 1) }); err != nil {
				t.Error(err)
			}
			want(t, direct, c.stored+1)
		})
	}
}

// Before the commit nothing is stored, so the transaction is run again, on another
// connection, a few times.
func TestConnectionIsLostBeforeCommit(t *testing.T) {
	for name, c := range map[string]struct {
		word  string
		cuts  []pgtest.Fate
		calls int
		err   error
	}{
		"at BEGIN":                   {"BEGIN", []pgtest.Fate{pgtest.CutBefore, pgtest.CutAfter}, 1, nil},
		"at a statement":             {"UPDATE", []pgtest.Fate{pgtest.CutBefore}, 2, nil},
		"after a statement":          {"UPDATE", []pgtest.Fate{pgtest.CutAfter}, 2, nil},
		"at a statement, thrice":     {"UPDATE", []pgtest.Fate{pgtest.CutAfter, pgtest.CutBefore, pgtest.CutAfter}, 4, nil},
		"at a statement, each time":  {"UPDATE", []pgtest.Fate{pgtest.CutAfter, pgtest.CutAfter, pgtest.CutAfter, pgtest.CutAfter}, 4, driver.ErrUnavailable},
		"when it is rolled back":     {"ROLLBACK", []pgtest.Fate{pgtest.CutBefore}, 1, errTest},
		"when it was rolled back":    {"ROLLBACK", []pgtest.Fate{pgtest.CutAfter}, 1, errTest},
		"at a savepoint":             {"SAVEPOINT", []pgtest.Fate{pgtest.CutBefore}, 2, nil},
		"when a savepoint ends":      {"RELEASE", []pgtest.Fate{pgtest.CutAfter}, 2, nil},
		"when a connection is taken": {"-- ping", []pgtest.Fate{pgtest.CutBefore}, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := pgtest.NewProxy(t, pgtest.Open(t))
			d := opened(t, p.DSN(), Options{})
			p.Decide(fates(c.word, c.cuts...))
			calls := 0
			err := d.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
				calls++
				if c.word == "ROLLBACK" {
					return errTest
				}
				return tx.Savepoint(ctx, func() error { return count(ctx, tx, 1) })
			})
			if !errors.Is(err, c.err) || calls != c.calls {
				t.Errorf("got error %v after %d calls, want %v after %d", err, calls, c.err, c.calls)
			}
			stored := 1
			if c.err != nil {
				stored = 0
			}
			want(t, d, stored)
		})
	}
}

// A server that is gone makes transactions fail at once, and those that come when it is
// back do not suffer from the connections that died.
func TestServerIsGone(t *testing.T) {
	s := pgtest.Private(t)
	d := opened(t, s.Open(t), Options{MaxConns: 8})
	add := func() error {
		return d.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error { return count(ctx, tx, 1) })
	}
	together := func(f func()) {
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(f)
		}
		wg.Wait()
	}
	var stored atomic.Int64
	together(func() {
		if err := add(); err != nil {
			t.Error(err)
		}
		stored.Add(1)
	})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	together(func() {
		if err := add(); !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("got error %v, want ErrUnavailable", err)
		}
	})
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	together(func() {
		if err := add(); err != nil {
			t.Error(err)
		}
		stored.Add(1)
	})
	want(t, d, int(stored.Load()))
}

// A server that crashes and comes back under load loses nothing that it has acknowledged.
func TestServerCrashes(t *testing.T) {
	s := pgtest.Private(t)
	d := opened(t, s.Open(t), Options{MaxConns: 8})
	var acknowledged, unknown atomic.Int64
	var wg sync.WaitGroup
	stop, some := make(chan struct{}), make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				err := d.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error { return count(ctx, tx, 1) })
				switch {
				case err == nil:
					acknowledged.Add(1)
				case errors.Is(err, driver.ErrUnknown):
					unknown.Add(1)
				case !errors.Is(err, driver.ErrUnavailable):
					t.Error(err)
				}
				select {
				case <-stop:
					return
				case some <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 3 {
		for range 20 {
			<-some
		}
		if err := errors.Join(s.Stop(), s.Run()); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	wg.Wait()
	var n int64
	if err := d.Reader().QueryRowContext(t.Context(), "SELECT n FROM counters WHERE id = 1").Scan(&n); err != nil {
		t.Fatal(err)
	}
	if n < acknowledged.Load() || n > acknowledged.Load()+unknown.Load() {
		t.Errorf("the counter is %d; %d were acknowledged and %d are unknown", n, acknowledged.Load(), unknown.Load())
	}
}
