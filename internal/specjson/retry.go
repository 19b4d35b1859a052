package specjson

import (
	"github.com/edda-io/edda"
)

// Retry reads a retry policy that is the member of the given name in the body.
func Retry(name string, b []byte) (edda.RetryPolicy, error) {
	r, err := open(b, "an object")
	if err != nil {
		return edda.RetryPolicy{}, err
	}
	r.path = append(r.path, place{name: name})
	return r.retry()
}

func (r *reader) retry() (p edda.RetryPolicy, err error) {
	err = r.once(func(name string) error {
		switch name {
		case "max":
			return number(r, &p.Max, func(n int) bool { return n >= -1 && n != 0 }, "a number from 1 on, or -1 for no limit")
		case "delay":
			return r.positive(&p.Delay)
		case "maxDelay":
			return r.positive(&p.MaxDelay)
		case "backoff":
			return number(r, &p.Backoff, func(n float64) bool { return n >= 1 }, "a number from 1 on")
		case "jitter":
			err := number(r, &p.Jitter, func(n float64) bool { return n >= 0 && n <= 1 }, "a number from 0 to 1")
			if p.Jitter == 0 {
				p.Jitter = -1 // zero would be the default
			}
			return err
		default:
			return r.unknown("backoff, delay, jitter, max, maxDelay")
		}
	})
	return p, err
}
