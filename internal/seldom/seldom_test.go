package seldom_test

import (
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
