// Package message is what commands of streams and of channels have in common: they send
// messages, also lines of standard input, and print those that come.
package message

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
)

// TimeLayout is how the time of a message stands in a table.
const TimeLayout = "2006-01-02T15:04:05.000Z"

// View is how messages are printed. A table goes on where it was: its columns grow, and
// never shrink.
type View struct {
	// Raw says that payloads alone are printed.
	Raw bool

	begun  bool
	widths [5]int
}

// AddFlags adds the flag that says how messages are printed.
func (v *View) AddFlags(f *pflag.FlagSet) {
	f.BoolVar(&v.Raw, "raw", false, "print payloads alone, each ended by a line break")
}

// Check refuses what goes not together with --json.
func (v *View) Check(json bool) error {
	if v.Raw && json {
		return cli.WrongUse("--raw and --json are two ways to print the same: leave one out")
	}
	return nil
}

// PrintPayload prints a payload and ends its line, also when it is empty.
func PrintPayload(w io.Writer, b []byte) error {
	if len(b) == 0 {
		b = []byte("\n")
	}
	return cli.WriteLine(w, b)
}

// previewBytes is how much of a payload is looked at for a table.
const previewBytes = 4 << 10

// Preview shows a payload as text, or says how large it is when it is none.
func Preview(m *edda.StreamMessage) string {
	b := m.Payload
	if len(b) > previewBytes {
		b = whole(b[:previewBytes])
	}
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		return strings.TrimSpace(fmt.Sprintf("%s %s", human.Size(uint64(len(m.Payload))), m.ContentType))
	}
	if len(b) < len(m.Payload) {
		return string(b) + "…"
	}
	return string(b)
}

// whole returns text without a last letter that was cut.
func whole(b []byte) []byte {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

// PrintRows prints rows of the table, the header before the first of them. Without any it
// prints nothing.
func (v *View) PrintRows(w io.Writer, header [5]string, rows [][5]string) error {
	if len(rows) == 0 {
		return nil
	}
	if !v.begun {
		rows, v.begun = append([][5]string{header}, rows...), true
	}
	for i := range rows {
		for k := range rows[i] {
			rows[i][k] = human.Plain(rows[i][k])
			v.widths[k] = max(v.widths[k], utf8.RuneCountInString(rows[i][k]))
		}
	}
	columns, _ := cli.TerminalSize(w)
	var b strings.Builder
	for _, r := range rows {
		line := fmt.Sprintf("%-*s  %-*s  %-*s  %-*s  %s", v.widths[0], r[0], v.widths[1], r[1], v.widths[2], r[2], v.widths[3], r[3], r[4])
		b.WriteString(human.ClipTo(line, columns))
		b.WriteByte('\n')
	}
	_, err := fmt.Fprint(w, b.String())
	return err
}
