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
