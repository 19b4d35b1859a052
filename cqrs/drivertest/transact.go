package drivertest

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/edda-io/edda/cqrs/driver"
)

var errTest = errors.New("the test's error")

func testCommit(t *testing.T, s *suite) {
	for _, o := range []driver.TxOptions{{}, {Alone: true}, {Isolation: sql.LevelSerializable}, {Isolation: sql.LevelRepeatableRead}} {
		var n int
		err := s.db.Transact(t.Context(), o, func(ctx context.Context, tx *driver.Tx) error {
			if err := errors.Join(count(ctx, tx, 1), count(ctx, tx, 1)); err != nil {
				return err
			}
			return tx.QueryRowContext(ctx, "SELECT n FROM counters WHERE id = $1", 1).Scan(&n)
		})
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		s.want(t, map[int]int{1: n})
	}
	s.want(t, map[int]int{1: 8})
}

func testFail(t *testing.T, s *suite) {
	for name, c := range map[string]struct {
		f     func(ctx context.Context, tx *driver.Tx, cancel func()) error
		check func(err error) bool
	}{
		"error": {
			func(context.Context, *driver.Tx, func()) error { return errTest },
			func(err error) bool { return errors.Is(err, errTest) },
		},
		"panic": {
			func(context.Context, *driver.Tx, func()) error { panic("oops") },
			func(err error) bool {
				p, ok := errors.AsType[*driver.PanicError](err)
				return ok && p.Value == "oops" && len(p.Stack) > 0
			},
		},
		"panic with an error": {
			func(context.Context, *driver.Tx, func()) error { panic(errTest) },
			func(err error) bool { return errors.Is(err, errTest) },
		},
		"statement": {
			func(ctx context.Context, tx *driver.Tx, _ func()) error { return duplicate(ctx, tx, 1) },
			func(err error) bool { return err != nil && !errors.Is(err, driver.ErrUnknown) },
		},
		"no statement": {
			func(ctx context.Context, tx *driver.Tx, _ func()) error {
				_, err := tx.ExecContext(ctx, "SELEKT")
				return err
			},
			func(err error) bool { return err != nil },
		},
		"the context ends": {
			func(_ context.Context, _ *driver.Tx, cancel func()) error { cancel(); return nil },
			func(err error) bool { return errors.Is(err, context.Canceled) },
		},
		"the context ends before a statement": {
			func(ctx context.Context, tx *driver.Tx, cancel func()) error { cancel(); return count(ctx, tx, 2) },
			func(err error) bool { return errors.Is(err, context.Canceled) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := s.transact(ctx, func(ctx context.Context, tx *driver.Tx) error {
				if err := count(ctx, tx, 1); err != nil {
					return err
				}
				return c.f(ctx, tx, cancel)
			})
			if !c.check(err) {
				t.Errorf("got error %v", err)
			}
			s.want(t, map[int]int{})
		})
	}
	t.Run("the context has ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := s.transact(ctx, func(context.Context, *driver.Tx) error {
			t.Error("the function was called")
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v", err)
		}
	})
}

// What fails leaves no trace in those before and after it.
func testFailBetween(t *testing.T, s *suite) {
	for i := range 5 {
		if err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error { return count(ctx, tx, 1) }); err != nil {
			t.Fatal(err)
		}
		err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
			return errors.Join(count(ctx, tx, 1), count(ctx, tx, 2), errTest)
		})
		if !errors.Is(err, errTest) {
			t.Fatalf("got error %v", err)
		}
		s.want(t, map[int]int{1: i + 1})
	}
}

// A function that keeps the error of a statement to itself stores everything else, or
// nothing and is told so; never nothing with success.
func testHiddenError(t *testing.T, s *suite) {
	err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
		if err := count(ctx, tx, 1); err != nil {
			return err
		}
		if duplicate(ctx, tx, 1) == nil {
			t.Error("the duplicate was taken")
		}
		_ = count(ctx, tx, 2)
		return nil
	})
	if err == nil {
		s.want(t, map[int]int{1: 1, 2: 1})
		return
	}
	if !errors.Is(err, driver.ErrRolledBack) {
		t.Errorf("got error %v, want ErrRolledBack", err)
	}
	s.want(t, map[int]int{})
}

