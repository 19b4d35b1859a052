package streamcmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cmd/edda/internal/message"
	"github.com/edda-io/edda/internal/eddahttp"
	"github.com/edda-io/edda/internal/streamjson"
)

// consuming are the flags of streams groups read.
type consuming struct {
	read edda.GroupRead
	ack  bool
	view message.View
}

func (a *area) groupsRead() *cobra.Command {
	var r consuming
	cmd := &cobra.Command{
		Use:   "read STREAM GROUP --member NAME",
		Short: "Be a member of a group: be given messages",
		Long: `Gives a member of a group its next messages, each under a lease, and waits for the
first one. They come again, to whichever member reads, unless they are acknowledged
by their leases before the processing timeout is over: ack, reject and extend.

With --ack they are acknowledged as soon as they are printed.`,
		Example: `  ` + a.Program + ` streams groups read orders mail --member me --max 10
  ` + a.Program + ` streams groups read orders mail --member me --ack --raw --wait 10m
  ` + a.Program + ` streams groups ack orders mail LEASE`,
		Args: cobra.ExactArgs(2),
	}
	f := cmd.Flags()
	f.StringVar(&r.read.Member, "member", "", "`NAME` of the member; who reads under one name is one member (required)")
	f.IntVar(&r.read.Max, "max", 100, "at most so many, up to 1000")
	f.DurationVar(&r.read.Wait, "wait", 30*time.Second, "wait so long for the first one, at most 10m")
	f.BoolVar(&r.ack, "ack", false, "acknowledge what was printed")
	r.view.AddFlags(f)
	cmd.RunE = a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		r.read.Stream, r.read.Group = args[0], args[1]
		if err := r.check(a.JSON); err != nil {
			return err
		}
		return a.consume(ctx, c, &r)
	})
	return cmd
}

func (r *consuming) check(json bool) error {
	switch {
	case r.read.Member == "":
		return cli.WrongUse("--member is missing: the name of who reads")
	case r.read.Max < 1 || r.read.Max > edda.MaxGroupRead:
		return cli.WrongUse("--max is %d, must be from 1 to %d", r.read.Max, edda.MaxGroupRead)
	case r.read.Wait < 0 || r.read.Wait > 10*time.Minute:
		return cli.WrongUse("--wait is %v, must be at most 10m and not negative", r.read.Wait)
	case r.view.Raw && !json && !r.ack:
		return cli.WrongUse("--raw prints no leases, without which nothing can be acknowledged later: say --ack too")
	}
	return r.view.Check(json)
}

// consume prints what a member is given, and acknowledges it where that is wanted.
func (a *area) consume(ctx context.Context, c *eddahttp.Client, r *consuming) error {
	got, err := c.ReadGroup(ctx, r.read)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // that is how a wait ends, too
	case edda.ReasonOf(err) == edda.GroupFull:
		return cli.WithHint(err, "its members: "+a.Spell("streams groups", human.Plain(r.read.Stream), human.Plain(r.read.Group)))
	case err != nil:
		return err
	}
	if len(got) == 0 {
		fmt.Fprintln(a.Stderr, "no messages")
		return nil
	}
	if err := a.printDeliveries(got, r); err != nil || !r.ack {
		return err
	}
	s := edda.Settle{GroupRef: r.read.GroupRef}
	for i := range got {
		s.Leases = append(s.Leases, got[i].Lease)
	}
	done, err := c.Ack(ctx, s)
	if err != nil && ctx.Err() != nil {
		return cli.Interrupted("what was printed may come again")
	}
	if err != nil {
		return fmt.Errorf("what was printed may come again: %w", err)
	}
	if len(done.Stale) > 0 {
		return fmt.Errorf("%s had ended before what was printed was acknowledged: it comes again", leases(len(done.Stale)))
	}
	return nil
}

func (a *area) printDeliveries(got []edda.Delivery, r *consuming) error {
	rows := make([][]string, 0, len(got))
	for i := range got {
		d := &got[i]
		switch {
		case a.JSON:
			if _, err := a.Stdout.Write(append(streamjson.AppendDelivery(nil, a.Namespace, d), '\n')); err != nil {
				return err
			}
		case r.view.Raw:
			if err := message.PrintPayload(a.Stdout, d.Payload); err != nil {
				return err
			}
		default:
			row := []string{d.Shard, fmt.Sprint(d.Offset), fmt.Sprint(d.Attempt), human.Clip(d.Type), human.Clip(d.Key), d.Lease, human.Clip(message.Preview(&d.StreamMessage))}
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return a.Table("", []string{"SHARD", "OFFSET", "ATTEMPT", "TYPE", "KEY", "LEASE", "DATA"}, rows)
}

// leases writes a number of leases.
func leases(n int) string { return human.Counted(n, "lease") }

// settle makes a command that says something of leases.
func (a *area) settle(
	use, done, short, long string, do func(*eddahttp.Client, context.Context, edda.Settle) (*edda.Settled, error),
) *cobra.Command {
	var s edda.Settle
	cmd := &cobra.Command{
		Use:   use + " STREAM GROUP LEASE...",
		Short: short,
		Long: long + `

LEASE is what read printed beside each message; - reads leases from standard input.
The exit code is 1 when a lease had ended: then nothing was changed for it.`,
		Args: cobra.MinimumNArgs(3),
	}
	if use == "reject" {
		cmd.Flags().StringVar(&s.Error, "error", "", "why it failed: `TEXT` for people")
		cmd.Flags().DurationVar(&s.For, "for", 0, "let them come again after so long (default: as the group's retry policy says)")
	}
	if use == "extend" {
		cmd.Flags().DurationVar(&s.For, "for", 0, "keep them for so long from now (default: the group's processing timeout)")
	}
	cmd.RunE = a.withStream(func(ctx context.Context, c *eddahttp.Client, args []string) error {
		s.Stream, s.Group = args[0], args[1]
		var err error
		if s.Leases, err = a.leaseArgs(args[2:]); err != nil {
			return err
		}
		if cmd.Flags().Changed("for") && s.For <= 0 {
			return cli.WrongUse("--for is %v, must be above zero", s.For)
		}
		settled, err := do(c, ctx, s)
		if err != nil {
			return err
		}
		return a.printSettled(settled, done)
	})
	return cmd
}

// leaseArgs returns the leases that arguments name, which may be - for standard input.
func (a *area) leaseArgs(args []string) ([]string, error) {
	if len(args) != 1 || args[0] != "-" {
		return args, nil
	}
	b, err := a.ReadStdin()
	if err != nil {
		return nil, err
	}
	if found := strings.Fields(string(b)); len(found) > 0 {
		return found, nil
	}
	return nil, cli.WrongUse("there are no leases in standard input")
}

func (a *area) printSettled(s *edda.Settled, done string) error {
	if a.JSON {
		doc := streamjson.Settled{Done: s.Done, Stale: s.Stale}
		if doc.Stale == nil {
			doc.Stale = []string{}
		}
		if err := a.PrintJSON(doc); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.Stdout, "%s %s\n", done, human.Counted(s.Done, "message"))
	}
	if len(s.Stale) == 0 {
		return nil
	}
	return errors.New("had ended before, and was not changed: lease " + human.Plain(strings.Join(s.Stale, ", ")))
}
