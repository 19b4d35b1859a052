package worker

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// session is one conversation with the node, from Register to the end of the
// stream. One goroutine reads, one writes all that waits together, one beats.
type session struct {
	r      *runner
	stream grpc.ClientStream

	ready chan struct{}           // closed once the node has registered the worker
	hello registered              // valid once ready is closed
	drain chan *drain             // the node asks the worker to finish; has room for one
	done  chan struct{}           // closed once the stream has ended
	ended error                   // why; valid once done is closed
	wake  chan struct{}           // the writer has something to do; has room for one
	cut   context.CancelCauseFunc // ends the stream

	mu         sync.Mutex // guards what follows; the mutex of hosted may be taken under it
	attempts   map[uint64]*attempt
	queries    map[uint64]chan<- stateValue
	lastQuery  uint64
	chunks     [][]byte // frames that go out, in order
	last       []byte   // the chunk that grows
	taken      []*attempt
	progressed []*attempt
	beat       bool
	draining   bool          // what is dispatched is handed back
	closing    bool          // the writer ends its side once all is out
	closed     bool          // the stream has ended
	idle       chan struct{} // when not nil, closed once there are no attempts
}

const (
	// chunkBytes is when a chunk is full: one message of the stream.
	chunkBytes = 256 << 10
	// ownChunk is how large a frame is a chunk of its own, without being copied.
	ownChunk = 64 << 10
	// pinBytes is how large a batch of frames may be for its messages to share its
	// memory. In a larger one each gets its own, so that a handler that runs for long
	// does not keep all of it.
	pinBytes = 64 << 10
)

func newSession(r *runner, stream grpc.ClientStream, ready chan struct{}, cut context.CancelCauseFunc) *session {
	return &session{
		r: r, stream: stream, cut: cut, ready: ready, drain: make(chan *drain, 1), done: make(chan struct{}),
		wake: make(chan struct{}, 1), attempts: map[uint64]*attempt{}, queries: map[uint64]chan<- stateValue{},
	}
}

// read takes what the node sends until the stream ends.
func (s *session) read() {
	var err error
	for err == nil {
		var b []byte
		if err = s.stream.RecvMsg(&b); err == nil {
			err = s.take(b)
		}
	}
	s.over(err)
}

// take reads frames that came together.
func (s *session) take(b []byte) error {
	r := wire.NewReader(b)
	var f, inner wire.Field
	var started []*attempt
	shared := len(b) <= pinBytes
	for r.Next(&f) {
		if f.Num != 1 {
			continue
		}
		frames := wire.NewReader(f.Bytes)
		for frames.Next(&inner) {
			if inner.Num == nfDispatch {
				a, err := s.dispatch(inner.Bytes, shared)
				if err != nil {
					return err
				}
				started = append(started, a)
				continue
			}
			s.begin(started)
			started = started[:0]
			if err := s.control(&inner); err != nil {
				return err
			}
		}
		if err := frames.Err(); err != nil {
			return fmt.Errorf("frame of the node: %w", err)
		}
	}
	s.begin(started)
	if err := r.Err(); err != nil {
		return fmt.Errorf("frames of the node: %w", err)
	}
	return nil
}

// control does what a frame that is no dispatch says. Unknown ones are passed over.
func (s *session) control(f *wire.Field) error {
	switch f.Num {
	case nfRegistered:
		if err := s.hello.read(f.Bytes); err != nil {
			return fmt.Errorf("registered: %w", err)
		}
		close(s.ready)
	case nfFenced:
		id, why, err := readFenced(f.Bytes)
		if err != nil {
			return fmt.Errorf("fenced: %w", err)
		}
		s.fence(id, why)
	case nfPartStored:
		id, number, refused, err := readPartStored(f.Bytes)
		if err != nil {
			return fmt.Errorf("part stored: %w", err)
		}
		s.partStored(id, number, refused)
	case nfStateValue:
		id, v, err := readStateValue(f.Bytes)
		if err != nil {
			return fmt.Errorf("state: %w", err)
		}
		s.answer(id, v)
	case nfMembers:
		service, ids, err := readMembers(f.Bytes)
		if err != nil {
			return fmt.Errorf("members: %w", err)
		}
		s.r.setMembers(service, ids)
	case nfDrain:
		d, err := readDrain(f.Bytes)
		if err != nil {
			return fmt.Errorf("drain: %w", err)
		}
		select {
		case s.drain <- d:
		default:
		}
	case nfError:
		e, err := rpcconn.ReadError("run worker "+s.r.id, f.Bytes)
		if err != nil {
			return fmt.Errorf("error of the node: %w", err)
		}
		return e
	}
	return nil
}

