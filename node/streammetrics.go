package node

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	streamfold "github.com/edda-io/edda/internal/fold/stream"
)

// streamMetrics are the figures of streams. What streams are called anybody may choose:
// only so many names are told apart.
type streamMetrics struct {
	appendedTotal, bytesTotal, replayedTotal, trimmedTotal *prometheus.CounterVec

	dropped prometheus.Counter
	waiting atomic.Int64 // readers

	mu    sync.RWMutex // guards what follows
	kinds map[streamKind]*streamCounters
}

// maxStreamKinds is how many names are told apart; those that come later count as
// otherName.
const maxStreamKinds = 500

// streamKind is what streams are told apart by.
type streamKind struct{ namespace, stream string }

// streamCounters are the figures of one stream.
type streamCounters struct {
	appended, bytes, replayed, trimmed prometheus.Counter
}

func newStreamMetrics() *streamMetrics {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"namespace", "stream"})
	}
	return &streamMetrics{
		appendedTotal: counter("edda_stream_messages_total", "Messages that were appended to streams."),
		bytesTotal:    counter("edda_stream_bytes_total", "Bytes of messages that were appended to streams, encoded."),
		replayedTotal: counter("edda_stream_replayed_total", "Messages that were appended before, so that their producers got the first answer."),
		trimmedTotal:  counter("edda_stream_trimmed_total", "Messages that were removed by trims and retention."),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "edda_stream_dropped_total", Help: "Appends of handlers that may not be, because their streams list other shards, or their channels are not there.",
		}),
		kinds: map[streamKind]*streamCounters{},
	}
}

// collectors are what is registered.
func (m *streamMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.appendedTotal, m.bytesTotal, m.replayedTotal, m.trimmedTotal, m.dropped,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "edda_stream_readers_waiting", Help: "Readers that wait at the end of a stream.",
		}, func() float64 { return float64(m.waiting.Load()) }),
	}
}

// of returns the figures of a stream.
func (m *streamMetrics) of(namespace, stream string) *streamCounters {
	return find(&m.mu, m.kinds, streamKind{namespace, stream}, streamKind{otherName, otherName}, maxStreamKinds, func(k streamKind) *streamCounters {
		of := func(v *prometheus.CounterVec) prometheus.Counter { return v.WithLabelValues(k.namespace, k.stream) }
		return &streamCounters{appended: of(m.appendedTotal), bytes: of(m.bytesTotal), replayed: of(m.replayedTotal), trimmed: of(m.trimmedTotal)}
	})
}

// answered counts what became of an append.
func (c *streamCounters) answered(e *streamfold.Effect) {
	for i := range e.Items {
		if e.Items[i].Replayed {
			c.replayed.Inc()
		}
	}
}
