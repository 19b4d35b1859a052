package sagacmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
)

func (a *area) cancel() *cobra.Command {
	return &cobra.Command{
		Use:   "cancel ID...",
		Short: "Undo sagas",
		Long: `Cancels sagas: steps that run are cancelled, and what had succeeded is undone. One
of which nothing was started is cancelled at once. The exit code is 1 when one was
not cancelled, because it had ended, or was being undone for another reason.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			client, err := a.Client()
			if err != nil {
				return err
			}
			for _, id := range ids {
				if err := checkSagaID(id); err != nil {
					return err
				}
			}
			return a.cancelSagas(cmd.Context(), client, ids)
		},
	}
}

// cancelSagas cancels sagas. One that cannot be cancelled keeps none of the others from
// it; a node that does not answer does.
func (a *area) cancelSagas(ctx context.Context, client *eddahttp.Client, ids []string) error {
	var not error
	for _, id := range ids {
		err := a.cancelSaga(ctx, client, id)
		switch {
		case err == nil:
			continue
		case not == nil:
			not = err
		default:
			not = fmt.Errorf("%w; %w", not, err)
		}
		if _, ended := errors.AsType[*notCancelledError](err); !ended && edda.ReasonOf(err) != edda.NoSaga {
			break
		}
	}
	return not
}

// notCancelledError says that a saga was not cancelled, because of how it stands.
type notCancelledError struct {
	id    string
	state edda.SagaState
}

func (e *notCancelledError) Error() string {
	return fmt.Sprintf("saga %s was not cancelled: it is %s", e.id, e.state)
}

func (a *area) cancelSaga(ctx context.Context, client *eddahttp.Client, id string) error {
	s, err := client.CancelSaga(ctx, id)
	if err != nil {
		return a.aboutSaga(id, err)
	}
	if a.JSON {
		if err := a.PrintJSON(s); err != nil {
			return err
		}
	}
	switch {
	case s.State != edda.SagaCancelled && s.Reason != edda.Cancelled:
		return &notCancelledError{id, s.State}
	case a.JSON:
		return nil
	}
	_, err = fmt.Fprintf(a.Stdout, "cancelled %s: it is %s\n", human.Plain(s.ID), s.State)
	return err
}

func (a *area) complete() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "complete ID STEP [RESULT|-]",
		Short: "Finish a running step with a result",
		Long: `Finishes a running step with its result, which is JSON: null when there is none;
- reads it from standard input. A handler that still works on it is fenced. The
exit code is 1 when the step was not running: then nothing was changed.`,
		Example: `  ` + a.Program + ` sagas complete trip-17 hotel '{"room":12}'
  ` + a.Program + ` sagas complete trip-17 hotel --completion-key KEY`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := a.result(args[2:])
			if err != nil {
				return err
			}
			return a.finish(args, "completed", func(c *eddahttp.Client) (*edda.StepAnswer, error) {
				return c.CompleteStep(cmd.Context(), args[0], args[1], result, key)
			})
		},
	}
	addCompletionKey(cmd, &key)
	return cmd
}

func (a *area) fail() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "fail ID STEP [MESSAGE]",
		Short: "Fail a running step, whose saga is undone then",
		Long: `Fails a running step; what its saga had done is undone then. MESSAGE is for people.
The exit code is 1 when the step was not running: then nothing was changed.`,
		Example: `  ` + a.Program + ` sagas fail trip-17 hotel 'no room is left'`,
		Args:    cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			message := "failed by hand"
			if len(args) > 2 {
				message = args[2]
			}
			return a.finish(args, "failed", func(c *eddahttp.Client) (*edda.StepAnswer, error) {
				return c.FailStep(cmd.Context(), args[0], args[1], message, key)
			})
		},
	}
	addCompletionKey(cmd, &key)
	return cmd
}

func addCompletionKey(cmd *cobra.Command, key *string) {
	cmd.Flags().StringVar(key, "completion-key", "", "the step's completion `KEY`, in place of credentials")
}

// result reads the result of a step from the arguments that are left.
func (a *area) result(args []string) ([]byte, error) {
	if len(args) == 0 {
		return nil, nil
	}
	b, err := a.Data(args[0])
	if err != nil {
		return nil, err
	}
	name := "RESULT"
	if args[0] == "-" {
		name = "standard input"
	}
	if cli.CheckJSON(name, b) != nil {
		return nil, cli.WrongUse("%s is not JSON, which a step's result is: text is '\"text\"', an object '{\"a\":1}'", name)
	}
	return b, nil
}

// finish finishes a step and says what became of that.
func (a *area) finish(args []string, done string, do func(c *eddahttp.Client) (*edda.StepAnswer, error)) error {
	client, err := a.sagaStep(args)
	if err != nil {
		return err
	}
	answer, err := do(client)
	if err != nil {
		return a.aboutSaga(args[0], err)
	}
	if a.JSON {
		if err := a.PrintJSON(answer); err != nil {
			return err
		}
	}
	if !answer.Applied {
		return fmt.Errorf("nothing was changed: step %s of saga %s is %s", args[1], args[0], answer.State)
	}
	if a.JSON {
		return nil
	}
	_, err = fmt.Fprintf(a.Stdout, "%s %s of %s\n", done, human.Plain(args[1]), human.Plain(args[0]))
	return err
}

// sagaStep checks the arguments ID and STEP and returns a client.
func (a *area) sagaStep(args []string) (*eddahttp.Client, error) {
	if err := checkSagaID(args[0]); err != nil {
		return nil, err
	}
	if err := edda.CheckName("step", args[1]); err != nil {
		return nil, cli.AsWrongUse(err)
	}
	return a.Client()
}

// withCompensation makes a command that acts on a compensation which failed.
func (a *area) withCompensation(action edda.CompensationAction, short, long string) *cobra.Command {
	return &cobra.Command{
		Use:   string(action) + " ID STEP",
		Short: short,
		Long:  long + "\nThe exit code is 1 when no compensation of the step had failed: then nothing was\nchanged.",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.sagaStep(args)
			if err != nil {
				return err
			}
			// What comes after does not tell whether it was there before.
			before, err := client.Saga(cmd.Context(), args[0], 0)
			if err != nil {
				return err
			}
			if err := canBeActedOn(before, args[1]); err != nil {
				return err
			}
			s, err := client.Compensate(cmd.Context(), args[0], args[1], action)
			if err != nil {
				return a.aboutSaga(args[0], err)
			}
			if a.JSON {
				return a.PrintJSON(s)
			}
			_, err = fmt.Fprintf(a.Stdout, "%s %s of %s, which is %s now\n", actedWords[action], human.Plain(args[1]), human.Plain(s.ID), s.State)
			return err
		},
	}
}

var actedWords = map[edda.CompensationAction]string{
	edda.RetryCompensation: "retried", edda.SkipCompensation: "skipped", edda.ResolveCompensation: "resolved",
}

// canBeActedOn returns an error for a step whose compensation has not failed. A step
// that is not there is for the node to refuse.
func canBeActedOn(s *edda.Saga, step string) error {
	i := slices.IndexFunc(s.Steps, func(t edda.Step) bool { return t.ID == step })
	switch {
	case i < 0 || s.Steps[i].Compensation != nil && s.Steps[i].Compensation.State == edda.CompensationFailed:
		return nil
	case s.Steps[i].Compensation == nil:
		return fmt.Errorf("nothing was changed: step %s of saga %s has no compensation", step, s.ID)
	case s.State.Ended() && s.Steps[i].Compensation.State == edda.CompensationWaiting:
		return fmt.Errorf("nothing was changed: saga %s has ended, it is %s, and step %s was not to be undone", s.ID, s.State, step)
	default:
		return fmt.Errorf("nothing was changed: the compensation of step %s of saga %s is %s, not failed", step, s.ID, s.Steps[i].Compensation.State)
	}
}
