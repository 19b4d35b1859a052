// Package sagacmd has the commands that are about sagas.
package sagacmd

import (
	"fmt"
	"slices"
	"strings"
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

// New returns the command sagas.
func New(in *cli.Invocation) *cobra.Command {
	a := &area{in}
	g := cli.Group("sagas", "Start sagas, draw them, finish and undo their steps",
		a.list(), a.show(), a.start(), a.add(), a.cancel(),
		a.complete(), a.fail(),
		a.withCompensation(edda.RetryCompensation, "Undo a step again whose compensation failed",
			"Runs a compensation again that failed for good, with its attempts counted anew."),
		a.withCompensation(edda.SkipCompensation, "Let a step stand whose compensation failed",
			"Leaves a step as it is whose compensation failed for good: it ends not_compensated."),
		a.withCompensation(edda.ResolveCompensation, "Say that a step was undone otherwise",
			"Says that somebody has undone a step whose compensation failed for good: it ends compensated."),
		a.prune())
	g.Long = `A saga is a DAG of steps, each a request to a service. When one fails, what had
succeeded is undone. docs/sagas.md says all about them.`
	g.Example = `  ` + a.Program + ` sagas start hammer.json --wait
  ` + a.Program + ` sagas show ID
  ` + a.Program + ` sagas ls --state compensation_failed    what waits for a person`
	return g
}

// aboutSaga adds to an error what would be right of the saga.
func (a *area) aboutSaga(id string, err error) error {
	switch edda.ReasonOf(err) {
	case edda.NoStep, edda.SagaEnded:
		return cli.WithHint(err, "see it: "+a.Spell("sagas show", human.Plain(id)))
	default:
		return err
	}
}

// sagaStates are those that a saga can be in.
var sagaStates = []string{
	string(edda.SagaCreated), string(edda.SagaRunning), string(edda.SagaSucceeded), string(edda.SagaCompensating),
	string(edda.SagaCompensated), string(edda.SagaCompensationFailed), string(edda.SagaCancelled),
}

// sagaFilters are the flags that choose sagas.
type sagaFilters struct {
	state, since, until string
	query               eddahttp.SagaQuery
}

func (s *sagaFilters) add(f *pflag.FlagSet) {
	f.StringVar(&s.query.Name, "name", "", "only those with this name")
	f.StringVar(&s.state, "state", "", "only those in this state: `"+strings.Join(sagaStates, "|")+"`")
	f.StringVar(&s.since, "since", "", "only those created since this `TIME`: 2h or 7d ago, 2026-11-21, or RFC 3339")
	f.StringVar(&s.until, "until", "", "only those created before this `TIME`")
}

// read checks the flags and puts them into the query.
func (s *sagaFilters) read(now time.Time) error {
	s.query.State = edda.SagaState(s.state)
	if s.state != "" && !slices.Contains(sagaStates, s.state) {
		return cli.WrongUse("--state is %q, must be one of %s", s.state, strings.Join(sagaStates, ", "))
	}
	var err error
	if s.query.Since, err = cli.ParseTime("--since", s.since, now); err != nil {
		return err
	}
	s.query.Until, err = cli.ParseTime("--until", s.until, now)
	return err
}

func (a *area) list() *cobra.Command {
	var filters sagaFilters
	var paging eddahttp.Query
	var quiet bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List sagas, the latest first",
		Long: `Lists sagas, the latest first, with how many of their steps have succeeded. Those
in state compensation_failed wait for a person; what that can do is said below.`,
		Example: `  ` + a.Program + ` sagas ls --state running --since 1h
  ` + a.Program + ` sagas ls --name trip --until 2026-11-21
  ` + a.Program + ` sagas ls --state created --quiet | xargs -n1 ` + a.Program + ` sagas start --id`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := filters.read(time.Now()); err != nil {
				return err
			}
			client, err := a.Listing(&paging)
			if err != nil {
				return err
			}
			filters.query.Limit, filters.query.After = paging.Limit, paging.After
			p, err := client.Sagas(cmd.Context(), filters.query)
			if err != nil {
				return err
			}
			return a.printSagas(p, quiet)
		},
	}
	filters.add(cmd.Flags())
	cli.AddPaging(cmd.Flags(), &paging)
	cli.AddQuiet(cmd.Flags(), &quiet, "ids")
	return cmd
}

