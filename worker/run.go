package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
)

const (
	// The delay before the worker connects again doubles from the first to the last,
	// and varies by half, so that the workers of a node that restarts do not all come
	// at once.
	firstDelay = 100 * time.Millisecond
	lastDelay  = 10 * time.Second
	// registerTimeout is how long the node may take to register the worker.
	registerTimeout = 15 * time.Second
	// takenPatience is how long the id may be in use before that is an error: a node
	// notices a worker that is gone after its lifetime.
	takenPatience = time.Minute
	// cutTimeout is how long handlers may take to return once their contexts have
	// ended with the worker.
	cutTimeout = time.Second
	// closeTimeout is how long the node may take to end the conversation after the
	// worker.
	closeTimeout = 5 * time.Second
	// unknownLifetime stands in for the lifetime before the node has told it.
	unknownLifetime = 30 * time.Second
)

// errRegister: the node does not answer.
var errRegister = errors.New("the node has not registered the worker in time")

// errClose: the node goes on after the worker has ended.
var errClose = errors.New("the node has not ended the conversation in time")

// run connects until ctx ends, or there is no sense in going on.
func (r *runner) run(ctx context.Context, url string) error {
	if err := rpcconn.Check(url, r.conn()); err != nil {
		return err
	}
	var keeper sync.WaitGroup
	if r.keys != nil {
		keeper.Go(r.keys.keep)
	}
	err := r.connect(ctx, url)
	if left := r.handlers.wait(cutTimeout); left > 0 {
		r.log.Warn("handlers have not returned, and are left behind", "handlers", left)
	}
	if r.keys != nil {
		r.keys.stop()
		keeper.Wait()
	}
	return err
}

func (r *runner) conn() rpcconn.Options {
	return rpcconn.Options{Token: r.o.Token, TLS: r.o.TLS, Agent: sdk()}
}

// end is how a conversation ended.
type end struct {
	err      error     // why
	since    time.Time // when it was registered; zero: it was not
	lifetime time.Duration
	drained  *drain // the node asked for it
}

// connect holds one conversation after the other.
func (r *runner) connect(ctx context.Context, url string) error {
	delay := firstDelay
	lifetime := unknownLifetime
	var known bool      // the node has registered the worker before
	var told string     // why there is no connection, as the log has it
	var inUse time.Time // since when its id is in use
	disown := time.AfterFunc(lifetime, r.recheck)
	defer disown.Stop()
	for {
		e := r.converse(ctx, url)
		if !e.since.IsZero() {
			known, inUse, told = true, time.Time{}, ""
			if time.Since(e.since) > delay {
				delay = firstDelay
			}
			lifetime = e.lifetime
			r.ownsUntil.Store(time.Now().Add(lifetime).UnixNano())
			disown.Reset(lifetime)
		}
		if ctx.Err() != nil {
			return nil
		}
		if e.drained != nil && !e.drained.stopping {
			r.log.Info("drained", "reason", e.drained.reason)
			return ErrDrained
		}
		if edda.ReasonOf(e.err) == edda.Exists {
			if inUse.IsZero() {
				inUse = time.Now()
			}
			if time.Since(inUse) > max(takenPatience, 2*lifetime) {
				return e.err
			}
		} else if forGood(e.err, known) {
			return e.err
		}
		level := slog.LevelWarn
		if why := e.err.Error(); why != told {
			told = why
		} else {
			level = slog.LevelDebug // it is known already
		}
		what := "no connection to the node"
		next := min(2*delay, lastDelay)
		if after, full := groupFull(e.err); full {
			what = "a group is full; the worker waits for room"
			delay = max(firstDelay, after) // whoever waits to take over is to do so soon
			next = delay
		}
		pause := time.Duration(float64(delay) * (0.5 + rand.Float64()))
		r.log.Log(ctx, level, what, "url", url, "worker", r.id, "why", e.err, "again_in", pause)
		if delay = next; !sleep(ctx, pause) {
			return nil
		}
	}
}

// sleep waits, and is false when ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// groupFull reports whether the worker is to consume a group that has as many members
// as it may, and in how long it makes sense to try again.
func groupFull(err error) (after time.Duration, full bool) {
	e, ok := errors.AsType[*edda.Error](err)
	if !ok || e.Reason != edda.GroupFull {
		return 0, false
	}
	return e.RetryAfter, true
}

// forGood reports whether an error would come again for ever. What does not speak
// the protocol may be a proxy, or a node that is given other certificates, where a
// node is known to be.
func forGood(err error, known bool) bool {
	e, ok := errors.AsType[*edda.Error](err)
	if !ok {
		return false
	}
	switch e.Reason {
	case edda.NoRoute:
		return !known
	case edda.NoCredentials, edda.NotAllowed, edda.KindInUse, edda.BadName, edda.BadValue, edda.BadSchema, edda.WrongKind, edda.UnknownField:
		return true
	default:
		return false
	}
}

