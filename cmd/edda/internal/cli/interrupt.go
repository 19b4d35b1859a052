package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
)

// interruption is the end of a command that somebody interrupted, with what that means
// for its work.
type interruption struct{ what string }

func (e *interruption) Error() string      { return "interrupted; " + e.what }
func (*interruption) Is(target error) bool { return target == context.Canceled }

// Interrupted returns the error of a command that somebody interrupted, with what that means
// for its work: "the request goes on".
func Interrupted(what string) error { return &interruption{what} }

// sayInterrupted says that a command was interrupted, and what may have been done by then.
func (in *Invocation) sayInterrupted(cmd *cobra.Command, err error) {
	text := "interrupted"
	if i, ok := errors.AsType[*interruption](err); ok {
		text = i.Error()
	}
	fmt.Fprintf(in.Stderr, "edda: %s\n", text)
	if edda.ReasonOf(err) != edda.OutcomeUnknown {
		return
	}
	hint := mayBeStored(cmd)
	if hint == "" {
		hint = "what was asked for may have been done all the same"
	}
	fmt.Fprintf(in.Stderr, "  %s\n", hint)
}

// mayBeStored says how to repeat a command that may have stored something; empty when it has
// no flag that keeps it from doing that twice.
func mayBeStored(cmd *cobra.Command) string {
	for _, name := range []string{"idempotency-key", "id"} {
		if cmd.Flags().Lookup(name) != nil {
			return "it may have been stored: repeat it only with the same --" + name
		}
	}
	return ""
}
