// Package cli is what the commands of the program have in common: how they are called, how
// they reach a node, how they print and ask, what they say when something went wrong, and
// how they end. It knows no command.
//
// An Invocation is used by one goroutine at a time.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The exit codes.
const (
	// ExitDone says that the work was done, ExitFailed that it failed, and ExitUsage that the
	// command was used wrongly.
	ExitDone   = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// Invocation is one call of the program: all it takes from its process, and the flags that
// all commands have. Execute runs it, once.
type Invocation struct {
	// Args are its arguments, without the program's own name.
	Args []string
	// Environ is its environment, as NAME=VALUE; of two values the last one counts.
	Environ []string
	// Program is how it was called, for commands that it prints to be copied.
	Program string
	// Stdin, Stdout and Stderr are what it reads and where it prints.
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	// JSON says that JSON is wanted, and Namespace where to work, "" for the default one.
	// They are flags, known once a command runs.
	JSON      bool
	Namespace string

	node nodeFlags
	// flags are those that all commands have.
	flags *pflag.FlagSet
	// started says that arguments and flags were right, so that what goes wrong from
	// then on is the work.
	started bool
}

// Execute runs the command below root that the arguments name and returns the exit code. It
// gives root the flags that all commands have.
func (in *Invocation) Execute(ctx context.Context, root *cobra.Command) int {
	in.prepare(root)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitDone
	}
	if _, silent := errors.AsType[silentError](err); silent {
		return ExitFailed
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		in.sayInterrupted(cmd, err)
		return ExitFailed
	}
	fmt.Fprintf(in.Stderr, "edda: %s\n", Describe(err))
	if !in.started || IsWrongUse(err) {
		fmt.Fprintf(in.Stderr, "  see: %s --help\n", in.path(cmd))
		return ExitUsage
	}
	for _, h := range in.hints(cmd, err) {
		fmt.Fprintf(in.Stderr, "  %s\n", h)
	}
	return ExitFailed
}

// prepare makes a command the root of the program.
func (in *Invocation) prepare(root *cobra.Command) {
	root.SetArgs(in.Args)
	root.SetIn(in.Stdin)
	root.SetOut(in.Stdout)
	root.SetErr(in.Stderr)
	root.Args, root.RunE = noSuchCommand, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		err := cmp.Or(refuseNodeFlags(cmd), refuseEmpty(cmd))
		in.started = err == nil
		return err
	}
	in.flags = root.PersistentFlags()
	in.addNodeFlags()
	in.flags.BoolVar(&in.JSON, "json", false, "print JSON")
	root.SetFlagErrorFunc(badFlag)
	in.sayUsage(root)
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		for _, name := range namesOfNodeFlags {
			in.flags.Lookup(name).Hidden = !talksToNode(cmd)
		}
		help(cmd, args)
	})
}

// path returns how a command is called.
func (in *Invocation) path(cmd *cobra.Command) string {
	return in.Program + strings.TrimPrefix(cmd.CommandPath(), "edda")
}

// Getenv returns a variable of the environment, or a default when it is unset or
// empty.
func (in *Invocation) Getenv(name, value string) string {
	for _, v := range in.Environ {
		if n, given, _ := strings.Cut(v, "="); n == name && given != "" {
			value = given
		}
	}
	return value
}
