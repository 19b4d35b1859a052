package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
)

// PrintJSON prints a document as the node would send it, for people too.
func (in *Invocation) PrintJSON(v any) error {
	e := json.NewEncoder(in.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Table prints rows under a header, or says that there are none.
func (in *Invocation) Table(none string, header []string, rows [][]string) error {
	if len(rows) == 0 {
		fmt.Fprintln(in.Stderr, none)
		return nil
	}
	w := tabwriter.NewWriter(in.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, row := range rows {
		for i := range row {
			row[i] = human.Plain(row[i])
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// Fields prints names beside values, without those that are empty.
func (in *Invocation) Fields(pairs ...string) error {
	w := tabwriter.NewWriter(in.Stdout, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", pairs[i], human.Plain(pairs[i+1]))
		}
	}
	return w.Flush()
}

// List prints a page as JSON, or as a table and how to see the next page.
func List[T any](in *Invocation, p *eddahttp.Page[T], none string, header []string, row func(*T) []string) error {
	if in.JSON {
		if p.Items == nil {
			p.Items = []T{}
		}
		return in.PrintJSON(p)
	}
	rows := make([][]string, len(p.Items))
	for i := range p.Items {
		rows[i] = row(&p.Items[i])
	}
	if err := in.Table(none, header, rows); err != nil {
		return err
	}
	in.sayMore(p.Next)
	return nil
}

// Names prints nothing but what the items of a page are called, one a line, and how to see
// the next page.
func Names[T any](in *Invocation, p *eddahttp.Page[T], name func(*T) string) {
	for i := range p.Items {
		fmt.Fprintln(in.Stdout, human.Plain(name(&p.Items[i])))
	}
	in.sayMore(p.Next)
}

// sayMore says how to see the next page, if there is one.
func (in *Invocation) sayMore(next string) {
	if next != "" {
		fmt.Fprintf(in.Stderr, "there is more: --after %s\n", next)
	}
}

// WriteLine writes a payload and sees to it that the line ends.
func WriteLine(w io.Writer, b []byte) error {
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(slices.Clip(b), '\n')
	}
	_, err := w.Write(b)
	return err
}

// PrintLine prints a document as one line, for lists that have no end.
func (in *Invocation) PrintLine(v any) error {
	e := json.NewEncoder(in.Stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// PrintDone says what was done to what, where that is done to one after the other.
func (in *Invocation) PrintDone(done, what string) error {
	if in.JSON {
		return in.PrintJSON(map[string]string{"done": done, "id": what})
	}
	_, err := fmt.Fprintf(in.Stdout, "%s %s\n", done, what)
	return err
}

// PrintRemoved says what was removed.
func (in *Invocation) PrintRemoved(name string) error {
	if in.JSON {
		return in.PrintJSON(map[string]string{"removed": name})
	}
	_, err := fmt.Fprintf(in.Stdout, "removed %s\n", human.Plain(name))
	return err
}

// SayMade says whether something was made, or changed.
func (in *Invocation) SayMade(created bool, what string) {
	done := "changed"
	if created {
		done = "created"
	}
	fmt.Fprintf(in.Stdout, "%s %s\n\n", done, human.Plain(what))
}
