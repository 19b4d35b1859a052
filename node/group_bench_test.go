package node_test

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// BenchmarkGroup is messages through a group whose four members do nothing, from the
// append to the end, at so many appends of one message in flight. It says how long it
// takes from the acknowledgement of an append until its handler starts.
func BenchmarkGroup(b *testing.B) {
	for _, flight := range []int{1, 64, 1024} {
		for _, keys := range []int{0, 1000} {
			b.Run(fmt.Sprintf("flight=%d/keys=%d", flight, keys), func(b *testing.B) { benchGroup(b, flight, keys) })
		}
	}
}

func benchGroup(b *testing.B, flight, keys int) {
	n, err := node.Open(b.Context(), node.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = n.Stop(b.Context()) }()
	started := make([]atomic.Int64, b.N+1)
	var handled sync.WaitGroup
	handled.Add(b.N)
	for i := range 4 {
		s := consumes("s/g", echo).Spec()
		w := &runsAll{do: func(a *node.Attempt) {
			i, _ := strconv.Atoi(string(a.Dispatch().Message.Payload[:8]))
			started[i].Store(time.Now().UnixNano())
			_ = a.Done(&edda.Outcome{})
			handled.Done()
		}}
		if _, err := n.Attach(b.Context(), spec(fmt.Sprint("m", i), s), w); err != nil {
			b.Fatal(err)
		}
	}
	waits := make([]time.Duration, b.N)
	var next atomic.Int64
	pad := string(make([]byte, 248))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range flight {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return
				}
				m := edda.StreamMessage{Type: "t", Payload: []byte(fmt.Sprintf("%08d", i) + pad)}
				if keys > 0 {
					m.Key = strconv.Itoa(i % keys)
				}
				if _, err := n.Append(b.Context(), &edda.Append{Stream: "s", Messages: []edda.StreamMessage{m}}); err != nil {
					b.Error(err)
					return
				}
				waits[i] = time.Duration(time.Now().UnixNano())
			}
		})
	}
	wg.Wait()
	handled.Wait()
	b.StopTimer()
	for i := range waits {
		waits[i] = max(time.Duration(started[i].Load())-waits[i], 0)
	}
	slices.Sort(waits)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64(waits[len(waits)/2])/1e3, "p50-µs")
	b.ReportMetric(float64(waits[len(waits)*99/100])/1e3, "p99-µs")
}

// runsAll is a worker that does something with each attempt.
type runsAll struct{ do func(*node.Attempt) }

func (w *runsAll) Start(a *node.Attempt)        { go w.do(a) }
func (*runsAll) Fenced(*node.Attempt, error)    {}
func (*runsAll) Members(edda.Address, []string) {}
func (*runsAll) Drain(string, bool)             {}
