package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// attemptContext ends with its attempt. Its deadline is the earlier one of the
// attempt's and the request's. Most handlers never ask whether it has ended, so
// what it takes to tell them is made when the first one does.
type attemptContext struct {
	deadline atomic.Int64 // in Unix nanoseconds

	mu    sync.Mutex // guards what follows
	ctx   context.Context
	end   context.CancelCauseFunc
	cause error // why it has ended
}

var _ context.Context = (*attemptContext)(nil)

// Deadline is when the attempt is given up.
func (c *attemptContext) Deadline() (time.Time, bool) { return time.Unix(0, c.deadline.Load()), true }

// Done is closed when the attempt is over.
func (c *attemptContext) Done() <-chan struct{} { return c.whole().Done() }

// Err is context.Canceled once the attempt is over; context.Cause says why.
func (c *attemptContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return context.Canceled
	}
	return nil
}

// Value makes contexts derived from this one end with it, and holds nothing.
func (c *attemptContext) Value(key any) any { return c.whole().Value(key) }

// whole returns a context that ends with this one.
func (c *attemptContext) whole() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		c.ctx, c.end = context.WithCancelCause(context.Background())
		if c.cause != nil {
			c.end(c.cause)
		}
	}
	return c.ctx
}

// fenced reports whether the attempt was given up.
func (c *attemptContext) fenced() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause != nil
}

// cancel ends the attempt, for a reason that is not nil. Only the first counts.
func (c *attemptContext) cancel(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return
	}
	c.cause = cause
	if c.end != nil {
		c.end(cause)
	}
}
