package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/eddahttp"
)

// mostItems is how many items a page of a list may have.
const mostItems = 1000

// Listing returns the client for a list, whose flags it checks.
func (in *Invocation) Listing(q *eddahttp.Query) (*eddahttp.Client, error) {
	if err := CheckLimit(q.Limit, mostItems); err != nil {
		return nil, err
	}
	return in.Client()
}

// CheckLimit refuses a --limit that is below 1 or above the most.
func CheckLimit(n, most int) error {
	if n < 1 || n > most {
		return WrongUse("--limit is %d, must be from 1 to %d", n, most)
	}
	return nil
}

// AddPaging adds the flags that choose a page of a list.
func AddPaging(f *pflag.FlagSet, q *eddahttp.Query) {
	f.IntVar(&q.Limit, "limit", 100, "at most so many, up to 1000")
	f.StringVar(&q.After, "after", "", "go on after this cursor, which the page before ended with")
}

// AddQuiet adds the flag that has nothing but ids printed, or whatever they are called.
func AddQuiet(f *pflag.FlagSet, quiet *bool, ids string) {
	f.BoolVarP(quiet, "quiet", "q", false, "print "+ids+" alone")
}

// AddRetry adds the flags of a retry policy, whose defaults are the node's.
func AddRetry(f *pflag.FlagSet, to *edda.RetryPolicy) {
	policy := edda.RetryPolicy{}.WithDefaults()
	f.IntVar(&to.Max, "retry-max", policy.Max, "attempts in all; -1 has no limit")
	f.DurationVar(&to.Delay, "retry-delay", policy.Delay, "before the second attempt")
	f.DurationVar(&to.MaxDelay, "retry-max-delay", policy.MaxDelay, "the longest delay")
	f.Float64Var(&to.Backoff, "retry-backoff", policy.Backoff, "multiplies the delay after each attempt")
	f.Float64Var(&to.Jitter, "retry-jitter", policy.Jitter, "the part of the delay that is left to chance, 0 to 1")
}

// Attempts says how often something is tried, and when.
func Attempts(r *edda.RetryInfo) string {
	text := fmt.Sprintf("%d, the second after %s, then %g times as long each, at most %s", r.Max, r.Delay, r.Backoff, r.MaxDelay)
	if r.Max == -1 {
		text = strings.Replace(text, "-1", "no limit", 1)
	}
	return text
}
