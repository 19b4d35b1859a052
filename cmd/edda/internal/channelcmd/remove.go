package channelcmd

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cmd/edda/internal/message"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/streamjson"
)

func (a *area) presence() *cobra.Command {
	return &cobra.Command{
		Use:   "presence CHANNEL",
		Short: "List who has subscribed to a channel at this node",
		Args:  cobra.ExactArgs(1),
		RunE: a.withChannel(func(ctx context.Context, c *eddahttp.Client, args []string) error {
			there, err := c.Presence(ctx, args[0])
			if err != nil {
				return err
			}
			return cli.List(a.Invocation, &eddahttp.Page[streamjson.Presence]{Items: streamjson.NewPresence(there)}, "nobody", []string{"PRINCIPAL", "SINCE"},
				func(p *streamjson.Presence) []string { return []string{string(p.Principal), human.Age(p.Since)} })
		}),
	}
}

func (a *area) remove() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "rm CHANNEL",
		Short: "Remove a channel with what was published to it",
		Long: `Removes a channel with what was published to it, and ends its subscriptions. The
streams that feed it stay. One that has subscribers or messages goes only when
somebody says yes, at the terminal or with --yes.`,
		Args: cobra.ExactArgs(1),
		RunE: a.withChannel(func(ctx context.Context, c *eddahttp.Client, args []string) error {
			err := a.removeChannel(ctx, c, args[0], yes)
			if edda.ReasonOf(err) == edda.NoChannel { // nobody who removes one wants to make it
				return cli.WithHint(err, "what there is: "+a.Spell("channels ls"))
			}
			return err
		}),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "remove it whatever it has")
	return cmd
}

func (a *area) removeChannel(ctx context.Context, c *eddahttp.Client, name string, yes bool) error {
	if !yes {
		if err := a.mayRemoveChannel(ctx, c, name); err != nil {
			return err
		}
	}
	if err := c.DeleteChannel(ctx, name); err != nil {
		return err
	}
	return a.PrintRemoved(name)
}

// mayRemoveChannel asks before a channel goes that somebody may miss.
func (a *area) mayRemoveChannel(ctx context.Context, c *eddahttp.Client, name string) error {
	ch, err := c.Channel(ctx, name)
	if err != nil {
		return err
	}
	items, next, err := c.ChannelHistory(ctx, name, edda.FromStart, message.PageLimit)
	if err != nil {
		return err
	}
	more, _, err := c.ChannelHistory(ctx, name, next, 1)
	if err != nil {
		return err
	}
	what := ""
	switch { // what streams have fed it is theirs, and stays
	case slices.ContainsFunc(items, func(m *edda.LiveMessage) bool { return m.Message.Stream == "" }):
		what = "has messages"
	case len(more) > 0:
		what = "may have messages"
	}
	if ch.Subscribers > 0 {
		what = strings.TrimPrefix(what+" and has "+human.Counted(ch.Subscribers, "subscriber"), " and ")
	}
	if what == "" {
		return nil
	}
	return a.Agreed("channel " + name + " " + what)
}
