package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/guard"
)

// onAccept runs the interceptor in the caller's goroutine: a slow one holds up
// nobody else.
func (n *Node) onAccept(ctx context.Context, m *edda.Message) error {
	ctx, cancel := context.WithTimeout(ctx, n.opts.InterceptorTimeout)
	defer cancel()
	err := guard.Call("OnAccept", func() error { return n.opts.OnAccept(ctx, m) })
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

// maxReplying bounds the calls of OnReply that run at a time, so that those which
// never return cannot pile up: nothing can end them.
const maxReplying = 1024

// replied runs the interceptor in a goroutine of its own, then hands the outcome
// to whoever waits for it.
func (n *Node) replied(res *result, r *edda.Request, waiters []*call) {
	n.handlers.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), n.opts.InterceptorTimeout)
		defer cancel()
		reply, _ := (&call{res: res}).outcome() // nil unless it succeeded
		if err := n.onReply(ctx, r, reply); err != nil {
			n.log.Warn("OnReply did not work", "request", r.ID, "service", r.Service, "error", err)
		}
		for _, c := range waiters {
			c.finish(res)
		}
	})
}

// onReply returns when the interceptor has, or when ctx ends; the interceptor may
// run on then, and keeps its place among maxReplying.
func (n *Node) onReply(ctx context.Context, r *edda.Request, reply *edda.Reply) error {
	select {
	case n.replying <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("it was not called: %d calls of it have not returned", maxReplying)
	}
	done := make(chan error, 1)
	n.handlers.Go(func() {
		defer func() { <-n.replying }()
		done <- guard.Call("OnReply", func() error { return n.opts.OnReply(ctx, r, reply) })
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
