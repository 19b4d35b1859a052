package metric_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/live"
	"github.com/edda-io/edda/internal/metric"
)

// views shows two partitions, and what sagas and groups there are in each.
func views(sagas []map[metric.SagaKind]int, groups []map[edda.Address]metric.GroupState) metric.Views {
	return metric.Views{
		Bytes: func() int64 { return 7 }, Running: func() int64 { return 3 },
		Partitions: func() iter.Seq2[int, int] {
			return func(yield func(int, int) bool) { _ = yield(1, 2) && yield(3, 4) }
		},
		Sagas:  func(context.Context) iter.Seq2[metric.SagaKind, int] { return concat(sagas) },
		Groups: func(context.Context) iter.Seq2[edda.Address, metric.GroupState] { return concat(groups) },
		Hub:    func() live.Stats { return live.Stats{Topics: 1, Subscriptions: 2, Messages: 3, Walked: 4, Withheld: 5} },
	}
}

func concat[K comparable, V any](all []map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, m := range all {
			for k, v := range maps.All(m) {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// gather returns the figures by name and labels' values. Of a histogram it is the count.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			name := strings.TrimSuffix(f.GetName()+" "+strings.Join(labels, ","), " ")
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return got
}

func wants(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for name, v := range want {
		if g, ok := got[name]; !ok || g != v {
			t.Errorf("%s: got %v (%v), want %v", name, g, ok, v)
		}
	}
}

func TestFigures(t *testing.T) {
	reg := prometheus.NewRegistry()
	kind := metric.SagaKind{Namespace: "ns", Name: "trip", State: edda.SagaRunning}
	group := edda.Address{Namespace: "ns", Name: "orders/ship"}
	m, err := metric.New(reg, views(
		[]map[metric.SagaKind]int{{kind: 2}, {kind: 3}},
		[]map[edda.Address]metric.GroupState{{group: {Lag: 1, Pending: 2, Members: 3}}},
	))
	if err != nil {
		t.Fatal(err)
	}
	m.Refused.Add(2)
	m.Appends.Observe(1)
	s := m.Service("ns", "s")
	s.Accepted.Inc()
	s.Ended[edda.StateDead].Inc()
	s.OK.Observe(1)
	s.Failed.Observe(1)
	s.Late.Inc()
	s.Parts.Inc()
	m.Strangers().Accepted.Inc()
	m.Group(group).Service.Accepted.Inc()
	m.Sagas.Of("ns", "trip").Ended[edda.SagaCancelled].Inc()
	m.Sagas.Step("ns", "book", "m").Ended[edda.StepFailed].Inc()
	m.Sagas.Step("ns", "book", "m").Undone[edda.CompensationFailed].Inc()
	m.Streams.Of("ns", "orders").Bytes.Add(9)
	m.Streams.Waiting.Add(4)
	wants(t, gather(t, reg), map[string]float64{
		"edda_requests_overloaded_total": 2, "edda_append_seconds": 1, "edda_unfinished_bytes": 7, "edda_handlers_running": 3,
		"edda_requests_accepted_total ns,s": 1, "edda_requests_ended_total ns,s,dead": 1, "edda_attempt_seconds ns,ok,s": 1,
		"edda_attempt_seconds ns,failed,s": 1, "edda_late_outcomes_total ns,s": 1, "edda_parts_total ns,s": 1,
		"edda_requests_accepted_total other,other": 1, "edda_requests_accepted_total ns,orders/ship": 1,
		"edda_partition_waiting_requests 0": 1, "edda_partition_waiting_requests 1": 3, "edda_partition_unfinished_requests 1": 4,
		"edda_sagas_open trip,ns,running": 5, "edda_sagas_ended_total trip,ns,cancelled": 1,
		"edda_saga_steps_ended_total m,ns,book,failed": 1, "edda_saga_compensations_total m,ns,book,failed": 1,
		"edda_group_lag ship,ns,orders": 1, "edda_group_pending ship,ns,orders": 2, "edda_group_members ship,ns,orders": 3,
		"edda_stream_bytes_total ns,orders": 9, "edda_stream_readers_waiting": 4,
		"edda_live_topics": 1, "edda_live_subscriptions": 2, "edda_live_messages_total": 3, "edda_live_walked_total": 4, "edda_live_withheld_total": 5,
	})
}

// Names that are too many count together; those that came before keep their own.
func TestManyNames(t *testing.T) {
	const named, more = 500, 7
	groups := map[edda.Address]metric.GroupState{}
	reg := prometheus.NewRegistry()
	m, err := metric.New(reg, views(nil, []map[edda.Address]metric.GroupState{groups}))
	if err != nil {
		t.Fatal(err)
	}
	for i := range named + more {
		a := edda.Address{Namespace: "ns", Name: fmt.Sprintf("s/%d", i)}
		groups[a] = metric.GroupState{Members: 1}
		m.Group(a).Service.Accepted.Inc()
		m.Streams.Of("ns", fmt.Sprint(i)).Appended.Inc()
		m.Sagas.Of("ns", fmt.Sprint(i)).Created.Inc()
	}
	if m.Streams.Of("ns", "new") != m.Streams.Of("x", "newer") {
		t.Error("names that are too many do not have the same figures")
	}
	wants(t, gather(t, reg), map[string]float64{
		"edda_stream_messages_total other,other": more, "edda_stream_messages_total ns,499": 1,
		"edda_sagas_created_total other,other": more, "edda_sagas_created_total 0,ns": 1,
		"edda_group_members other,other,other": more, "edda_group_members 499,ns,s": 1,
		"edda_requests_accepted_total other,other": more, "edda_requests_accepted_total ns,s/0": 1,
	})
}

// What a node has registered the next one can, once it has let go.
func TestUnregister(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := metric.New(reg, views(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := metric.New(reg, views(nil, nil)); err == nil {
		t.Error("two nodes have the same figures")
	}
	if got := gather(t, reg); got["edda_unfinished_bytes"] != 7 {
		t.Errorf("the second one has taken the figures of the first, left are %v", got)
	}
	m.Unregister()
	m.Unregister()
	if got := gather(t, reg); len(got) != 0 {
		t.Errorf("got %v of a node that has let go", got)
	}
	if _, err := metric.New(reg, views(nil, nil)); err != nil {
		t.Error(err)
	}
}

// A node whose figures nobody looks at counts, and looks at nothing.
func TestWithoutRegisterer(t *testing.T) {
	m, err := metric.New(nil, metric.Views{})
	if err != nil {
		t.Fatal(err)
	}
	m.Service("ns", "s").Accepted.Inc()
	m.Streams.Dropped.Inc()
	m.Unregister()
	if m.Sagas.Shown {
		t.Error("sagas are shown to nobody")
	}
}

// subscription has one message to take, and then none.
type subscription struct {
	edda.Subscription
	left int
}

func (s *subscription) Take(context.Context, int) (b edda.LiveBatch, err error) {
	if s.left > 0 {
		s.left--
		b.Messages = []*edda.LiveMessage{{}, {}}
		b.Messages[0].Message.Payload = []byte("abc")
	}
	return b, nil
}

func TestCounted(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := metric.New(reg, views(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	s := m.Live.Counted(&subscription{left: 1})
	for range 2 {
		if _, err := s.Take(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
	}
	wants(t, gather(t, reg), map[string]float64{"edda_live_delivered_total": 2, "edda_live_delivered_bytes_total": 3})
}
