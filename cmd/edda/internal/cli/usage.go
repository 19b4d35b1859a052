package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda/cmd/edda/internal/human"
)

// sayUsage has a command and those below it say what would be right when it gets too few
// or too many arguments.
func (in *Invocation) sayUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil && !cmd.HasAvailableSubCommands() {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err == nil || !strings.Contains(err.Error(), "arg(s)") && !strings.HasPrefix(err.Error(), "unknown command") {
				return err // a check of our own says more
			}
			usage := in.Program + strings.TrimPrefix(strings.TrimSuffix(cmd.UseLine(), " [flags]"), "edda")
			return fmt.Errorf("got %s, must be as in %s", human.Counted(len(args), "argument"), usage)
		}
	}
	for _, c := range cmd.Commands() {
		in.sayUsage(c)
	}
}

// namingFlags are those whose value keeps something from being done twice, or names it. An
// empty one is a shell's variable that is not set.
var namingFlags = []string{"idempotency-key", "id", "producer", "correlation-id", "completion-key"}

// refuseEmpty refuses such a flag that is given and empty, which would be without effect.
func refuseEmpty(cmd *cobra.Command) error {
	for _, name := range namingFlags {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed && f.Value.String() == "" {
			return WrongUse("--%s is empty: give it a value, or leave it out", name)
		}
	}
	return nil
}

// badFlag says what a flag would take, and which one may have been meant.
func badFlag(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		near := human.Nearest(unknown.GetSpecifiedName(), names)
		if near == "" || unknown.GetSpecifiedShortnames() != "" {
			return err
		}
		return fmt.Errorf("%w: did you mean --%s?", err, near)
	}
	bad, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	_, parsing := errors.AsType[*strconv.NumError](err)
	var want string
	switch kind := bad.GetFlag().Value.Type(); {
	case kind == "duration":
		want = "a duration such as 500ms, 10s or 5m"
	case kind == "intSlice":
		want = "whole numbers such as 1,64"
	case !parsing:
		return err // a flag of our own says more
	case kind == "bool":
		want = "true or false"
	case kind == "int":
		want = "a whole number"
	case kind == "uint64":
		want = "a whole number that is not below zero"
	default:
		return err
	}
	return fmt.Errorf("--%s is %q, must be %s", bad.GetFlag().Name, bad.GetValue(), want)
}
