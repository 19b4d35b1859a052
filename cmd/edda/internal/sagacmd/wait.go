package sagacmd

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// waitFlag is --wait, or --wait=30s: how long to wait, if at all. To the library of
// flags it is one that needs no value.
type waitFlag struct {
	given bool
	// most is zero for as long as it takes.
	most time.Duration
}

func (w *waitFlag) add(f *pflag.FlagSet) {
	f.Var(w, "wait", "follow it until it has ended; with --wait=30s for so long at most")
	f.Lookup("wait").NoOptDefVal = "true"
}

func (*waitFlag) Type() string   { return "bool" }
func (*waitFlag) String() string { return "" }

// Set implements pflag.Value.
func (w *waitFlag) Set(s string) error {
	if given, err := strconv.ParseBool(s); err == nil {
		w.given, w.most = given, 0
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("must be a positive duration such as 30s, or nothing")
	}
	w.given, w.most = true, d
	return nil
}

// args is a check of arguments that knows what --wait 30s looks like to it.
func (w *waitFlag) args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err != nil && w.given && len(args) > 0 {
			if _, isDuration := time.ParseDuration(args[len(args)-1]); isDuration == nil {
				return fmt.Errorf("the limit of --wait needs an equals sign: --wait=%s", args[len(args)-1])
			}
		}
		return err
	}
}
