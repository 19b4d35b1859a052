// Package lazyctx has contexts that make what it takes to tell of their end only when
// somebody asks.
package lazyctx

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Context ends with its attempt. Its deadline is the earlier one of the attempt's
// and the request's, and may move; it is for the handler to know: whoever ends the
// attempt cancels the context. Most handlers never ask whether it has ended, so
// what it takes to tell them is made when the first one does. The zero value is
// ready; it must not be copied. It is safe for concurrent use.
type Context struct {
	// Base holds the values; context.Background when nil. It never ends, and is set
	// before the first use.
	Base context.Context

	deadline atomic.Int64 // in Unix nanoseconds

	mu    sync.Mutex // guards what follows
	ctx   context.Context
	end   context.CancelCauseFunc
	cause error // why it has ended
}

var _ context.Context = (*Context)(nil)

// SetDeadline sets the deadline, in Unix nanoseconds.
func (c *Context) SetDeadline(at int64) { c.deadline.Store(at) }

// Deadline is when the attempt is given up.
func (c *Context) Deadline() (time.Time, bool) { return time.Unix(0, c.deadline.Load()), true }

// Done is closed when the attempt is over.
func (c *Context) Done() <-chan struct{} { return c.whole().Done() }

// Err is context.Canceled once the attempt is over; context.Cause says why.
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return context.Canceled
	}
	return nil
}

// Value returns the base's values, and makes contexts derived from this one end
// with it.
func (c *Context) Value(key any) any { return c.whole().Value(key) }

// whole returns a context that ends with this one.
func (c *Context) whole() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		base := c.Base
		if base == nil {
			base = context.Background()
		}
		c.ctx, c.end = context.WithCancelCause(base)
		if c.cause != nil {
			c.end(c.cause)
		}
	}
	return c.ctx
}

// Cancel ends the context, for a reason that is not nil. Only the first counts.
func (c *Context) Cancel(cause error) {
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
