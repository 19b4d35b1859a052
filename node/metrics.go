package node

import (
	"context"
	"iter"

	"github.com/edda-io/edda"
	sagafold "github.com/edda-io/edda/internal/fold/saga"
	streamfold "github.com/edda-io/edda/internal/fold/stream"
	"github.com/edda-io/edda/internal/metric"
)

// metrics are the node's figures, those of services by the services.
type metrics struct{ *metric.Set }

func newMetrics(n *Node) (metrics, error) {
	set, err := metric.New(n.opts.Metrics, metric.Views{
		Bytes: n.bytes.Load, Running: n.handlers.n.Load, Partitions: n.loads, Sagas: n.openSagas, Groups: n.openGroups,
		Hub: n.hub.Stats,
	})
	return metrics{set}, err
}

// of returns the figures of a service. Those that are not there, which anybody may
// name, are not told apart.
func (m metrics) of(s *service) *metric.Service {
	if sm := s.metrics.Load(); sm != nil {
		return sm
	}
	if v := s.view(); !v.registered && !v.hosted {
		return m.Strangers()
	}
	var sm *metric.Service
	if s.consumer {
		sm = m.Group(s.addr).Service
	} else {
		sm = m.Service(s.addr.Namespace, s.addr.Name)
	}
	s.metrics.Store(sm)
	return sm
}

func (m metrics) accepted(s *service)                { m.of(s).Accepted.Inc() }
func (m metrics) ended(s *service, state edda.State) { m.of(s).Ended[state].Inc() }
func (m metrics) late(s *service)                    { m.of(s).Late.Inc() }
func (m metrics) part(s *service)                    { m.of(s).Parts.Inc() }

// attempt notes how long a handler ran.
func (m metrics) attempt(a *Attempt) {
	o := m.of(a.svc).OK
	if a.rec == nil {
		o = m.of(a.svc).Failed
	}
	o.Observe(a.ended.Sub(a.started).Seconds())
}

// sagaCreated counts a saga that is new, and may have started.
func (m metrics) sagaCreated(s *sagafold.Saga) {
	c := m.Sagas.Of(s.Namespace, s.Name)
	c.Created.Inc()
	if s.StartedAt != 0 {
		c.Started.Inc()
	}
}

// countAnswer counts what became of an append.
func countAnswer(c *metric.Stream, e *streamfold.Effect) {
	for i := range e.Items {
		if e.Items[i].Replayed {
			c.Replayed.Inc()
		}
	}
}

// loads yields how many requests of each partition are not durable yet, and how many have
// not ended.
func (n *Node) loads() iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for _, p := range n.parts {
			if !yield(p.in.load(), int(p.unfinished.Load())) {
				return
			}
		}
	}
}

// openSagas yields how many sagas have not ended. Of a partition that does not answer
// nothing is counted.
func (n *Node) openSagas(ctx context.Context) iter.Seq2[metric.SagaKind, int] {
	return func(yield func(metric.SagaKind, int) bool) {
		for _, p := range n.parts {
			var open map[sagafold.Kind]int
			if n.inPartition(ctx, p, "count sagas", func() { open = p.sagas.Open() }) != nil {
				continue
			}
			for k, count := range open {
				if !yield(metric.SagaKind(k), count) {
					return
				}
			}
		}
	}
}

// openGroups yields how far each group is. Of a partition that does not answer nothing is
// counted.
func (n *Node) openGroups(ctx context.Context) iter.Seq2[edda.Address, metric.GroupState] {
	return func(yield func(edda.Address, metric.GroupState) bool) {
		for _, p := range n.parts {
			var all map[edda.Address]metric.GroupState
			if n.inPartition(ctx, p, "count groups", func() { all = p.groupStates() }) != nil {
				continue
			}
			for a, g := range all {
				if !yield(a, g) {
					return
				}
			}
		}
	}
}

// groupStates returns how far the partition's groups are, by their consumers.
func (p *partition) groupStates() map[edda.Address]metric.GroupState {
	var all map[edda.Address]metric.GroupState
	var pending map[uint64]int
	for g := range p.groups.All() {
		if all == nil {
			all, pending = map[edda.Address]metric.GroupState{}, p.pending()
		}
		svc := consumerOf(g)
		all[svc.addr] = metric.GroupState{Lag: g.Lag(), Pending: pending[g.Serial], Members: len(svc.membership())}
	}
	return all
}
