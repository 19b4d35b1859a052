package streamcmd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/streamjson"
)

func (a *area) groups() *cobra.Command {
	var q eddahttp.Query
	cmd := &cobra.Command{
		Use:   "groups STREAM [GROUP]",
		Short: "Show the groups of a stream, create, reset and remove them, be a member",
		Long: `Shows the groups of a stream, or one of them with its cursor in each shard, its lag
and its members. A message that failed for good is a dead letter of the service
STREAM/GROUP.`,
		Example: `  ` + a.Program + ` streams groups orders mail
  ` + a.Program + ` streams groups create orders mail --from start
  ` + a.Program + ` streams groups read orders mail --member me --ack
  ` + a.Program + ` deadletters ls --service orders/mail`,
		Args: groupsArgs,
	}
	cli.AddPaging(cmd.Flags(), &q)
	cmd.RunE = a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		if len(args) == 1 {
			return a.listGroups(ctx, c, args[0], &q)
		}
		for _, name := range []string{"limit", "after"} {
			if cmd.Flags().Changed(name) {
				return cli.WrongUse("--%s is for the list of groups: leave it out, or GROUP", name)
			}
		}
		g, err := c.Group(ctx, args[0], args[1])
		if err != nil {
			return err
		}
		return a.printGroup(g)
	})
	cmd.AddCommand(a.groupsCreate(), a.groupsReset(), a.groupsRemove(), a.groupsRead(),
		a.settle("ack", "acknowledged", "Say that messages were handled",
			"Says that messages were handled: they do not come again.", (*eddahttp.Client).Ack),
		a.settle("reject", "rejected", "Say that handling messages failed",
			`Says that handling messages failed: they come again as the group's retry policy says,
or after --for. The last failure makes a dead letter of the service STREAM/GROUP.`, (*eddahttp.Client).Reject),
		a.settle("extend", "extended", "Keep messages for longer",
			`Keeps messages from being given to others, from now on for as long as --for says, else
for the group's processing timeout.`, (*eddahttp.Client).Extend))
	return cmd
}

// groupsArgs knows that what looks like an argument may be meant as a command.
func groupsArgs(cmd *cobra.Command, args []string) error {
	switch len(args) {
	case 1, 2:
		return nil
	case 0:
		return fmt.Errorf("say whose groups: STREAM, or STREAM GROUP for one of them, or a command: %s", cli.Commands(cmd))
	default:
		return fmt.Errorf("%s has no command %q, and as STREAM [GROUP] there is too much: %q", cmd.CommandPath(), args[0], args[2])
	}
}

func (a *area) listGroups(ctx context.Context, c *eddahttp.Client, stream string, q *eddahttp.Query) error {
	if _, err := a.Listing(q); err != nil {
		return err
	}
	p, err := c.Groups(ctx, stream, q.Limit, q.After)
	if err != nil {
		return err
	}
	docs := &eddahttp.Page[streamjson.Group]{Next: p.Next}
	for i := range p.Items {
		docs.Items = append(docs.Items, streamjson.NewGroup(&p.Items[i]))
	}
	return cli.List(a.Invocation, docs, "no groups", []string{"GROUP", "LAG", "PENDING", "MEMBERS", "CURSOR"}, func(g *streamjson.Group) []string {
		return []string{g.Name, fmt.Sprint(g.Lag), fmt.Sprint(g.Pending), fmt.Sprint(len(g.Members)), cursor(g.Cursor)}
	})
}

// cursor writes a cursor in one line.
func cursor(c map[string]uint64) string {
	if at, ok := c[edda.DefaultShard]; ok && len(c) == 1 {
		return fmt.Sprint(at)
	}
	const most = 3
	var at []string
	for _, shard := range slices.Sorted(maps.Keys(c)) {
		if len(at) == most {
			return strings.Join(at, " ") + fmt.Sprintf(" and %d more", len(c)-most)
		}
		at = append(at, fmt.Sprintf("%s:%d", shard, c[shard]))
	}
	return strings.Join(at, " ")
}

func (a *area) printGroup(g *edda.Group) error {
	doc := streamjson.NewGroup(g)
	if a.JSON {
		return a.PrintJSON(doc)
	}
	members := fmt.Sprint(len(doc.Members))
	if doc.MinMembers > 1 {
		members += fmt.Sprintf(", starts with %d", doc.MinMembers)
	}
	if doc.MaxMembers > 0 {
		members += fmt.Sprintf(", at most %d", doc.MaxMembers)
	}
	if err := a.Fields(
		"group", doc.Name, "stream", doc.Stream, "created", human.Stamp(doc.CreatedAt), "lag", fmt.Sprint(doc.Lag),
		"pending", fmt.Sprint(doc.Pending), "members", members,
		"processing timeout", human.TrimZeros(doc.ProcessingTimeout), "idle timeout", human.TrimZeros(doc.IdleTimeout), "attempts", cli.Attempts(doc.Retry),
	); err != nil {
		return err
	}
	if len(doc.Cursor) > 0 {
		var rows [][]string
		for _, shard := range slices.Sorted(maps.Keys(doc.Cursor)) {
			rows = append(rows, []string{shard, fmt.Sprint(doc.Cursor[shard])})
		}
		fmt.Fprintln(a.Stdout)
		if err := a.Table("", []string{"SHARD", "CURSOR"}, rows); err != nil {
			return err
		}
	}
	if len(doc.Members) == 0 {
		return nil
	}
	var rows [][]string
	for _, m := range doc.Members {
		rows = append(rows, []string{m.Name, fmt.Sprint(m.Leases), human.Age(m.LastSeen)})
	}
	fmt.Fprintln(a.Stdout)
	return a.Table("", []string{"MEMBER", "LEASES", "LAST SEEN"}, rows)
}

