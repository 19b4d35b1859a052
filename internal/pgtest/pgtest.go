// Package pgtest gives tests a PostgreSQL: a private server in a temporary directory,
// started once for each test binary, and gone with it, however that ends.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

var shared = sync.OnceValues(func() (*Server, error) { return Start() })

var databases atomic.Int64

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

// Open makes an empty database on the server and returns its connection string. The
// database is dropped after the test.
func (s *Server) Open(t testing.TB) (dsn string) {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if err := s.run(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended.
		if !s.running() { // the test has stopped it
			return
		}
		if err := s.run(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the database of the test: %v", err)
		}
	})
	return s.DSN(name)
}

func (s *Server) run(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}
