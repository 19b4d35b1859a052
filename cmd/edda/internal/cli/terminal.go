package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/edda-io/edda/cmd/edda/internal/human"
)

// IsTerminal reports whether w shows colours to a person.
func (in *Invocation) IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || in.Getenv("NO_COLOR", "") != "" || in.Getenv("TERM", "") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// TerminalSize returns the columns and lines of a terminal; zero when w is none.
func TerminalSize(w io.Writer) (columns, lines int) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	columns, lines, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return columns, lines
}

// Agreed asks whether something may go that has what is said of it.
func (in *Invocation) Agreed(what string) error {
	if !asksPeople(in.Stdin) {
		return fmt.Errorf("%s: nothing was removed; say --yes to remove it with them", what)
	}
	if !confirm(in.Stdin, in.Stderr, what+": remove it?") {
		return errors.New("nothing was removed")
	}
	return nil
}

// asksPeople reports whether there is a person at the other end.
func asksPeople(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// confirm asks, and reports whether the answer is yes.
func confirm(r io.Reader, w io.Writer, question string) bool {
	fmt.Fprintf(w, "%s [y/N] ", human.Plain(question))
	var answer string
	if _, err := fmt.Fscanln(r, &answer); err != nil {
		return false // whatever is not yes is no
	}
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}
