package channelcmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cmd/edda/internal/message"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/streamjson"
)

// printLive prints messages of a channel as a table, as lines of JSON, or their payloads.
func (a *area) printLive(messages []*edda.LiveMessage, v *message.View) error {
	rows := make([][5]string, 0, len(messages))
	for _, live := range messages {
		m := &live.Message
		switch {
		case a.JSON:
			if _, err := a.Stdout.Write(append(streamjson.Live(live), '\n')); err != nil {
				return err
			}
		case v.Raw:
			if err := message.PrintPayload(a.Stdout, m.Payload); err != nil {
				return err
			}
		default:
			rows = append(rows, [5]string{m.Time.UTC().Format(message.TimeLayout), human.Clip(m.Stream), human.Clip(m.Type), human.Clip(m.Key), message.Preview(m)})
		}
	}
	return v.PrintRows(a.Stdout, [5]string{"TIME", "STREAM", "TYPE", "KEY", "DATA"}, rows)
}

// hearing are the flags of channels subscribe.
type hearing struct {
	from string
	max  int
	view message.View
}

func (a *area) subscribe() *cobra.Command {
	var h hearing
	cmd := &cobra.Command{
		Use:   "subscribe CHANNEL [PATTERN...]",
		Short: "Print messages of a channel as they come",
		Long: `Prints what is published to a channel and what comes to the streams that feed it, as
it comes, until it is interrupted. It begins with the next message, or where --from
says. With patterns it prints those messages whose type matches one of them.

When the connection breaks or the node starts anew it says so and goes on where it
was: no message is printed twice, and none is left out that is still kept. When it is
interrupted it says how to go on later.`,
		Example: `  ` + a.Program + ` channels subscribe chat
  ` + a.Program + ` channels subscribe shop 'order.:what' '*.empty' --from 1h --json | jq .data`,
		Args: cobra.MinimumNArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&h.from, "from", "", "from here on: `start|end|TIME|POINT`, where a time is 2h or 7d ago, 2026-11-21, or RFC 3339, and a point is what --json prints as from (default end)")
	f.IntVar(&h.max, "max", 0, "end after so many messages (default no end)")
	h.view.AddFlags(f)
	cmd.RunE = a.withChannel(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		s, err := h.read(cmd.Flags().Changed("max"), a.JSON, args)
		if err != nil {
			return err
		}
		s.Gap = func() { fmt.Fprintln(a.Stderr, "messages may be missing here: they are not kept any more") }
		s.Lost = func(err error, in time.Duration) {
			fmt.Fprintf(a.Stderr, "%s: trying again in %s\n", cli.Describe(err), human.Short(in))
		}
		return a.hear(ctx, c, s, &h)
	})
	return cmd
}

// read checks the flags and arguments.
func (h *hearing) read(bounded, json bool, args []string) (s eddahttp.Subscribe, err error) {
	if bounded && h.max < 1 {
		return s, cli.WrongUse("--max is %d, must be at least 1", h.max)
	}
	if err := h.view.Check(json); err != nil {
		return s, err
	}
	for _, p := range args[1:] {
		if strings.Contains(p, ",") {
			return s, cli.WrongUse("pattern %q has a comma: patterns are arguments of their own", p)
		}
	}
	s = eddahttp.Subscribe{Channel: args[0], Patterns: args[1:]}
	if s.From, err = parseLive(h.from, time.Now()); err != nil {
		return s, err
	}
	probe := edda.Subscribe{Channel: s.Channel, Patterns: s.Patterns, From: s.From}
	if err := probe.Validate(); err != nil {
		return s, cli.AsWrongUse(err)
	}
	return s, nil
}

// parseLive reads where in a channel: start, end, a point in time, or a resume point.
func parseLive(text string, now time.Time) (edda.From, error) {
	from := edda.From(text)
	if from == "" || from == edda.FromStart || from == edda.FromEnd || from.Resumes() {
		return from, nil
	}
	t, err := cli.ParseTime("--from", text, now)
	if err != nil {
		return "", cli.WrongUse("--from is %q, must be start, end, how long ago (90s, 2h, 7d), a day (2026-11-21), a time (2026-11-21T09:00:00Z), "+
			"or a resume point, which begins with p", text)
	}
	return edda.FromTime(t), nil
}

// hear prints messages until there can be no more.
func (a *area) hear(ctx context.Context, c *eddahttp.Client, s eddahttp.Subscribe, h *hearing) error {
	var last edda.From
	n := 0
	for m, err := range c.Subscribe(ctx, s) {
		switch {
		case ctx.Err() != nil:
			a.sayGoOn(s, last)
			return nil // that is how it ends
		case err != nil:
			if reason := edda.ReasonOf(err); last != "" && reason != edda.NoChannel {
				a.sayGoOn(s, last)
			}
			return err
		}
		if err := a.printLive([]*edda.LiveMessage{m}, &h.view); err != nil {
			return err
		}
		last = m.From
		if n++; n == h.max {
			return nil
		}
	}
	return context.Cause(ctx)
}

// sayGoOn says how to hear what comes next, later.
func (a *area) sayGoOn(s eddahttp.Subscribe, from edda.From) {
	if from == "" {
		return
	}
	words := []string{"channels", "subscribe", s.Channel}
	for _, p := range s.Patterns {
		words = append(words, "'"+strings.ReplaceAll(p, "'", `'\''`)+"'")
	}
	fmt.Fprintf(a.Stderr, "to go on: %s\n", a.Spell(append(words, "--from", string(from))...))
}
