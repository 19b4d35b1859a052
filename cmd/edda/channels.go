package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/streamjson"
)

func (a *app) channels() *cobra.Command {
	g := cli.Group("channels", "Publish to channels, and hear what comes",
		a.channelsList(), a.channelsCreate(), a.channelsShow(), a.channelsPublish(), a.channelsSubscribe(),
		a.channelsHistory(), a.channelsPresence(), a.channelsRemove())
	g.Long = `A channel is a live topic: whoever has subscribed hears what is published to it, and
what comes to the streams that feed it. What was published it keeps for a while, so
that those who were away miss nothing.`
	g.Example = `  ` + a.Program + ` channels create chat
  ` + a.Program + ` channels subscribe chat
  ` + a.Program + ` channels publish chat '{"text":"hello"}' --type said`
	return g
}

// withChannel is the work of a command whose first argument is a channel. The client is
// there.
func (a *app) withChannel(do func(ctx context.Context, c *eddahttp.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := edda.CheckName("channel", args[0]); err != nil {
			return cli.AsWrongUse(err)
		}
		client, err := a.Client()
		if err != nil {
			return err
		}
		return a.aboutChannel(args[0], do(cmd.Context(), client, args))
	}
}

// aboutChannel adds to an error what would be right of the channel.
func (a *app) aboutChannel(channel string, err error) error {
	if edda.ReasonOf(err) != edda.NoChannel {
		return err
	}
	return cli.WithHint(err, "what there is: "+a.Spell("channels ls")+"\nmake it: "+a.Spell("channels create", human.Plain(channel)))
}

func (a *app) channelsList() *cobra.Command {
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

func (a *app) printChannels(p *eddahttp.Page[streamjson.Channel], quiet bool) error {
	if quiet && !a.JSON {
		for i := range p.Items {
			fmt.Fprintln(a.Stdout, human.Plain(p.Items[i].Name))
		}
		a.SayMore(p.Next)
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

func (a *app) channelsShow() *cobra.Command {
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

func (a *app) printChannel(c *edda.Channel) error {
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

// channelFlags are the flags that say what a channel is to be like.
type channelFlags struct {
	from []string
	age  string
	spec edda.ChannelSpec
}

func (c *channelFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&c.from, "from", nil, "a `STREAM[=PATTERN,...]` that feeds it: all its messages, or those whose type matches a pattern; can be repeated")
	f.Uint64Var(&c.spec.History.Count, "history-count", edda.DefaultHistoryCount, "keep the latest `N` messages that were published")
	f.StringVar(&c.age, "history-age", "24h", "keep them for this long: a `DURATION` such as 1h or 30d")
}

// read checks the flags and puts them into the specification.
func (c *channelFlags) read() error {
	for _, text := range c.from {
		stream, patterns, some := strings.Cut(text, "=")
		i := slices.IndexFunc(c.spec.From, func(s edda.ChannelSource) bool { return s.Stream == stream })
		switch {
		case stream == "" || some && patterns == "":
			return cli.WrongUse("--from is %q, must be STREAM, or STREAM=PATTERN such as 'orders=order.*'", text)
		case i < 0:
			i = len(c.spec.From)
			c.spec.From = append(c.spec.From, edda.ChannelSource{Stream: stream})
		case !some || len(c.spec.From[i].Patterns) == 0:
			return cli.WrongUse("--from names the stream %q twice, one of them without a pattern, which means all its messages: leave one out", stream)
		}
		if some {
			c.spec.From[i].Patterns = append(c.spec.From[i].Patterns, strings.Split(patterns, ",")...)
		}
	}
	if c.spec.History.Count == 0 {
		return cli.WrongUse("--history-count is 0, must be at least 1")
	}
	var err error
	if c.spec.History.Age, err = human.ParseDuration(c.age); err != nil || c.spec.History.Age <= 0 {
		return cli.WrongUse("--history-age is %q, must be a duration above zero such as 90s, 72h or 30d", c.age)
	}
	if err := c.spec.Validate(); err != nil {
		return cli.AsWrongUse(err)
	}
	return nil
}

func (a *app) channelsCreate() *cobra.Command {
	var f channelFlags
	cmd := &cobra.Command{
		Use:   "create CHANNEL",
		Short: "Create a channel, or change one, and say which",
		Long: `Creates a channel, or changes one that there is: what no flag says has its default
then, and a stream that is not named feeds it no more.

A pattern says which types of messages are meant, segment by segment: order.placed,
order.:what for any one segment, order.:what? for one or none, order.* for one or more.`,
		Example: `  ` + a.Program + ` channels create chat --history-count 100 --history-age 7d
  ` + a.Program + ` channels create shop --from orders --from 'stock=item.*,*.empty'`,
		Args: cobra.ExactArgs(1),
	}
	f.add(cmd.Flags())
	cmd.RunE = a.withChannel(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		f.spec.Name = args[0]
		if err := f.read(); err != nil {
			return err
		}
		ch, created, err := c.SetChannel(ctx, f.spec)
		if err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(struct {
				Created bool `json:"created"`
				streamjson.Channel
			}{created, streamjson.NewChannel(ch)})
		}
		a.SayMade(created, ch.Name)
		return a.printChannel(ch)
	})
	return cmd
}
