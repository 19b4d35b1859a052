// Package streamcmd has the commands that are about streams and their groups.
package streamcmd

import (
	"context"
	"fmt"
	"maps"
	"slices"
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

// New returns the command streams.
func New(in *cli.Invocation) *cobra.Command {
	a := &area{in}
	g := cli.Group("streams", "Append to streams, read and follow them, look at their groups",
		a.list(), a.create(), a.show(), a.append(), a.read(), a.tail(),
		a.groups(), a.trim(), a.remove())
	g.Long = `A stream is a named sequence of messages in shards; offsets count the messages of
a shard from 0. A group is consumers that share a cursor: each message goes to one
of them.`
	g.Example = `  ` + a.Program + ` streams append orders '{"id":17}' --type order.placed --key ada
  ` + a.Program + ` streams read orders
  ` + a.Program + ` streams tail orders -n 10`
	return g
}

// withStream is the work of a command whose first argument is a stream.
func (a *area) withStream(do func(ctx context.Context, c *eddahttp.Client, args []string) error) func(*cobra.Command, []string) error {
	return a.WithNamed("stream", func(ctx context.Context, c *eddahttp.Client, args []string) error {
		return a.aboutStream(args[0], do(ctx, c, args))
	})
}

// aboutStream adds to an error what would be right of the stream.
func (a *area) aboutStream(stream string, err error) error {
	switch edda.ReasonOf(err) {
	case edda.NoShard, edda.Conflict:
		return cli.WithHint(err, "see it: "+a.Spell("streams show", human.Plain(stream)))
	case edda.NoGroup:
		return cli.WithHint(err, "what there is: "+a.Spell("streams groups", human.Plain(stream)))
	default:
		return err
	}
}

func (a *area) list() *cobra.Command {
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

func (a *area) printStreams(p *eddahttp.Page[streamjson.Stream], quiet bool) error {
	if quiet && !a.JSON {
		cli.Names(a.Invocation, p, func(s *streamjson.Stream) string { return s.Name })
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

func (a *area) show() *cobra.Command {
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

func (a *area) printStream(s *edda.Stream) error {
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
