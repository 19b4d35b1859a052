package node_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

func TestLeases(t *testing.T) {
	bubble(t, "one that has ended is stale, and so is one of another group; what is none is refused", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", nil)
		group(t, n, "s/other", nil)
		feed(t, n, "s", "1", "2")
		ds := gets(t, n, "s/g", "m", 2, "1 2")
		s := settleOf("s/other", ds)
		settles(t, n.Ack, s, 0)
		for _, bad := range []string{"x", ds[0].Lease[1:], ds[0].Lease + "A", strings.Repeat("*", len(ds[0].Lease)), ds[0].Lease[:31] + "="} {
			s := settleOf("s/g", ds)
			s.Leases = append(s.Leases, bad)
			for _, how := range []func(context.Context, edda.Settle) (*edda.Settled, error){n.Ack, n.Reject, n.Extend} {
				_, err := how(t.Context(), s)
				if e := wantReason(t, err, edda.BadValue); !strings.Contains(e.Error(), "leases[2]") {
					t.Errorf("the refusal of %q does not say which it is: %v", bad, e)
				}
			}
		}
		s = settleOf("s/g", ds)
		s.For = 2 * time.Hour
		_, err := n.Extend(t.Context(), s)
		wantReason(t, err, edda.BadValue)
		_, err = n.Ack(t.Context(), settleOf("s/none", ds))
		wantReason(t, err, edda.NoGroup)
		s = settleOf("s/g", ds)
		s.Leases = append(s.Leases, ds[0].Lease) // twice
		settles(t, n.Ack, s, 2)
	})
	bubble(t, "of many who acknowledge one lease one is told that it is done", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", nil)
		feed(t, n, "s", "1")
		ds := gets(t, n, "s/g", "m", 1, "1")
		var mu sync.Mutex
		dones := 0
		var wg sync.WaitGroup
		for i := range 20 {
			how := n.Ack
			if i%2 == 1 {
				how = n.Reject
			}
			wg.Go(func() {
				got, err := how(t.Context(), settleOf("s/g", ds))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				dones += got.Done
			})
		}
		wg.Wait()
		if dones != 1 {
			t.Errorf("%d are told that it is done, want 1", dones)
		}
	})
	bubble(t, "it ends after the processing timeout, unless it is extended", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", func(g *edda.GroupSpec) {
			g.ProcessingTimeout, g.IdleTimeout, g.Retry.Delay = 10*time.Second, time.Hour, time.Millisecond
		})
		feed(t, n, "s", "1", "2", "3")
		ds := gets(t, n, "s/g", "m", 3, "1 2 3")
		time.Sleep(9 * time.Second)
		settles(t, n.Extend, settleOf("s/g", ds[:1]), 1)
		s := settleOf("s/g", ds[1:2])
		s.For = time.Minute
		settles(t, n.Extend, s, 1)
		time.Sleep(2 * time.Second)
		again := gets(t, n, "s/g", "other", 5, "3")
		if again[0].Attempt != 2 || again[0].Lease == ds[2].Lease {
			t.Errorf("redelivered is %+v", again[0])
		}
		settles(t, n.Extend, settleOf("s/g", ds[2:]), 0)
		settles(t, n.Ack, settleOf("s/g", ds[2:]), 0)
		settles(t, n.Reject, settleOf("s/g", ds[2:]), 0)
		settles(t, n.Ack, settleOf("s/g", again), 1)
		time.Sleep(7 * time.Second) // 18 since the read
		settles(t, n.Ack, settleOf("s/g", ds[:1]), 1)
		time.Sleep(50 * time.Second)
		settles(t, n.Ack, settleOf("s/g", ds[1:2]), 1)
		lag(t, n, "s/g", 0, 0)
		noSlotIsLost(t, n, "s/g")
	})
	bubble(t, "a rejected message comes again when the policy says so, or the member, and dies in the end", func(t *testing.T) {
		n := start(t, node.Options{})
		group(t, n, "s/g", func(g *edda.GroupSpec) { g.Retry.Max = 3 })
		feed(t, n, "s", "k=1", "k=2")
		begun := time.Now()
		s := settleOf("s/g", gets(t, n, "s/g", "m", 5, "1"))
		settles(t, n.Reject, s, 1)
		ds := readGroup(t, n, "s/g", "m", 5, time.Minute)
		if payloads(ds) != "1" || time.Since(begun) != time.Second || ds[0].Attempt != 2 {
			t.Fatalf("after %v: %+v", time.Since(begun), ds)
		}
		s = settleOf("s/g", ds)
		s.For = 20 * time.Second
		settles(t, n.Reject, s, 1)
		ds = readGroup(t, n, "s/g", "m", 5, time.Minute)
		if payloads(ds) != "1" || time.Since(begun) != 21*time.Second {
			t.Fatalf("after %v: %+v", time.Since(begun), ds)
		}
		s = settleOf("s/g", ds)
		s.Error = "no such customer"
		settles(t, n.Reject, s, 1)
		ls := letters(t, n, "s/g")
		if len(ls) != 1 || ls[0].Attempts != 3 || ls[0].Detail != "no such customer" {
			t.Errorf("letters %+v", ls)
		}
		settles(t, n.Ack, settleOf("s/g", gets(t, n, "s/g", "m", 5, "2")), 1)
	})
}
