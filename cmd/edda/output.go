package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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

// hints says what would be right, after an error.
func (a *app) hints(err error) []string {
	e, ok := errors.AsType[*edda.Error](err)
	if !ok {
		return nil
	}
	h := a.hint(e)
	if !e.RequestID.IsZero() && e.Reason != edda.NoRequest && !strings.Contains(h, e.RequestID.String()) {
		h = strings.TrimPrefix(h+"\n"+a.spell("requests show", e.RequestID.String()), "\n")
	}
	if h == "" {
		return nil
	}
	return strings.Split(h, "\n")
}

func (a *app) hint(e *edda.Error) string {
	service, key := cmp.Or(a.target.Name, "SERVICE"), cmp.Or(a.target.Key, "KEY")
	switch e.Reason {
	case edda.Unavailable:
		if errors.Is(e, context.Canceled) {
			return "" // the node is there
		}
		if _, ok := errors.AsType[x509.UnknownAuthorityError](e); ok {
			return "say with --ca or EDDA_CA which CA the node's certificate is of"
		}
		if _, ok := errors.AsType[*tls.CertificateVerificationError](e); ok {
			return "" // the node is there
		}
		if errors.Is(e, http.ErrSchemeMismatch) {
			return "say so with --url or EDDA_URL"
		}
		return "start a node with: " + a.program + " dev --example\nor say where one is with --url or EDDA_URL"
	case edda.NoService, edda.UnknownService:
		if strings.HasPrefix(service, servicePrefix) {
			return "what there is: " + a.spell("services ls") + "\nan app to try: go run ./examples/createuser"
		}
		return "what there is: " + a.spell("services ls") + "\nservices to try: " + a.program + " dev --example"
	case edda.NoMethod:
		return "its methods: " + a.spell("services show", service)
	case edda.WrongKind:
		return "an ordered service is called as SERVICE/KEY, a balanced one as SERVICE"
	case edda.BadMediaType:
		return "DATA that is not JSON is sent as text: write it as '{\"n\":1}', or name its type with --content-type"
	case edda.NoCredentials:
		return "show a token with --token or EDDA_TOKEN, or a certificate with --client-cert and --client-key"
	case edda.Timeout:
		return "it goes on: " + a.spell("requests wait", e.RequestID.String())
	case edda.Dead:
		return "see it:   " + a.spell("deadletters show", e.RequestID.String()) +
			"\nretry it: " + a.spell("deadletters retry", e.RequestID.String()) +
			"\ndrop it:  " + a.spell("deadletters drop", e.RequestID.String())
	case edda.NoWorkerID:
		return "who there is: " + a.spell("workers ls")
	case edda.NoStream:
		return "what there is: " + a.spell("streams ls")
	case edda.NoChannel:
		h := "what there is: " + a.spell("channels ls")
		if a.channel != "" {
			h += "\nmake it: " + a.spell("channels create", human.Plain(a.channel))
		}
		return h
	case edda.NoShard, edda.Conflict:
		if a.stream == "" {
			return ""
		}
		return "see it: " + a.spell("streams show", human.Plain(a.stream))
	case edda.NoGroup:
		return "what there is: " + a.spell("streams groups", human.Plain(a.stream))
	case edda.GroupFull:
		return "its members: " + a.spell("streams groups", human.Plain(a.stream), human.Plain(a.group))
	case edda.NoSaga:
		return "what there is: " + a.spell("sagas ls")
	case edda.NoStep, edda.SagaEnded:
		return "see it: " + a.spell("sagas show", human.Plain(a.saga))
	case edda.NoDeadLetter:
		if strings.HasPrefix(service, servicePrefix) {
			return "what there is: " + a.spell("cqrs dead", "--waiting")
		}
		return a.spell("requests show", a.asked.String())
	case edda.NoEvent:
		return "what there is: " + a.spell("cqrs events")
	case edda.KeyStopped:
		return "it is stored, and goes on after: " + a.spell("services resume-key", service, key)
	case edda.ServicePaused:
		return "it is stored, and goes on after: " + a.spell("services resume", service)
	case edda.NoWorker:
		return "it is stored, and goes on when a worker comes"
	case edda.OutcomeUnknown:
		return a.mayBeStored()
	case edda.IdempotencyMismatch:
		return "this --idempotency-key belongs to another request: take a new one"
	default:
		return ""
	}
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
