package sagacmd

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
)

// starting are the flags of sagas start.
type starting struct {
	id, key, correlation string
	hold, quiet          bool
	wait                 waitFlag
}

func (a *area) start() *cobra.Command {
	var s starting
	cmd := &cobra.Command{
		Use:   "start FILE|- | --id ID",
		Short: "Create a saga and start it, or start one that was created",
		Long: `Creates a saga from its definition, a JSON file or - for standard input, and
starts it; the definition is what POST /v1/sagas takes, but for its start, which
--hold leaves for later: --id without a file starts it then. Prints its id and
where to look.

With --wait the saga is followed to its end and drawn, and the exit code is 1
unless it succeeded.`,
		Example: `  ` + a.Program + ` sagas start hammer.json --wait
  ` + a.Program + ` sagas start trip.json --id trip-17 --idempotency-key order-17
  ` + a.Program + ` sagas start trip.json --id trip-18 --hold
  ` + a.Program + ` sagas start --id trip-18
  echo '{"name":"echo","steps":[{"id":"one","service":"echo","method":"say"}]}' | ` + a.Program + ` sagas start -`,
		Args: s.wait.args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.check(args); err != nil {
				return err
			}
			client, err := a.Client()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.startCreated(cmd, client, &s)
			}
			doc, err := a.Document(args[0])
			if err != nil {
				return err
			}
			if doc, err = s.fill(args[0], doc); err != nil {
				return err
			}
			return a.createSaga(cmd, client, &s, doc)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.id, "id", "", "`ID` of the saga; without a FILE, of the one to start")
	f.StringVar(&s.key, "idempotency-key", "", "make a repeated start find the first one's saga")
	f.StringVar(&s.correlation, "correlation-id", "", "`ID` of the story that the saga is part of")
	f.BoolVar(&s.hold, "hold", false, "create it, and do not start it")
	cli.AddQuiet(f, &s.quiet, "ids")
	s.wait.add(f)
	return cmd
}

func (s *starting) check(args []string) error {
	switch {
	case len(args) == 0 && s.id == "":
		return cli.WrongUse("say what to start: a FILE with a definition, - for standard input, or --id ID of a saga that was created")
	case len(args) == 0 && (s.key != "" || s.correlation != "" || s.hold):
		return cli.WrongUse("--idempotency-key, --correlation-id and --hold are for a new saga, which needs a FILE or -")
	case s.hold && s.wait.given:
		return cli.WrongUse("--wait waits for the end of a saga that --hold does not start: leave one out")
	case s.id != "":
		return checkSagaID(s.id)
	}
	return nil
}

// checkSagaID refuses what cannot be a saga's id, before it becomes part of a path.
func checkSagaID(id string) error {
	if id == "" || id == "." || id == ".." {
		return cli.WrongUse("%q is no id of a saga", id)
	}
	return nil
}

// fill puts what the flags say into a definition.
func (s *starting) fill(name string, doc []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(doc, &members) != nil || members == nil {
		return nil, cli.WrongUse("%s is no definition of a saga: it must be an object, such as {\"name\":\"hammer\",\"steps\":[…]}", name)
	}
	members["start"] = json.RawMessage(fmt.Sprint(!s.hold))
	if s.id != "" {
		id, err := json.Marshal(s.id)
		if err != nil {
			return nil, err
		}
		members["id"] = id
	}
	return json.Marshal(members)
}

func (a *area) createSaga(cmd *cobra.Command, client *eddahttp.Client, s *starting, doc []byte) error {
	saga, replayed, err := client.CreateSaga(cmd.Context(), eddahttp.NewSaga{Spec: doc, IdempotencyKey: s.key, CorrelationID: s.correlation})
	if err != nil {
		return badDefinition(err)
	}
	done := "started"
	switch {
	case replayed:
		done = "found"
	case saga.State == edda.SagaCreated:
		done = "created"
	}
	return a.afterStart(cmd, client, s, saga, done)
}

func (a *area) startCreated(cmd *cobra.Command, client *eddahttp.Client, s *starting) error {
	saga, err := client.StartSaga(cmd.Context(), s.id)
	if err != nil {
		return a.aboutSaga(s.id, err)
	}
	return a.afterStart(cmd, client, s, saga, "started")
}

// afterStart says which saga was started, and follows it where that is asked for.
func (a *area) afterStart(cmd *cobra.Command, client *eddahttp.Client, s *starting, saga *edda.Saga, done string) error {
	waits := s.wait.given
	switch {
	case a.JSON && !waits:
		return a.PrintJSON(saga)
	case s.quiet && !a.JSON:
		fmt.Fprintln(a.Stdout, human.Plain(saga.ID))
	case !a.JSON:
		fmt.Fprintf(a.Stdout, "%s %s\n", done, human.Plain(saga.ID))
	}
	if waits {
		return a.follow(cmd, client, saga.ID, s.wait.most, view{quiet: s.quiet})
	}
	if !s.quiet {
		fmt.Fprintf(a.Stderr, "  see it: %s\n", a.Spell("sagas show", human.Plain(saga.ID)))
		if done == "created" {
			fmt.Fprintf(a.Stderr, "  start it: %s\n", a.Spell("sagas start --id", human.Plain(saga.ID)))
		}
	}
	return nil
}

func (a *area) add() *cobra.Command {
	return &cobra.Command{
		Use:   "add ID FILE|-",
		Short: "Add steps to a saga that has not ended",
		Long: `Adds a step to a saga, or an array of steps, all or none, from a JSON file or - for
standard input. They may come after any steps of the saga, and each other.`,
		Example: `  echo '{"id":"mail","service":"mail","method":"send","after":["hotel"]}' | ` + a.Program + ` sagas add trip-17 -`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkSagaID(args[0]); err != nil {
				return err
			}
			doc, err := a.Document(args[1])
			if err != nil {
				return err
			}
			client, err := a.Client()
			if err != nil {
				return err
			}
			saga, err := client.AddSteps(cmd.Context(), args[0], doc)
			if err != nil {
				return a.aboutSaga(args[0], badDefinition(err))
			}
			if a.JSON {
				return a.PrintJSON(saga)
			}
			_, err = fmt.Fprintf(a.Stdout, "added to %s, which has %d steps now\n", human.Plain(saga.ID), saga.StepCount)
			return err
		},
	}
}

// badDefinition makes wrong use of an error that says that a definition can be none,
// whatever state the node is in.
func badDefinition(err error) error {
	if reason := edda.ReasonOf(err); reason == edda.BadSchema || reason == edda.Cycle {
		return cli.AsWrongUse(err)
	}
	return err
}
