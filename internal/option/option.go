// Package option has the error of an option that makes no sense. The error knows which
// option it is about, and which field within, so that whoever calls them something else,
// as a config file does, can say it in those words.
//
// The functions keep no state and are safe for concurrent use.
package option

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/edda-io/edda"
)

// Name is the name of an option, or of a field within one, as Go has it. Given to Bad or
// Errorf it is one that the text mentions.
type Name string

// Step leads from an option, or from something within one, one level inwards.
type Step struct {
	// Field is the name of an option or a field; "" for an element of a list.
	Field Name
	// Index is the number of an element, from zero, and Label what people know it by, if
	// they do.
	Index int
	Label string
}

// Error says what is wrong with an option, or with something within one.
type Error struct {
	// Path leads to what is wrong, from the option inwards.
	Path []Step

	joint  string // between the path and what is wrong
	format string
	args   []any
	why    error // of these, with the names that Go has
}

// Bad returns the error of a field of which the text is said, such as "is empty". Without
// a field In or InElement says what it is said of.
func Bad(field Name, format string, args ...any) error {
	e := &Error{joint: " ", format: format, args: args, why: fmt.Errorf(format, args...)}
	if field != "" {
		e.Path = []Step{{Field: field}}
	}
	return e
}

// Errorf returns an error whose text is a sentence of its own. In or InElement says what
// it is about.
func Errorf(format string, args ...any) error {
	return &Error{joint: ": ", format: format, args: args, why: fmt.Errorf(format, args...)}
}

// In says that an error is about a field, or about something within it; nil for nil.
func In(field Name, err error) error { return within(Step{Field: field}, err) }

// InElement is In for an element of a list.
func InElement(index int, label string, err error) error {
	return within(Step{Index: index, Label: label}, err)
}

func within(s Step, err error) error {
	if err == nil {
		return nil
	}
	e, ok := err.(*Error) //nolint:errorlint // what another error has wrapped is no part of this path
	if !ok {
		e = &Error{joint: ": ", format: "%w", args: []any{err}, why: err}
	}
	inside := *e
	inside.Path = slices.Insert(slices.Clone(e.Path), 0, s)
	return &inside
}

// Refuse returns the error of a function that has checked its options, BadValue; nil for
// nil.
func Refuse(err error) error {
	if err == nil {
		return nil
	}
	return &edda.Error{Op: "check options", Reason: edda.BadValue, Err: err}
}

// Error says where in Go's words, and what is wrong.
func (e *Error) Error() string {
	if len(e.Path) == 0 {
		return e.why.Error()
	}
	var b strings.Builder
	b.WriteString("option ")
	for i, s := range e.Path {
		switch {
		case s.Field != "" && i > 0:
			b.WriteString("." + string(s.Field))
		case s.Field != "":
			b.WriteString(string(s.Field))
		case s.Label != "":
			b.WriteString("[" + strconv.Quote(s.Label) + "]")
		default:
			b.WriteString("[" + strconv.Itoa(s.Index) + "]")
		}
	}
	return b.String() + e.joint + e.why.Error()
}

// Unwrap returns the error that has said what is wrong, if one has.
func (e *Error) Unwrap() error { return e.why }

// Why returns what is wrong, in other words for the names that it mentions. It goes on
// from a text that says where.
func (e *Error) Why(word func(Name) string) string {
	args := slices.Clone(e.args)
	for i, a := range args {
		if name, ok := a.(Name); ok {
			args[i] = word(name)
		}
	}
	return e.joint + fmt.Errorf(e.format, args...).Error()
}
