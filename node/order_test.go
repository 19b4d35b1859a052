package node_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// watch tells how many handlers run, in all and for one key.
type watch struct {
	mu      sync.Mutex
	running map[string]int
	all     int
	most    int // at a time
	overlap string
}

func (w *watch) enter(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running == nil {
		w.running = map[string]int{}
	}
	w.all++
	w.most = max(w.most, w.all)
	if w.running[key]++; w.running[key] > 1 {
		w.overlap = key
	}
}

func (w *watch) leave(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	w.running[key]--
}

// peak is how many handlers ran at a time at most.
func (w *watch) peak() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

// positionOf returns the number of a position within its partition.
func positionOf(t *testing.T, position string) int {
	t.Helper()
	_, number, _ := strings.Cut(position, "-")
	v, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("position %q: %v", position, err)
	}
	return v
}

// Requests of one key come one at a time in the order of acceptance, also when
// some fail and are retried, while many clients send to many keys (O1, A43).
func TestOrderOfEachKeyHoldsUnderConcurrencyAndRetries(t *testing.T) {
	bubble(t, "ordered", func(t *testing.T) {
		const keys, clients, each = 7, 8, 12
		var w watch
		var mu sync.Mutex
		done := map[string][]edda.ID{}
		s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			w.enter(ctx.Key())
			defer w.leave(ctx.Key())
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			if rand.IntN(3) == 0 {
				if rand.IntN(2) == 0 {
					panic("sometimes")
				}
				return nil, errHandler
			}
			mu.Lock()
			defer mu.Unlock()
			done[ctx.Key()] = append(done[ctx.Key()], m.ID)
			return nil, nil
		})
		s.Retry = edda.RetryPolicy{Max: -1, Delay: 10 * time.Millisecond}
		n := start(t, node.Options{}, s)
		accepted := map[string][]*edda.Ack{}
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				for i := range each {
					key := fmt.Sprint("k", i%keys)
					ack := send(t, n, msg("s/"+key, "m", ""))
					mu.Lock()
					accepted[key] = append(accepted[key], ack)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		for key, acks := range accepted {
			slices.SortFunc(acks, func(a, b *edda.Ack) int {
				return cmp.Compare(positionOf(t, a.Position), positionOf(t, b.Position))
			})
			var want []edda.ID
			for _, a := range acks {
				if _, err := n.Client().Wait(t.Context(), a.ID); err != nil {
					t.Fatal(err)
				}
				want = append(want, a.ID)
			}
			mu.Lock()
			got := done[key]
			mu.Unlock()
			if !slices.Equal(got, want) {
				t.Errorf("key %s: got order %v, want %v", key, got, want)
			}
		}
		if w.overlap != "" {
			t.Errorf("two handlers of key %s ran at a time", w.overlap)
		}
		if w.most < 2 {
			t.Error("handlers of different keys never ran at a time")
		}
	})
}

// Different keys run in parallel up to the concurrency of the service; a slow key
// holds up nobody (O2, D-A11).
func TestKeysRunInParallel(t *testing.T) {
	for _, concurrency := range []int{1, 3, 100} {
		bubble(t, fmt.Sprint(concurrency), func(t *testing.T) {
			gate := make(chan struct{})
			var w watch
			s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
				w.enter(ctx.Key())
				defer w.leave(ctx.Key())
				return waitFor(gate)(ctx, m)
			})
			s.Concurrency = concurrency
			n := start(t, node.Options{}, s)
			var acks []*edda.Ack
			for i := range 20 {
				acks = append(acks, send(t, n, msg(fmt.Sprint("s/k", i%10), "m", "")))
			}
			synctest.Wait()
			if got, want := w.peak(), min(concurrency, 10); got != want {
				t.Errorf("got %d handlers at a time, want %d", got, want)
			}
			close(gate)
			for _, a := range acks {
				if _, err := n.Client().Wait(t.Context(), a.ID); err != nil {
					t.Fatal(err)
				}
			}
			if want := min(concurrency, 10); w.most != want || w.overlap != "" {
				t.Errorf("got %d handlers at a time, overlapping %q; want %d, none", w.most, w.overlap, want)
			}
		})
	}
}

// A service whose slots are all taken holds up no other one (O5, D-A1).
func TestBusyServiceHoldsUpNoOther(t *testing.T) {
	bubble(t, "busy", func(t *testing.T) {
		gate := make(chan struct{})
		busy := balanced("busy", waitFor(gate))
		busy.Concurrency = 1
		n := start(t, node.Options{Partitions: 1}, busy, balanced("idle", echo))
		for range 10 {
			send(t, n, msg("busy", "m", ""))
		}
		call(t, n, msg("idle", "m", "x")).replied(t, 200, "x")
		close(gate)
	})
}

// Waiting requests get the slots of a service in turn, whatever partition they
// are in.
func TestSlotsGoRound(t *testing.T) {
	bubble(t, "slots", func(t *testing.T) {
		var j journal
		s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			j.addf("%s", m.Payload)
			time.Sleep(time.Second)
			return nil, nil
		})
		s.Concurrency = 1
		n := start(t, node.Options{Partitions: 8}, s)
		// A key with many requests does not keep the only slot to itself.
		for i := range 5 {
			send(t, n, msg("s/hot", "m", fmt.Sprint("hot", i)))
			synctest.Wait()
		}
		last := send(t, n, msg("s/cold", "m", "cold"))
		if _, err := n.Client().Wait(t.Context(), last.ID); err != nil {
			t.Fatal(err)
		}
		if got := j.all(); len(got) > 3 {
			t.Errorf("got %v, want the cold key's turn by the third request", got)
		}
	})
}

// A request that is retried holds up its key and no other.
func TestRetryHoldsItsKeyAlone(t *testing.T) {
	bubble(t, "retry", func(t *testing.T) {
		var j journal
		s := ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			j.addf("%s%d", m.Payload, ctx.Attempt())
			if string(m.Payload) == "a" && ctx.Attempt() < 3 {
				return nil, errHandler
			}
			return nil, nil
		})
		s.Retry = everySecond
		n := start(t, node.Options{Partitions: 1}, s)
		send(t, n, msg("s/k", "m", "a"))
		send(t, n, msg("s/k", "m", "b"))
		j.want(t, "a1") // no order is promised between keys
		send(t, n, msg("s/other", "m", "c"))
		j.want(t, "a1 c1")
		time.Sleep(time.Second)
		j.want(t, "a1 c1 a2")
		time.Sleep(time.Second)
		j.want(t, "a1 c1 a2 a3 b1")
	})
}
