package metric

import (
	"context"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
)

// maxGroups is how many groups are told apart.
const maxGroups = 500

// Group is the figures of the groups that are shown under one name.
type Group struct {
	// Service is that of the group's consumer.
	Service *Service

	consumer edda.Address // STREAM/GROUP, or Other
}

// Group returns the figures of a group, by its consumer.
func (m *Set) Group(consumer edda.Address) *Group {
	return m.groups.find(consumer, func(k edda.Address) *Group {
		g := &Group{consumer: k, Service: m.Strangers()}
		if k.Name != Other {
			g.Service = m.Service(k.Namespace, k.Name)
		}
		return g
	})
}

// GroupState is how far a group is.
type GroupState struct {
	Lag     uint64 // messages that it is not done with
	Pending int    // messages that members have
	Members int
}

// openGroups shows how far the groups are.
type openGroups struct {
	m *Set
	v Views
}

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

// Collect implements prometheus.Collector.
func (o openGroups) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	sum := map[edda.Address]*GroupState{}
	for a, g := range o.v.Groups(ctx) {
		as := o.m.Group(a).consumer
		s := sum[as]
		if s == nil {
			s = &GroupState{}
			sum[as] = s
		}
		s.Lag += g.Lag
		s.Pending += g.Pending
		s.Members += g.Members
	}
	for a, g := range sum {
		stream, group, ok := strings.Cut(a.Name, "/")
		if !ok {
			group = a.Name
		}
		for desc, value := range map[*prometheus.Desc]float64{
			groupLagDesc: float64(g.Lag), groupPendingDesc: float64(g.Pending), groupMembersDesc: float64(g.Members),
		} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, a.Namespace, stream, group)
		}
	}
}
