package requestcmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
)

// DeadLetters returns the command deadletters.
func DeadLetters(in *cli.Invocation) *cobra.Command {
	a := &area{in}
	return cli.Group("deadletters", "Look at requests whose retries are spent, retry or drop them",
		a.deadLettersList(), a.deadLettersShow(),
		a.withIDs("retry", "Put dead requests at the end of their key's queue again", "retried",
			(*eddahttp.Client).RetryDeadLetter),
		a.withIDs("drop", "Remove dead letters; the requests stay dead", "dropped",
			(*eddahttp.Client).DropDeadLetter))
}

func (a *area) deadLettersList() *cobra.Command {
	var q eddahttp.Query
	var reason string
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List dead letters",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q.Reason = edda.Reason(reason)
			client, err := a.Listing(&q)
			if err != nil {
				return err
			}
			p, err := client.DeadLetters(cmd.Context(), q)
			if err != nil {
				return err
			}
			return cli.List(a.Invocation, p, "no dead letters", []string{"ID", "TO", "METHOD", "REASON", "ATTEMPTS", "DIED", "DETAIL"},
				func(d *eddahttp.DeadLetter) []string {
					return []string{
						d.ID.String(), edda.Address{Name: d.Service, Key: d.Key}.String(), d.Method, string(d.Reason),
						fmt.Sprint(d.Attempts), human.Age(d.DiedAt), human.Clip(d.Detail),
					}
				})
		},
	}
	addFilters(cmd.Flags(), &q)
	cmd.Flags().StringVar(&reason, "reason", "", "only those with this reason")
	return cmd
}

func (a *area) deadLettersShow() *cobra.Command {
	return a.withID("show", "Show a dead letter with its payload", func(ctx context.Context, c *eddahttp.Client, id edda.ID) error {
		d, err := c.DeadLetter(ctx, id)
		if err != nil {
			return err
		}
		if a.JSON {
			return a.PrintJSON(d)
		}
		if err := a.Fields(
			"id", d.ID.String(), "to", edda.Address{Name: d.Service, Key: d.Key}.String()+" "+d.Method, "reason", string(d.Reason),
			"detail", d.Detail, "attempts", fmt.Sprint(d.Attempts), "died", human.Stamp(d.DiedAt), "content type", d.ContentType,
		); err != nil {
			return err
		}
		for _, h := range d.Headers {
			fmt.Fprintf(a.Stdout, "%s: %s\n", human.Plain(h.Name), human.Plain(h.Value))
		}
		payload, err := d.Decode(d.ContentType)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.Stdout)
		return cli.WriteLine(a.Stdout, payload)
	})
}

// withIDs makes a command that does the same to one request after the other,
// until one goes wrong.
func (a *area) withIDs(
	use, short, done string, do func(c *eddahttp.Client, ctx context.Context, id edda.ID) error,
) *cobra.Command {
	return &cobra.Command{
		Use:   use + " ID...",
		Short: short,
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids := make([]edda.ID, len(args))
			for i, arg := range args {
				var err error
				if ids[i], err = edda.ParseID(arg); err != nil {
					return cli.AsWrongUse(err)
				}
			}
			client, err := a.Client()
			if err != nil {
				return err
			}
			for _, id := range ids {
				if err := do(client, cmd.Context(), id); err != nil {
					return a.aboutRequest(id, err)
				}
				if err := a.PrintDone(done, id.String()); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
