package node

import (
	"sync"

	"github.com/edda-io/edda/engine"
	"github.com/edda-io/edda/internal/record"
)

// inbox is where a partition's goroutine gets everything from. Only calls, appends to
// streams, and changes of sagas that bring something in, are bounded; the rest has room because what can come is bounded where it begins:
// outcomes by slots, parts by a window of each attempt, deliveries by the window of each lane, batches by
// themselves.
type inbox struct {
	mu       sync.Mutex // guards what follows; nothing is locked under it
	mail     mail
	signaled bool
	closed   bool
	waiting  int // calls and appends that are not durable yet
	bytes    int // their size

	wake chan struct{} // one signal for everything since the last take
}

// mail is what has come in, each kind in its order.
type mail struct {
	batches    []*batch
	acks       []ack
	grants     []grant
	parts      []*partWrite
	outcomes   []*Attempt
	deliveries []delivery
	funcs      []func()
	sagas      []*sagaChange
	streams    []*streamAppend
	calls      []*call
}

// ack says that a partition has everything up to a number.
type ack struct{ from, number uint64 }

// delivery is a record from another partition's outbox.
type delivery struct {
	origin record.Origin
	typ    record.Type
	body   []byte
	// after is the sender's record that it comes of, while that is not durable yet; zero
	// once it is.
	after engine.Place
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// signal wakes the goroutine. The caller holds mu.
func (in *inbox) signal() {
	if !in.signaled {
		in.signaled = true
		in.wake <- struct{}{}
	}
}

// ring wakes the goroutine with nothing new.
func (in *inbox) ring() {
	in.mu.Lock()
	in.signal()
	in.mu.Unlock()
}

// call puts a call in, unless the partition has too much waiting.
func (in *inbox) call(c *call, l *Limits) (ok, closed bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return false, true
	}
	if in.full(len(c.rec), l) {
		return false, false
	}
	in.waiting++
	in.bytes += len(c.rec)
	in.mail.calls = append(in.mail.calls, c)
	in.signal()
	return true, false
}

// change is call for a change of a saga.
func (in *inbox) change(c *sagaChange, l *Limits) (ok, closed bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return false, true
	}
	calls, bytes := c.size()
	if calls > 0 && in.full(bytes, l) {
		return false, false
	}
	in.waiting += calls
	in.bytes += bytes
	in.mail.sagas = append(in.mail.sagas, c)
	in.signal()
	return true, false
}

// stream is call for an append to a stream.
func (in *inbox) stream(w *streamAppend, l *Limits) (ok, closed bool) {
	in.mu.Lock()
	if in.closed || in.full(len(w.rec), l) {
		closed = in.closed
		in.mu.Unlock()
		return false, closed
	}
	in.waiting++
	in.bytes += len(w.rec)
	in.mail.streams = append(in.mail.streams, w)
	in.signal()
	in.mu.Unlock()
	return true, false
}

// full reports whether one more of that size is too much. The caller holds mu.
func (in *inbox) full(bytes int, l *Limits) bool {
	return in.waiting >= l.PartitionRequests || in.bytes+bytes > l.PartitionBytes && in.waiting > 0
}

// load returns how many calls are not durable yet.
func (in *inbox) load() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.waiting
}

// settled notes that calls are durable, or refused.
func (in *inbox) settled(n, bytes int) {
	in.mu.Lock()
	in.waiting -= n
	in.bytes -= bytes
	in.mu.Unlock()
}

func (in *inbox) batch(b *batch) {
	in.mu.Lock()
	in.mail.batches = append(in.mail.batches, b)
	in.signal()
	in.mu.Unlock()
}

func (in *inbox) ack(a ack) {
	in.mu.Lock()
	in.mail.acks = append(in.mail.acks, a)
	in.signal()
	in.mu.Unlock()
}

func (in *inbox) grant(g grant) {
	in.mu.Lock()
	in.mail.grants = append(in.mail.grants, g)
	in.signal()
	in.mu.Unlock()
}

// part puts a part in. It is false when nothing is taken any more.
func (in *inbox) part(w *partWrite) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return false
	}
	in.mail.parts = append(in.mail.parts, w)
	in.signal()
	return true
}

func (in *inbox) outcome(a *Attempt) {
	in.mu.Lock()
	in.mail.outcomes = append(in.mail.outcomes, a)
	in.signal()
	in.mu.Unlock()
}

func (in *inbox) delivery(d delivery) {
	in.mu.Lock()
	in.mail.deliveries = append(in.mail.deliveries, d)
	in.signal()
	in.mu.Unlock()
}

// do runs f in the partition's goroutine. It is false when that has ended.
func (in *inbox) do(f func()) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return false
	}
	in.mail.funcs = append(in.mail.funcs, f)
	in.signal()
	return true
}

// take exchanges what has come in for an empty m, whose memory is used again.
func (in *inbox) take(m *mail) {
	m.reset()
	in.mu.Lock()
	*m, in.mail = in.mail, *m
	in.signaled = false
	select {
	case <-in.wake:
	default:
	}
	in.mu.Unlock()
}

// more adds what has come in since to m, and reports whether that is anything, which
// is quick when it is not.
func (in *inbox) more(m *mail) bool {
	if len(in.wake) == 0 {
		return false
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	n := &in.mail
	m.batches, m.acks, m.grants = append(m.batches, n.batches...), append(m.acks, n.acks...), append(m.grants, n.grants...)
	m.parts, m.outcomes = append(m.parts, n.parts...), append(m.outcomes, n.outcomes...)
	m.deliveries, m.funcs = append(m.deliveries, n.deliveries...), append(m.funcs, n.funcs...)
	m.sagas, m.streams = append(m.sagas, n.sagas...), append(m.streams, n.streams...)
	m.calls = append(m.calls, n.calls...)
	n.reset()
	in.signaled = false
	<-in.wake
	return true
}

// close refuses what comes after.
func (in *inbox) close() {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
}

func (m *mail) reset() {
	clear(m.batches)
	clear(m.grants)
	clear(m.parts)
	clear(m.outcomes)
	clear(m.deliveries)
	clear(m.funcs)
	clear(m.sagas)
	clear(m.streams)
	clear(m.calls)
	m.batches, m.acks, m.grants, m.outcomes = m.batches[:0], m.acks[:0], m.grants[:0], m.outcomes[:0]
	m.parts, m.sagas, m.streams = m.parts[:0], m.sagas[:0], m.streams[:0]
	m.deliveries, m.funcs, m.calls = m.deliveries[:0], m.funcs[:0], m.calls[:0]
}
