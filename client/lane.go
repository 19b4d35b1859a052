package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// lane is one connection and the stream on it that carries calls. Its goroutine
// opens the stream when there is something to send, sends what waits together, and
// opens another one when it breaks.
type lane struct {
	c     *Conn
	cc    *rpcconn.Conn
	calls atomic.Int64  // queued or sent
	wake  chan struct{} // there is something to send; has room for one

	mu      sync.Mutex // guards what follows
	queue   []*call    // not sent, in order
	sent    map[uint64]*call
	forget  []uint64
	lastRef uint64
	closed  bool
}

// call is one request on its way.
type call struct {
	body  *[]byte      // encoded, without the ref; nil once sent, unless it may be sent again
	keyed bool         // it may be sent again
	waits bool         // the node has it wait for something else than to be durable
	same  string       // what it is to be repeated with
	done  chan outcome // has room for one

	// guarded by the lane's mutex
	since time.Time // when it was queued
	ref   uint64    // of the stream it was sent on; zero: not sent
	times int       // how often it was sent
	left  bool      // its caller has gone
}

// outcome is an answer, or why there is none.
type outcome struct {
	response
	err error // an *edda.Error without Op, or nil
}

const (
	// chunkBytes is about how much one message of the stream carries.
	chunkBytes = 256 << 10
	// maxTimes is how often a request is sent on streams that break.
	maxTimes = 5
	// answerWait is how long a caller whose context has ended waits for the node to say
	// what became of the request.
	answerWait = 100 * time.Millisecond
)

func newLane(c *Conn, cc *rpcconn.Conn) *lane {
	return &lane{c: c, cc: cc, wake: make(chan struct{}, 1), sent: map[uint64]*call{}}
}

// spare holds calls that are over, and bodies the buffers of those that were sent.
var (
	spare  = sync.Pool{New: func() any { return &call{done: make(chan outcome, 1)} }}
	bodies = sync.Pool{New: func() any { return new([]byte) }}
)

// do sends a message and returns the answer.
func (c *Conn) do(ctx context.Context, m *edda.Message, kind int) (outcome, error) {
	m, err := rpcconn.ValidMessage(m)
	if err != nil {
		return outcome{}, err
	}
	size := m.BinarySize()
	if size > rpcconn.MaxSendBytes-1024 {
		return outcome{}, errorOf(m, &edda.Error{Reason: edda.TooLarge,
			Err: fmt.Errorf("the message has %d bytes, at most %d are sent over the network", size, rpcconn.MaxSendBytes-1024)})
	}
	body := bodies.Get().(*[]byte)
	if *body, err = appendMessage((*body)[:0], kind, m); err != nil {
		return outcome{}, errorOf(m, &edda.Error{Reason: edda.Internal, Err: err})
	}
	out := c.submit(ctx, body, call{keyed: m.IdempotencyKey != "", waits: kind == reqCall, same: sameKey})
	if out.err != nil {
		return out, errorOf(m, out.err)
	}
	if out.kind == resError {
		e, err := rpcconn.ReadError(opOf(m), out.bytes)
		if err != nil {
			return out, malformed(opOf(m), err)
		}
		e.Key = m.To.Key
		return out, e
	}
	return out, nil
}

// submit has a request go out together with others, and returns the answer. What says
// how; the body is the lane's from then on.
func (c *Conn) submit(ctx context.Context, body *[]byte, what call) outcome {
	k := spare.Get().(*call)
	what.done, what.body, what.since = k.done, body, time.Now()
	*k = what
	l := c.pick(len(*body))
	l.calls.Add(1)
	out, over := l.do(ctx, k)
	l.calls.Add(-1)
	if over {
		*k = call{done: k.done}
		spare.Put(k)
	}
	return out
}

// errorOf says of which message an error speaks.
func errorOf(m *edda.Message, err error) error {
	e, ok := errors.AsType[*edda.Error](err)
	if !ok {
		return err
	}
	mine := *e
	mine.Op, mine.Key = opOf(m), m.To.Key
	return &mine
}

