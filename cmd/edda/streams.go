package main

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

func (a *app) streams() *cobra.Command {
	g := cli.Group("streams", "Append to streams, read and follow them, look at their groups",
		a.streamsList(), a.streamsCreate(), a.streamsShow(), a.streamsAppend(), a.streamsRead(), a.streamsTail(),
		a.streamsGroups(), a.streamsTrim(), a.streamsRemove())
	g.Long = `A stream is a named sequence of messages in shards; offsets count the messages of
a shard from 0. A group is consumers that share a cursor: each message goes to one
of them.`
	g.Example = `  ` + a.Program + ` streams append orders '{"id":17}' --type order.placed --key ada
  ` + a.Program + ` streams read orders
  ` + a.Program + ` streams tail orders -n 10`
	return g
}

// withStream is the work of a command whose first argument is a stream. The client is
// there.
func (a *app) withStream(do func(ctx context.Context, c *eddahttp.Client, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := edda.CheckName("stream", args[0]); err != nil {
			return cli.AsWrongUse(err)
		}
		client, err := a.Client()
		if err != nil {
			return err
		}
		return a.aboutStream(args[0], do(cmd.Context(), client, args))
	}
}

// aboutStream adds to an error what would be right of the stream.
func (a *app) aboutStream(stream string, err error) error {
	switch edda.ReasonOf(err) {
	case edda.NoShard, edda.Conflict:
		return cli.WithHint(err, "see it: "+a.Spell("streams show", human.Plain(stream)))
	case edda.NoGroup:
		return cli.WithHint(err, "what there is: "+a.Spell("streams groups", human.Plain(stream)))
	default:
		return err
	}
}

func (a *app) streamsList() *cobra.Command {
	var q eddahttp.Query
	var quiet bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List streams",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.Listing(&q)
			if err != nil {
				return err
			}
			p, err := client.Streams(cmd.Context(), q.Limit, q.After)
			if err != nil {
				return err
			}
			docs := &eddahttp.Page[streamjson.Stream]{Next: p.Next}
			for i := range p.Items {
				docs.Items = append(docs.Items, streamjson.NewStream(&p.Items[i]))
			}
			return a.printStreams(docs, quiet)
		},
	}
	cli.AddPaging(cmd.Flags(), &q)
	cli.AddQuiet(cmd.Flags(), &quiet, "names")
	return cmd
}

func (a *app) printStreams(p *eddahttp.Page[streamjson.Stream], quiet bool) error {
	if quiet && !a.JSON {
		for i := range p.Items {
			fmt.Fprintln(a.Stdout, human.Plain(p.Items[i].Name))
		}
		a.SayMore(p.Next)
		return nil
	}
	return cli.List(a.Invocation, p, "no streams", []string{"NAME", "SHARDS", "MESSAGES", "BYTES", "GROUPS", "KEEPS", "CREATED"},
		func(s *streamjson.Stream) []string {
			messages, bytes := kept(s)
			return []string{
				s.Name, fmt.Sprint(max(len(s.Shards), len(s.Offsets))), fmt.Sprint(messages), human.Size(bytes), fmt.Sprint(len(s.Groups)),
				keeps(s.Retention), human.Age(s.CreatedAt),
			}
		})
}

// kept returns what a stream has in all its shards.
func kept(s *streamjson.Stream) (messages, bytes uint64) {
	for _, o := range s.Offsets {
		messages += o.End - o.First
		bytes += o.Bytes
	}
	return messages, bytes
}

// keeps says what is kept of a shard.
func keeps(r *streamjson.Retention) string {
	if r == nil {
		return "everything"
	}
	var limits []string
	if r.Age != "" {
		limits = append(limits, human.TrimZeros(r.Age))
	}
	if r.Count > 0 {
		limits = append(limits, human.Counted(r.Count, "message"))
	}
	if r.Bytes > 0 {
		limits = append(limits, human.Size(r.Bytes))
	}
	return strings.Join(limits, ", ")
}

func (a *app) streamsShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show STREAM",
		Short: "Show a stream: what it keeps, its shards and its groups",
		Args:  cobra.ExactArgs(1),
		RunE: a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
			s, err := c.Stream(ctx, args[0])
			if err != nil {
				return err
			}
			return a.printStream(s)
		}),
	}
}

func (a *app) printStream(s *edda.Stream) error {
	doc := streamjson.NewStream(s)
	if a.JSON {
		return a.PrintJSON(doc)
	}
	if err := a.Fields(
		"name", doc.Name, "created", human.Stamp(doc.CreatedAt), "keeps", keeps(doc.Retention), "knows ids for", human.TrimZeros(doc.Dedupe),
		"only shards", strings.Join(doc.Shards, ", "), "groups", strings.Join(doc.Groups, ", "),
	); err != nil {
		return err
	}
	if len(doc.Offsets) == 0 {
		return nil
	}
	var rows [][]string
	for _, shard := range slices.Sorted(maps.Keys(doc.Offsets)) {
		o := doc.Offsets[shard]
		rows = append(rows, []string{shard, fmt.Sprint(o.First), fmt.Sprint(o.End), fmt.Sprint(o.End - o.First), human.Size(o.Bytes)})
	}
	fmt.Fprintln(a.Stdout)
	return a.Table("", []string{"SHARD", "FIRST", "END", "MESSAGES", "BYTES"}, rows)
}

