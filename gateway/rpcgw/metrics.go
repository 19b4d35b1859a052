package rpcgw

import (
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/collector"
)

// metrics are the gateway's own. Labels are methods that are registered, and codes,
// so that no caller can make new series. A nil *metrics counts nothing.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	streams  *prometheus.GaugeVec
	frames   *prometheus.CounterVec
	messages *prometheus.CounterVec

	// of workers, found already
	framesIn, framesOut, messagesIn, messagesOut prometheus.Counter

	// meters is replaced, never changed, so that readers need no lock.
	meters atomic.Pointer[map[string]*meter]
	mu     sync.Mutex // held while meters, or the counters of a meter, are replaced
}

// Requests that a Batch carries are counted one by one under these names.
const (
	batchCall   = "/edda.v1.EddaService/Batch.call"
	batchSend   = "/edda.v1.EddaService/Batch.send"
	batchAppend = "/edda.v1.EddaService/Batch.append"
)

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	if r == nil {
		return nil, nil
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edda_grpc_requests_total", Help: "gRPC calls that ended, those in a Batch one by one.",
		}, []string{"method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "edda_grpc_request_duration_seconds", Help: "How long gRPC calls took, those in a Batch one by one, streams left out.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method"}),
		streams: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "edda_grpc_streams_open", Help: "gRPC streams that are open: Work is one for each worker.",
		}, []string{"method"}),
		frames: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edda_grpc_worker_frames_total", Help: "Frames of workers (in) and to them (out).",
		}, []string{"direction"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "edda_grpc_worker_messages_total", Help: "Messages that carried the frames of workers (in) and to them (out).",
		}, []string{"direction"}),
	}
	m.meters.Store(&map[string]*meter{})
	var errs []error
	m.requests, m.seconds = collector.Register(r, m.requests, &errs), collector.Register(r, m.seconds, &errs)
	m.streams, m.frames = collector.Register(r, m.streams, &errs), collector.Register(r, m.frames, &errs)
	m.messages = collector.Register(r, m.messages, &errs)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	m.framesIn, m.framesOut = m.frames.WithLabelValues("in"), m.frames.WithLabelValues("out")
	m.messagesIn, m.messagesOut = m.messages.WithLabelValues("in"), m.messages.WithLabelValues("out")
	return m, nil
}

// meter holds the metrics of one method, found already.
type meter struct {
	seconds prometheus.Observer // nil for a stream
	streams prometheus.Gauge    // nil for a call
	// counters is replaced, never changed.
	counters atomic.Pointer[map[codes.Code]prometheus.Counter]
}

// of returns the meter of a method, "/package.Service/Method".
func (m *metrics) of(method string, stream bool) *meter {
	if mt := (*m.meters.Load())[method]; mt != nil {
		return mt
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := maps.Clone(*m.meters.Load())
	mt := all[method]
	if mt == nil {
		mt = new(meter)
		if stream {
			mt.streams = m.streams.WithLabelValues(method[1:])
		} else {
			mt.seconds = m.seconds.WithLabelValues(method[1:])
		}
		mt.counters.Store(&map[codes.Code]prometheus.Counter{})
		all[method] = mt
		m.meters.Store(&all)
	}
	return mt
}

// ended counts a call that has ended.
func (m *metrics) ended(method string, err error, begin time.Time) {
	if m == nil {
		return
	}
	mt := m.of(method, false)
	m.count(mt, method, err)
	mt.seconds.Observe(time.Since(begin).Seconds())
}

func (m *metrics) count(mt *meter, method string, err error) {
	code := codeOf(err)
	c := (*mt.counters.Load())[code]
	if c == nil {
		c = m.add(mt, method, code)
	}
	c.Inc()
}

func (m *metrics) add(mt *meter, method string, code codes.Code) prometheus.Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := maps.Clone(*mt.counters.Load())
	all[code] = m.requests.WithLabelValues(method[1:], code.String())
	mt.counters.Store(&all)
	return all[code]
}

// opened counts a stream that opens. The function it returns counts its end.
func (m *metrics) opened(method string) func(error) {
	if m == nil {
		return func(error) {}
	}
	mt := m.of(method, true)
	mt.streams.Inc()
	return func(err error) {
		mt.streams.Dec()
		m.count(mt, method, err)
	}
}

// received counts a message of a worker.
func (m *metrics) received(frames int) {
	if m != nil {
		m.messagesIn.Inc()
		m.framesIn.Add(float64(frames))
	}
}

// sent counts a message to a worker.
func (m *metrics) sent(frames int) {
	if m != nil {
		m.messagesOut.Inc()
		m.framesOut.Add(float64(frames))
	}
}

// codeOf is the gRPC code that an error stands for.
func codeOf(err error) codes.Code {
	if e, ok := errors.AsType[*edda.Error](err); ok {
		return statusCodes[e.Code()]
	}
	if st := status.FromContextError(err); st.Code() != codes.Unknown {
		return st.Code() // whoever called has gone
	}
	if st, ok := status.FromError(err); ok {
		return st.Code()
	}
	return codes.Internal
}
