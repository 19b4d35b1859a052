package node_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// benchNode is a node on a disk of its own.
func benchNode(b *testing.B, o node.Options) *node.Node {
	b.Helper()
	o.Dir = b.TempDir()
	n, err := node.Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := n.Stop(b.Context()); err != nil {
			b.Error(err)
		}
	})
	return n
}

// BenchmarkStreamAppend appends one message of 256 bytes at a time, from 1,024 callers,
// to one stream and to several.
func BenchmarkStreamAppend(b *testing.B) {
	for _, streams := range []int{1, 64} {
		b.Run(fmt.Sprint("streams=", streams), func(b *testing.B) {
			n := benchNode(b, node.Options{})
			const callers = 1024
			payload := make([]byte, 256)
			b.ReportAllocs()
			begun := time.Now()
			var wg sync.WaitGroup
			b.ResetTimer()
			for c := range callers {
				wg.Go(func() {
					for i := c; i < b.N; i += callers {
						a := &edda.Append{Stream: fmt.Sprint("s", c%streams), Messages: []edda.StreamMessage{{Type: "t", Payload: payload}}}
						if _, err := n.Append(b.Context(), a); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "appends/s")
		})
	}
}

// BenchmarkStreamHistory reads what the store has.
func BenchmarkStreamHistory(b *testing.B) {
	n := benchNode(b, node.Options{CheckpointBytes: 16 << 20})
	payload := make([]byte, 256)
	const all, batch = 500_000, 5_000
	for i := 0; i < all; i += batch {
		a := &edda.Append{Stream: "s", Messages: make([]edda.StreamMessage, batch)}
		for k := range a.Messages {
			a.Messages[k] = edda.StreamMessage{Type: "t", ID: fmt.Sprint("message-", i+k), Payload: payload}
		}
		if _, err := n.Append(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	begun, read := time.Now(), 0
	for b.Loop() {
		for next := uint64(0); next < all; {
			p, err := n.ReadStream(b.Context(), edda.Read{Stream: "s", From: edda.FromOffset(next), Limit: edda.MaxReadLimit})
			if err != nil {
				b.Fatal(err)
			}
			next = p.Next
			read += len(p.Messages)
		}
	}
	b.ReportMetric(float64(read)/time.Since(begun).Seconds(), "messages/s")
}
