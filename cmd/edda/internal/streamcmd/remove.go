package streamcmd

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/streamjson"
)

func (a *area) trim() *cobra.Command {
	var shard, before string
	cmd := &cobra.Command{
		Use:   "trim STREAM --before OFFSET|TIME",
		Short: "Remove the first messages of a stream",
		Long: `Removes the messages before an offset, of the default shard unless --shard names
another one, or those appended before a time, of all shards unless --shard names
one. They are gone for groups too.`,
		Example: `  ` + a.Program + ` streams trim orders --before 1000
  ` + a.Program + ` streams trim orders --before 7d`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&before, "before", "", "remove what is before this `OFFSET|TIME`, where a time is 2h or 7d ago, 2026-11-21, or RFC 3339 (required)")
	cmd.Flags().StringVar(&shard, "shard", "", "of this `SHARD`")
	cmd.RunE = a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		if !cmd.Flags().Changed("before") {
			return cli.WrongUse("--before is missing: say with an offset or a time what goes")
		}
		from, err := parsePoint("--before", before, time.Now(), "")
		if err != nil {
			return err
		}
		s, err := c.TrimStream(ctx, args[0], shard, from)
		if err != nil {
			return err
		}
		return a.printStream(s)
	})
	return cmd
}

func (a *area) remove() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "rm STREAM",
		Short: "Remove a stream with its messages and groups",
		Long: `Removes a stream. One that has messages or groups goes only when somebody says yes,
at the terminal or with --yes.`,
		Args: cobra.ExactArgs(1),
		RunE: a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
			if !yes {
				s, err := c.Stream(ctx, args[0])
				if err != nil {
					return err
				}
				if err := a.mayRemove(s); err != nil {
					return err
				}
			}
			if err := c.DeleteStream(ctx, args[0]); err != nil {
				return err
			}
			return a.PrintRemoved(args[0])
		}),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "remove it whatever it has")
	return cmd
}

// mayRemove asks before a stream goes that has something to lose.
func (a *area) mayRemove(s *edda.Stream) error {
	doc := streamjson.NewStream(s)
	messages, _ := kept(&doc)
	if messages == 0 && len(s.Groups) == 0 {
		return nil
	}
	what := fmt.Sprintf("stream %s has %s and %s", s.Name, human.Counted(messages, "message"), human.Counted(len(s.Groups), "group"))
	return a.Agreed(what)
}