// dispatch reads an attempt.
func (s *session) dispatch(b []byte, shared bool) (*attempt, error) {
	if !shared {
		b = append(make([]byte, 0, len(b)), b...)
	}
	a := &attempt{s: s}
	a.ctx.a, a.ctx.Base = a, s.r.values
	if err := a.read(b); err != nil {
		return nil, err
	}
	a.h = s.r.byAddr[edda.Address{Namespace: a.msg.To.Namespace, Name: a.msg.To.Name}]
	if a.h == nil {
		return nil, fmt.Errorf("dispatch %d: the worker hosts no service %s", a.id, a.msg.To)
	}
	return a, nil
}

// begin starts attempts that were dispatched, or hands them back when the worker
// takes no more.
func (s *session) begin(started []*attempt) {
	if len(started) == 0 {
		return
	}
	s.mu.Lock()
	refused := s.draining || s.closed
	for _, a := range started {
		if refused {
			a.settled = true
			s.put(handBackFrame(nil, a.id))
		} else {
			s.attempts[a.id] = a
		}
	}
	s.mu.Unlock()
	if !refused {
		for _, a := range started {
			a.h.start(a)
		}
	}
	s.poke()
}

// began notes that an attempt's handler begins. It is false when there is nothing
// left to begin.
func (s *session) began(a *attempt) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.settled {
		return false
	}
	a.begun = true
	s.taken = append(s.taken, a)
	return true
}

// finish takes the encoded outcome of an attempt whose handler has returned. An
// outcome that nobody wants is told as one of which nothing came.
func (s *session) finish(a *attempt, enc []byte, failed bool) {
	s.mu.Lock()
	switch {
	case a.fenced:
		s.put(handBackFrame(nil, a.id))
	case a.cut && failed:
		s.settle(a)
		s.put(handBackFrame(nil, a.id))
	case !a.settled:
		s.settle(a)
		s.put(enc)
	}
	a.returned = true
	lingers := a.lingers
	s.mu.Unlock()
	s.poke()
	if lingers {
		a.h.lingers(-1)
	}
}

// settle takes the attempt off the session. The caller holds mu.
func (s *session) settle(a *attempt) {
	a.settled = true
	delete(s.attempts, a.id)
	if len(s.attempts) == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// fence gives up an attempt.
func (s *session) fence(id uint64, why error) {
	s.mu.Lock()
	a := s.attempts[id]
	if a == nil {
		s.mu.Unlock()
		return
	}
	s.giveUp(a)
	if !a.begun {
		s.put(handBackFrame(nil, id))
	}
	s.mu.Unlock()
	s.poke()
	a.endEarly(why)
}

// giveUp settles an attempt whose outcome is not wanted. The caller holds mu, and
// calls endEarly without it.
func (s *session) giveUp(a *attempt) {
	s.settle(a)
	a.fenced = a.begun
}

// endEarly ends the context of an attempt that was given up. If its handler runs,
// it no longer counts as one of the service's.
func (a *attempt) endEarly(why error) {
	a.s.mu.Lock()
	lingers := a.begun && !a.returned
	a.lingers = lingers
	a.s.mu.Unlock()
	if lingers {
		a.h.lingers(1)
	}
	a.ctx.Cancel(why)
}

// over ends the session: nothing goes out any more, and what runs is not wanted.
func (s *session) over(err error) {
	s.mu.Lock()
	s.closed = true
	s.chunks, s.last, s.taken, s.progressed = nil, nil, nil, nil
	lost := make([]*attempt, 0, len(s.attempts))
	for _, a := range s.attempts {
		lost = append(lost, a)
	}
	for _, a := range lost {
		s.giveUp(a)
	}
	for id, c := range s.queries {
		c <- stateValue{err: errLost}
		delete(s.queries, id)
	}
	s.mu.Unlock()
	for _, a := range lost {
		a.endEarly(errLost)
	}
	s.ended = err
	close(s.done)
	s.cut(err)
}

// ask asks the node for state.
func (s *session) ask(ctx context.Context, q *query) (stateValue, error) {
	c := make(chan stateValue, 1)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return stateValue{}, errLost
	}
	s.lastQuery++
	id := s.lastQuery
	s.queries[id] = c
	s.put(queryFrame(nil, id, q))
	s.mu.Unlock()
	s.poke()
	select {
	case v := <-c:
		return v, v.err
	case <-ctx.Done():
		s.mu.Lock()
		delete(s.queries, id)
		s.mu.Unlock()
		return stateValue{}, context.Cause(ctx)
	}
}

func (s *session) answer(id uint64, v stateValue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.queries[id]; c != nil {
		c <- v
		delete(s.queries, id)
	}
}