// groupFlags are the flags that say what a group is to be like.
type groupFlags struct {
	from string
	spec edda.GroupSpec
}

func (g *groupFlags) add(f *pflag.FlagSet) {
	f.StringVar(&g.from, "from", "", "where a new group begins: `start|end|OFFSET|TIME` (default end)")
	f.IntVar(&g.spec.MinMembers, "min-members", 1, "give out messages once there are so many members")
	f.IntVar(&g.spec.MaxMembers, "max-members", 0, "let in so many members; 0 has no limit")
	f.DurationVar(&g.spec.ProcessingTimeout, "processing-timeout", edda.DefaultProcessingTimeout, "how long a member may keep a message without a word")
	f.DurationVar(&g.spec.IdleTimeout, "idle-timeout", edda.DefaultIdleTimeout, "how long a member that reads may be silent")
	cli.AddRetry(f, &g.spec.Retry)
}

// read checks the flags and puts them into the specification.
func (g *groupFlags) read(args []string) error {
	g.spec.Stream, g.spec.Name = args[0], args[1]
	var err error
	if g.spec.From, err = parsePlace("--from", g.from, time.Now()); err != nil {
		return err
	}
	switch {
	case g.spec.MinMembers < 1:
		return cli.WrongUse("--min-members is %d, must be at least 1", g.spec.MinMembers)
	case g.spec.ProcessingTimeout <= 0:
		return cli.WrongUse("--processing-timeout is %v, must be above zero", g.spec.ProcessingTimeout)
	case g.spec.IdleTimeout <= 0:
		return cli.WrongUse("--idle-timeout is %v, must be above zero", g.spec.IdleTimeout)
	case g.spec.Retry.Jitter == 0:
		g.spec.Retry.Jitter = -1 // zero would be the default
	}
	if err := g.spec.Validate(); err != nil {
		return cli.AsWrongUse(err)
	}
	return nil
}

func (a *area) groupsCreate() *cobra.Command {
	var g groupFlags
	cmd := &cobra.Command{
		Use:   "create STREAM GROUP",
		Short: "Create a group, or change one, and say which",
		Long: `Creates a group, and its stream when there is none, or changes a group that there is:
what no flag says has its default then. Where it begins is for a new one only; reset
moves one that there is.`,
		Example: `  ` + a.Program + ` streams groups create orders mail --from start
  ` + a.Program + ` streams groups create orders billing --retry-max 5 --retry-delay 1s --max-members 4`,
		Args: cobra.ExactArgs(2),
	}
	g.add(cmd.Flags())
	cmd.RunE = a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		if err := g.read(args); err != nil {
			return err
		}
		gr, created, err := c.SetGroup(ctx, g.spec)
		if err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(struct {
				Created bool `json:"created"`
				streamjson.Group
			}{created, streamjson.NewGroup(gr)})
		}
		a.SayMade(created, gr.Service())
		return a.printGroup(gr)
	})
	return cmd
}

func (a *area) groupsReset() *cobra.Command {
	var shard, to string
	cmd := &cobra.Command{
		Use:   "reset STREAM GROUP --to start|end|OFFSET|TIME",
		Short: "Set the cursor of a group",
		Long: `Sets the cursor of a group in all shards, or in the one that --shard names, and takes
from the members what they have. Messages after the cursor come again.`,
		Example: `  ` + a.Program + ` streams groups reset orders mail --to start
  ` + a.Program + ` streams groups reset orders mail --to 2h`,
		Args: cobra.ExactArgs(2),
	}
	cmd.Flags().StringVar(&to, "to", "", "where it goes on: `start|end|OFFSET|TIME`, where a time is 2h or 7d ago, 2026-11-21, or RFC 3339 (required)")
	cmd.Flags().StringVar(&shard, "shard", "", "only in this `SHARD`")
	cmd.RunE = a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		if to == "" {
			return cli.WrongUse("--to is missing: say where the group goes on")
		}
		place, err := parsePlace("--to", to, time.Now())
		if err != nil {
			return err
		}
		g, err := c.ResetGroup(ctx, args[0], args[1], shard, place)
		if err != nil {
			return err
		}
		return a.printGroup(g)
	})
	return cmd
}

func (a *area) groupsRemove() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "rm STREAM GROUP",
		Short: "Remove a group with its cursor; its dead letters stay",
		Long: `Removes a group with its cursor. One that has read something, or has members, goes only
when somebody says yes, at the terminal or with --yes. Its dead letters stay.`,
		Args: cobra.ExactArgs(2),
		RunE: a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
			if !yes {
				g, err := c.Group(ctx, args[0], args[1])
				if err != nil {
					return err
				}
				if err := a.mayRemoveGroup(g); err != nil {
					return err
				}
			}
			if err := c.DeleteGroup(ctx, args[0], args[1]); err != nil {
				return err
			}
			return a.PrintRemoved(args[0] + "/" + args[1])
		}),
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "remove it whatever it has")
	return cmd
}

// mayRemoveGroup asks before a group goes that has come somewhere.
func (a *area) mayRemoveGroup(g *edda.Group) error {
	doc := streamjson.NewGroup(g)
	var has []string
	for _, at := range doc.Cursor {
		if at > 0 {
			has = append(has, "a cursor at "+cursor(doc.Cursor))
			break
		}
	}
	if doc.Pending > 0 {
		has = append(has, human.Counted(doc.Pending, "pending message"))
	}
	if n := len(doc.Members); n > 0 {
		has = append(has, human.Counted(n, "member"))
	}
	if len(has) == 0 {
		return nil
	}
	return a.Agreed(fmt.Sprintf("group %s has %s", g.Service(), strings.Join(has, " and ")))
}
