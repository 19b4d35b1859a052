package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/edda-io/edda"
)

// onAccept runs the interceptor in the caller's goroutine: a slow one holds up
// nobody else.
func (n *Node) onAccept(ctx context.Context, m *edda.Message) error {
	ctx, cancel := context.WithTimeout(ctx, n.opts.InterceptorTimeout)
	defer cancel()
	err := guard("OnAccept", func() error { return n.opts.OnAccept(ctx, m) })
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*edda.Error](err); ok {
		return e
	}
	return &edda.Error{Op: "call " + m.To.String(), Reason: edda.NotAllowed, Key: m.To.Key, Err: err}
}

// replied runs the interceptor in a goroutine of its own, then hands the outcome
// to whoever waits for it.
func (n *Node) replied(res *result, r *edda.Request, waiters []*call) {
	n.handlers.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), n.opts.InterceptorTimeout)
		defer cancel()
		reply, _ := (&call{res: res}).outcome() // nil unless it succeeded
		done := make(chan error, 1)
		n.handlers.Go(func() { done <- guard("OnReply", func() error { return n.opts.OnReply(ctx, r, reply) }) })
		var err error
		select {
		case err = <-done:
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			n.log.Warn("OnReply did not work", "request", r.ID, "service", r.Service, "error", err)
		}
		for _, c := range waiters {
			c.finish(res)
		}
	})
}

// guard turns a panic of somebody else's function into an error, of reason PANIC.
func guard(what string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &edda.Error{Reason: edda.Panicked, Err: fmt.Errorf("%s panicked: %v", what, v)}
		}
	}()
	return f()
}