// streamFlags are the flags that say what a stream is to be like.
type streamFlags struct {
	age, bytes, dedupe string
	spec               edda.StreamSpec
}

func (s *streamFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&s.spec.Shards, "shard", nil, "a `SHARD` there may be, can be repeated; any when left out")
	f.StringVar(&s.age, "retain-age", "", "keep messages for this long: a `DURATION` such as 72h or 30d")
	f.Uint64Var(&s.spec.Retention.Count, "retain-count", 0, "keep the latest `N` messages of each shard")
	f.StringVar(&s.bytes, "retain-bytes", "", "keep the latest messages of each shard, up to so many `BYTES`: 1GiB, 64MiB")
	f.StringVar(&s.dedupe, "dedupe", "", "know the ids of messages for this long: a `DURATION`, 30d at most (default 24h)")
}

// read checks the flags and puts them into the specification.
func (s *streamFlags) read(flags *pflag.FlagSet) error {
	for _, d := range []struct {
		flag, text string
		into       *time.Duration
	}{{"retain-age", s.age, &s.spec.Retention.Age}, {"dedupe", s.dedupe, &s.spec.Dedupe}} {
		if !flags.Changed(d.flag) {
			continue
		}
		v, err := human.ParseDuration(d.text)
		if err != nil || v <= 0 {
			return cli.WrongUse("--%s is %q, must be a duration above zero such as 90s, 72h or 30d", d.flag, d.text)
		}
		*d.into = v
	}
	if flags.Changed("retain-count") && s.spec.Retention.Count == 0 {
		return cli.WrongUse("--retain-count is 0, must be at least 1: leave it out for no limit")
	}
	if flags.Changed("retain-bytes") {
		n, err := human.ParseNumber(s.bytes)
		if err != nil || n < 1 {
			return cli.WrongUse("--retain-bytes is %q, must be a number above zero such as 65536, 64KiB or 1GiB", s.bytes)
		}
		s.spec.Retention.Bytes = uint64(n)
	}
	if err := s.spec.Validate(); err != nil {
		return cli.AsWrongUse(err)
	}
	return nil
}

func (a *app) streamsCreate() *cobra.Command {
	var s streamFlags
	cmd := &cobra.Command{
		Use:   "create STREAM",
		Short: "Create a stream, or change one, and say which",
		Long: `Creates a stream, or changes one that there is: what no flag says has its default
then, which is to keep everything, to allow any shard, and to know ids for 24h. A
stream need not be created: the first message does that, with the defaults.`,
		Example: `  ` + a.Program + ` streams create orders --retain-age 30d --retain-bytes 1GiB
  ` + a.Program + ` streams create readings --shard north --shard south --retain-count 100000 --dedupe 1h`,
		Args: cobra.ExactArgs(1),
	}
	s.add(cmd.Flags())
	cmd.RunE = a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		s.spec.Name = args[0]
		if err := s.read(cmd.Flags()); err != nil {
			return err
		}
		st, created, err := c.SetStream(ctx, s.spec)
		if err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(struct {
				Created bool `json:"created"`
				streamjson.Stream
			}{created, streamjson.NewStream(st)})
		}
		a.SayMade(created, st.Name)
		return a.printStream(st)
	})
	return cmd
}

// parsePlace reads where in a stream: start, end, an offset, or a point in time.
func parsePlace(flag, s string, now time.Time) (edda.From, error) {
	if from := edda.From(s); from == "" || from == edda.FromStart || from == edda.FromEnd {
		return from, nil
	}
	return parsePoint(flag, s, now, "start, end, ")
}

// parsePoint reads an offset or a point in time. Besides them an error names what else
// would be right.
func parsePoint(flag, s string, now time.Time, besides string) (edda.From, error) {
	if s != "" && strings.Trim(s, "0123456789") == "" {
		if _, err := edda.From(s).Parse(); err != nil {
			return "", cli.WrongUse("%s: %w", flag, err)
		}
		return edda.From(s), nil
	}
	t, err := cli.ParseTime(flag, s, now)
	if err != nil || s == "" {
		return "", cli.WrongUse("%s is %q, must be %san offset, how long ago (90s, 2h, 7d), a day (2026-11-21), or a time (2026-11-21T09:00:00Z)", flag, s, besides)
	}
	return edda.FromTime(t), nil
}
