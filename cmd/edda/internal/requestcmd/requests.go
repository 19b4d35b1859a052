// Package requestcmd has the commands that are about requests: call makes one, requests looks
// at them, and deadletters at those whose retries are spent.
package requestcmd

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
)

// area is what these commands share.
type area struct{ *cli.Invocation }

// Requests returns the command requests.
func Requests(in *cli.Invocation) *cobra.Command {
	a := &area{in}
	return cli.Group("requests", "Look at requests, wait for them, cancel them",
		a.requestsList(), a.requestsShow(), a.requestsReply(), a.requestsParts(), a.requestsWait(), a.requestsCancel())
}

func (a *area) requestsList() *cobra.Command {
	var q eddahttp.Query
	var state string
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List requests that have not succeeded",
		Long: `Lists requests that are on their way, waiting or dead. With --service and
--idempotency-key it finds the request with that key, finished or not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q.State = edda.State(state)
			client, err := a.Listing(&q)
			if err != nil {
				return err
			}
			p, err := client.Requests(cmd.Context(), q)
			if err != nil {
				return err
			}
			return cli.List(a.Invocation, p, "no requests", []string{"ID", "STATE", "TO", "METHOD", "ATTEMPTS", "ACCEPTED", "NEXT ATTEMPT"},
				func(r *edda.Request) []string {
					return []string{
						r.ID.String(), string(r.State), edda.Address{Name: r.Service, Key: r.Key}.String(), r.Method,
						fmt.Sprint(r.Attempts), human.Age(r.AcceptedAt), human.Due(r.NextAttemptAt),
					}
				})
		},
	}
	f := cmd.Flags()
	addFilters(f, &q)
	f.StringVar(&state, "state", "", "only those in this state: `accepted|dispatched|taken|retrying|dead`")
	f.StringVar(&q.IdempotencyKey, "idempotency-key", "", "only the one with this key, finished ones too; needs --service")
	return cmd
}

// addFilters adds the flags that all lists of requests have.
func addFilters(f *pflag.FlagSet, q *eddahttp.Query) {
	f.StringVar(&q.Service, "service", "", "only those of this service")
	f.StringVar(&q.Key, "key", "", "only those of this key")
	cli.AddPaging(f, q)
}

// withID makes a command that does something with one request.
func (a *area) withID(use, short string, do func(ctx context.Context, c *eddahttp.Client, id edda.ID) error) *cobra.Command {
	return &cobra.Command{
		Use:   use + " ID",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := edda.ParseID(args[0])
			if err != nil {
				return cli.AsWrongUse(err)
			}
			client, err := a.Client()
			if err != nil {
				return err
			}
			return a.aboutRequest(id, do(cmd.Context(), client, id))
		},
	}
}

// aboutRequest adds to an error what would be right of the request.
func (a *area) aboutRequest(id edda.ID, err error) error {
	if edda.ReasonOf(err) != edda.NoDeadLetter {
		return err
	}
	return cli.WithHint(err, a.Spell("requests show", id.String()))
}

func (a *area) requestsShow() *cobra.Command {
	return a.withID("show", "Show a request", func(ctx context.Context, c *eddahttp.Client, id edda.ID) error {
		r, err := c.Request(ctx, id, 0)
		if err != nil {
			return err
		}
		return a.printRequest(r)
	})
}

func (a *area) requestsReply() *cobra.Command {
	var wait time.Duration
	var include bool
	cmd := a.withID("reply", "Print the reply to a request", func(ctx context.Context, c *eddahttp.Client, id edda.ID) error {
		answer, err := c.Reply(ctx, id, wait)
		if err != nil {
			return a.stoppedWaiting(ctx, id, err)
		}
		if answer.Ack != nil {
			return &edda.Error{
				Op: "get the reply to request " + id.String(), Reason: edda.Timeout, RequestID: id,
				Err: fmt.Errorf("there is none yet"),
			}
		}
		return a.printAnswer(answer, include)
	})
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait so long for it, at most 10m")
	cmd.Flags().BoolVarP(&include, "include", "i", false, "print status and headers too")
	return cmd
}

func (a *area) requestsWait() *cobra.Command {
	var wait time.Duration
	cmd := a.withID("wait", "Wait until a request has ended", func(ctx context.Context, c *eddahttp.Client, id edda.ID) error {
		r, err := c.Request(ctx, id, wait)
		if err != nil {
			return a.stoppedWaiting(ctx, id, err)
		}
		if err := a.printRequest(r); err != nil {
			return err
		}
		switch {
		case r.State == edda.StateSucceeded:
			return nil
		case r.State.Ended():
			return fmt.Errorf("request %s is %s", id, r.State)
		default:
			return fmt.Errorf("request %s is %s after %v", id, r.State, wait)
		}
	})
	cmd.Long = "Waits until a request has ended, and prints it. The exit code is 1 unless it succeeded."
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "wait so long, at most 10m")
	return cmd
}

// stoppedWaiting is the error of a wait for a request, which may be that somebody waits no
// more.
func (a *area) stoppedWaiting(ctx context.Context, id edda.ID, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return cli.Interrupted("the request goes on: " + a.Spell("requests wait", id.String()))
}

func (a *area) requestsCancel() *cobra.Command {
	cmd := a.withID("cancel", "End a request at once", func(ctx context.Context, c *eddahttp.Client, id edda.ID) error {
		r, err := c.Cancel(ctx, id)
		if err != nil {
			return err
		}
		if err := a.printRequest(r); err != nil {
			return err
		}
		if r.State != edda.StateCancelled {
			return fmt.Errorf("request %s had ended before: it is %s", id, r.State)
		}
		return nil
	})
	cmd.Long = "Ends a request at once: it is not started any more, and a handler that runs is cut off."
	return cmd
}

func (a *area) printRequest(r *edda.Request) error {
	if a.JSON {
		return a.PrintJSON(r)
	}
	var reply, failure string
	if r.Reply != nil {
		reply = fmt.Sprintf("status %d, %d bytes %s", r.Reply.Status, r.Reply.Size, r.Reply.ContentType)
	}
	if r.Error != nil {
		failure = fmt.Sprintf("%s: %s", r.Error.Reason, r.Error.Message)
	}
	due := human.Stamp(r.NextAttemptAt)
	if human.Due(r.NextAttemptAt) == "due" {
		due = "due"
	}
	return a.Fields(
		"id", r.ID.String(),
		"to", edda.Address{Name: r.Service, Key: r.Key}.String()+" "+r.Method,
		"state", string(r.State),
		"attempts", fmt.Sprint(r.Attempts),
		"position", r.Position,
		"principal", string(r.Principal),
		"correlation", r.CorrelationID,
		"caused by", r.CausationID.String(),
		"accepted", human.Stamp(r.AcceptedAt),
		"started", human.Stamp(r.StartedAt),
		"next attempt", due,
		"completed", human.Stamp(r.CompletedAt),
		"reply", reply,
		"error", failure,
	)
}
