package sagacmd

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cmd/edda/internal/sagadraw"
)

// view is how a saga is shown.
type view struct {
	mermaid, all, quiet bool
}

func (a *area) show() *cobra.Command {
	var v view
	var wait waitFlag
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Draw a saga: its steps, how they depend on each other, and where each stands",
		Long: `Draws the steps of a saga as boxes with arrows between them, or level by level
when that is too wide; one of many steps is folded to counts, and to the steps
that failed or run. The marks are

  · waiting  ○ ready  ► running  ◇ to be completed  ✓ succeeded  ✗ failed
  ↶ being undone  ↩ undone  ! not undone  – skipped  ⊘ cancelled

--mermaid prints a flowchart that GitHub, among others, draws in Markdown. With
--wait the saga is followed to its end, and the exit code is 1 unless it
succeeded.`,
		Example: `  ` + a.Program + ` sagas show ID --wait
  ` + a.Program + ` sagas show ID --mermaid > hammer.mmd`,
		Args: wait.args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkSagaID(args[0]); err != nil {
				return err
			}
			if v.mermaid && a.JSON {
				return cli.WrongUse("--mermaid and --json are two ways to print the same: leave one out")
			}
			client, err := a.Client()
			if err != nil {
				return err
			}
			if wait.given {
				return a.follow(cmd, client, args[0], wait.most, v)
			}
			s, err := client.Saga(cmd.Context(), args[0], 0)
			if err != nil {
				return err
			}
			return a.printSaga(s, v)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&v.mermaid, "mermaid", false, "print a Mermaid flowchart")
	f.BoolVar(&v.all, "all", false, "show every step, however many there are")
	wait.add(f)
	return cmd
}

// drawing returns how sagas are drawn on what stdout is.
func (a *area) drawing(all bool) sagadraw.Options {
	width, _ := cli.TerminalSize(a.Stdout)
	return sagadraw.Options{Width: width, Colour: a.IsTerminal(a.Stdout), All: all, Now: time.Now()}
}

// printSaga draws a saga, and says what to do about it.
func (a *area) printSaga(s *edda.Saga, v view) error {
	switch {
	case a.JSON:
		return a.PrintJSON(s)
	case v.mermaid:
		chart, whole := sagadraw.Mermaid(s, a.drawing(v.all))
		fmt.Fprint(a.Stdout, chart)
		a.sayFolded(whole)
		return nil
	}
	if err := a.sagaFields(s); err != nil {
		return err
	}
	text, whole := sagadraw.Text(s, a.drawing(v.all))
	fmt.Fprintf(a.Stdout, "\n%s", text)
	a.sayFolded(whole)
	for _, hint := range a.sagaHints(s) {
		fmt.Fprintln(a.Stderr, hint)
	}
	return nil
}

func (a *area) sayFolded(whole bool) {
	if !whole {
		fmt.Fprintln(a.Stderr, "  every step: --all")
	}
}

func (a *area) sagaFields(s *edda.Saga) error {
	why := string(s.Reason)
	if s.Detail != "" {
		why = strings.TrimPrefix(why+": "+s.Detail, ": ")
	}
	state := string(s.State)
	if d := took(s); d != "" {
		state += " after " + d
	}
	correlation := s.CorrelationID
	if correlation == s.ID {
		correlation = ""
	}
	started := ""
	if s.StartedAt.Sub(s.CreatedAt) > time.Second {
		started = human.Stamp(s.StartedAt)
	}
	return a.Fields(
		"id", s.ID, "name", s.Name, "state", state, "why", why,
		"steps", fmt.Sprintf("%d of %d succeeded", s.SucceededCount, s.StepCount),
		"principal", string(s.Principal), "correlation", correlation,
		"created", human.Stamp(s.CreatedAt), "started", started, "deadline", human.Stamp(s.Deadline),
	)
}

// sagaHints says what a person can do about a saga, if anything.
func (a *area) sagaHints(s *edda.Saga) []string {
	const most = 3
	var hints []string
	say := func(what string, commands ...string) {
		hints = append(hints, "", "  "+what)
		for _, c := range commands {
			hints = append(hints, "    "+c)
		}
	}
	id := human.Plain(s.ID)
	if s.State == edda.SagaCreated {
		say("It was not started:", a.Spell("sagas start --id", id))
	}
	said := 0
	for i := range s.Steps {
		t := &s.Steps[i]
		step := human.Plain(t.ID)
		if said == most {
			break
		}
		switch {
		case t.Compensation != nil && t.Compensation.State == edda.CompensationFailed:
			say("Step "+step+" could not be undone. A person has to say what is to be:",
				a.Spell("sagas retry", id, step)+"      undo it again",
				a.Spell("sagas skip", id, step)+"       let it stand as it is",
				a.Spell("sagas resolve", id, step)+"    it has been undone otherwise")
			said++
		case t.Pending && t.State == edda.StepRunning:
			say("Step "+step+" runs until somebody finishes it:",
				a.Spell("sagas complete", id, step, "RESULT"), a.Spell("sagas fail", id, step, "MESSAGE"))
			said++
		case t.SagaID != "" && (t.State == edda.StepFailed || t.State == edda.StepCompensating):
			say("Step "+step+" is a saga:", a.Spell("sagas show", human.Plain(t.SagaID)))
			said++
		}
	}
	return hints
}
