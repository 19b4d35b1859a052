package cqrs

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// What is stored before the relay begins, and what is stored while it runs, comes to the
// stream, each event once, in order, and as it is.
func TestRelay(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		for _, shards := range []int{1, 4} {
			n := newRelayNode(t)
			makeEvents(t, db, 300, 7, 60)
			a, stop := startRelay(t, db, n, Options{Shards: shards, Name: "cqrs"})
			isRelayed(t, db, n, shards)
			for range 20 {
				makeEvents(t, db, 5, 7, 2)
				a.committed()
			}
			isRelayed(t, db, n, shards)
			stop()
			execute(t, db, "DELETE FROM edda_relays")
		}
	})
}

func execute(t testing.TB, db driver.DB, statement string, args ...any) {
	t.Helper()
	err := db.Direct(t.Context(), func(ctx context.Context, tx *Tx) error {
		_, err := tx.ExecContext(ctx, statement, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Relays that lose answers, fail before and after their appends, are stopped at any moment,
// and are several at once, bring each event once.
func TestRelayAtAnyMoment(t *testing.T) {
	onBoth(t, func(t *testing.T, db driver.DB) {
		const shards, total = 3, 2000
		n := newRelayNode(t)
		var calls atomic.Int64
		faulty := func(*edda.Append) error {
			if i := calls.Add(1); i%3 == 0 || rand.IntN(4) == 0 {
				return &edda.Error{Op: "append", Reason: edda.OutcomeUnknown, Err: errors.New("the connection is lost")}
			}
			return nil
		}
		n.before, n.after = faulty, faulty
		var wg sync.WaitGroup
		made := make(chan struct{})
		wg.Go(func() {
			defer close(made)
			for range total / 20 {
				makeEvents(t, db, 20, 11, 7)
			}
		})
		for range 2 {
			wg.Go(func() {
				for over := false; !over; {
					select {
					case <-made:
						over = true
					default:
					}
					appended := make(chan struct{}, 1000)
					own := &relayNode{Node: n.Node, before: faulty, after: func(a *edda.Append) error {
						err := faulty(a)
						select {
						case appended <- struct{}{}:
						default:
						}
						return err
					}}
					a, stop := startRelay(t, db, own, Options{Shards: shards})
					for range 1 + rand.IntN(6) {
						a.committed()
						select {
						case <-appended:
						case <-made:
						}
					}
					stop()
				}
			})
		}
		wg.Wait()
		startRelay(t, db, n.Node, Options{Shards: shards})
		isRelayed(t, db, n, shards)
	})
}
