package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
)

// printJSON prints a document as the node would send it, for people too.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// table prints rows under a header, or says that there are none.
func (a *app) table(none string, header []string, rows [][]string) error {
	if len(rows) == 0 {
		fmt.Fprintln(a.stderr, none)
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, row := range rows {
		for i := range row {
			row[i] = human.Plain(row[i])
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// fields prints names beside values, without those that are empty.
func (a *app) fields(pairs ...string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", pairs[i], human.Plain(pairs[i+1]))
		}
	}
	return w.Flush()
}

// list prints a page as JSON, or as a table and how to see the next page.
func list[T any](a *app, p *eddahttp.Page[T], none string, header []string, row func(*T) []string) error {
	if a.json {
		if p.Items == nil {
			p.Items = []T{}
		}
		return a.printJSON(p)
	}
	rows := make([][]string, len(p.Items))
	for i := range p.Items {
		rows[i] = row(&p.Items[i])
	}
	if err := a.table(none, header, rows); err != nil {
		return err
	}
	a.sayMore(p.Next)
	return nil
}

// sayMore says how to see the next page, if there is one.
func (a *app) sayMore(next string) {
	if next != "" {
		fmt.Fprintf(a.stderr, "there is more: --after %s\n", next)
	}
}

// describe returns an error's text with its reason, by which it can be looked up.
func describe(err error) string {
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

// spell writes a command to copy, which talks to the same node about the same namespace.
func (a *app) spell(words ...string) string {
	if a.namespaceFlag {
		words = append([]string{"--namespace", a.namespace}, words...)
	}
	if a.urlFlag {
		words = append([]string{"--url", a.url}, words...)
	}
	return a.program + " " + strings.Join(words, " ")
}

// writeLine writes a payload and sees to it that the line ends.
func writeLine(w io.Writer, b []byte) error {
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(slices.Clip(b), '\n')
	}
	_, err := w.Write(b)
	return err
}

// printLine prints a document as one line, for lists that have no end.
func (a *app) printLine(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
