package node

import (
	"context"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/engine/memlog"
	"github.com/edda-io/edda/internal/fold/request"
	hub "github.com/edda-io/edda/internal/live"
)

// WithoutGather returns the options of a node whose log does not wait for company
// by looking at the clock, which stands still in a bubble.
func WithoutGather(o Options) Options {
	o.gather = -1
	return o
}

// Memlog returns the engine of a node that keeps nothing, so that tests can
// inject faults.
func (n *Node) Memlog() *memlog.Log { return n.engine.(*memlog.Log) }

// Home returns the partition of an id.
func (n *Node) Home(route uint16) uint64 { return uint64(n.home(route).id) }

// PartReaders is how many readers of a request's parts its partition knows.
func PartReaders(n *Node, id edda.ID) (readers int, err error) {
	err = n.lookup(context.Background(), "count readers", "", id, func(p *partition, r *request.Request) error {
		readers = len(p.readers[r.Seq])
		return nil
	})
	return readers, err
}

// Hold keeps the partition of an id from doing anything until release is called.
func Hold(n *Node, id edda.ID) (release func()) { return HoldPartition(n, int(n.home(id.Route()).id)) }

// HoldPartition is Hold for a partition by its number.
func HoldPartition(n *Node, part int) (release func()) {
	gate := make(chan struct{})
	n.parts[part].in.do(func() { <-gate })
	return func() { close(gate) }
}

// ReadyAndLines returns how many requests wait for slots as far as the partitions
// know, and how many places they have in the lines of a service.
func ReadyAndLines(t testing.TB, n *Node, service string) (ready, places int) {
	t.Helper()
	for _, p := range n.parts {
		if err := n.inPartition(t.Context(), p, "count", func() {
			for _, w := range p.ready {
				ready += len(w.requests)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	return ready, n.service("", service).slots.Waiting()
}

// HomeOf returns the partition of an address hash.
func HomeOf(n *Node, hash uint64) uint64 { return uint64(n.homeOf(hash).id) }

// Busy returns how many slots of a service are taken, on all workers.
func Busy(n *Node, service string) (busy int) {
	s := n.known("", service)
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hosts {
		busy += h.slot.Load().Busy
	}
	return busy
}

// StepEnds is how many steps the partitions believe to be about to end, and how many
// wait for a saga.
func StepEnds(t testing.TB, n *Node) (ends, waiters int) {
	t.Helper()
	for _, p := range n.parts {
		if err := n.inPartition(t.Context(), p, "count", func() {
			ends += len(p.stepEnds)
			waiters += len(p.sagaWaiters)
		}); err != nil {
			t.Fatal(err)
		}
	}
	return ends, waiters
}

// Strangers returns how many services are known by name alone.
func Strangers(n *Node) int {
	n.registry.mu.Lock()
	defer n.registry.mu.Unlock()
	return len(n.registry.strangers)
}

// UnfinishedBytes returns how much memory unfinished requests take.
func UnfinishedBytes(n *Node) int64 { return n.bytes.Load() }

// StreamWaiters is how many readers wait at the ends of streams, and how many wait for
// messages by their ids.
func StreamWaiters(t testing.TB, n *Node) (readers, awaiters int) {
	t.Helper()
	for _, p := range n.parts {
		if err := n.inPartition(t.Context(), p, "count", func() {
			for _, all := range p.awaiting {
				for _, w := range all {
					for ; w != nil; w = w.next {
						awaiters++
					}
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	return int(n.metrics.Streams.Waiting.Load()), awaiters
}

// StreamBytes is how much memory messages of streams take that the store has not got.
func StreamBytes(n *Node) int64 { return n.streamBytes.Load() }

// ReadOwn is ReadStream also for streams that callers cannot name.
func ReadOwn(ctx context.Context, n *Node, r edda.Read) (*edda.StreamPage, error) {
	return n.readShard(ctx, r.WithDefaults())
}

// Streams returns the streams of a node as its hub sees them.
func Streams(n *Node) hub.Streams { return liveStreams{n} }

// HoldStream is Hold for the partition of a stream.
func HoldStream(n *Node, stream string) (release func()) {
	return HoldPartition(n, int(n.streamHome(edda.DefaultNamespace, stream).id))
}

// Checkpoint has the store take everything.
func Checkpoint(n *Node) error { return n.writeCheckpoint() }

// Watched returns how many streams somebody watches.
func Watched(t testing.TB, n *Node) (watched int) {
	t.Helper()
	for _, p := range n.parts {
		if err := n.inPartition(t.Context(), p, "count", func() { watched += p.news.Watched() }); err != nil {
			t.Fatal(err)
		}
	}
	return watched
}

// Ends returns the ends of all shards of a stream, also of a channel's own.
func Ends(t testing.TB, n *Node, stream string) map[string]uint64 {
	t.Helper()
	ends := map[string]uint64{}
	p := n.streamHome(edda.DefaultNamespace, stream)
	if err := n.inPartition(t.Context(), p, "count", func() {
		if s := p.streams.Stream(edda.DefaultNamespace, stream); s != nil {
			for _, sh := range s.Shards() {
				ends[sh.Name] = sh.End
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return ends
}

// InFlight returns how many batches of a partition the engine has not answered.
func InFlight(t testing.TB, n *Node, part uint64) (batches int) {
	t.Helper()
	p := n.parts[part]
	if err := n.inPartition(t.Context(), p, "count", func() { batches = p.inFlight }); err != nil {
		t.Fatal(err)
	}
	return batches
}
