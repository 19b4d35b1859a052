// Package pgtest gives tests a PostgreSQL: a private server in a temporary directory,
// started once for each test binary, and gone with it, however that ends.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

var shared = sync.OnceValues(func() (*Server, error) { return Start() })

// Open makes an empty database on the binary's server and returns its connection string.
// The test is skipped where PostgreSQL is not installed, and fails there when CI is set.
func Open(t testing.TB) (dsn string) {
	t.Helper()
	s, err := shared()
	if err != nil {
		skip(t, err)
	}
	return s.Open(t)
}

// Private starts a server for one test, which may stop it. It is skipped, or fails, as
// with Open.
func Private(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := Start(settings...)
	if err != nil {
		skip(t, err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func skip(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "" && errors.Is(err, errNotInstalled) {
		t.Skipf("SKIPPED, there is no PostgreSQL here: %v", err)
	}
	t.Fatal(err)
}

// Open makes an empty database on the server and returns its connection string. It is the
// test's until that ends; then another test may have it, emptied: to make a database takes
// PostgreSQL much longer.
func (s *Server) Open(t testing.TB) (dsn string) {
	t.Helper()
	name, err := s.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.running() { // the test has stopped it
			return
		}
		// The test's own context has ended.
		if err := s.giveBack(context.Background(), name); err != nil {
			t.Errorf("empty the database of the test: %v", err)
		}
	})
	return s.DSN(name)
}

func (s *Server) take(ctx context.Context) (name string, err error) {
	s.mu.Lock()
	if n := len(s.free); n > 0 {
		name, s.free = s.free[n-1], s.free[:n-1]
		s.mu.Unlock()
		return name, nil
	}
	s.made++
	name = fmt.Sprintf("test_%d", s.made)
	s.mu.Unlock()
	return name, s.run(ctx, "postgres", "CREATE DATABASE "+name)
}

// giveBack empties a database: all schemas are dropped, and the connections that the test
// has left are closed.
func (s *Server) giveBack(ctx context.Context, name string) error {
	err := s.run(ctx, name, `DO $$ DECLARE s name; BEGIN
		PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
		FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
			EXECUTE format('DROP SCHEMA %I CASCADE', s);
		END LOOP;
		CREATE SCHEMA public;
	END $$`)
	if err == nil {
		s.mu.Lock()
		s.free = append(s.free, name)
		s.mu.Unlock()
	}
	return err
}

func (s *Server) run(ctx context.Context, database, statement string) error {
	conn, err := pgx.Connect(ctx, s.DSN(database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}
