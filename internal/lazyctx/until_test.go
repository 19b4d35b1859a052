package lazyctx_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda/internal/lazyctx"
)

// Each way to end shows in the context, in one derived from it, and in its parts, whether
// it was asked before or only then.
func TestUntil(t *testing.T) {
	type ending struct {
		end  func(u *lazyctx.Until, parent context.CancelFunc)
		want error
	}
	for name, e := range map[string]ending{
		"parent": {func(_ *lazyctx.Until, parent context.CancelFunc) { parent() }, context.Canceled},
		"End":    {func(u *lazyctx.Until, _ context.CancelFunc) { u.End() }, context.Canceled},
		"time":   {func(*lazyctx.Until, context.CancelFunc) { time.Sleep(time.Second) }, context.DeadlineExceeded},
	} {
		for _, early := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
				defer cancel()
				u := lazyctx.WithTimeout(parent, time.Second)
				defer u.End()
				derived, stop := context.Context(u), func() {}
				if early {
					derived, stop = context.WithCancel(u)
				}
				defer stop()
				if early && (u.Err() != nil || u.Value(key{}) != "value") {
					t.Errorf("%s: before the end: %v, value %v", name, u.Err(), u.Value(key{}))
				}
				e.end(u, cancel)
				<-derived.Done()
				synctest.Wait()
				//nolint:errorlint // the very error
				if u.Err() != e.want || derived.Err() != e.want {
					t.Errorf("%s, early %v: got %v, and %v derived, want %v", name, early, u.Err(), derived.Err(), e.want)
				}
			})
		}
	}
}

func TestUntilDeadline(t *testing.T) {
	soon, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for parent, d := range map[context.Context]time.Duration{t.Context(): time.Hour, soon: time.Minute} {
		u := lazyctx.WithTimeout(parent, time.Hour)
		at, ok := u.Deadline()
		if left := time.Until(at); !ok || left > d || left < d-time.Minute/2 {
			t.Errorf("deadline in %v, %v; want %v", left, ok, d)
		}
		u.End()
	}
}

// Split finds the parent's end and the time, and the end of any other context.
func TestSplit(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	u := lazyctx.WithTimeout(parent, time.Hour)
	defer u.End()
	done, at := lazyctx.Split(u)
	if deadline, _ := u.Deadline(); done != parent.Done() || !at.Equal(deadline) {
		t.Errorf("got %v, want the deadline %v and the parent's channel", at, deadline)
	}
	if done, at := lazyctx.Split(parent); done != parent.Done() || !at.IsZero() {
		t.Errorf("got %v of a context of another kind, want its own channel and no time", at)
	}
	cancel()
	<-done
}
