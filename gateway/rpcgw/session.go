package rpcgw

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/auth"
	"github.com/edda-io/edda/node"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// session is the stream of one worker. Its reader's goroutine registers the worker
// and takes its frames; its writer's sends what is in the outbox; the goroutine of
// the call waits until one of them, or somebody else, ends the session.
type session struct {
	g      *Gateway
	stream eddav1.WorkerService_WorkServer
	grant  *auth.Grant
	out    *outbox

	// ctx ends with the session; its cause is why.
	ctx context.Context
	end context.CancelCauseFunc
	// registered is closed once worker is set.
	registered chan struct{}
	// gone is closed when the node has taken everything back.
	gone chan struct{}

	mu       sync.Mutex   // guards what follows; nothing is locked under it
	worker   *node.Worker // set once
	left     bool         // a worker that is attached from now on is to be detached
	attempts map[uint64]*held
	fenced   int // of them
}

// held is an attempt that the worker has, or will have when it is sent. It is the
// worker's until the worker ends it, also when the node has given it up.
type held struct {
	*node.Attempt
	// guarded by the session's mu
	sent, fenced bool
}

// errEnded is why a session ends when the worker has closed its side.
var errEnded = errors.New("the worker has ended its stream")

// lastWords is how long the writer has to say why a session ends.
const lastWords = time.Second

// Work is the conversation of one worker.
func (g *Gateway) Work(stream eddav1.WorkerService_WorkServer) error {
	ctx, end := context.WithCancelCause(stream.Context())
	s := &session{
		g: g, stream: stream, grant: grantOf(ctx), out: newOutbox(), ctx: ctx, end: end,
		registered: make(chan struct{}), gone: make(chan struct{}), attempts: map[uint64]*held{},
	}
	stop, err := s.watch()
	if err != nil {
		return err
	}
	defer stop()
	written := make(chan struct{})
	g.routines.Go(s.contained(s.read))
	g.routines.Go(s.contained(func() error {
		defer close(written)
		return s.write()
	}))
	<-ctx.Done()
	why := context.Cause(ctx)
	s.leave(why)
	words := time.NewTimer(lastWords)
	defer words.Stop()
	select {
	case <-written:
	case <-words.C:
	}
	if errors.Is(why, errStalled) {
		hangUp(ctx)
	}
	if errors.Is(why, errEnded) {
		return nil
	}
	return why
}

// errStalled: the worker reads nothing.
var errStalled = errors.New("the worker does not read what is sent to it")

// errStopping is why sessions end, or do not begin, when the gateway stops.
var errStopping = &edda.Error{Reason: edda.Draining, RetryAfter: time.Second, Err: errors.New("the node is shutting down")}

// endSessions ends all sessions, and lets none begin.
func (g *Gateway) endSessions() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for s := range g.live {
		s.end(errStopping)
	}
}

// watch ends the session when the gateway stops, the worker does not register in
// time, or its credentials end. The function it returns ends the watch.
func (s *session) watch() (stop func(), err error) {
	s.g.mu.Lock()
	defer s.g.mu.Unlock()
	if s.g.closed {
		return nil, errStopping
	}
	s.g.live[s] = struct{}{}
	timers := []*time.Timer{time.AfterFunc(s.g.opts.Stall, func() {
		select {
		case <-s.registered:
		default:
			s.end(badFrame("no Register came within %v", s.g.opts.Stall))
		}
	})}
	if at := s.grant.Expires; !at.IsZero() {
		timers = append(timers, time.AfterFunc(time.Until(at), func() {
			s.end(errExpired)
		}))
	}
	return func() {
		for _, t := range timers {
			t.Stop()
		}
		s.g.mu.Lock()
		defer s.g.mu.Unlock()
		delete(s.g.live, s)
	}, nil
}

// contained runs a part of the session, which ends with it, and ends it too when
// the part panics.
func (s *session) contained(part func() error) func() {
	return func() {
		returned := false
		defer func() {
			if returned {
				return
			}
			p := recover()
			s.g.log.Error("panic in a worker's stream", slog.String("worker", s.id()), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			s.end(&edda.Error{Reason: edda.Internal, Err: fmt.Errorf("the node met a defect of its own: %v", p)})
		}()
		err := part()
		returned = true
		s.end(err)
	}
}

// id is the worker's, once it has one.
func (s *session) id() string {
	select {
	case <-s.registered:
		return s.worker.ID()
	default:
		return ""
	}
}

// leave has the node take back what the worker has.
func (s *session) leave(why error) {
	defer close(s.gone)
	s.mu.Lock()
	s.left = true
	w := s.worker
	s.mu.Unlock()
	if w == nil {
		return
	}
	w.Detach()
	s.g.forget(w.ID(), s)
	level := slog.LevelInfo
	if !errors.Is(why, errEnded) && !errors.Is(why, context.Canceled) {
		level = slog.LevelWarn
	}
	s.g.log.Log(context.WithoutCancel(s.ctx), level, "worker left", slog.String("worker", w.ID()), slog.Any("why", why))
}

// joined sets the worker that is attached. It is false when the session has ended
// meanwhile.
func (s *session) joined(w *node.Worker) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left {
		return false
	}
	s.worker = w
	close(s.registered)
	return true
}

// read takes what the worker says, until it breaks the rules or is gone.
func (s *session) read() error {
	for first := true; ; first = false {
		in := new(incoming)
		if err := s.stream.RecvMsg(in); err != nil {
			return s.unreadable(err)
		}
		if in.err != nil {
			return badFrame("the message is no WorkerFrames: %w", in.err)
		}
		frames := in.GetFrames()
		s.g.metrics.received(len(frames))
		if first {
			if len(frames) == 0 {
				return badFrame("the first frame must be Register, there is none")
			}
			if err := s.register(frames[0].GetRegister()); err != nil {
				return err
			}
			frames = frames[1:]
		}
		s.worker.Beat()
		for _, f := range frames {
			if err := s.take(f); err != nil {
				return err
			}
		}
		if s.ctx.Err() != nil {
			return nil
		}
	}
}

// unreadable says why nothing more could be read. Of a message that is too large
// gRPC has told the worker itself, by its own status.
func (s *session) unreadable(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return errEnded
	case s.stream.Context().Err() != nil:
		return context.Canceled
	default:
		return fmt.Errorf("the stream cannot be read: %w", err)
	}
}

// badFrame is an error about what breaks the protocol.
func badFrame(format string, args ...any) error {
	return &edda.Error{Reason: edda.BadFrame, Err: fmt.Errorf(format, args...)}
}
