package node_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// Everything that a node has said of its streams holds after a restart.
func TestStreamRestart(t *testing.T) {
	services := func() []*edda.Service {
		return []*edda.Service{ordered("s", func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			return nil, ctx.Append(&edda.Append{Stream: m.Type, Messages: messages(m.ID.String() + "=" + string(m.Payload))})
		})}
	}
	restarts(t, func(t *testing.T, n *node.Node, restart func(*node.Node) *node.Node) {
		spec := edda.StreamSpec{Name: "listed", Shards: []string{"eu", "us"}, Retention: edda.Retention{Count: 3}, Dedupe: time.Hour}
		if _, _, err := n.SetStream(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		first := put(t, n, "a", "x=0", "1")
		gone := put(t, n, "gone", "x=0", "1", "2")
		for i := range 4 {
			call(t, n, msg("s/1", "h", fmt.Sprint(i))).replied(t, 204, "")
			putAll(t, n, &edda.Append{Stream: "listed", Shard: "eu", Messages: messages(fmt.Sprintf("id%d=%d", i, i))})
			n = restart(n)
			if ack := put(t, n, "a", "x=0"); !ack.Items[0].Replayed || ack.Position != first.Position {
				t.Errorf("after %d restarts: got %+v, want %+v", i+1, ack, first)
			}
			put(t, n, "a", fmt.Sprint(i+2))
			if i == 1 {
				if err := n.DeleteStream(t.Context(), "", "gone"); err != nil {
					t.Fatal(err)
				}
				if _, err := n.TrimStream(t.Context(), "", "a", "", "1"); err != nil {
					t.Fatal(err)
				}
			}
		}
		n = restart(n)
		synctest.Wait()
		holds(t, n, edda.Read{Stream: "a"}, "1:1 2:2 3:3 4:4 5:5 [1 6 6]")
		holds(t, n, edda.Read{Stream: "h"}, "0:0 1:1 2:2 3:3 [0 4 4]")
		holds(t, n, edda.Read{Stream: "listed", Shard: "eu"}, "1:1 2:2 3:3 [1 4 4]")
		_, err := n.ReadStream(t.Context(), edda.Read{Stream: "gone"})
		wantReason(t, err, edda.NoStream)
		s, err := n.Stream(t.Context(), "", "listed")
		if err != nil || fmt.Sprint(s.Shards) != "[eu us]" || s.Retention != spec.Retention || s.Dedupe != time.Hour || s.Offsets["eu"].End != 4 {
			t.Errorf("got %+v, %v", s, err)
		}
		if m := read(t, n, edda.Read{Stream: "a"}).Messages[0]; m.ID != first.Items[1].ID {
			t.Errorf("message 1 has the id %q, want %q", m.ID, first.Items[1].ID)
		}
		if again := put(t, n, "gone", "x=0"); again.Items[0].Offset != 0 || again.Items[0].Replayed || again.Position == gone.Position {
			t.Errorf("the stream that was made again: %+v", again)
		}
		stop(t, n)
	}, services)
}

// Producers append while the node is lost again and again, repeat what they do not know
// the outcome of, and use the last offset as a lock. Nothing that was acknowledged is
// lost, nothing is there twice, and no update is lost.
func TestStreamManyCrashes(t *testing.T) {
	bubble(t, "crashes", func(t *testing.T) {
		o := node.Options{CheckpointBytes: 10_000}
		d := newDisk()
		rng := randFor(t)
		const producers, each = 6, 60
		acked := make([]map[string]edda.Appended, producers) // by each producer, of itself
		next := make([]int, producers)
		for i := range acked {
			acked[i] = map[string]edda.Appended{}
		}
		locked := 0 // how often the counter was raised, as far as is known
		for range 15 {
			n := d.open(t, o)
			var wg sync.WaitGroup
			until := time.Now().Add(time.Duration(rng.IntN(3000)) * time.Microsecond)
			for i := range producers {
				wg.Go(func() { produce(t, n, i, each, &next[i], acked[i], until) })
			}
			wg.Go(func() { locked = raise(t, n, locked, until) })
			time.Sleep(time.Until(until))
			left := &disk{d.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})}
			wg.Wait() // what is acknowledged from here on is not known to the clone
			_ = n.Stop(ended(t))
			d = left
		}
		n := d.open(t, o)
		defer stop(t, n)
		count, last := 0, map[string]int{}
		for from := uint64(0); ; {
			p, err := n.ReadStream(t.Context(), edda.Read{Stream: "s", From: edda.FromOffset(from), Limit: 7})
			if err != nil {
				t.Fatal(err)
			}
			for i := range p.Messages {
				m := &p.Messages[i]
				if m.Offset != from {
					t.Fatalf("got offset %d, want %d", m.Offset, from)
				}
				from++
				count++
				var number int
				var by string
				if _, err := fmt.Sscanf(string(m.Payload), "%s %d", &by, &number); err != nil || number != last[by] {
					t.Errorf("offset %d has %q, %v, want number %d", m.Offset, m.Payload, err, last[by])
				}
				last[by]++
			}
			if p.Next == p.End {
				break
			}
		}
		for i := range acked {
			for id, want := range acked[i] {
				m, err := n.AwaitMessage(t.Context(), "", "s", id, 0)
				if err != nil || m.Offset != want.Offset {
					t.Errorf("message %s was acknowledged at %d: got %+v, %v", id, want.Offset, m, err)
				}
			}
		}
		if count == 0 || locked == 0 {
			t.Errorf("%d messages, %d turns of the lock: nothing was tested", count, locked)
		}
	})
}

