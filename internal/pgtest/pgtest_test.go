package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/edda-io/edda/internal/pgtest"
)

func TestOpen(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), pgtest.Open(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&n); err != nil || n != 0 {
		t.Fatalf("got %d tables and error %v, want an empty database", n, err)
	}
}

// A database that another test has had is as if it were new, even if that test has left
// connections and locks behind.
func TestOpenAfterAnotherTest(t *testing.T) {
	left := map[string]bool{}
	for range 3 {
		t.Run("", func(t *testing.T) {
			dsn := pgtest.Open(t)
			left[dsn] = true
			conn, err := pgx.Connect(t.Context(), dsn) // not closed
			if err != nil {
				t.Fatal(err)
			}
			for _, statement := range []string{"CREATE TABLE t (n int)", "CREATE SCHEMA other", "CREATE TABLE other.t ()", "BEGIN", "LOCK TABLE t"} {
				if _, err := conn.Exec(t.Context(), statement); err != nil {
					t.Errorf("%s: %v", statement, err)
				}
			}
		})
	}
	if len(left) == 0 && !t.Failed() {
		t.Skip("SKIPPED, like its parts")
	}
	if len(left) != 1 {
		t.Errorf("%d databases were made, want 1", len(left))
	}
}

// What a proxy lets through is done, answered or not, and what it cuts is not.
func TestProxy(t *testing.T) {
	dsn := pgtest.Open(t)
	direct, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(t.Context())
	if _, err := direct.Exec(t.Context(), "CREATE TABLE fates (fate int)"); err != nil {
		t.Fatal(err)
	}
	p := pgtest.NewProxy(t, dsn)
	for fate, want := range map[pgtest.Fate]struct {
		rows     int
		answered bool
	}{pgtest.Pass: {1, true}, pgtest.CutBefore: {0, false}, pgtest.CutAfter: {1, false}} {
		for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeSimpleProtocol} {
			p.Decide(func(string) pgtest.Fate { return pgtest.Pass })
			conn, err := pgx.Connect(t.Context(), p.DSN())
			if err != nil {
				t.Fatal(err)
			}
			p.Decide(func(statement string) pgtest.Fate {
				if len(statement) > 6 && statement[:6] == "INSERT" {
					return fate
				}
				return pgtest.Pass
			})
			_, err = conn.Exec(t.Context(), "INSERT INTO fates (fate) VALUES ($1)", mode, int(fate))
			if (err == nil) != want.answered {
				t.Errorf("fate %d, mode %v: got error %v", fate, mode, err)
			}
			_ = conn.Close(t.Context()) // which it may be
			var n int
			if err := direct.QueryRow(t.Context(), "WITH gone AS (DELETE FROM fates RETURNING 1) SELECT count(*) FROM gone").Scan(&n); err != nil || n != want.rows {
				t.Errorf("fate %d, mode %v: got %d rows and error %v, want %d", fate, mode, n, err, want.rows)
			}
		}
	}
}

// A server that was stopped goes on where it was.
func TestServerStops(t *testing.T) {
	s := pgtest.Private(t)
	dsn := s.Open(t)
	exec := func(statement string) error {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			return err
		}
		defer conn.Close(t.Context())
		_, err = conn.Exec(t.Context(), statement)
		return err
	}
	if err := exec("CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := exec("SELECT 1"); err == nil {
		t.Error("a server that was stopped has answered")
	}
	if err := s.Run(); err != nil {
		t.Fatal(err)
	}
	if err := exec("INSERT INTO kept VALUES (1)"); err != nil {
		t.Error(err)
	}
}
