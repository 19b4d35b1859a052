package node_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

func TestTimesOutOfRange(t *testing.T) {
	bubble(t, "far", func(t *testing.T) {
		n := start(t, node.Options{}, ordered("s", echo))
		far := time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)
		for name, change := range map[string]func(*edda.Message){
			"due":      func(m *edda.Message) { m.Due = far },
			"deadline": func(m *edda.Message) { m.Deadline = far },
		} {
			_, err := n.Client().Send(t.Context(), with(msg("s/a", "m", name), change))
			wantReason(t, err, edda.BadValue)
		}
		// A time long past means now, however long.
		long := time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)
		call(t, n, with(msg("s/a", "m", "old"), func(m *edda.Message) { m.Due = long })).replied(t, 200, "old")
	})
}

// Two messages of one handler may repeat an idempotency key with other payloads:
// the first one counts, wherever they go.
func TestSendsRepeatIdempotencyKey(t *testing.T) {
	bubble(t, "sends", func(t *testing.T) {
		seen := &journal{}
		sink := ordered("sink", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			seen.addf("%s %s", ctx.Key(), m.Payload)
			return nil, nil
		})
		source := ordered("source", func(ctx *edda.Context, _ *edda.Message) (*edda.Reply, error) {
			for i := range 8 { // keys of several partitions
				for _, payload := range []string{"first", "second"} {
					if err := ctx.Send(keyed(msg(fmt.Sprintf("sink/%d", i), "m", payload), "k")); err != nil {
						return nil, err
					}
				}
			}
			return nil, nil
		})
		n := start(t, node.Options{Partitions: 8}, sink, source)
		call(t, n, msg("source/a", "m", "")).replied(t, 204, "")
		synctest.Wait()
		for i := range 8 {
			call(t, n, msg(fmt.Sprintf("sink/%d", i), "m", "end")).replied(t, 204, "")
		}
		got := map[string]int{}
		for _, line := range seen.all() {
			got[line]++
		}
		for i := range 8 {
			if first, second := got[fmt.Sprintf("%d first", i)], got[fmt.Sprintf("%d second", i)]; first != 1 || second != 0 {
				t.Errorf("key %d: the first message came %d times and the second %d times, want 1 and 0", i, first, second)
			}
		}
	})
}
