package message

import (
	"math"

	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// PageLimit is how many messages are asked for at a time.
const PageLimit = 1000

// Reading is which messages of those that are there are printed, and how.
type Reading struct {
	// From is where it begins, as the flag has it, which is not the same for all. Limit is
	// how many are printed; it is as large as can be for all of them.
	From  string
	Limit int
	View  View

	all bool
}

// AddFlags adds the flags, but for the one that says where it begins.
func (r *Reading) AddFlags(f *pflag.FlagSet) {
	f.IntVar(&r.Limit, "limit", edda.DefaultReadLimit, "at most so many")
	f.BoolVar(&r.all, "all", false, "all there are")
	r.View.AddFlags(f)
}

// Check checks the flags, but for where it begins.
func (r *Reading) Check(flags *pflag.FlagSet, json bool) error {
	switch {
	case r.Limit < 1:
		return cli.WrongUse("--limit is %d, must be at least 1", r.Limit)
	case r.all && flags.Changed("limit"):
		return cli.WrongUse("--all and --limit exclude each other: leave one out")
	case r.all:
		r.Limit = math.MaxInt
	}
	return r.View.Check(json)
}
