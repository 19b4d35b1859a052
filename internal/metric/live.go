package metric

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/edda-io/edda"
)

// Live is the figures of subscriptions.
type Live struct {
	delivered, bytes prometheus.Counter
}

func newLive() *Live {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &Live{
		delivered: counter("edda_live_delivered_total", "Messages that subscriptions took, each time one did."),
		bytes:     counter("edda_live_delivered_bytes_total", "Bytes of the payloads of messages that subscriptions took."),
	}
}

func (m *Live) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.delivered, m.bytes}
}

// Counted returns the subscription as one whose messages are counted.
func (m *Live) Counted(s edda.Subscription) edda.Subscription { return &counted{s, m} }

type counted struct {
	edda.Subscription
	m *Live
}

func (c *counted) Take(ctx context.Context, n int) (edda.LiveBatch, error) {
	b, err := c.Subscription.Take(ctx, n)
	if len(b.Messages) > 0 {
		bytes := 0
		for _, m := range b.Messages {
			bytes += len(m.Message.Payload)
		}
		c.m.delivered.Add(float64(len(b.Messages)))
		c.m.bytes.Add(float64(bytes))
	}
	return b, err
}

// The figures that the hub has.
var (
	liveSubscriptions = prometheus.NewDesc("edda_live_subscriptions", "Subscriptions that there are.", nil, nil)
	liveTopics        = prometheus.NewDesc("edda_live_topics", "Channels and streams that somebody subscribes to, or did a moment ago.", nil, nil)
	liveMessages      = prometheus.NewDesc("edda_live_messages_total", "Messages that channels and streams have put before their subscribers, each once.", nil, nil)
	liveWalked        = prometheus.NewDesc("edda_live_walked_total", "Messages that subscriptions read from where they are stored, because they came later than others.", nil, nil)
	liveWithheld      = prometheus.NewDesc("edda_live_withheld_total", "How often OnPublish kept a message from subscribers.", nil, nil)
)

// hub collects the figures of the hub.
type hub struct{ v Views }

// Describe implements prometheus.Collector.
func (hub) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{liveSubscriptions, liveTopics, liveMessages, liveWalked, liveWithheld} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (h hub) Collect(c chan<- prometheus.Metric) {
	s := h.v.Hub()
	gauge := func(d *prometheus.Desc, x int) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(x))
	}
	counter := func(d *prometheus.Desc, x uint64) {
		c <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(x))
	}
	gauge(liveSubscriptions, s.Subscriptions)
	gauge(liveTopics, s.Topics)
	counter(liveMessages, s.Messages)
	counter(liveWalked, s.Walked)
	counter(liveWithheld, s.Withheld)
}
