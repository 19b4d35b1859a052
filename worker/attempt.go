package worker

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/lazyctx"
)

// attempt is one handler running, or about to run, for one request.
type attempt struct {
	s   *session
	h   *hosted
	id  uint64
	msg edda.Message
	d   edda.Dispatch
	ctx attemptContext
	// timeout is the request's own; zero means that of the service.
	timeout time.Duration
	state   state
	parts   partLine

	progressed atomic.Int64 // when Progress was told to the node last, in Unix nanoseconds

	// guarded by the session's mutex
	begun    bool // its handler was started
	returned bool // its handler has returned
	settled  bool // its outcome is on its way, or nobody wants one
	fenced   bool // its outcome is not wanted
	lingers  bool // it was fenced while its handler ran
	cut      bool // its context was ended because the worker ends
	beating  bool // its progress waits to be told
}

var (
	errFenced = errors.New("the attempt was given up: it timed out, or its request was cancelled")
	errEnding = errors.New("the worker ends, and has waited for its handlers long enough")
	errLost   = errors.New("the connection to the node is lost; the request is handled again")
)

// run runs the handler and tells the node what came of it.
func (a *attempt) run() {
	returned := false
	defer func() {
		if returned {
			return
		}
		// A handler that calls runtime.Goexit ends here, with nothing to recover.
		f := failure{reason: string(edda.Panicked), message: "handler ended its goroutine", panicked: true}
		if p := recover(); p != nil {
			f.message = fmt.Sprintf("what the handler returned panicked: %v", p)
			a.logPanic(f.message, debug.Stack())
		}
		a.s.finish(a, failureFrame(nil, a.id, &f), true)
	}()
	a.invoke()
	returned = true
}

func (a *attempt) invoke() {
	a.d.Message = &a.msg
	a.d.Renewer, a.d.Parts = a, a
	if a.h.svc.Kind == edda.Ordered && a.msg.To.Key != "" { // a message of a group may have none
		a.state.a = a
		a.d.State = &a.state
	}
	if err := a.check(); err != nil {
		a.end(&edda.Outcome{Err: err})
		return
	}
	keys := a.h.r.keys
	if keys != nil && a.h.owned() {
		k, err := keys.enter(a)
		if err != nil {
			a.end(&edda.Outcome{Err: err})
			return
		}
		defer keys.leave(k)
	}
	out := a.h.svc.Invoke(&a.ctx, &a.d)
	a.end(&out)
}

// check has the method's own Check look at the payload, which a node cannot do for a
// worker elsewhere. What it refuses fails for good: no retry mends it.
func (a *attempt) check() (err error) {
	m := a.h.svc.Method(a.msg.Type)
	if m == nil || m.Check == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			a.logPanic(fmt.Sprintf("the method's check panicked: %v", p), debug.Stack())
			err = edda.Final(string(edda.Panicked), "the method's check panicked: %v", p)
		}
	}()
	refused := m.Check(a.msg.ContentType, a.msg.Payload)
	if refused == nil {
		return nil
	}
	reason := edda.BadSchema
	if own, ok := errors.AsType[*edda.Error](refused); ok && own.Reason != "" {
		reason = own.Reason
	}
	return edda.Final(string(reason), "%v", refused)
}

// end encodes the outcome and hands it to the session.
func (a *attempt) end(out *edda.Outcome) {
	if out.Stack != nil {
		a.logPanic(out.Err.Error(), out.Stack)
	}
	b := scratch.Get().(*[]byte)
	if out.Err == nil {
		enc, err := outcomeFrame((*b)[:0], a.id, out)
		if err == nil {
			a.s.finish(a, enc, false)
			recycle(b, enc)
			return
		}
		out = &edda.Outcome{Err: fmt.Errorf("encode the outcome: %w", err)}
	}
	f := failureOf(out)
	enc := failureFrame((*b)[:0], a.id, &f)
	a.s.finish(a, enc, true)
	recycle(b, enc)
}

// scratch holds buffers in which outcomes are encoded.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// recycle puts a buffer back, unless it was given away or has become large.
func recycle(b *[]byte, enc []byte) {
	if cap(enc) > ownChunk {
		return
	}
	*b = enc
	scratch.Put(b)
}

func (a *attempt) logPanic(why string, stack []byte) {
	a.h.r.log.Error("handler panicked", "service", a.msg.To.Name, "key", a.msg.To.Key, "method", a.msg.Type,
		"request", a.msg.ID, "attempt", a.d.Attempt, "panic", why, "stack", string(stack))
}

// progressEvery is the part of the attempt timeout that passes between two of an
// attempt's progresses that are told to the node.
const progressEvery = 20

var _ edda.Renewer = (*attempt)(nil)

// Progress gives the attempt its timeout anew. Handlers may call it as often as
// they like.
func (a *attempt) Progress() {
	now := time.Now().UnixNano()
	last := a.progressed.Load()
	timeout := int64(cmp.Or(a.timeout, a.h.timeout))
	if now-last < timeout/progressEvery || !a.progressed.CompareAndSwap(last, now) {
		return
	}
	limit := now + timeout
	if !a.msg.Deadline.IsZero() {
		limit = min(limit, a.msg.Deadline.UnixNano())
	}
	a.ctx.SetDeadline(limit)
	a.s.progress(a)
}

// attemptContext ends with its attempt; its deadline is by the node's clock, and
// the node ends the attempt then. Its values are those of the context that the
// worker runs under.
type attemptContext struct {
	lazyctx.Context
	a *attempt
}

// attemptKey finds the attempt that a context came from.
type attemptKey struct{}

// Value returns the attempt for attemptKey.
func (c *attemptContext) Value(key any) any {
	if key == (attemptKey{}) {
		return c.a
	}
	return c.Context.Value(key)
}
