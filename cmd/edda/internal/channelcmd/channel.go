// Package channelcmd has the commands that are about channels.
package channelcmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/streamjson"
)

// area is what these commands share.
type area struct{ *cli.Invocation }

// New returns the command channels.
func New(in *cli.Invocation) *cobra.Command {
	a := &area{in}
	g := cli.Group("channels", "Publish to channels, and hear what comes",
		a.list(), a.create(), a.show(), a.publish(), a.subscribe(),
		a.history(), a.presence(), a.remove())
	g.Long = `A channel is a live topic: whoever has subscribed hears what is published to it, and
what comes to the streams that feed it. What was published it keeps for a while, so
that those who were away miss nothing.`
	g.Example = `  ` + a.Program + ` channels create chat
  ` + a.Program + ` channels subscribe chat
  ` + a.Program + ` channels publish chat '{"text":"hello"}' --type said`
	return g
}

// withChannel is the work of a command whose first argument is a channel.
func (a *area) withChannel(do func(ctx context.Context, c *eddahttp.Client, args []string) error) func(*cobra.Command, []string) error {
	return a.WithNamed("channel", func(ctx context.Context, c *eddahttp.Client, args []string) error {
		return a.aboutChannel(args[0], do(ctx, c, args))
	})
}

// aboutChannel adds to an error what would be right of the channel.
func (a *area) aboutChannel(channel string, err error) error {
	if edda.ReasonOf(err) != edda.NoChannel {
		return err
	}
	return cli.WithHint(err, "what there is: "+a.Spell("channels ls")+"\nmake it: "+a.Spell("channels create", human.Plain(channel)))
}

func (a *area) list() *cobra.Command {
	var q eddahttp.Query
	var quiet bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List channels",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.Listing(&q)
			if err != nil {
				return err
			}
			p, err := client.Channels(cmd.Context(), q.Limit, q.After)
			if err != nil {
				return err
			}
			docs := &eddahttp.Page[streamjson.Channel]{Next: p.Next}
			for i := range p.Items {
				docs.Items = append(docs.Items, streamjson.NewChannel(&p.Items[i]))
			}
			return a.printChannels(docs, quiet)
		},
	}
	cli.AddPaging(cmd.Flags(), &q)
	cli.AddQuiet(cmd.Flags(), &quiet, "names")
	return cmd
}

func (a *area) printChannels(p *eddahttp.Page[streamjson.Channel], quiet bool) error {
	if quiet && !a.JSON {
		cli.Names(a.Invocation, p, func(c *streamjson.Channel) string { return c.Name })
		return nil
	}
	return cli.List(a.Invocation, p, "no channels", []string{"NAME", "STREAMS", "SUBSCRIBERS", "KEEPS", "CREATED"}, func(c *streamjson.Channel) []string {
		streams := make([]string, len(c.From))
		for i, s := range c.From {
			streams[i] = s.Stream
		}
		return []string{c.Name, human.Clip(strings.Join(streams, ", ")), fmt.Sprint(c.Subscribers), history(c), human.Age(c.CreatedAt)}
	})
}

// history says what a channel keeps of what was published to it.
func history(c *streamjson.Channel) string {
	return human.Counted(c.History.Count, "message") + ", " + human.TrimZeros(c.History.Age)
}

func (a *area) show() *cobra.Command {
	return &cobra.Command{
		Use:   "show CHANNEL",
		Short: "Show a channel: what feeds it, what it keeps, and how many have subscribed",
		Args:  cobra.ExactArgs(1),
		RunE: a.withChannel(func(ctx context.Context, c *eddahttp.Client, args []string) error {
			ch, err := c.Channel(ctx, args[0])
			if err != nil {
				return err
			}
			return a.printChannel(ch)
		}),
	}
}

func (a *area) printChannel(c *edda.Channel) error {
	doc := streamjson.NewChannel(c)
	if a.JSON {
		return a.PrintJSON(doc)
	}
	if err := a.Fields(
		"name", doc.Name, "created", human.Stamp(doc.CreatedAt), "keeps", history(&doc), "subscribers", fmt.Sprint(doc.Subscribers),
	); err != nil || len(doc.From) == 0 {
		return err
	}
	rows := make([][]string, len(doc.From))
	for i, s := range doc.From {
		types := "all"
		if len(s.Patterns) > 0 {
			types = strings.Join(s.Patterns, ", ")
		}
		rows[i] = []string{s.Stream, types}
	}
	fmt.Fprintln(a.Stdout)
	return a.Table("", []string{"STREAM", "TYPES"}, rows)
}
