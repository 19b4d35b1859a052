package stream

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/edda-io/edda"
)

// again says how long is waited before something is tried again: 50 ms first, twice as
// long each time, never more than 5 s.
var again = edda.RetryPolicy{Max: -1, Delay: 50 * time.Millisecond, MaxDelay: 5 * time.Second}

// passing reports whether an error goes away by itself: there is no connection, the node
// drains, or it has too much to do. Whether something was changed is another question.
func passing(err error) bool {
	switch edda.ReasonOf(err) {
	case edda.Unavailable, edda.Draining, edda.OutcomeUnknown, edda.Overloaded:
		return true
	default:
		return false
	}
}

// pause waits before the next try after so many failures in a row. It returns false when
// ctx has ended.
func pause(ctx context.Context, failures int) bool {
	delay, _ := again.Next(failures, rand.Float64())
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
