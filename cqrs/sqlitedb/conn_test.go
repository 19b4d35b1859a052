package sqlitedb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/edda-io/edda/cqrs/driver"
)

// A connection keeps statements, but not without end.
func TestStatementsAreKept(t *testing.T) {
	d := open(t, Options{})
	c := d.queue.w.conn
	number := func(ctx context.Context, tx *driver.Tx, i int) error {
		var got int
		if err := tx.QueryRowContext(ctx, fmt.Sprintf("SELECT $1 + %d", i), i).Scan(&got); err != nil || got != 2*i {
			return fmt.Errorf("got %d of %d and error %w", got, i, err)
		}
		return nil
	}
	err := d.Transact(t.Context(), driver.TxOptions{}, func(ctx context.Context, tx *driver.Tx) error {
		for i := range 3 * maxStatements {
			if err := errors.Join(number(ctx, tx, i), number(ctx, tx, 0)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.statements); n != maxStatements {
		t.Errorf("%d statements are kept, want %d", n, maxStatements)
	}
	if c.statements["SELECT $1 + 0"] == nil {
		t.Error("the statement that is used all the time was not kept")
	}
}

// A statement whose rows are open is not used for others, who would take each other's.
func TestStatementInUse(t *testing.T) {
	d := open(t, Options{})
	run(t, d, "INSERT INTO names (name) VALUES ('a'), ('b'), ('c')")
	err := d.Transact(t.Context(), driver.TxOptions{}, func(ctx context.Context, tx *driver.Tx) error {
		const query = "SELECT name FROM names ORDER BY name"
		outer, err := tx.QueryContext(ctx, query)
		if err != nil {
			return err
		}
		defer outer.Close()
		got := ""
		for outer.Next() {
			var a, b string
			if err := errors.Join(outer.Scan(&a), tx.QueryRowContext(ctx, query).Scan(&b)); err != nil {
				return err
			}
			got += a + b + " "
		}
		if want := "aa ba ca "; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		return outer.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReaderDoesNotWrite(t *testing.T) {
	d := open(t, Options{})
	if err := d.Reader().QueryRowContext(t.Context(), "INSERT INTO names (name) VALUES ('a') RETURNING name").Err(); err == nil {
		t.Error("it did")
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		path string
		o    Options
		want string
	}{
		"memory":    {":memory:", Options{}, `open SQLite database ":memory:": it must be a file, which several connections can share`},
		"no path":   {"", Options{}, `open SQLite database "": it must be a file, which several connections can share`},
		"sync":      {"x", Options{Sync: "often"}, `open SQLite database "x": the option Sync is "often", and must be "full" or "normal"`},
		"patience":  {"x", Options{BusyTimeout: -1}, `open SQLite database "x": the option BusyTimeout is -1ns, and must not be negative`},
		"readers":   {"x", Options{Readers: -1}, `open SQLite database "x": the option Readers is -1, and must not be negative`},
		"directory": {".", Options{}, ""},
		"no place":  {filepath.Join("nowhere", "x"), Options{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Open(c.path, c.o)
			if err == nil {
				t.Fatalf("it was opened; closed with %v", d.Close())
			}
			if c.want != "" && err.Error() != c.want {
				t.Errorf("got error %q, want %q", err, c.want)
			}
		})
	}
}

func TestSync(t *testing.T) {
	for sync, want := range map[Sync]int{"": 2, SyncFull: 2, SyncNormal: 1} {
		d := open(t, Options{Sync: sync})
		var got, keys int
		var mode string
		err := d.Transact(t.Context(), driver.TxOptions{}, func(ctx context.Context, tx *driver.Tx) error {
			return errors.Join(
				tx.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&got),
				tx.QueryRowContext(ctx, "PRAGMA foreign_keys").Scan(&keys),
				tx.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode))
		})
		if err != nil || got != want || keys != 1 || mode != "wal" {
			t.Errorf("%q: got synchronous %d, foreign keys %d, journal %q and error %v", sync, got, keys, mode, err)
		}
	}
}
