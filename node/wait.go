package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/fold/request"
	"github.com/edda-io/edda/internal/record"
)

// errNoRequest: nothing is known of a request.
var errNoRequest = errors.New("nothing is known of the request: it never was, or it is not kept any more")

// clocks are timers that were stopped, for others who wait at the same node.
type clocks struct{ pool sync.Pool }

// start returns a timer that fires after d, once.
func (c *clocks) start(d time.Duration) *time.Timer {
	if t, ok := c.pool.Get().(*time.Timer); ok {
		t.Reset(d)
		return t
	}
	return time.NewTimer(d)
}

// stop takes a timer back. Nothing comes from its channel after that.
func (c *clocks) stop(t *time.Timer) {
	t.Stop()
	c.pool.Put(t)
}

// inPartition runs f in the partition's goroutine and returns when it has run.
// After an error f has not run and never will, so that it shares nothing with a
// caller who has left.
func (n *Node) inPartition(ctx context.Context, p *partition, op string, f func()) error {
	var claimed atomic.Bool // by f, or by the caller's leaving
	done := make(chan struct{})
	ok := p.in.do(func() {
		defer close(done)
		if claimed.CompareAndSwap(false, true) {
			f()
		}
	})
	if !ok {
		return n.notRunning(op)
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	if claimed.CompareAndSwap(false, true) {
		return &edda.Error{Op: op, Reason: edda.Timeout, Err: context.Cause(ctx)}
	}
	<-done
	return nil
}

// lookup calls f with a request in its partition's goroutine.
func (n *Node) lookup(ctx context.Context, op, namespace string, id edda.ID, f func(*partition, *request.Request) error) error {
	p := n.home(id.Route())
	var found error
	err := n.inPartition(ctx, p, op, func() {
		r, err := p.requests.Lookup(id, p.now())
		if r == nil {
			r = p.recently(id)
		}
		switch {
		case err != nil:
			found = errInternal(op, err)
		case r == nil || r.To.Namespace != serviceAddress(namespace, "").Namespace:
			found = &edda.Error{Op: op, Reason: edda.NoRequest, RequestID: id, Err: errNoRequest}
		default:
			found = f(p, r)
		}
	})
	if err != nil {
		return err
	}
	return found
}

// Wait returns the reply to a request. See edda.Client.Wait.
func (n *Node) Wait(ctx context.Context, namespace string, id edda.ID) (*edda.Reply, error) {
	c := newCall(true)
	c.msg = &edda.Message{ID: id}
	err := n.lookup(ctx, "wait for "+id.String(), namespace, id, func(p *partition, r *request.Request) error {
		c.accepted(p.placeOf(r, true))
		if r.State.Ended() {
			res := p.resultOf(r, false)
			c.finish(&res)
		} else {
			p.liveFor(r).addWaiter(c)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := c.await(ctx, n.home(id.Route()), nil); err != nil {
		return nil, err
	}
	return c.outcome()
}

// Request returns what is known of a request. See edda.Client.Request.
func (n *Node) Request(ctx context.Context, namespace string, id edda.ID) (*edda.Request, error) {
	var view *edda.Request
	err := n.lookup(ctx, "look up request "+id.String(), namespace, id, func(p *partition, r *request.Request) error {
		view = p.requestView(r)
		return nil
	})
	return view, err
}

// WaitRequest returns what is known of a request once it has ended, or when the
// wait is over or ctx has ended.
func (n *Node) WaitRequest(ctx context.Context, namespace string, id edda.ID, wait time.Duration) (*edda.Request, error) {
	c := newCall(true)
	c.msg = &edda.Message{ID: id}
	var first, view *edda.Request // view is the partition's until c is done
	var home *partition
	err := n.lookup(ctx, "wait for request "+id.String(), namespace, id, func(p *partition, r *request.Request) error {
		home, first = p, p.requestView(r)
		view = first
		if first.State.Ended() {
			return nil
		}
		c.onEnd = func(r *request.Request) { view = p.requestView(r) }
		p.liveFor(r).addWaiter(c)
		return nil
	})
	if err != nil || first.State.Ended() {
		return first, err
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-c.done:
		if c.err == nil {
			return view, nil
		}
	case <-t.C:
	case <-ctx.Done():
	case <-n.halted:
	}
	c.leave()
	var now *edda.Request
	err = n.inPartition(context.WithoutCancel(ctx), home, "look up request "+id.String(), func() {
		select {
		case <-c.done:
		default:
		}
		now = view
		r, err := home.requests.Lookup(id, home.now())
		if r == nil {
			r = home.recently(id)
		}
		if err == nil && r != nil {
			now = home.requestView(r)
		}
	})
	return now, err
}

// Cancel ends a request at once. See edda.Client.Cancel.
func (n *Node) Cancel(ctx context.Context, namespace string, id edda.ID) (*edda.Request, error) {
	op := "cancel request " + id.String()
	done := make(chan error, 1)
	var view *edda.Request
	err := n.lookup(ctx, op, namespace, id, func(p *partition, r *request.Request) error {
		if r.State.Ended() {
			view = p.requestView(r)
			done <- nil
			return nil
		}
		p.proposeEnded(r, record.Failure{Reason: edda.Cancelled, Message: "the request was cancelled"},
			func(_ []request.Effect, err error) {
				view = p.requestView(r)
				done <- err
			})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := n.wait(ctx, op, done); err != nil {
		return nil, err
	}
	return view, nil
}

// wait waits for something that was proposed.
func (n *Node) wait(ctx context.Context, op string, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return &edda.Error{Op: op, Reason: edda.OutcomeUnknown, Err: fmt.Errorf("%w before the change was durable", context.Cause(ctx))}
	case <-n.halted:
	}
	select {
	case err := <-done:
		return err
	default:
		return &edda.Error{Op: op, Reason: edda.OutcomeUnknown, Err: errNodeStopped}
	}
}

// proposeTo appends a record to a partition's log; check, when not nil, sees what
// it brought about.
func (n *Node) proposeTo(ctx context.Context, p *partition, op string, rec []byte, check func([]request.Effect) error) error {
	done := make(chan error, 1)
	ok := p.in.do(func() {
		p.propose(rec, proposal{then: func(effects []request.Effect, err error) {
			if err == nil && check != nil {
				err = check(effects)
			}
			done <- err
		}})
	})
	if !ok {
		return n.notRunning(op)
	}
	return n.wait(ctx, op, done)
}

// requestView shows a request as callers see it.
func (p *partition) requestView(r *request.Request) *edda.Request {
	v := &edda.Request{
		ID: r.ID, Namespace: r.To.Namespace, Service: r.To.Name, Key: r.To.Key, Method: r.Method, State: r.State,
		Attempts: r.Attempts, Position: position(p.id, r.Position()), Principal: r.Principal,
		CorrelationID: r.Correlation, CausationID: r.Causation,
		AcceptedAt: timeOf(r.AcceptedAt), StartedAt: timeOf(r.StartedAt), CompletedAt: timeOf(r.EndedAt),
	}
	if v.CorrelationID == "" {
		v.CorrelationID = r.ID.String()
	}
	if !r.State.Ended() {
		v.NextAttemptAt = timeOf(r.Due)
		if l := liveOf(r); l != nil && l.attempt != nil && l.attempt.taken.Load() {
			v.State = edda.Taken
		}
	}
	if r.ReplyStatus != 0 {
		v.Reply = &edda.ReplyInfo{Status: int(r.ReplyStatus), ContentType: r.ReplyType, Size: r.ReplySize}
	}
	if r.Failure.Reason != "" && r.State != edda.StateSucceeded {
		reason := r.Failure.Reason
		if r.State == edda.StateDead {
			reason = edda.Dead
		}
		v.Error = &edda.RequestError{Code: reason.Code(), Reason: reason, Message: r.Failure.Message}
	}
	return v
}

// timeOf is the time of Unix nanoseconds, zero for zero.
func timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
