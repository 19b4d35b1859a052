package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// Whoever is at the end gets what comes next, when it comes.
func TestStreamTail(t *testing.T) {
	bubble(t, "tail", func(t *testing.T) {
		n := start(t, node.Options{})
		put(t, n, "s", "a")
		begun := time.Now()
		at := func(from edda.From) edda.Read { return edda.Read{Stream: "s", From: from, Wait: time.Minute} }
		end, next, beyond, eu := tailing(t, n, at(edda.FromEnd)), tailing(t, n, at("1")), tailing(t, n, at("2")), tailing(t, n, edda.Read{Stream: "s", Shard: "eu", Wait: time.Hour})
		if got := has(t, tailing(t, n, at("0"))); got.err != nil || shown(got.page) != "0:a [0 1 1]" {
			t.Errorf("what is there: got %v", got)
		}
		hasNot(t, end)
		put(t, n, "s", "b")
		for _, c := range []<-chan pageRead{end, next} {
			if got := has(t, c); got.err != nil || shown(got.page) != "1:b [0 2 2]" {
				t.Errorf("got %+v", got)
			}
		}
		hasNot(t, beyond)
		hasNot(t, eu)
		putAll(t, n, &edda.Append{Stream: "s", Shard: "eu", Messages: messages("x", "y")})
		if got := has(t, eu); got.err != nil || shown(got.page) != "0:x 1:y [0 2 2]" {
			t.Errorf("got %+v", got)
		}
		time.Sleep(time.Minute)
		if got := has(t, beyond); got.err != nil || shown(got.page) != "[0 2 2]" || time.Since(begun) != time.Minute {
			t.Errorf("when the wait is over: got %+v after %v", got, time.Since(begun))
		}
		ctx, cancel := context.WithCancel(t.Context())
		left := tailingUntil(ctx, t, n, at("2"))
		cancel()
		wantReason(t, has(t, left).err, edda.Timeout)
		noReaderIsLeft(t, n)
	})
}

// Who waits is told when the stream is deleted, and when its shard may not be any more.
func TestStreamTailDeleted(t *testing.T) {
	bubble(t, "deleted", func(t *testing.T) {
		n := start(t, node.Options{})
		put(t, n, "s", "a", "b")
		r := edda.Read{Stream: "s", From: edda.FromEnd, Wait: time.Hour}
		waits := tailing(t, n, r)
		awaits := awaiting(t, n, "s", "id", time.Hour)
		if err := n.DeleteStream(t.Context(), "", "s"); err != nil {
			t.Fatal(err)
		}
		wantReason(t, has(t, waits).err, edda.NoStream)
		wantReason(t, has(t, awaits).err, edda.NoStream)
		put(t, n, "s", "c")
		holds(t, n, edda.Read{Stream: "s"}, "0:c [0 1 1]")
		r.From, r.Shard = "", "eu"
		waits = tailing(t, n, r)
		stays := tailing(t, n, edda.Read{Stream: "s", From: edda.FromEnd, Wait: time.Hour})
		if _, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: "s", Shards: []string{"default"}}); err != nil {
			t.Fatal(err)
		}
		wantReason(t, has(t, waits).err, edda.NoShard)
		hasNot(t, stays)
		put(t, n, "s", "d")
		if got := has(t, stays); got.err != nil || shown(got.page) != "1:d [0 2 2]" {
			t.Errorf("got %+v", got)
		}
		noReaderIsLeft(t, n)
	})
}

// Who waits is told when the node stops.
func TestStreamTailStopped(t *testing.T) {
	bubble(t, "stopped", func(t *testing.T) {
		n := open(t, node.Options{})
		put(t, n, "s", "a")
		var all []<-chan pageRead
		for range 100 {
			all = append(all, tailing(t, n, edda.Read{Stream: "s", From: edda.FromEnd, Wait: time.Hour}))
		}
		awaits := awaiting(t, n, "s", "id", time.Hour)
		stop(t, n)
		for _, c := range all {
			wantReason(t, has(t, c).err, edda.Draining)
		}
		wantReason(t, has(t, awaits).err, edda.Draining)
		for _, err := range []error{
			func() error { _, err := n.ReadStream(t.Context(), edda.Read{Stream: "s"}); return err }(),
			func() error {
				_, err := n.Append(t.Context(), &edda.Append{Stream: "s", Messages: messages("x")})
				return err
			}(),
			func() error { _, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: "s"}); return err }(),
			n.DeleteStream(t.Context(), "", "s"),
		} {
			wantReason(t, err, edda.Draining)
		}
	})
}

// Thousands who wait at one end are all told, and none stays behind.
func TestStreamTailOfThousands(t *testing.T) {
	bubble(t, "thousands", func(t *testing.T) {
		n := start(t, node.Options{Partitions: 1})
		put(t, n, "s", "0")
		const readers, rounds = 3000, 3
		var wg sync.WaitGroup
		for range readers {
			wg.Go(func() {
				for i := range rounds {
					p, err := n.ReadStream(t.Context(), edda.Read{Stream: "s", From: edda.FromOffset(uint64(i + 1)), Wait: time.Hour})
					if err != nil || len(p.Messages) == 0 || string(p.Messages[0].Payload) != fmt.Sprint(i+1) {
						t.Errorf("round %d: got %+v, %v", i, p, err)
						return
					}
				}
			})
		}
		for i := range rounds {
			synctest.Wait()
			put(t, n, "s", fmt.Sprint(i+1))
		}
		wg.Wait()
		noReaderIsLeft(t, n)
	})
}