func testSavepoints(t *testing.T, s *suite) {
	err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
		if err := count(ctx, tx, 1); err != nil {
			return err
		}
		err := tx.Savepoint(ctx, func() error {
			if err := count(ctx, tx, 2); err != nil {
				return err
			}
			err := tx.Savepoint(ctx, func() error { return errors.Join(count(ctx, tx, 1), count(ctx, tx, 3), errTest) })
			if !errors.Is(err, errTest) {
				t.Errorf("the inner savepoint failed with %v", err)
			}
			return tx.Savepoint(ctx, func() error { return count(ctx, tx, 4) })
		})
		if err != nil {
			return err
		}
		func() {
			defer func() {
				if v := recover(); v != "oops" {
					t.Errorf("got panic %v", v)
				}
			}()
			_ = tx.Savepoint(ctx, func() error {
				if err := count(ctx, tx, 5); err != nil {
					t.Error(err)
				}
				panic("oops")
			})
		}()
		err = tx.Savepoint(ctx, func() error {
			return errors.Join(tx.Savepoint(ctx, func() error { return count(ctx, tx, 6) }), errTest)
		})
		if !errors.Is(err, errTest) {
			t.Errorf("the outer savepoint failed with %v", err)
		}
		return count(ctx, tx, 7)
	})
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, map[int]int{1: 1, 2: 1, 4: 1, 7: 1})
}

func testSavepointOfFailedStatement(t *testing.T, s *suite) {
	short := func(ctx context.Context, tx *driver.Tx, id int) error {
		return tx.Savepoint(ctx, func() error {
			own, cancel := context.WithCancel(ctx)
			defer cancel()
			if err := count(own, tx, id); err != nil {
				return err
			}
			cancel()
			return count(own, tx, id)
		})
	}
	err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
		if err := count(ctx, tx, 1); err != nil {
			return err
		}
		if err := tx.Savepoint(ctx, func() error { return duplicate(ctx, tx, 1) }); err == nil {
			t.Error("the duplicate was taken")
		}
		if err := short(ctx, tx, 2); !errors.Is(err, context.Canceled) {
			t.Errorf("the end of a statement's context: got error %v", err)
		}
		return count(ctx, tx, 1)
	})
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, map[int]int{1: 2})
}

