package live_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/live"
)

// TestStress has real goroutines publish, subscribe, resume, change and close all at once,
// and looks that everybody got everything once.
func TestStress(t *testing.T) {
	const messages, clients = 3_000, 16
	f := newFake()
	h := live.New(f, live.Options{RingMessages: 50, Joined: func(string, string, edda.Presence) {}})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var version atomic.Uint64
	topic := func() live.Topic {
		v := version.Load()
		return channel(v, [][]string{{"own", "s"}, {"own", "s", "t"}}[v%2]...)
	}
	var wg sync.WaitGroup
	for c := range clients {
		// They begin before anything is published.
		s, err := h.Subscribe(ctx, topic(), &edda.Subscribe{Channel: "c"})
		if err != nil {
			t.Fatal(err)
		}
		at := s.From()
		s.Close()
		wg.Go(func() { follow(ctx, t, h, topic, at, uint64(c), messages) })
	}
	wg.Go(func() {
		for i := range messages {
			f.append([]string{"own", "s"}[i%2], fmt.Sprint(i%7), "a.b", 1)
			if i%10 == 0 {
				f.tick(1)
			}
			if i%500 == 499 {
				version.Add(1)
				if err := h.Set(ctx, topic()); err != nil {
					t.Errorf("set: %v", err)
				}
			}
		}
	})
	wg.Wait()
	h.Close()
	if n := f.watched(); n > 0 {
		t.Errorf("%d streams are still watched", n)
	}
}

// follow subscribes again and again until it has all messages.
func follow(ctx context.Context, t *testing.T, h *live.Hub, topic func() live.Topic, at edda.From, seed uint64, messages int) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	seen := map[string]bool{}
	for len(seen) < messages && ctx.Err() == nil {
		wake := make(chan struct{}, 1)
		s, err := h.Subscribe(ctx, topic(), &edda.Subscribe{
			Channel: "c", From: at, Principal: edda.Principal(fmt.Sprint(seed % 3)),
			Notify: func() {
				select {
				case wake <- struct{}{}:
				default:
				}
			},
			Presence: func(edda.Presence, bool) {},
		})
		if err != nil {
			t.Errorf("subscribe: %v", err)
			return
		}
		for len(seen) < messages && r.IntN(40) > 0 {
			n := 1 + r.IntN(60)
			b, err := s.Take(ctx, n)
			if err != nil {
				t.Errorf("take: %v", err)
				break
			}
			for _, m := range b.Messages {
				if seen[m.Message.ID] {
					t.Errorf("got %s twice", m.Message.ID)
				}
				seen[m.Message.ID] = true
			}
			_, _, _ = s.Behind(), s.Gap(), h.Presence("default", "c")
			at = s.From()
			if len(b.Messages) < n && len(seen) < messages {
				select {
				case <-wake:
				case <-ctx.Done():
				case <-time.After(5 * time.Millisecond): // it goes, and comes back
				}
			}
		}
		s.Close()
	}
	if len(seen) != messages {
		t.Errorf("client %d got %d messages of %d", seed, len(seen), messages)
	}
}
