package channelcmd

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/message"
	"github.com/edda-io/edda/internal/eddahttp"
)

func (a *area) history() *cobra.Command {
	var r message.Reading
	cmd := &cobra.Command{
		Use:   "history CHANNEL",
		Short: "Print messages of a channel that are kept",
		Long: `Prints messages of a channel that are kept, in the order in which subscribers get
them, from the first one or from where --from says.`,
		Example: `  ` + a.Program + ` channels history chat --from 1h
  ` + a.Program + ` channels history chat --all --json | jq .data`,
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&r.From, "from", "", "from here on: `start|TIME|POINT`, where a time is 2h or 7d ago, 2026-11-21, or RFC 3339, and a point is what --json prints as from (default start)")
	r.AddFlags(f)
	cmd.RunE = a.withChannel(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		if err := r.Check(cmd.Flags(), a.JSON); err != nil {
			return err
		}
		from, err := parseLive(r.From, time.Now())
		if err != nil {
			return err
		}
		return a.readHistory(ctx, c, args[0], from, &r)
	})
	return cmd
}

// readHistory prints page after page.
func (a *area) readHistory(ctx context.Context, c *eddahttp.Client, channel string, from edda.From, r *message.Reading) error {
	for left := r.Limit; ; {
		// One that is not asked for shows whether there is more.
		items, next, err := c.ChannelHistory(ctx, channel, from, max(1, min(left, message.PageLimit)))
		switch {
		case err != nil:
			return err
		case len(items) == 0 && left == r.Limit:
			fmt.Fprintln(a.Stderr, "no messages")
			return nil
		case len(items) == 0:
			return nil
		case left == 0:
			fmt.Fprintf(a.Stderr, "there is more: --from %s\n", from)
			return nil
		}
		if err := a.printLive(items, &r.View); err != nil {
			return err
		}
		left, from = left-len(items), next
	}
}