func testTables(t *testing.T, s *suite) {
	err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
		other := tx.WithTables(map[string]string{"profiles": "counters"})
		if got := []string{tx.Table("profiles"), other.Table("profiles"), other.Table("x")}; !slices.Equal(got, []string{"profiles", "counters", "x"}) {
			t.Errorf("got the tables %v", got)
		}
		_, err := other.ExecContext(ctx, "INSERT INTO "+other.Table("profiles")+" (id, n) VALUES (1, 1)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, map[int]int{1: 1})
}

func testOptions(t *testing.T, s *suite) {
	for _, level := range []sql.IsolationLevel{sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelSnapshot, sql.LevelLinearizable} {
		err := s.db.Transact(t.Context(), driver.TxOptions{Isolation: level}, func(context.Context, *driver.Tx) error {
			t.Errorf("%v was taken", level)
			return nil
		})
		if err == nil {
			t.Errorf("%v: got no error", level)
		}
	}
}

// A transaction within another would wait for that for ever, or miss what it does.
func testInside(t *testing.T, s *suite) {
	never := func(context.Context, *driver.Tx) error { t.Error("the function was called"); return nil }
	var ended []context.Context
	for _, run := range []func(f func(context.Context, *driver.Tx) error) error{
		func(f func(context.Context, *driver.Tx) error) error { return s.transact(t.Context(), f) },
		func(f func(context.Context, *driver.Tx) error) error { return s.db.Direct(t.Context(), f) },
	} {
		err := run(func(ctx context.Context, _ *driver.Tx) error {
			ended = append(ended, context.WithoutCancel(ctx))
			if s.transact(ctx, never) == nil || s.db.Direct(ctx, never) == nil {
				t.Error("got no error")
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	for _, ctx := range ended {
		if err := s.transact(ctx, func(context.Context, *driver.Tx) error { return nil }); err != nil {
			t.Errorf("after the function has returned: %v", err)
		}
	}
}

func testEnded(t *testing.T, s *suite) {
	var kept *driver.Tx
	f := func(_ context.Context, tx *driver.Tx) error { kept = tx.WithTables(nil); return nil }
	for _, err := range []error{s.transact(t.Context(), f), s.db.Direct(t.Context(), f)} {
		if err != nil {
			t.Fatal(err)
		}
		_, queried := kept.QueryContext(t.Context(), "SELECT 1") //nolint:rowserrcheck,sqlclosecheck // there are none
		for what, err := range map[string]error{
			"exec": count(t.Context(), kept, 1), "query": queried,
			"row":       kept.QueryRowContext(t.Context(), "SELECT 1").Scan(new(int)),
			"savepoint": kept.Savepoint(t.Context(), func() error { t.Error("the function was called"); return nil }),
		} {
			if !errors.Is(err, driver.ErrEnded) {
				t.Errorf("%s: got error %v, want ErrEnded", what, err)
			}
		}
	}
	s.want(t, map[int]int{})
}

func testOpenRows(t *testing.T, s *suite) {
	for i := range 3 {
		s.exec(t, "INSERT INTO counters (id, n) VALUES ($1, 0)", -i)
	}
	for name, leave := range map[string]func(ctx context.Context, tx *driver.Tx) error{
		"rows": func(ctx context.Context, tx *driver.Tx) error {
			rows, err := tx.QueryContext(ctx, "SELECT id FROM counters") //nolint:rowserrcheck,sqlclosecheck // they are left as they are
			if err == nil && !rows.Next() {
				err = errors.New("there are no rows")
			}
			return err
		},
		"row": func(ctx context.Context, tx *driver.Tx) error {
			return tx.QueryRowContext(ctx, "SELECT id FROM counters").Err()
		},
		"written rows": func(_ context.Context, tx *driver.Tx) error {
			// The context is not the one that the function was handed.
			return tx.QueryRowContext(context.Background(), "UPDATE counters SET n = 1 RETURNING n").Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
				return errors.Join(count(ctx, tx, 1), leave(ctx, tx))
			})
			if !errors.Is(err, driver.ErrOpenRows) {
				t.Errorf("got error %v, want ErrOpenRows", err)
			}
			s.want(t, map[int]int{0: 0, -1: 0, -2: 0})
		})
	}
}

// A function that ends its goroutine, as FailNow does, ends nothing else.
func testGoexit(t *testing.T, s *suite) {
	for _, run := range []func(f func(context.Context, *driver.Tx) error) error{
		func(f func(context.Context, *driver.Tx) error) error { return s.transact(t.Context(), f) },
		func(f func(context.Context, *driver.Tx) error) error { return s.db.Direct(t.Context(), f) },
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = run(func(ctx context.Context, tx *driver.Tx) error {
				if err := tx.QueryRowContext(ctx, "SELECT 1").Err(); err != nil {
					t.Error(err)
				}
				runtime.Goexit()
				return nil
			})
		}()
		<-done
		if err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error { return count(ctx, tx, 1) }); err != nil {
			t.Fatal(err)
		}
	}
	s.want(t, map[int]int{1: 2})
}

// Without a transaction each statement is stored by itself.
func testDirect(t *testing.T, s *suite) {
	calls := 0
	err := s.db.Direct(t.Context(), func(ctx context.Context, tx *driver.Tx) error {
		calls++
		if err := count(ctx, tx, 1); err != nil {
			return err
		}
		s.want(t, map[int]int{1: 1})
		err := tx.Savepoint(ctx, func() error { return errors.Join(count(ctx, tx, 2), errTest) })
		if !errors.Is(err, errTest) {
			t.Errorf("the savepoint failed with %v", err)
		}
		return err
	})
	if !errors.Is(err, errTest) || calls != 1 {
		t.Errorf("got error %v after %d calls", err, calls)
	}
	s.want(t, map[int]int{1: 1, 2: 1})
	err = s.db.Direct(t.Context(), func(context.Context, *driver.Tx) error { panic("oops") })
	if _, ok := errors.AsType[*driver.PanicError](err); !ok {
		t.Errorf("got error %v of a panic", err)
	}
}
