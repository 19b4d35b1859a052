package node_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// BenchmarkCall calls a service of the node's own process from 64 callers, with 256 bytes
// each, and counts what one call allocates.
func BenchmarkCall(b *testing.B) {
	svc := edda.NewOrdered("echo")
	svc.Add(edda.Method{Name: "say", Handler: func(_ *edda.Context, m *edda.Message) (*edda.Reply, error) {
		return &edda.Reply{Payload: m.Payload}, nil
	}})
	n := benchNode(b, node.Options{Services: []*edda.Service{svc}})
	const callers = 64
	payload := make([]byte, 256)
	keys := make([]string, 1024)
	for i := range keys {
		keys[i] = fmt.Sprint(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; i < b.N; i += callers {
				m := &edda.Message{Type: "say", To: edda.Address{Name: "echo", Key: keys[i%len(keys)]}, Payload: payload}
				if _, err := n.Call(b.Context(), m); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
