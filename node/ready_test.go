package node_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// A service may be without workers, or paused, for long. Requests whose deadline
// passes meanwhile leave nothing in memory.
func TestRequestsThatWaitNoMorePileUpNowhere(t *testing.T) {
	for _, s := range []edda.ServiceSpec{orderedSpec("s"), balancedSpec("s")} {
		bubble(t, string(s.Kind), func(t *testing.T) {
			n := start(t, node.Options{})
			attach(t, n, spec("first", s), nil).Detach()
			to := func(i int) string {
				if s.Kind == edda.Balanced {
					return "s"
				}
				return fmt.Sprintf("s/k%d", i)
			}
			const goes = 2000
			for i := range goes {
				send(t, n, with(msg(to(i), "m", ""), func(m *edda.Message) { m.Deadline = time.Now().Add(time.Second) }))
				if i%100 == 0 {
					time.Sleep(time.Second)
				}
			}
			time.Sleep(2 * time.Second)
			for i := range 5 {
				send(t, n, msg(to(goes+i), "m", "stays"))
			}
			synctest.Wait()
			if ready, places := node.ReadyAndLines(t, n, "s"); ready > goes/4 || places != ready {
				t.Errorf("%d requests wait for a slot, with %d places in line; want 5, and a few", ready, places)
			}
			w := attach(t, n, spec("second", s), answerAll)
			if got := w.got(); got != 5 {
				t.Errorf("%d requests were handled, want 5", got)
			}
			if ready, places := node.ReadyAndLines(t, n, "s"); ready+places != 0 {
				t.Errorf("%d requests wait for a slot, with %d places in line; want none", ready, places)
			}
		})
	}
}
