package metric

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Streams are the figures of streams.
type Streams struct {
	// Dropped is how many appends of handlers may not be.
	Dropped prometheus.Counter
	// Waiting is how many readers wait at the end of a stream.
	Waiting atomic.Int64

	appendedTotal, bytesTotal, replayedTotal, trimmedTotal *prometheus.CounterVec

	kinds named[streamName, Stream]
}

// maxStreams is how many names are told apart.
const maxStreams = 500

// streamName is what streams are told apart by.
type streamName struct{ namespace, stream string }

// Stream is the figures of one stream.
type Stream struct {
	Appended, Bytes, Replayed, Trimmed prometheus.Counter
}

func newStreams() *Streams {
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"namespace", "stream"})
	}
	return &Streams{
		appendedTotal: counter("edda_stream_messages_total", "Messages that were appended to streams."),
		bytesTotal:    counter("edda_stream_bytes_total", "Bytes of messages that were appended to streams, encoded."),
		replayedTotal: counter("edda_stream_replayed_total", "Messages that were appended before, so that their producers got the first answer."),
		trimmedTotal:  counter("edda_stream_trimmed_total", "Messages that were removed by trims and retention."),
		Dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "edda_stream_dropped_total", Help: "Appends of handlers that may not be, because their streams list other shards, or their channels are not there.",
		}),
		kinds: newNamed[streamName, Stream](maxStreams, streamName{Other, Other}),
	}
}

func (m *Streams) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.appendedTotal, m.bytesTotal, m.replayedTotal, m.trimmedTotal, m.Dropped,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "edda_stream_readers_waiting", Help: "Readers that wait at the end of a stream.",
		}, func() float64 { return float64(m.Waiting.Load()) }),
	}
}

// Of returns the figures of a stream, which the caller may keep.
func (m *Streams) Of(namespace, stream string) *Stream {
	return m.kinds.find(streamName{namespace, stream}, func(k streamName) *Stream {
		of := func(v *prometheus.CounterVec) prometheus.Counter { return v.WithLabelValues(k.namespace, k.stream) }
		return &Stream{Appended: of(m.appendedTotal), Bytes: of(m.bytesTotal), Replayed: of(m.replayedTotal), Trimmed: of(m.trimmedTotal)}
	})
}