func (a *area) printSagas(p *eddahttp.Page[edda.Saga], quiet bool) error {
	if quiet && !a.JSON {
		cli.Names(a.Invocation, p, func(s *edda.Saga) string { return s.ID })
		return nil
	}
	err := cli.List(a.Invocation, p, "no sagas", []string{"ID", "NAME", "STATE", "STEPS", "CREATED", "TOOK", "REASON"}, func(s *edda.Saga) []string {
		return []string{
			s.ID, s.Name, string(s.State), fmt.Sprintf("%d/%d", s.SucceededCount, s.StepCount), human.Age(s.CreatedAt), took(s), string(s.Reason),
		}
	})
	if err != nil || a.JSON {
		return err
	}
	return a.sayWhoWaits(p.Items)
}

// sayWhoWaits says what to do about sagas that wait for a person.
func (a *area) sayWhoWaits(sagas []edda.Saga) error {
	var ids []string
	for i := range sagas {
		if sagas[i].State == edda.SagaCompensationFailed {
			ids = append(ids, sagas[i].ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	what := "a saga waits"
	if len(ids) > 1 {
		what = fmt.Sprintf("%d sagas wait", len(ids))
	}
	fmt.Fprintf(a.Stderr, "\n%s for a person, because a step could not be undone. See what can be done:\n", what)
	const most = 3
	for _, id := range ids[:min(len(ids), most)] {
		fmt.Fprintf(a.Stderr, "  %s\n", a.Spell("sagas show", human.Plain(id)))
	}
	return nil
}

// took says how long a saga took that has ended.
func took(s *edda.Saga) string {
	if s.StartedAt.IsZero() || s.EndedAt.IsZero() {
		return ""
	}
	return human.Duration(s.EndedAt.Sub(s.StartedAt))
}

func (a *area) prune() *cobra.Command {
	var filters sagaFilters
	var all bool
	cmd := &cobra.Command{
		Use:   "prune [ID...]",
		Short: "Remove sagas that have ended, before their time",
		Long: `Removes sagas that have ended: those with the ids, or all that the flags choose.
One with a failed compensation goes only where its id or its state is named. A
node removes sagas by itself when they have been kept for as long as its
settings say.`,
		Example: `  ` + a.Program + ` sagas prune --state succeeded --until 1d
  ` + a.Program + ` sagas prune ID`,
		RunE: func(cmd *cobra.Command, ids []string) error {
			if err := filters.read(time.Now()); err != nil {
				return err
			}
			chosen := filters.query != eddahttp.SagaQuery{}
			switch {
			case len(ids) > 0 && (chosen || all):
				return cli.WrongUse("either ids or flags say which sagas go, not both")
			case len(ids) == 0 && chosen == all:
				return cli.WrongUse("say which sagas go: ID..., or --name, --state, --since, --until, or --all")
			}
			client, err := a.Client()
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				return a.pruneChosen(cmd, client, filters.query)
			}
			for _, id := range ids {
				if err := checkSagaID(id); err != nil {
					return err
				}
				if err := client.RemoveSaga(cmd.Context(), id); err != nil {
					return a.aboutSaga(id, err)
				}
				if err := a.PrintDone("removed", id); err != nil {
					return err
				}
			}
			return nil
		},
	}
	filters.add(cmd.Flags())
	cmd.Flags().BoolVar(&all, "all", false, "all that have ended without a failed compensation")
	return cmd
}

func (a *area) pruneChosen(cmd *cobra.Command, client *eddahttp.Client, q eddahttp.SagaQuery) error {
	n, err := client.PruneSagas(cmd.Context(), q)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.PrintJSON(map[string]int{"removed": n})
	}
	_, err = fmt.Fprintf(a.Stdout, "removed %d\n", n)
	return err
}
