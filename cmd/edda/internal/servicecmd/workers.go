package servicecmd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
)

// Workers returns the command workers.
func Workers(in *cli.Invocation) *cobra.Command {
	a := &area{in}
	return cli.Group("workers", "Look at workers, drain, pause and resume them",
		a.workersList(),
		a.withWorker("show ID", "Show a worker and what it has", (*eddahttp.Client).Worker),
		a.withWorker("drain ID", "Give a worker nothing more, and have it finish", (*eddahttp.Client).DrainWorker),
		a.withWorker("pause ID", "Give a worker nothing until it is resumed", (*eddahttp.Client).PauseWorker),
		a.withWorker("resume ID", "Give a paused worker requests again", (*eddahttp.Client).ResumeWorker))
}

func (a *area) workersList() *cobra.Command {
	var q eddahttp.Query
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List workers",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.Listing(&q)
			if err != nil {
				return err
			}
			p, err := client.Workers(cmd.Context(), q)
			if err != nil {
				return err
			}
			return cli.List(a.Invocation, p, "no workers", []string{"ID", "SERVICES", "VERSION", "TRANSPORT", "SLOTS", "IN FLIGHT", "HEARD OF", "STATE"},
				func(w *edda.WorkerInfo) []string {
					return []string{
						w.ID, human.Clip(strings.Join(w.Services, ", ")), w.Version, w.Transport,
						fmt.Sprint(w.Slots), fmt.Sprint(w.InFlight), human.Age(w.LastBeat), string(w.State),
					}
				})
		},
	}
	cli.AddPaging(cmd.Flags(), &q)
	return cmd
}

// withWorker makes a command that changes a worker, or looks at it, and prints what
// it then is.
func (a *area) withWorker(
	use, short string, do func(c *eddahttp.Client, ctx context.Context, id string) (*edda.WorkerInfo, error),
) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.Client()
			if err != nil {
				return err
			}
			w, err := do(client, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.printWorker(w)
		},
	}
}

func (a *area) printWorker(w *edda.WorkerInfo) error {
	if a.JSON {
		return a.PrintJSON(w)
	}
	var labels []string
	for name, v := range w.Labels {
		labels = append(labels, name+"="+v)
	}
	slices.Sort(labels)
	if err := a.Fields(
		"id", w.ID, "services", strings.Join(w.Services, ", "), "version", w.Version, "labels", strings.Join(labels, ", "),
		"transport", w.Transport, "slots", fmt.Sprint(w.Slots), "in flight", fmt.Sprint(w.InFlight),
		"heard of", human.Stamp(w.LastBeat), "state", string(w.State),
	); err != nil || len(w.Holds) == 0 {
		return err
	}
	fmt.Fprintln(a.Stdout)
	rows := make([][]string, len(w.Holds))
	for i, h := range w.Holds {
		rows[i] = []string{h.Request.String(), edda.Address{Name: h.Service, Key: h.Key}.String(), h.Method, fmt.Sprint(h.Attempt), human.Age(h.Since)}
	}
	return a.Table("", []string{"REQUEST", "TO", "METHOD", "ATTEMPT", "SINCE"}, rows)
}
