package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/cmd/edda/internal/sagadraw"
	"github.com/edda-io/edda/internal/eddahttp"
)

// waitFlag is --wait, or --wait=30s: how long to wait, if at all. To the library of
// flags it is one that needs no value.
type waitFlag struct {
	given bool
	// most is zero for as long as it takes.
	most time.Duration
}

func (w *waitFlag) add(f *pflag.FlagSet) {
	f.Var(w, "wait", "follow it until it has ended; with --wait=30s for so long at most")
	f.Lookup("wait").NoOptDefVal = "true"
}

func (*waitFlag) Type() string   { return "bool" }
func (*waitFlag) String() string { return "" }

// Set implements pflag.Value.
func (w *waitFlag) Set(s string) error {
	if given, err := strconv.ParseBool(s); err == nil {
		w.given, w.most = given, 0
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("must be a positive duration such as 30s, or nothing")
	}
	w.given, w.most = true, d
	return nil
}

// args is a check of arguments that knows what --wait 30s looks like to it.
func (w *waitFlag) args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		if err != nil && w.given && len(args) > 0 {
			if _, isDuration := time.ParseDuration(args[len(args)-1]); isDuration == nil {
				return fmt.Errorf("the limit of --wait needs an equals sign: --wait=%s", args[len(args)-1])
			}
		}
		return err
	}
}

// view is how a saga is shown.
type view struct {
	mermaid, all, quiet bool
}

func (a *app) sagasShow() *cobra.Command {
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
func (a *app) drawing(all bool) sagadraw.Options {
	width, _ := cli.TerminalSize(a.Stdout)
	return sagadraw.Options{Width: width, Colour: a.IsTerminal(a.Stdout), All: all, Now: time.Now()}
}

// printSaga draws a saga, and says what to do about it.
func (a *app) printSaga(s *edda.Saga, v view) error {
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

func (a *app) sayFolded(whole bool) {
	if !whole {
		fmt.Fprintln(a.Stderr, "  every step: --all")
	}
}

func (a *app) sagaFields(s *edda.Saga) error {
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
func (a *app) sagaHints(s *edda.Saga) []string {
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

// follow shows a saga until it has ended, or for as long as was asked for. On a
// terminal it is drawn again whenever something may have happened.
func (a *app) follow(cmd *cobra.Command, client *eddahttp.Client, id string, most time.Duration, v view) error {
	began := time.Now()
	s, err := a.awaitSaga(cmd.Context(), client, id, most, v)
	switch {
	case err != nil && cmd.Context().Err() != nil:
		return cli.Interrupted("the saga goes on: " + a.Spell("sagas show", human.Plain(id), "--wait"))
	case err != nil:
		return err
	}
	if !v.quiet || a.JSON {
		if err := a.printSaga(s, v); err != nil {
			return err
		}
	}
	switch {
	case s.State == edda.SagaSucceeded:
		return nil
	case s.State.Ended():
		return fmt.Errorf("saga %s is %s", id, s.State)
	default:
		return fmt.Errorf("saga %s is %s after %s", id, s.State, human.Duration(time.Since(began)))
	}
}

// Waits for a node's answer. A look at a saga that is drawn while it runs is short,
// so that what happens is seen; the others are as long as nodes let one wait.
const (
	shortLook = 500 * time.Millisecond
	longLook  = 5 * time.Minute
)

func (a *app) awaitSaga(ctx context.Context, client *eddahttp.Client, id string, most time.Duration, v view) (*edda.Saga, error) {
	began := time.Now()
	screen := a.screen(v)
	if screen != nil {
		defer screen.show("")
	}
	for {
		look := longLook
		if screen != nil {
			look = shortLook
		}
		if most > 0 {
			look = max(time.Millisecond, min(look, most-time.Since(began)))
		}
		s, err := client.Saga(ctx, id, look)
		if err != nil || s.State.Ended() || most > 0 && time.Since(began) >= most {
			return s, err
		}
		if screen != nil {
			text, _ := sagadraw.Text(s, a.drawing(v.all))
			screen.show(text)
		}
	}
}

// screen is the end of a terminal, where a drawing takes the place of the one before.
type screen struct {
	out io.Writer
	// lines are those of the terminal; shown is what stands on it.
	lines int
	shown string
}

// screen returns nil where nobody looks on.
func (a *app) screen(v view) *screen {
	_, lines := cli.TerminalSize(a.Stdout)
	if lines == 0 || a.Getenv("TERM", "") == "dumb" || a.JSON || v.mermaid || v.quiet {
		return nil
	}
	return &screen{out: a.Stdout, lines: lines}
}

// show replaces what was shown, in one piece, with as much of a text as there is
// room for.
func (s *screen) show(text string) {
	all := strings.SplitAfter(text, "\n")
	if room := max(s.lines-1, 1); len(all) > room {
		text = strings.Join(all[:room], "")
	}
	if text == s.shown {
		return
	}
	wipe := ""
	if n := strings.Count(s.shown, "\n"); n > 0 {
		wipe = fmt.Sprintf("\x1b[%dA\x1b[J", n)
	}
	fmt.Fprint(s.out, wipe+text)
	s.shown = text
}
