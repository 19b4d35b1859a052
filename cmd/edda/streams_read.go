package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/streamjson"
)

// timeLayout is how the time of a message stands in a table.
const timeLayout = "2006-01-02T15:04:05.000Z"

// messageView is how messages are printed. A table goes on where it was: its columns
// grow, and never shrink.
type messageView struct {
	raw bool

	header [5]string
	begun  bool
	widths [5]int
}

func (v *messageView) add(f *pflag.FlagSet) {
	f.BoolVar(&v.raw, "raw", false, "print payloads alone, each ended by a line break")
}

func (v *messageView) check(json bool) error {
	if v.raw && json {
		return cli.WrongUse("--raw and --json are two ways to print the same: leave one out")
	}
	return nil
}

// printMessages prints messages as a table, as lines of JSON, or their payloads.
func (a *app) printMessages(messages []edda.StreamMessage, v *messageView) error {
	rows := make([][5]string, 0, len(messages))
	for i := range messages {
		m := &messages[i]
		switch {
		case a.JSON:
			if _, err := a.Stdout.Write(append(streamjson.AppendMessage(nil, a.Namespace, m), '\n')); err != nil {
				return err
			}
		case v.raw:
			if err := a.printPayload(m.Payload); err != nil {
				return err
			}
		default:
			rows = append(rows, [5]string{fmt.Sprint(m.Offset), m.Time.UTC().Format(timeLayout), human.Clip(m.Type), human.Clip(m.Key), preview(m)})
		}
	}
	v.header = [5]string{"OFFSET", "TIME", "TYPE", "KEY", "DATA"}
	return a.printRows(rows, v)
}

// printPayload prints a payload and ends its line, also when it is empty.
func (a *app) printPayload(b []byte) error {
	if len(b) == 0 {
		b = []byte("\n")
	}
	return cli.WriteLine(a.Stdout, b)
}

// previewBytes is how much of a payload is looked at for a table.
const previewBytes = 4 << 10

// preview shows a payload as text, or says how large it is when it is none.
func preview(m *edda.StreamMessage) string {
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

// printRows prints a table's rows, its header before the first of them. Without any it
// prints nothing.
func (a *app) printRows(rows [][5]string, v *messageView) error {
	if len(rows) == 0 {
		return nil
	}
	if !v.begun {
		rows, v.begun = append([][5]string{v.header}, rows...), true
	}
	for i := range rows {
		for k := range rows[i] {
			rows[i][k] = human.Plain(rows[i][k])
			v.widths[k] = max(v.widths[k], utf8.RuneCountInString(rows[i][k]))
		}
	}
	columns, _ := cli.TerminalSize(a.Stdout)
	var b strings.Builder
	for _, r := range rows {
		line := fmt.Sprintf("%-*s  %-*s  %-*s  %-*s  %s", v.widths[0], r[0], v.widths[1], r[1], v.widths[2], r[2], v.widths[3], r[3], r[4])
		b.WriteString(human.ClipTo(line, columns))
		b.WriteByte('\n')
	}
	_, err := fmt.Fprint(a.Stdout, b.String())
	return err
}

// reading are the flags of streams read, and of channels history.
type reading struct {
	shard, from string
	limit       int
	all         bool
	view        messageView
}

func (a *app) streamsRead() *cobra.Command {
	var r reading
	cmd := &cobra.Command{
		Use:   "read STREAM",
		Short: "Read messages that are there",
		Long: `Prints messages of a shard of a stream, from the first one that is kept or from where
--from says, as a table. Its data is clipped to the terminal; --raw prints payloads,
and --json all there is, one message a line.`,
		Example: `  ` + a.Program + ` streams read orders --from 1000 --limit 10
  ` + a.Program + ` streams read orders --from 2h --all --json | jq .data
  ` + a.Program + ` streams read readings --shard north --all --raw > readings.ndjson`,
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&r.shard, "shard", "", "of this `SHARD` (default default)")
	f.StringVar(&r.from, "from", "", "from here on: `start|end|OFFSET|TIME`, where a time is 2h or 7d ago, 2026-11-21, or RFC 3339 (default start)")
	f.IntVar(&r.limit, "limit", edda.DefaultReadLimit, "at most so many")
	f.BoolVar(&r.all, "all", false, "all there are")
	r.view.add(f)
	cmd.RunE = a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		from, err := r.check(cmd.Flags(), a.JSON)
		if err != nil {
			return err
		}
		return a.readStream(ctx, c, args[0], from, &r)
	})
	return cmd
}

func (r *reading) check(flags *pflag.FlagSet, json bool) (edda.From, error) {
	if err := r.bounds(flags, json); err != nil {
		return "", err
	}
	return parsePlace("--from", r.from, time.Now())
}

// bounds checks how many messages are to be printed, and how.
func (r *reading) bounds(flags *pflag.FlagSet, json bool) error {
	switch {
	case r.limit < 1:
		return cli.WrongUse("--limit is %d, must be at least 1", r.limit)
	case r.all && flags.Changed("limit"):
		return cli.WrongUse("--all and --limit exclude each other: leave one out")
	case r.all:
		r.limit = math.MaxInt
	}
	return r.view.check(json)
}

// pageLimit is how many messages are asked for at a time.
const pageLimit = 1000

// readStream prints page after page, up to what was the end when it began.
func (a *app) readStream(ctx context.Context, c *eddahttp.Client, stream string, from edda.From, r *reading) error {
	left, end := r.limit, uint64(math.MaxUint64)
	for first := true; ; first = false {
		p, err := c.ReadStream(ctx, edda.Read{Stream: stream, Shard: r.shard, From: from, Limit: min(left, pageLimit)})
		if err != nil {
			return err
		}
		if first {
			end = p.End
			a.sayGone(from, p)
			if len(p.Messages) == 0 {
				fmt.Fprintf(a.Stderr, "no messages: the next one will have offset %d\n", p.End)
			}
		}
		if err := a.printMessages(p.Messages, &r.view); err != nil {
			return err
		}
		left -= len(p.Messages)
		from = edda.FromOffset(p.Next)
		if p.Next >= end || len(p.Messages) == 0 {
			return nil
		}
		if left <= 0 {
			fmt.Fprintf(a.Stderr, "there is more: --from %d\n", p.Next)
			return nil
		}
	}
}

// sayGone says that messages that were asked for are not kept any more.
func (a *app) sayGone(from edda.From, p *edda.StreamPage) {
	place, err := from.Parse()
	if err == nil && place.Kind == edda.AtOffset && place.Offset < p.First {
		fmt.Fprintf(a.Stderr, "not kept any more: %s\n", offsets(place.Offset, p.First-1))
	}
}

// offsets writes a range of offsets.
func offsets(first, last uint64) string {
	if first == last {
		return fmt.Sprintf("offset %d", first)
	}
	return fmt.Sprintf("offsets %d to %d", first, last)
}
