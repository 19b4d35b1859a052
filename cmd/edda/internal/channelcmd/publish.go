package channelcmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cmd/edda/internal/message"
	"github.com/edda-io/edda/internal/eddahttp"
)

func (a *area) publish() *cobra.Command {
	var f message.Flags
	cmd := &cobra.Command{
		Use:   "publish CHANNEL [DATA|-]",
		Short: "Publish a message to a channel, or each line of standard input",
		Long: `Publishes a message to a channel: once it is stored its subscribers get it. DATA is the
payload as it is, empty when left out; - reads it from standard input. Its content
type is JSON when it is JSON, else text. Its type is what patterns match.

With --lines each line of standard input is a message. They are published in their
order, many at a time, as fast as they come. With --id too the id of line N is ID-N,
so that the command can be repeated and publishes nothing twice.`,
		Example: `  ` + a.Program + ` channels publish chat '{"text":"hello"}' --type said
  tail -f access.log | ` + a.Program + ` channels publish access --lines`,
		Args: cobra.RangeArgs(1, 2),
	}
	f.AddFlags(cmd.Flags(), message.Publish, "whom or what it is about")
	cmd.RunE = a.withChannel(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		if err := f.Check(args); err != nil {
			return err
		}
		if f.Lines {
			return f.SendLines(ctx, a.Invocation, edda.Append{Channel: args[0]}, c.Publish)
		}
		m, err := f.One(a.Invocation, args)
		if err != nil {
			return err
		}
		return a.publishOne(ctx, c, args[0], m)
	})
	return cmd
}

func (a *area) publishOne(ctx context.Context, c *eddahttp.Client, channel string, m edda.StreamMessage) error {
	ap := edda.Append{Channel: channel, Messages: []edda.StreamMessage{m}}
	if err := ap.Validate(); err != nil {
		return cli.AsWrongUse(err)
	}
	ack, err := c.Publish(ctx, &ap)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.PrintJSON(struct {
			ID         string          `json:"id"`
			Position   string          `json:"position,omitempty"`
			Replayed   bool            `json:"replayed"`
			Durability edda.Durability `json:"durability,omitempty"`
		}{ack.Items[0].ID, ack.Position, ack.Items[0].Replayed, ack.Durability})
	}
	done := "published"
	if ack.Items[0].Replayed {
		done = "found"
	}
	_, err = fmt.Fprintf(a.Stdout, "%s %s (%s)\n", done, human.Plain(ack.Items[0].ID), ack.Durability)
	return err
}