// Readers see every offset once and in order, while messages are appended, trimmed and
// written to the store under them.
func TestStreamReadersSeeEverything(t *testing.T) {
	bubble(t, "readers", func(t *testing.T) {
		n := newDisk().open(t, node.Options{CheckpointBytes: 4_000, Partitions: 2})
		const messagesInAll = 2_000
		if _, _, err := n.SetStream(t.Context(), edda.StreamSpec{Name: "s"}); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for r := range 20 {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(r), 1))
				for next := uint64(0); next < messagesInAll; {
					p, err := n.ReadStream(t.Context(), edda.Read{
						Stream: "s", From: edda.FromOffset(next), Wait: time.Minute, Limit: 1 + rng.IntN(50), Bytes: 1 + rng.IntN(4_000),
					})
					if err != nil {
						t.Error(err)
						return
					}
					for i := range p.Messages {
						m := &p.Messages[i]
						// The trimmer leaves what readers have not got yet, but for slow ones.
						if m.Offset != next && (r%4 != 0 || m.Offset < next || i > 0) {
							t.Errorf("reader %d got offset %d, want %d", r, m.Offset, next)
							return
						}
						if string(m.Payload) != fmt.Sprint(m.Offset) {
							t.Errorf("offset %d has %q", m.Offset, m.Payload)
						}
						next = m.Offset + 1
					}
					if p.Next != next && len(p.Messages) > 0 {
						t.Errorf("the next is %d, want %d", p.Next, next)
					}
					if r%4 == 0 {
						time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
					}
				}
			})
		}
		rng := randFor(t)
		for at := 0; at < messagesInAll; {
			var payloads []string
			for range min(1+rng.IntN(30), messagesInAll-at) {
				payloads = append(payloads, fmt.Sprint(at))
				at++
			}
			put(t, n, "s", payloads...)
			time.Sleep(time.Duration(rng.IntN(2)) * time.Millisecond)
			synctest.Wait() // those who do not dawdle have it
			if rng.IntN(5) == 0 {
				if _, err := n.TrimStream(t.Context(), "", "s", "", edda.FromOffset(uint64(at))); err != nil {
					t.Error(err)
				}
			}
		}
		wg.Wait()
		noReaderIsLeft(t, n)
		stop(t, n)
	})
}

// awaiting is AwaitMessage in a goroutine of its own.
func awaiting(t *testing.T, n *node.Node, stream, id string, wait time.Duration) <-chan awaitedMessage {
	t.Helper()
	c := make(chan awaitedMessage, 1)
	go func() {
		m, err := n.AwaitMessage(t.Context(), "", stream, id, wait)
		c <- awaitedMessage{m, err}
	}()
	synctest.Wait()
	return c
}

type awaitedMessage struct {
	m   *edda.StreamMessage
	err error
}

func TestAwaitMessage(t *testing.T) {
	bubble(t, "await", func(t *testing.T) {
		n := start(t, node.Options{})
		begun := time.Now().Add(1)                    // another append has the time itself
		before := awaiting(t, n, "s", "x", time.Hour) // there is not even a stream
		twin := awaiting(t, n, "s", "x", time.Hour)
		put(t, n, "s", "a")
		hasNot(t, before)
		putAll(t, n, &edda.Append{Stream: "s", Shard: "eu", Messages: messages("y=1", "x=2", "x=3")})
		for _, c := range []<-chan awaitedMessage{before, twin, awaiting(t, n, "s", "x", 0)} {
			got := has(t, c)
			if got.err != nil || got.m.ID != "x" || string(got.m.Payload) != "2" || got.m.Shard != "eu" || got.m.Offset != 1 || !got.m.Time.Equal(begun) {
				t.Errorf("got %+v, %v", got.m, got.err)
			}
		}
		never := awaiting(t, n, "s", "never", time.Minute)
		time.Sleep(time.Minute)
		wantReason(t, has(t, never).err, edda.NoMessage)
		wantReason(t, has(t, awaiting(t, n, "t", "never", 0)).err, edda.NoStream)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := n.AwaitMessage(ctx, "", "s", "never", time.Hour)
		wantReason(t, err, edda.Timeout)
		if _, err := n.TrimStream(t.Context(), "", "s", "", edda.FromTime(time.Now().Add(time.Hour))); err != nil {
			t.Fatal(err)
		}
		e := wantReason(t, has(t, awaiting(t, n, "s", "x", time.Hour)).err, edda.NoMessage)
		if !strings.Contains(e.Error(), "not kept any more") {
			t.Errorf("got %v", e)
		}
		noReaderIsLeft(t, n)
	})
}