// do queues a call and waits for its outcome. It is over when nobody else has it
// any more.
func (l *lane) do(ctx context.Context, k *call) (out outcome, over bool) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return outcome{err: notSent(errClosed)}, true
	}
	l.queue = append(l.queue, k)
	l.mu.Unlock()
	l.poke()
	select {
	case out = <-k.done:
		return out, true
	case <-ctx.Done():
	}
	if !l.leave(k) {
		return outcome{err: notSent(errWaitOver)}, false
	}
	t := time.NewTimer(answerWait)
	defer t.Stop()
	select {
	case out = <-k.done:
		return out, true
	case <-t.C:
	}
	l.mu.Lock()
	delete(l.sent, k.ref)
	k.left = true
	l.mu.Unlock()
	return outcome{err: k.unknown(errWaitOver)}, false
}

// leave notes that a call's caller waits no longer, and reports whether the call was
// sent.
func (l *lane) leave(k *call) (sent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.ref == 0 && k.times == 0 {
		k.left = true
		return false
	}
	if k.waits && k.ref != 0 {
		l.forget = append(l.forget, k.ref)
		l.poke()
	}
	return true
}

func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// notSent is an error that promises that nothing was stored.
func notSent(why error) error {
	return &edda.Error{Reason: edda.Unavailable, RetryAfter: time.Second, Err: fmt.Errorf("not sent: %w", why)}
}

// What a request is repeated with, so that it is stored once.
const (
	sameKey = "idempotency key"
	sameIDs = "ids"
)

// unknown is an error that promises nothing.
func (k *call) unknown(why error) error {
	return &edda.Error{Reason: edda.OutcomeUnknown, RetryAfter: time.Second,
		Err: fmt.Errorf("%w before the node has answered; repeat it with the same %s", why, k.same)}
}

// run is the goroutine of the lane.
func (l *lane) run() {
	var r retry
	var last error // the last that says more than that there was no connection
	for {
		select {
		case <-l.wake:
		case <-l.c.ctx.Done():
			l.close()
			return
		}
		for l.busy() {
			answered, err := l.converse()
			if l.c.ctx.Err() != nil {
				break
			}
			if errors.Is(err, errGivenUp) && last != nil {
				err = last
			}
			last = err
			l.broke(err, answered)
			if answered {
				r = retry{}
				l.c.found()
			}
			if r.again(l.c.ctx, l.c, l.cc, err) != nil {
				r = retry{}
			}
			l.refuseLate(err)
		}
	}
}

// busy reports whether there is something to send.
func (l *lane) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = slices.DeleteFunc(l.queue, func(k *call) bool { return k.left })
	return len(l.queue) > 0
}

// converse opens a stream and carries calls until it ends. Answered says that the
// node has answered at least one.
func (l *lane) converse() (answered bool, why error) {
	ctx, cut := context.WithCancelCause(l.c.ctx)
	defer cut(nil)
	late := time.AfterFunc(l.c.opts.ConnectTimeout, func() { cut(errGivenUp) })
	stream, err := l.cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, service+"Batch")
	if !late.Stop() {
		err = errGivenUp // and not that the context has ended, which is how
	}
	if err != nil {
		return false, err
	}
	ended := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			var b []byte
			err := stream.RecvMsg(&b)
			if err == nil {
				answered = true
				err = l.answers(b)
			}
			if err != nil {
				ended <- err
				return
			}
		}
	})
	err = l.write(stream, ended)
	cut(err)
	wg.Wait()
	return answered, err
}

// write sends what waits until the stream ends, and returns why it has.
func (l *lane) write(stream grpc.ClientStream, ended <-chan error) error {
	for {
		for {
			b := l.collect()
			if len(b) == 0 {
				break
			}
			if stream.SendMsg(b) != nil {
				return <-ended
			}
		}
		select {
		case <-l.wake:
		case err := <-ended:
			return err
		}
	}
}

