package node_test

import (
	"fmt"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/live"
	"github.com/edda-io/edda/node"
)

// BenchmarkWalk reads a stream whose messages are spread over shards, from the store and
// from memory, and one shard as ReadStream does beside it.
func BenchmarkWalk(b *testing.B) {
	for _, stored := range []bool{true, false} {
		for _, shards := range []int{1, 10, 1_000, 10_000} {
			n := benchNode(b, node.Options{Partitions: 1})
			const all, batch = 100_000, 10
			for i := 0; i < all; i += batch {
				a := &edda.Append{Stream: "s", Shard: fmt.Sprint("s", i/batch%shards), Messages: make([]edda.StreamMessage, batch)}
				for k := range a.Messages {
					a.Messages[k] = edda.StreamMessage{Type: "t", Payload: make([]byte, 256)}
				}
				if _, err := n.Append(b.Context(), a); err != nil {
					b.Fatal(err)
				}
			}
			if stored {
				if err := node.Checkpoint(n); err != nil {
					b.Fatal(err)
				}
			}
			name := fmt.Sprintf("stored=%t/shards=%d", stored, shards)
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					w := walk(n, "s", live.Place{})
					read := 0
					for {
						entries, err := w.Next(b.Context(), 256<<10)
						if err != nil {
							b.Fatal(err)
						}
						if read += len(entries); len(entries) == 0 {
							break
						}
					}
					if read != all {
						b.Fatalf("came by %d messages", read)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/all, "ns/message")
			})
			if shards > 1 {
				continue
			}
			b.Run(name+"/read", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					for next := uint64(0); next < all; {
						p, err := n.ReadStream(b.Context(), edda.Read{Stream: "s", Shard: "s0", From: edda.FromOffset(next), Limit: edda.MaxReadLimit, Bytes: 256 << 10})
						if err != nil {
							b.Fatal(err)
						}
						next = p.Next
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/all, "ns/message")
			})
		}
	}
}

// BenchmarkWalkTail appends a message to one of many shards, and has a walker at the end
// find it.
func BenchmarkWalkTail(b *testing.B) {
	for _, shards := range []int{1, 10_000} {
		b.Run(fmt.Sprint("shards=", shards), func(b *testing.B) {
			n, err := node.Open(b.Context(), node.Options{Durability: edda.Memory, Partitions: 1})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = n.Stop(b.Context()) })
			at := 0
			add := func() {
				a := &edda.Append{Stream: "s", Shard: fmt.Sprint("s", at%shards), Messages: messages("x")}
				if _, err := n.Append(b.Context(), a); err != nil {
					b.Fatal(err)
				}
				at++
			}
			for range shards {
				add()
			}
			w := walk(n, "s", live.Place{Time: 1})
			for entries := []live.Entry{{}}; len(entries) > 0; {
				if entries, err = w.Next(b.Context(), 1<<20); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				add()
				if entries, err := w.Next(b.Context(), 1<<20); err != nil || len(entries) != 1 {
					b.Fatalf("came by %d messages, %v", len(entries), err)
				}
			}
		})
	}
}
