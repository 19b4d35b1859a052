package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// needsCommand refuses a group of commands that is called without one.
func needsCommand(cmd *cobra.Command, _ []string) error {
	return WrongUse("%s needs a command: %s", cmd.CommandPath(), Commands(cmd))
}

// Commands lists the names of a group's commands.
func Commands(cmd *cobra.Command) string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			names = append(names, c.Name())
		}
	}
	return strings.Join(names, ", ")
}

// Group returns a command that is nothing but its commands.
func Group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: noSuchCommand, RunE: needsCommand}
	g.AddCommand(commands...)
	return g
}

// noSuchCommand refuses a command that a group has not, and names those that look like it,
// else all.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		return fmt.Errorf("%s has no command %q, but %s", cmd.CommandPath(), args[0], strings.Join(similar, ", "))
	}
	return fmt.Errorf("%s has no command %q: it has %s", cmd.CommandPath(), args[0], Commands(cmd))
}
