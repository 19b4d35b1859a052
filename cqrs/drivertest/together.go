package drivertest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda/cqrs/driver"
)

func testReaderSeesCommitted(t *testing.T, s *suite) {
	err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
		if err := count(ctx, tx, 1); err != nil {
			return err
		}
		s.want(t, map[int]int{})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, map[int]int{1: 1})
}

// Many callers read a row and write what follows from it.
func testNoLostUpdate(t *testing.T, s *suite) {
	const callers, each = 16, 20
	s.exec(t, "INSERT INTO counters (id, n) VALUES (1, 0)")
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
					var n int
					if err := tx.QueryRowContext(ctx, "SELECT n FROM counters WHERE id = 1").Scan(&n); err != nil {
						return err
					}
					_, err := tx.ExecContext(ctx, "UPDATE counters SET n = $1 WHERE id = 1", n+1)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s.want(t, map[int]int{1: callers * each})
}

// Of many callers at once some fail, in every way. The others' work is stored, each
// once, and theirs is not.
func testSomeFail(t *testing.T, s *suite) {
	const callers, each = 24, 10
	s.exec(t, "INSERT INTO counters (id, n) VALUES (0, 0)")
	want := map[int]int{0: 0}
	var wg sync.WaitGroup
	for i := range callers {
		id := i + 1
		if i%6 == 0 {
			want[id] = each
		}
		wg.Go(func() {
			for range each {
				ctx, cancel := context.WithCancel(t.Context())
				err := s.transact(ctx, func(ctx context.Context, tx *driver.Tx) error {
					if err := count(ctx, tx, id); err != nil {
						return err
					}
					switch i % 6 {
					case 1:
						return errTest
					case 2:
						panic(errTest)
					case 3:
						return duplicate(ctx, tx, 0)
					case 4:
						cancel()
					case 5:
						cancel()
						return count(ctx, tx, id)
					}
					return nil
				})
				cancel()
				if (err == nil) != (i%6 == 0) || errors.Is(err, driver.ErrUnknown) {
					t.Errorf("caller %d: got error %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	s.want(t, want)
}

// A caller that waits for others is told at once when its context ends.
func testWaitEnds(t *testing.T, s *suite) {
	const waiting = 64 // more than run at once
	inside, leave := make(chan struct{}, waiting), make(chan struct{})
	var wg sync.WaitGroup
	for range waiting {
		wg.Go(func() {
			err := s.transact(t.Context(), func(context.Context, *driver.Tx) error {
				inside <- struct{}{}
				<-leave
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := s.transact(ctx, func(ctx context.Context, _ *driver.Tx) error { <-ctx.Done(); return ctx.Err() })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v", err)
	}
	close(leave)
	wg.Wait()
}

// slow is a query that takes for ever, in SQL of both kinds.
const slow = "WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i < 4000000000000) SELECT max(i) FROM r"

// A statement that goes on for too long is ended with its context, whether it reads or
// writes, and harms nobody else.
func testSlowStatement(t *testing.T, s *suite) {
	for name, statement := range map[string]string{
		"reads":  slow,
		"writes": "INSERT INTO counters (id, n) " + "SELECT 2, (" + slow + ")",
	} {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			started := make(chan struct{})
			const others = 8
			before, err := counters(t.Context(), s.db.Reader())
			if err != nil {
				t.Fatal(err)
			}
			for range others {
				wg.Go(func() {
					<-started
					if err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error { return count(ctx, tx, 1) }); err != nil {
						t.Error(err)
					}
				})
			}
			once := sync.OnceFunc(func() { close(started) })
			for range 3 {
				ctx, cancel := context.WithCancel(t.Context())
				err := s.transact(ctx, func(ctx context.Context, tx *driver.Tx) error {
					once()
					if err := count(ctx, tx, 3); err != nil {
						return err
					}
					defer time.AfterFunc(30*time.Millisecond, cancel).Stop()
					_, err := tx.ExecContext(ctx, statement)
					return err
				})
				cancel()
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got error %v", err)
				}
			}
			wg.Wait()
			s.want(t, map[int]int{1: before[1] + others})
		})
	}
}

func testClose(t *testing.T, s *suite) {
	for range 2 {
		if err := s.db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	never := func(context.Context, *driver.Tx) error { t.Error("the function was called"); return nil }
	for what, err := range map[string]error{"transact": s.transact(t.Context(), never), "direct": s.db.Direct(t.Context(), never)} {
		if !errors.Is(err, driver.ErrClosed) {
			t.Errorf("%s: got error %v, want ErrClosed", what, err)
		}
	}
	if _, err := counters(t.Context(), s.db.Reader()); err == nil {
		t.Error("a closed database was read")
	}
}

// Close waits for what runs: what was acknowledged is stored, what was not is not.
func testCloseDuringUse(t *testing.T, s *suite) {
	const callers = 8
	var wg sync.WaitGroup
	stored := make([]int, callers)
	some := make(chan struct{}, 1)
	for i := range callers {
		wg.Go(func() {
			for {
				err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error { return count(ctx, tx, i) })
				if errors.Is(err, driver.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				stored[i]++
				select {
				case some <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 20 {
		<-some
	}
	if err := s.db.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	s.db = s.another(t)
	want := map[int]int{}
	for i, n := range stored {
		if n > 0 {
			want[i] = n
		}
	}
	s.want(t, want)
}

func testMigrateTwice(t *testing.T, s *suite) {
	for range 2 {
		if err := s.db.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.wantTables(t)
}

func testMigrateAtOnce(t *testing.T, s *suite) {
	var wg sync.WaitGroup
	for range 4 {
		db := s.another(t)
		wg.Go(func() {
			if err := db.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s.wantTables(t)
}

func (s *suite) wantTables(t *testing.T) {
	t.Helper()
	for _, table := range []string{"commands", "aggregates", "events", "event_items", "handlers", "positions", "parked", "relays"} {
		var n int
		if err := s.db.Reader().QueryRowContext(t.Context(), "SELECT count(*) FROM edda_"+table).Scan(&n); err != nil || n != 0 {
			t.Errorf("edda_%s: got %d rows and error %v", table, n, err)
		}
	}
	if s.db.Dialect().Migrations == nil {
		t.Error("the migrations are not there")
	}
}

// insertEvent writes an event with what is needed.
func insertEvent(ctx context.Context, tx *driver.Tx, key string, version int) error {
	id := fmt.Sprintf("00000000-0000-4000-8000-%06d%06x", version, []byte(key + "   ")[:3])
	_, err := tx.ExecContext(ctx, `INSERT INTO edda_events (event_uuid, command_uuid, causation_hierarchy_level, correlation_uuid, correlation_type,
		correlation_pattern_raw, broadcaster, event_type, pattern_raw, object, key, primary_keys, data, version, version_app,
		chain_before, chain_saga, chain_after, chain_events, live_mode, created_at)
		VALUES ($1, $2, 0, '', '', '', '', '', '', 'User', $3, '{}', $4, $5, '', '[]', '[]', '[]', '[]', true, 0)`, id, id, key, []byte("{}"), version)
	return err
}
