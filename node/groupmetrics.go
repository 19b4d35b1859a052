package node

import (
	"context"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
)

// groupMetrics are the figures of consumer groups. What they are called anybody may
// choose: only so many names are told apart, also of their consumers.
type groupMetrics struct {
	mu    sync.RWMutex // guards kinds
	kinds map[edda.Address]*groupCounters
}

// maxGroupKinds is how many groups are told apart; those that come later count as
// otherName.
const maxGroupKinds = 500

// groupCounters are the figures of the groups that are shown under one name.
type groupCounters struct {
	consumer edda.Address // STREAM/GROUP, or otherName
	service  *serviceMetrics
}

// groupOf returns the figures of a group, by its consumer.
func (m *metrics) groupOf(consumer edda.Address) *groupCounters {
	g := &m.groups
	return find(&g.mu, g.kinds, consumer, edda.Address{Namespace: otherName, Name: otherName}, maxGroupKinds, func(k edda.Address) *groupCounters {
		c := &groupCounters{consumer: k, service: m.strangers()}
		if k.Name != otherName {
			c.service = m.fresh(k.Namespace, k.Name)
		}
		return c
	})
}

// openGroups shows how far the groups are.
type openGroups struct{ n *Node }

var (
	groupLabels = []string{"namespace", "stream", "group"}

	groupLagDesc     = prometheus.NewDesc("edda_group_lag", "Messages that a consumer group is not done with.", groupLabels, nil)
	groupPendingDesc = prometheus.NewDesc("edda_group_pending", "Messages that members of a consumer group have.", groupLabels, nil)
	groupMembersDesc = prometheus.NewDesc("edda_group_members", "Members of a consumer group.", groupLabels, nil)
)

// Describe implements prometheus.Collector.
func (openGroups) Describe(ch chan<- *prometheus.Desc) {
	ch <- groupLagDesc
	ch <- groupPendingDesc
	ch <- groupMembersDesc
}

// groupGauges are what is shown of the groups of one name.
type groupGauges struct {
	lag              uint64
	pending, members int
}

// Collect implements prometheus.Collector. Of a partition that does not answer nothing
// is counted.
func (v openGroups) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), openWait)
	defer cancel()
	sum := map[edda.Address]*groupGauges{}
	for _, p := range v.n.parts {
		var all map[edda.Address]*groupGauges
		if v.n.inPartition(ctx, p, "count groups", func() { all = p.groupGauges() }) != nil {
			continue
		}
		for a, g := range all {
			s := sum[a]
			if s == nil {
				s = &groupGauges{}
				sum[a] = s
			}
			s.lag += g.lag
			s.pending += g.pending
			s.members += g.members
		}
	}
	for a, g := range sum {
		stream, group, ok := strings.Cut(a.Name, "/")
		if !ok {
			group = a.Name
		}
		for desc, value := range map[*prometheus.Desc]float64{
			groupLagDesc: float64(g.lag), groupPendingDesc: float64(g.pending), groupMembersDesc: float64(g.members),
		} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, a.Namespace, stream, group)
		}
	}
}

// groupGauges returns the figures of the partition's groups by what they are shown as.
func (p *partition) groupGauges() map[edda.Address]*groupGauges {
	all := map[edda.Address]*groupGauges{}
	var pending map[uint64]int
	for g := range p.groups.All() {
		if pending == nil {
			pending = p.pending()
		}
		svc := consumerOf(g)
		as := p.n.metrics.groupOf(svc.addr).consumer
		s := all[as]
		if s == nil {
			s = &groupGauges{}
			all[as] = s
		}
		s.lag += g.Lag()
		s.pending += pending[g.Serial]
		s.members += len(svc.membership())
	}
	return all
}
