package drivertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/edda-io/edda/cqrs/driver"
)

// placed is an event with its place.
type placed struct {
	tx, seq int64
	key     string
	version int
}

// settled reads the events after a place whose own place is final.
func settled(ctx context.Context, db driver.DB, after placed, limit int) ([]placed, error) {
	query, args := "SELECT tx, seq, key, version FROM edda_events WHERE seq > $1 ORDER BY seq LIMIT $2", []any{after.seq, limit}
	if s := db.Dialect().Settled; s != "" {
		query = "SELECT tx, seq, key, version FROM edda_events WHERE (tx, seq) > ($1, $2) AND " + s + " ORDER BY tx, seq LIMIT $3"
		args = []any{after.tx, after.seq, limit}
	}
	rows, err := db.Reader().QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []placed
	for rows.Next() {
		var p placed
		if err := rows.Scan(&p.tx, &p.seq, &p.key, &p.version); err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, rows.Err()
}

// Who reads settled events while others write misses none, and has those of an aggregate
// in the order of their versions.
func testOrder(t *testing.T, s *suite) {
	if err := s.db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	const writers, each, keys = 8, 25, 5
	pass := make(chan struct{}) // a writer that has inserted waits for one of the reader's
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := s.transact(t.Context(), func(ctx context.Context, tx *driver.Tx) error { return raise(ctx, tx, keys, pass) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	var got []placed
	for finished := false; !finished || len(got) < writers*each; {
		select {
		case <-done:
			finished = true
		case pass <- struct{}{}:
		default:
		}
		found, err := settled(t.Context(), s.db, last(got), 1+rand.IntN(20))
		if err != nil {
			t.Error(err)
			break
		}
		got = append(got, found...)
		if finished && t.Failed() {
			break
		}
	}
	<-done
	all, err := settled(t.Context(), s.db, placed{}, 10*writers*each)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, all) {
		t.Errorf("%d events were read in passing, and %d are there, or in another order", len(got), len(all))
	}
	versions := map[string]int{}
	for _, p := range all {
		if versions[p.key]++; p.version != versions[p.key] {
			t.Errorf("key %s: got version %d in place %d", p.key, p.version, versions[p.key])
		}
	}
}

func last(ps []placed) placed {
	if len(ps) == 0 {
		return placed{}
	}
	return ps[len(ps)-1]
}

// raise inserts an event of some aggregate, and sometimes does not commit at once.
func raise(ctx context.Context, tx *driver.Tx, keys int, pass <-chan struct{}) error {
	key := fmt.Sprintf("k%d", rand.IntN(keys))
	var version int
	err := tx.QueryRowContext(ctx, "INSERT INTO edda_aggregates (object, key, version) VALUES ('User', $1, 1)"+
		" ON CONFLICT (object, key) DO UPDATE SET version = edda_aggregates.version + 1 RETURNING version", key).Scan(&version)
	if err != nil {
		return err
	}
	if err := insertEvent(ctx, tx, key, version); err != nil {
		return err
	}
	if rand.IntN(3) == 0 {
		<-pass
	}
	return nil
}
