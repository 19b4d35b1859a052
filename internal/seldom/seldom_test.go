package seldom_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda/internal/seldom"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g seldom.Gate
		for i, tc := range []struct {
			after time.Duration
			kept  int64
			ok    bool
		}{
			{0, 0, true}, {0, 0, false}, {seldom.Every - 1, 0, false}, {1, 2, true}, {time.Hour, 0, true}, {time.Second, 0, false},
		} {
			time.Sleep(tc.after)
			if kept, ok := g.Pass(); kept != tc.kept || ok != tc.ok {
				t.Errorf("line %d: got %d, %t; want %d, %t", i, kept, ok, tc.kept, tc.ok)
			}
		}
	})
}

// However many come at once, one line is let through, and the next one has the number of
// all the others.
func TestGateCountsThoseAtOnce(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			var g seldom.Gate
			var all sync.WaitGroup
			var passed atomic.Int64
			for range 50 {
				all.Go(func() {
					if kept, ok := g.Pass(); ok {
						passed.Add(1)
						if kept != 0 {
							t.Errorf("the first line says that %d were kept before it", kept)
						}
					}
				})
			}
			all.Wait()
			time.Sleep(seldom.Every)
			if kept, ok := g.Pass(); passed.Load() != 1 || !ok || kept != 49 {
				t.Errorf("%d passed, then %d, %t; want 1, then 49, true", passed.Load(), kept, ok)
			}
		})
	}
}
