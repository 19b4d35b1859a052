package lazyctx

import (
	"context"
	"sync"
	"time"
)

// Until is a context that ends with another one, or at a time if that comes first.
// Whoever waits in this module waits for the two by themselves, see Split; what it takes
// to tell anybody else is made when the first one asks. It must not be copied. It is
// safe for concurrent use.
type Until struct {
	parent context.Context
	at     time.Time

	mu    sync.Mutex // guards what follows
	ctx   context.Context
	end   context.CancelFunc
	ended bool
}

var _ context.Context = (*Until)(nil)

// WithTimeout returns a context that ends with its parent, after d, or with End, which is
// to be called in any case.
func WithTimeout(parent context.Context, d time.Duration) *Until {
	return &Until{parent: parent, at: time.Now().Add(d)}
}

// Split returns what has to be waited for in place of the end of a context: a channel that
// is closed, and a time unless it is zero.
func Split(ctx context.Context) (done <-chan struct{}, at time.Time) {
	if u, ok := ctx.(*Until); ok {
		return u.parent.Done(), u.at
	}
	return ctx.Done(), time.Time{}
}

// End ends the context, if it has not ended yet.
func (u *Until) End() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = true
	if u.end != nil {
		u.end()
	}
}

// Deadline is the earlier one of the time and the parent's deadline.
func (u *Until) Deadline() (time.Time, bool) {
	if at, ok := u.parent.Deadline(); ok && at.Before(u.at) {
		return at, true
	}
	return u.at, true
}

// Done is closed when the context has ended.
func (u *Until) Done() <-chan struct{} { return u.whole().Done() }

// Err says how the context has ended; nil when it has not.
func (u *Until) Err() error { return u.whole().Err() }

// Value returns the parent's values, and makes contexts derived from this one end with it.
func (u *Until) Value(key any) any { return u.whole().Value(key) }

// whole returns a context that ends with this one.
func (u *Until) whole() context.Context {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ctx == nil {
		u.ctx, u.end = context.WithDeadline(u.parent, u.at)
		if u.ended {
			u.end()
		}
	}
	return u.ctx
}
