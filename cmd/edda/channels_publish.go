package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
)

func (a *app) channelsPublish() *cobra.Command {
	var f appendFlags
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
	addPublishing(&f, cmd.Flags())
	cmd.RunE = a.withChannel(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		if f.lines && len(args) > 1 {
			return cli.WrongUse("with --lines the messages come from standard input: leave DATA out")
		}
		if err := cli.AddHeaders(&f.message.Headers, f.headers); err != nil {
			return err
		}
		if !f.lines {
			return a.publishOne(ctx, c, args, f.message)
		}
		sum, err := a.sendLines(ctx, edda.Append{Channel: args[0]}, &f, c.Publish)
		if sum == nil {
			return err
		}
		return a.printLines(sum, "published", args[0], &f, err)
	})
	return cmd
}

// addPublishing adds those of the flags that a publication has.
func addPublishing(f *appendFlags, flags *pflag.FlagSet) {
	flags.StringVar(&f.message.Type, "type", "", "what the message is about (default message)")
	flags.StringVar(&f.message.Key, "key", "", "whom or what it is about")
	flags.StringVar(&f.message.ID, "id", "", "`ID` of the message: with one that was there before nothing is published again")
	flags.StringArrayVar(&f.headers, "header", nil, "a header `'NAME: VALUE'` of the message; can be repeated")
	flags.StringVar(&f.message.ContentType, "content-type", "", "content `TYPE` of DATA")
	flags.BoolVar(&f.lines, "lines", false, "publish each line of standard input as a message")
}

func (a *app) publishOne(ctx context.Context, c *eddahttp.Client, args []string, m edda.StreamMessage) error {
	if len(args) > 1 {
		var err error
		if m.Payload, err = a.Data(args[1]); err != nil {
			return err
		}
		m.ContentType = cmp.Or(m.ContentType, cli.GuessType(m.Payload))
	}
	ap := edda.Append{Channel: args[0], Messages: []edda.StreamMessage{m}}
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