// produce appends the producer's messages one after the other until it is time.
func produce(t *testing.T, n *node.Node, by, each int, next *int, acked map[string]edda.Appended, until time.Time) {
	t.Helper()
	for *next < each && time.Now().Before(until) {
		id := fmt.Sprintf("%d-%d", by, *next)
		ack, err := n.Append(t.Context(), &edda.Append{Stream: "s", Messages: []edda.StreamMessage{{ID: id, Payload: fmt.Appendf(nil, "p%d %d", by, *next)}}})
		if err != nil || !time.Now().Before(until) {
			return // it is repeated
		}
		acked[id] = ack.Items[0]
		*next++
		time.Sleep(time.Duration(by+1) * 10 * time.Microsecond)
	}
}

// raise appends numbers, each one more than the last, with the last offset as a lock.
func raise(t *testing.T, n *node.Node, known int, until time.Time) int {
	t.Helper()
	for time.Now().Before(until) {
		last := int64(-1)
		if s, err := n.Stream(t.Context(), "", "lock"); err == nil {
			last = int64(s.Offsets[edda.DefaultShard].End) - 1
		}
		if last+1 < int64(known) {
			t.Errorf("the lock has been taken %d times, want at least %d", last+1, known)
			return known
		}
		a := &edda.Append{Stream: "lock", IfEmpty: last < 0, Messages: messages(fmt.Sprint(last + 1))}
		if last >= 0 {
			a.IfLast = new(uint64(last))
		}
		if _, err := n.Append(t.Context(), a); err != nil || !time.Now().Before(until) {
			return known
		}
		known = int(last) + 2
		time.Sleep(15 * time.Microsecond)
	}
	return known
}

// Compare-and-append is a lock: of many who raise a counter at a time none overwrites
// what it has not seen.
func TestStreamCompareAndAppend(t *testing.T) {
	bubble(t, "lock", func(t *testing.T) {
		n := start(t, node.Options{})
		const writers, each = 8, 25
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for done := 0; done < each; {
					a := &edda.Append{Stream: "counter", IfEmpty: true}
					value := 0
					if p, err := n.ReadStream(t.Context(), edda.Read{Stream: "counter", Limit: edda.MaxReadLimit}); err == nil {
						m := &p.Messages[len(p.Messages)-1]
						if _, err := fmt.Sscan(string(m.Payload), &value); err != nil {
							t.Error(err)
							return
						}
						a.IfEmpty, a.IfLast = false, new(m.Offset)
					}
					a.Messages = []edda.StreamMessage{{Payload: fmt.Append(nil, value+1), Source: fmt.Sprint(w)}}
					_, err := n.Append(t.Context(), a)
					switch edda.ReasonOf(err) {
					case "":
						done++
					case edda.ExpectedOffset:
					default:
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		p := read(t, n, edda.Read{Stream: "counter", From: edda.FromOffset(writers*each - 1)})
		if len(p.Messages) != 1 || string(p.Messages[0].Payload) != fmt.Sprint(writers*each) {
			t.Errorf("got %s, want %d", shown(p), writers*each)
		}
	})
}

// Producers with the same ids append at the same time: each message is there once, and
// everybody learns where.
func TestStreamConcurrentRepeats(t *testing.T) {
	bubble(t, "repeats", func(t *testing.T) {
		n := start(t, node.Options{})
		const producers, all = 10, 200
		var mu sync.Mutex
		at := map[string]uint64{}
		var wg sync.WaitGroup
		for p := range producers {
			wg.Go(func() {
				for i := 0; i < all; {
					var ids []string
					for range 1 + (i+p)%4 {
						ids = append(ids, fmt.Sprintf("%d=%d", i, i))
						i++
					}
					ack := putAll(t, n, &edda.Append{Stream: "s", Messages: messages(ids...)})
					mu.Lock()
					for _, it := range ack.Items {
						if before, known := at[it.ID]; known && before != it.Offset {
							t.Errorf("message %s is at %d and at %d", it.ID, before, it.Offset)
						}
						at[it.ID] = it.Offset
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		page := read(t, n, edda.Read{Stream: "s", Limit: 1000})
		if len(page.Messages) != len(at) {
			t.Errorf("%d messages are there, %d were acknowledged", len(page.Messages), len(at))
		}
		for i := range page.Messages {
			if m := &page.Messages[i]; at[m.ID] != m.Offset || string(m.Payload) != m.ID {
				t.Errorf("message %s is at %d, acknowledged at %d", m.ID, m.Offset, at[m.ID])
			}
		}
	})
}