// collect encodes the requests that wait, as many as go together.
func (l *lane) collect() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := 16 * len(l.forget)
	for i := 0; i < len(l.queue) && size < chunkBytes; i++ {
		size += len(*l.queue[i].body) + 20
	}
	if size == 0 {
		return nil
	}
	b := make([]byte, 0, size)
	for _, ref := range l.forget {
		b = appendForget(b, ref)
	}
	l.forget = l.forget[:0]
	n := 0
	for _, k := range l.queue {
		if len(b) > 0 && len(b)+len(*k.body)+20 > size {
			break
		}
		n++
		if k.left {
			continue
		}
		l.lastRef++
		k.ref = l.lastRef
		k.times++
		l.sent[k.ref] = k
		b = appendRequest(b, k.ref, *k.body)
		if !k.keyed {
			recycle(k.body)
			k.body = nil
		}
	}
	l.queue = slices.Delete(l.queue, 0, n)
	return b
}

func recycle(body *[]byte) {
	if cap(*body) <= largeBytes {
		bodies.Put(body)
	}
}

// answers hands out the answers of one message.
func (l *lane) answers(b []byte) error {
	r := wire.NewReader(b)
	var f wire.Field
	l.mu.Lock()
	defer l.mu.Unlock()
	for r.Next(&f) {
		if f.Num != 1 {
			continue
		}
		res, err := readBatchResponse(f.Bytes)
		if err != nil {
			return err
		}
		res.shared = len(b) > 2*len(res.bytes)+4096
		if k := l.sent[res.ref]; k != nil {
			delete(l.sent, res.ref)
			k.done <- outcome{response: res}
		}
	}
	return r.Err()
}

// broke ends the calls that were sent on a stream that has ended without an answer,
// or queues them again where that is safe.
func (l *lane) broke(why error, answered bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget = nil
	refused, isRefusal := rpcconn.FromStatus("", why)
	isRefusal = isRefusal && !answered && atTheDoor(refused.Reason)
	var again []*call
	for _, ref := range slices.Sorted(maps.Keys(l.sent)) {
		k := l.sent[ref]
		delete(l.sent, ref)
		k.ref = 0
		switch {
		case k.left:
		case isRefusal:
			k.done <- outcome{err: k.refused(refused, k.times > 1)}
		case k.keyed && k.times < maxTimes:
			k.since = time.Now()
			again = append(again, k)
		default:
			k.done <- outcome{err: k.unknown(rpcconn.Why(why))}
		}
	}
	l.queue = append(again, l.queue...)
	if isRefusal {
		for _, k := range l.queue {
			if !k.left {
				k.done <- outcome{err: k.refused(refused, k.times > 0)}
			}
		}
		l.queue = nil
	}
}

// refused is the error of a call that was not let in, this time: before, it was sent on
// a stream that broke, or was not.
func (k *call) refused(why *edda.Error, before bool) error {
	if before {
		return k.unknown(why)
	}
	return why
}

// atTheDoor reports whether a stream that ends with the reason was never let in, so
// that nothing of it was stored.
func atTheDoor(reason edda.Reason) bool {
	return reason == edda.NoCredentials || reason == edda.NotAllowed || reason == edda.NoRoute
}

// refuseLate ends the calls that have waited for a connection for too long.
func (l *lane) refuseLate(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = slices.DeleteFunc(l.queue, func(k *call) bool {
		late := time.Since(k.since) >= l.c.opts.ConnectTimeout
		if late && !k.left {
			k.done <- outcome{err: k.unsent(rpcconn.Why(why))}
		}
		return late || k.left
	})
}

// unsent is the error of a call that waits in the queue.
func (k *call) unsent(why error) error {
	if k.times > 0 {
		return k.unknown(why)
	}
	return notSent(why)
}

// close ends all calls.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, k := range l.queue {
		if !k.left {
			k.done <- outcome{err: k.unsent(errClosed)}
		}
	}
	for _, k := range l.sent {
		if !k.left {
			k.done <- outcome{err: k.unknown(errClosed)}
		}
	}
	l.queue, l.sent = nil, map[uint64]*call{}
}
