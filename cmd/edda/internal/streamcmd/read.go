package streamcmd

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cmd/edda/internal/message"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/streamjson"
)

// printMessages prints messages as a table, as lines of JSON, or their payloads.
func (a *area) printMessages(messages []edda.StreamMessage, v *message.View) error {
	rows := make([][5]string, 0, len(messages))
	for i := range messages {
		m := &messages[i]
		switch {
		case a.JSON:
			if _, err := a.Stdout.Write(append(streamjson.AppendMessage(nil, a.Namespace, m), '\n')); err != nil {
				return err
			}
		case v.Raw:
			if err := message.PrintPayload(a.Stdout, m.Payload); err != nil {
				return err
			}
		default:
			rows = append(rows, [5]string{fmt.Sprint(m.Offset), m.Time.UTC().Format(message.TimeLayout), human.Clip(m.Type), human.Clip(m.Key), message.Preview(m)})
		}
	}
	return v.PrintRows(a.Stdout, [5]string{"OFFSET", "TIME", "TYPE", "KEY", "DATA"}, rows)
}

// reading are the flags of streams read.
type reading struct {
	shard string
	message.Reading
}

func (a *area) read() *cobra.Command {
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
	f.StringVar(&r.From, "from", "", "from here on: `start|end|OFFSET|TIME`, where a time is 2h or 7d ago, 2026-11-21, or RFC 3339 (default start)")
	r.AddFlags(f)
	cmd.RunE = a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		if err := r.Check(cmd.Flags(), a.JSON); err != nil {
			return err
		}
		from, err := parsePlace("--from", r.From, time.Now())
		if err != nil {
			return err
		}
		return a.readStream(ctx, c, args[0], from, &r)
	})
	return cmd
}

// readStream prints page after page, up to what was the end when it began.
func (a *area) readStream(ctx context.Context, c *eddahttp.Client, stream string, from edda.From, r *reading) error {
	left, end := r.Limit, uint64(math.MaxUint64)
	for first := true; ; first = false {
		p, err := c.ReadStream(ctx, edda.Read{Stream: stream, Shard: r.shard, From: from, Limit: min(left, message.PageLimit)})
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
		if err := a.printMessages(p.Messages, &r.View); err != nil {
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
func (a *area) sayGone(from edda.From, p *edda.StreamPage) {
	place, err := from.Parse()
	if err == nil && place.Kind == edda.AtOffset && place.Offset < p.First {
		fmt.Fprintf(a.Stderr, "not kept any more: %s\n", message.Offsets(place.Offset, p.First-1))
	}
}
