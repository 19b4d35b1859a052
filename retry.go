package edda

import (
	"cmp"
	"fmt"
	"math"
	"time"
)

// RetryPolicy says when a failed attempt is followed by another. The zero value
// is the default policy: 10 attempts, 100 ms before the second, twice as long
// each time, never more than 30 s, each delay varied by up to 20 %.
//
// A fixed delay is {Delay: time.Second, Backoff: 1, Jitter: -1}.
type RetryPolicy struct {
	// Max counts attempts in all: 1 is never retried, -1 has no limit. Zero means 10.
	Max int
	// Delay comes before the second attempt. Zero means 100 ms.
	Delay time.Duration
	// MaxDelay bounds the delay. Zero means 30 s, or Delay when that is longer.
	MaxDelay time.Duration
	// Backoff multiplies the delay after each attempt; at least 1. Zero means 2.
	Backoff float64
	// Jitter is the largest part of the delay by which chance lengthens or shortens
	// it, from 0 to 1. Zero means 0.2, a negative number none.
	Jitter float64
}

// WithDefaults returns the policy with every zero field replaced by its default.
func (p RetryPolicy) WithDefaults() RetryPolicy {
	p.Max = cmp.Or(p.Max, 10)
	p.Delay = cmp.Or(p.Delay, 100*time.Millisecond)
	p.MaxDelay = max(cmp.Or(p.MaxDelay, 30*time.Second), p.Delay)
	p.Backoff = cmp.Or(p.Backoff, 2)
	p.Jitter = cmp.Or(p.Jitter, 0.2)
	return p
}

// Validate names the first field that makes no sense.
func (p RetryPolicy) Validate() error {
	bad := func(field string, v any, want string) error {
		return &Error{Op: "check retry policy", Reason: BadValue, Err: fmt.Errorf("%s is %v, must be %s", field, v, want)}
	}
	switch {
	case p.Max < -1:
		return bad("max", p.Max, "at least 1, or -1 for no limit")
	case p.Delay < 0:
		return bad("delay", p.Delay, "positive")
	case p.MaxDelay < 0:
		return bad("maxDelay", p.MaxDelay, "positive")
	case p.Backoff != 0 && !(p.Backoff >= 1) || math.IsInf(p.Backoff, 0):
		return bad("backoff", p.Backoff, "at least 1")
	case p.Jitter > 1 || math.IsNaN(p.Jitter):
		return bad("jitter", p.Jitter, "at most 1")
	}
	return nil
}

// Next returns the delay before the next attempt after the given number of
// attempts, and whether there is one. Chance is a number in [0,1).
func (p RetryPolicy) Next(attempts int, chance float64) (time.Duration, bool) {
	p = p.WithDefaults()
	if p.Max != -1 && attempts >= p.Max {
		return 0, false
	}
	d := float64(p.Delay) * math.Pow(p.Backoff, float64(max(attempts-1, 0)))
	d = min(d, float64(p.MaxDelay))
	if p.Jitter > 0 {
		d *= 1 + p.Jitter*(2*chance-1)
	}
	return time.Duration(d), true
}
