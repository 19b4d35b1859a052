package node_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// overloaded fails the test unless the call was refused early, with nothing stored
// and word of when to come again.
func overloaded(t *testing.T, err error, want edda.Reason) {
	t.Helper()
	e := wantReason(t, err, want)
	notStored(t, e)
	if e.RetryAfter <= 0 || e.Code() != edda.CodeResourceExhausted {
		t.Errorf("got %+v, want resource_exhausted and a time to come again", e)
	}
}

// One key's queue is bounded; others go on, and it recovers (D11).
func TestKeyQueueIsBounded(t *testing.T) {
	bubble(t, "key", func(t *testing.T) {
		gate := make(chan struct{})
		n := start(t, node.Options{Limits: node.Limits{KeyQueue: 5}}, ordered("s", waitFor(gate)))
		for i := range 5 {
			send(t, n, keyed(msg("s/k", "m", "x"), fmt.Sprint(i)))
		}
		_, err := n.Client().Send(t.Context(), msg("s/k", "m", "x"))
		overloaded(t, err, edda.KeyOverloaded)
		overloaded(t, call(t, n, msg("s/k", "m", "x")).err, edda.KeyOverloaded)
		// Who joins adds nothing, and other keys have room.
		if ack := send(t, n, keyed(msg("s/k", "m", "x"), "3")); !ack.Joined {
			t.Errorf("got %+v, want joined", ack)
		}
		send(t, n, msg("s/other", "m", "x"))
		close(gate)
		synctest.Wait()
		call(t, n, msg("s/k", "m", "x")).replied(t, 200, "x")
	})
}

// The memory of unfinished requests is bounded; it recovers when they end.
func TestNodeBytesAreBounded(t *testing.T) {
	bubble(t, "bytes", func(t *testing.T) {
		gate := make(chan struct{})
		reg := prometheus.NewRegistry()
		n := start(t, node.Options{Limits: node.Limits{NodeBytes: 100_000}, Metrics: reg}, ordered("s", waitFor(gate)))
		big := strings.Repeat("x", 10_000)
		taken := 0
		var err error
		for i := range 100 {
			if _, err = n.Client().Send(t.Context(), msg(fmt.Sprint("s/", i), "m", big)); err != nil {
				break
			}
			taken++
			synctest.Wait()
		}
		overloaded(t, err, edda.Overloaded)
		if taken < 5 || taken > 12 {
			t.Errorf("took %d requests of 10 kB, want about 10", taken)
		}
		if got := metric(t, reg, "edda_unfinished_bytes", ""); got < 100_000 || got > 130_000 {
			t.Errorf("got %v unfinished bytes, want a little more than 100000", got)
		}
		close(gate)
		synctest.Wait()
		call(t, n, msg("s/k", "m", big)).replied(t, 200, big)
		if got := metric(t, reg, "edda_unfinished_bytes", ""); got != 0 {
			t.Errorf("got %v unfinished bytes at rest, want 0", got)
		}
		if got := metric(t, reg, "edda_requests_overloaded_total", ""); got != 1 {
			t.Errorf("got %v refused, want 1", got)
		}
	})
}

// What waits to become durable is bounded per partition, by number and by size;
// whoever is over it is refused at once, and after that there is room again.
func TestPartitionIsBounded(t *testing.T) {
	limits := map[string]node.Limits{"requests": {PartitionRequests: 10}, "bytes": {PartitionBytes: 10_000}}
	for name, l := range limits {
		bubble(t, name, func(t *testing.T) {
			n := start(t, node.Options{Partitions: 1, Limits: l}, balanced("b", echo))
			var mu sync.Mutex
			var wg sync.WaitGroup
			var refused, taken int
			for range 1000 {
				wg.Go(func() {
					_, err := n.Client().Send(t.Context(), msg("b", "m", strings.Repeat("x", 800)))
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						taken++
						return
					}
					refused++
					overloaded(t, err, edda.Overloaded)
				})
			}
			wg.Wait()
			if taken < 10 {
				t.Errorf("took %d, want at least what there is room for", taken)
			}
			for range 10 {
				send(t, n, msg("b", "m", strings.Repeat("x", 800)))
			}
			// One that is larger than all the room passes alone.
			send(t, n, msg("b", "m", strings.Repeat("x", 20_000)))
		})
	}
}

// A partition with too much on its way to others takes nothing new from outside,
// until the others have it.
func TestOutboxIsBounded(t *testing.T) {
	bubble(t, "outbox", func(t *testing.T) {
		o := node.Options{Partitions: 2, Limits: node.Limits{OutboxBytes: 1000}}
		var at string // a key of the other partition than s/k
		for i := 0; at == ""; i++ {
			a := edda.Address{Name: "s", Key: fmt.Sprint(i)}
			if a.Hash()>>63 != (edda.Address{Name: "s", Key: "k"}).Hash()>>63 {
				at = a.Key
			}
		}
		s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			if m.Type != "start" {
				return nil, nil
			}
			for range 10 {
				if err := ctx.Send(msg("s/"+at, "m", strings.Repeat("x", 200))); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
		n := start(t, o, s)
		// Acknowledgements wait for company, not for so long when it is that full.
		call(t, n, msg("s/k", "start", "")).replied(t, 204, "")
		synctest.Wait()
		_, err := n.Client().Send(t.Context(), msg("s/k", "m", ""))
		overloaded(t, err, edda.Overloaded)
		send(t, n, msg("s/"+at, "m", "")) // the other partition takes what it gets
		time.Sleep(100 * time.Millisecond)
		send(t, n, msg("s/k", "m", ""))
	})
}

// Ten times what it can take: it refuses early, loses nothing it took, and
// recovers at once.
func TestOverload(t *testing.T) {
	bubble(t, "overload", func(t *testing.T) {
		s := balanced("b", func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
			time.Sleep(10 * time.Millisecond)
			return echo(nil, m)
		})
		s.Concurrency = 10 // 1,000 a second
		n := start(t, node.Options{Limits: node.Limits{NodeBytes: 100_000}}, s)
		var mu sync.Mutex
		counts := map[edda.Reason]int{}
		var wg sync.WaitGroup
		for range 10_000 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				_, err := n.Client().Call(ctx, msg("b", "m", "x"))
				mu.Lock()
				counts[edda.ReasonOf(err)]++
				mu.Unlock()
			})
			time.Sleep(100 * time.Microsecond)
		}
		wg.Wait()
		if counts[""]+counts[edda.Overloaded] != 10_000 || counts[""] < 900 || counts[edda.Overloaded] < 7000 {
			t.Errorf("got %v, want about 1000 replies and the rest refused with OVERLOADED", counts)
		}
		call(t, n, msg("b", "m", "x")).replied(t, 200, "x")
	})
}
