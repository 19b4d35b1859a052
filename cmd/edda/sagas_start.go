package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/human"
	"github.com/edda-io/edda/internal/eddahttp"
)

// starting are the flags of sagas start.
type starting struct {
	id, key, correlation string
	hold, quiet          bool
	wait                 waitFlag
}

func (a *app) sagasStart() *cobra.Command {
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
		Example: `  ` + a.program + ` sagas start hammer.json --wait
  ` + a.program + ` sagas start trip.json --id trip-17 --idempotency-key order-17
  ` + a.program + ` sagas start trip.json --id trip-18 --hold
  ` + a.program + ` sagas start --id trip-18
  echo '{"name":"echo","steps":[{"id":"one","service":"echo","method":"say"}]}' | ` + a.program + ` sagas start -`,
		Args: s.wait.args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.check(args); err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.startCreated(cmd, client, &s)
			}
			doc, err := a.document(args[0])
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
	addQuiet(f, &s.quiet)
	s.wait.add(f)
	return cmd
}

func (s *starting) check(args []string) error {
	switch {
	case len(args) == 0 && s.id == "":
		return wrongUse("say what to start: a FILE with a definition, - for standard input, or --id ID of a saga that was created")
	case len(args) == 0 && (s.key != "" || s.correlation != "" || s.hold):
		return wrongUse("--idempotency-key, --correlation-id and --hold are for a new saga, which needs a FILE or -")
	case s.hold && s.wait.given:
		return wrongUse("--wait waits for the end of a saga that --hold does not start: leave one out")
	case s.id != "":
		return checkSagaID(s.id)
	}
	return nil
}

// checkSagaID refuses what cannot be a saga's id, before it becomes part of a path.
func checkSagaID(id string) error {
	if id == "" || id == "." || id == ".." {
		return wrongUse("%q is no id of a saga", id)
	}
	return nil
}

// fill puts what the flags say into a definition.
func (s *starting) fill(name string, doc []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(doc, &members) != nil || members == nil {
		return nil, wrongUse("%s is no definition of a saga: it must be an object, such as {\"name\":\"hammer\",\"steps\":[…]}", name)
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

func (a *app) createSaga(cmd *cobra.Command, client *eddahttp.Client, s *starting, doc []byte) error {
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

func (a *app) startCreated(cmd *cobra.Command, client *eddahttp.Client, s *starting) error {
	saga, err := client.StartSaga(cmd.Context(), s.id)
	if err != nil {
		return a.aboutSaga(s.id, err)
	}
	return a.afterStart(cmd, client, s, saga, "started")
}

// afterStart says which saga was started, and follows it where that is asked for.
func (a *app) afterStart(cmd *cobra.Command, client *eddahttp.Client, s *starting, saga *edda.Saga, done string) error {
	waits := s.wait.given
	switch {
	case a.json && !waits:
		return a.printJSON(saga)
	case s.quiet && !a.json:
		fmt.Fprintln(a.stdout, human.Plain(saga.ID))
	case !a.json:
		fmt.Fprintf(a.stdout, "%s %s\n", done, human.Plain(saga.ID))
	}
	if waits {
		return a.follow(cmd, client, saga.ID, s.wait.most, view{quiet: s.quiet})
	}
	if !s.quiet {
		fmt.Fprintf(a.stderr, "  see it: %s\n", a.spell("sagas show", human.Plain(saga.ID)))
		if done == "created" {
			fmt.Fprintf(a.stderr, "  start it: %s\n", a.spell("sagas start --id", human.Plain(saga.ID)))
		}
	}
	return nil
}

func (a *app) sagasAdd() *cobra.Command {
	return &cobra.Command{
		Use:   "add ID FILE|-",
		Short: "Add steps to a saga that has not ended",
		Long: `Adds a step to a saga, or an array of steps, all or none, from a JSON file or - for
standard input. They may come after any steps of the saga, and each other.`,
		Example: `  echo '{"id":"mail","service":"mail","method":"send","after":["hotel"]}' | ` + a.program + ` sagas add trip-17 -`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkSagaID(args[0]); err != nil {
				return err
			}
			doc, err := a.document(args[1])
			if err != nil {
				return err
			}
			client, err := a.client()
			if err != nil {
				return err
			}
			saga, err := client.AddSteps(cmd.Context(), args[0], doc)
			if err != nil {
				return a.aboutSaga(args[0], badDefinition(err))
			}
			if a.json {
				return a.printJSON(saga)
			}
			_, err = fmt.Fprintf(a.stdout, "added to %s, which has %d steps now\n", human.Plain(saga.ID), saga.StepCount)
			return err
		},
	}
}

// badDefinition makes wrong use of an error that says that a definition can be none,
// whatever state the node is in.
func badDefinition(err error) error {
	if reason := edda.ReasonOf(err); reason == edda.BadSchema || reason == edda.Cycle {
		return &usageError{err}
	}
	return err
}

// readFile reads a file that the user named.
func readFile(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, &usageError{err}
	}
	return b, nil
}

// checkJSON says where a document is no JSON.
func checkJSON(name string, b []byte) error {
	var v json.RawMessage
	err := json.Unmarshal(b, &v)
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		read := b[:min(int(e.Offset), len(b))]
		return wrongUse("%s is not JSON: line %d: %v", name, bytes.Count(read, []byte("\n"))+1, err)
	}
	return wrongUse("%s is not JSON: %v", name, err)
}
