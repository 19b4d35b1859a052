package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/eddahttp"
)

func (a *app) channelsHistory() *cobra.Command {
	var r reading
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
	f.StringVar(&r.from, "from", "", "from here on: `start|TIME|POINT`, where a time is 2h or 7d ago, 2026-11-21, or RFC 3339, and a point is what --json prints as from (default start)")
	f.IntVar(&r.limit, "limit", edda.DefaultReadLimit, "at most so many")
	f.BoolVar(&r.all, "all", false, "all there are")
	r.view.add(f)
	cmd.RunE = a.withChannel(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		if err := r.bounds(cmd.Flags(), a.JSON); err != nil {
			return err
		}
		from, err := parseLive(r.from, time.Now())
		if err != nil {
			return err
		}
		return a.readHistory(ctx, c, args[0], from, &r)
	})
	return cmd
}

// readHistory prints page after page.
func (a *app) readHistory(ctx context.Context, c *eddahttp.Client, channel string, from edda.From, r *reading) error {
	for left := r.limit; ; {
		// One that is not asked for shows whether there is more.
		items, next, err := c.ChannelHistory(ctx, channel, from, max(1, min(left, pageLimit)))
		switch {
		case err != nil:
			return err
		case len(items) == 0 && left == r.limit:
			fmt.Fprintln(a.Stderr, "no messages")
			return nil
		case len(items) == 0:
			return nil
		case left == 0:
			fmt.Fprintf(a.Stderr, "there is more: --from %s\n", from)
			return nil
		}
		if err := a.printLive(items, &r.view); err != nil {
			return err
		}
		left, from = left-len(items), next
	}
}
