package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/human"
)

// usageError is wrong use that only the command itself can see.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

// WrongUse returns the error of a command that was used wrongly: the exit code is
// ExitUsage, and the help is named.
func WrongUse(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// AsWrongUse makes wrong use of an error.
func AsWrongUse(err error) error { return &usageError{err} }

// silentError ends a command whose output has said already what went wrong.
type silentError struct{ error }

// Silent ends a command with ExitFailed whose output has said already what went wrong. The
// error is printed nowhere.
func Silent(err error) error { return silentError{err} }

// IsWrongUse reports whether the command saw that it was used wrongly, or the
// node did: the values that it refuses come from arguments and flags.
func IsWrongUse(err error) bool {
	_, usage := errors.AsType[*usageError](err)
	reason := edda.ReasonOf(err)
	return usage || reason == edda.BadValue || reason == edda.BadName || reason == edda.UnknownField
}

// Describe returns an error's text with its reason, by which it can be looked up.
func Describe(err error) string {
	e, ok := errors.AsType[*edda.Error](err)
	if !ok || e.Reason == edda.Internal || e.Reason == edda.Unavailable {
		return human.Plain(err.Error())
	}
	text := human.Plain(err.Error())
	if !strings.Contains(text, string(e.Reason)) {
		text += " (" + string(e.Reason) + ")"
	}
	return text
}