// recheck has the account of keys look at who owns them.
func (r *runner) recheck() {
	if r.keys != nil {
		r.keys.recheck()
	}
}

// converse holds one conversation with the node.
func (r *runner) converse(ctx context.Context, url string) end {
	conn, err := rpcconn.Dial(url, r.conn())
	if err != nil {
		return end{err: err}
	}
	defer func() { _ = conn.Close() }() // what it says of streams was heard
	sctx, cut := context.WithCancelCause(r.values)
	defer cut(nil)
	ready := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		select {
		case <-ready: // there may be something to drain
		default:
			cut(context.Cause(ctx))
		}
	})
	defer unwatch()
	late := time.AfterFunc(registerTimeout, func() { cut(errRegister) })
	defer late.Stop()

	stream, err := conn.NewStream(sctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/edda.v1.WorkerService/Work")
	if err != nil {
		return end{err: r.why(sctx, err)}
	}
	s := newSession(r, stream, ready, cut)
	if err := stream.SendMsg(r.hello); err != nil {
		r.log.Debug("register", "why", err) // reading says more
	}
	var wg sync.WaitGroup
	wg.Go(s.read)
	defer wg.Wait()
	defer cut(nil)
	select {
	case <-s.ready:
	case <-s.done:
		return end{err: r.why(sctx, s.ended)}
	}
	late.Stop()
	wg.Go(s.write)
	wg.Go(s.heartbeat)
	r.ownsUntil.Store(0)
	e := end{since: time.Now(), lifetime: s.hello.lifetime}
	r.log.Info("connected", "url", url, "worker", r.id, "node", s.hello.nodeID, "version", s.hello.nodeVersion)
	if r.o.OnConnect != nil {
		r.o.OnConnect(s.hello.nodeID)
	}
	select {
	case <-s.done:
	case <-ctx.Done():
	case e.drained = <-s.drain:
		r.log.Info("the node asks the worker to finish", "reason", e.drained.reason)
	}
	s.finishAll(r.o.DrainTimeout)
	<-s.done
	e.err = r.why(sctx, s.ended)
	if r.o.OnDisconnect != nil {
		r.o.OnDisconnect(e.err)
	}
	return e
}

// why says why a conversation ended.
func (r *runner) why(sctx context.Context, err error) error {
	op := "run worker " + r.id
	if e, ok := rpcconn.FromStatus(op, err); ok {
		return e
	}
	if cause := context.Cause(sctx); cause != nil && !errors.Is(cause, err) {
		err = cause
	}
	return fmt.Errorf("%s: %w", op, rpcconn.Why(err))
}

// finishAll ends the conversation: nothing more is taken, handlers may finish within
// the grace, the rest is handed back. It returns once the stream has ended.
func (s *session) finishAll(grace time.Duration) {
	s.stopTaking()
	if !s.waitIdle(grace) {
		s.cutShort()
		s.waitIdle(cutTimeout)
		s.handBack()
	}
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.poke()
	t := time.AfterFunc(closeTimeout, func() { s.cut(errClose) })
	defer t.Stop()
	<-s.done
}

// stopTaking tells the node to dispatch nothing more, and hands back what has not
// begun.
func (s *session) stopTaking() {
	s.mu.Lock()
	s.draining = true
	s.put(drainFrame(nil, "the worker ends"))
	for _, a := range s.attempts {
		if !a.begun {
			s.settle(a)
			s.put(handBackFrame(nil, a.id))
		}
	}
	s.mu.Unlock()
	s.poke()
}

// waitIdle waits until the session has no attempts or has ended, and is false when
// that has not happened in time.
func (s *session) waitIdle(limit time.Duration) bool {
	s.mu.Lock()
	if len(s.attempts) == 0 {
		s.mu.Unlock()
		return true
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.mu.Unlock()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-idle:
		return true
	case <-s.done:
		return true
	case <-t.C:
		return false
	}
}

// cutShort ends the contexts of what still runs. A reply counts still, an error does
// not: the handler would not have failed.
func (s *session) cutShort() {
	s.mu.Lock()
	var cut []*attempt
	for _, a := range s.attempts {
		a.cut = true
		cut = append(cut, a)
	}
	s.mu.Unlock()
	for _, a := range cut {
		a.ctx.Cancel(errEnding)
	}
}

// handBack hands back what still runs.
func (s *session) handBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.attempts {
		s.giveUp(a)
		s.put(handBackFrame(nil, a.id))
	}
}
