package cqrs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/observe"
)

// The methods of the service cqrs.NAME that the saga of a command calls. Its last step is
// called like the method that commits; no call may be.
const (
	callMethod   = "call"
	undoMethod   = "undo"
	commitMethod = "commit"
	commitStep   = commitMethod
)

const (
	// defaultCallTimeout is Call.Timeout when that is zero.
	defaultCallTimeout = 30 * time.Second
	// callSlack is what an attempt has beside the call itself: for validators, the look at
	// the command's row, and handlers that take their time to heed the end of their context.
	callSlack = 30 * time.Second
	// commitTimeout is how long an attempt to commit may take, after hooks and all.
	commitTimeout = 5 * time.Minute
	// maxResultBytes bounds the result of a call.
	maxResultBytes = 1 << 20
)

// service is the name of the balanced service of the app.
func (o *Options) service() string { return "cqrs." + o.Name }

// sagaID names the saga of a run of a command.
func sagaID(command edda.ID, run int) string { return fmt.Sprintf("%s.%d", command, run) }

// sagaName makes a name of a command's type: what a name may not have becomes "_".
func sagaName(typ string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '-':
			return r
		}
		return '_'
	}, typ)
	name = strings.TrimLeft(name, "_.-")
	return strings.TrimPrefix(name[:min(len(name), edda.MaxNameBytes)], "edda.")
}

// saga is what the calls of a command become: a step for each, one after the other, with
// its undoing, and the step that commits. What a step is told is all that it needs, because
// any process that hosts the app may run it.
func (a *App) saga(ctx context.Context, x *execution) (*edda.SagaSpec, error) {
	arg, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	c := x.command
	s := &edda.SagaSpec{
		Namespace: a.o.Namespace, ID: sagaID(c.ID, x.run), Name: sagaName(x.spec.Type), Start: true,
		Principal: c.Principal, CorrelationID: c.CorrelationID, TraceParent: cmp.Or(observe.TraceParentOf(ctx), c.TraceParent),
	}
	var before []string
	for i := range x.spec.Calls {
		step, err := a.step(x, &x.spec.Calls[i], arg)
		if err != nil {
			return nil, err
		}
		step.After = before
		s.Steps = append(s.Steps, step)
		before = append(before[:i:i], step.ID)
	}
	s.Steps = append(s.Steps, edda.StepSpec{
		ID: commitStep, After: before, AttemptTimeout: commitTimeout,
		Task: edda.Task{
			Service: a.o.service(), Method: commitMethod, Args: []json.RawMessage{arg},
			// What fails for good says so. Anything else is a database that cannot be asked.
			Retry: edda.RetryPolicy{Max: -1, MaxDelay: 5 * time.Second},
		},
	})
	return s, nil
}

// step is the step of a call.
func (a *App) step(x *execution, c *Call, arg json.RawMessage) (edda.StepSpec, error) {
	s := edda.StepSpec{ID: c.Name, AttemptTimeout: c.timeout()}
	if c.Service != "" {
		return s, c.serviceStep(&s, x)
	}
	s.AttemptTimeout += callSlack
	// How often a call is made the handler decides: an attempt that was lost may have made
	// it, so the step must not fail before that is known and can be undone.
	s.Task = edda.Task{Service: a.o.service(), Method: callMethod, Args: []json.RawMessage{arg}, Retry: unending(c.Retry)}
	if c.Undo == nil {
		return s, nil
	}
	undo, err := json.Marshal(&undoArg{
		Called: *x.called(c), Spec: x.spec.Type, Run: x.run, Key: x.key(), Principal: x.command.Principal, Fingerprint: x.fingerprint,
	})
	if err != nil {
		return s, err
	}
	s.Compensate = &edda.Task{Service: a.o.service(), Method: undoMethod, Args: []json.RawMessage{undo}, Retry: unending(c.Retry)}
	return s, nil
}

// serviceStep is the step of a call that a service of the user's makes.
func (c *Call) serviceStep(s *edda.StepSpec, x *execution) error {
	arg, err := json.Marshal(x.called(c))
	if err != nil {
		return err
	}
	to, err := edda.ParseAddress(c.Service)
	if err != nil {
		return err
	}
	s.Task = edda.Task{Service: to.Name, Key: to.Key, Method: c.Method, Args: []json.RawMessage{arg}, Retry: c.Retry}
	if c.UndoMethod != "" {
		s.Compensate = &edda.Task{Service: to.Name, Key: to.Key, Method: c.UndoMethod, Args: []json.RawMessage{arg}, Retry: unending(c.Retry)}
	}
	return nil
}

// unending is a policy that never gives up.
func unending(p edda.RetryPolicy) edda.RetryPolicy {
	p.Max = -1
	return p
}

func (c *Call) timeout() time.Duration { return cmp.Or(c.Timeout, defaultCallTimeout) }

// called is what a call is told.
func (x *execution) called(c *Call) *Called {
	return &Called{
		ID:      sagaID(x.command.ID, x.run) + "." + c.Name,
		Command: x.command.ID, Type: x.command.Type,
		Object: x.command.Data.Object(), Data: x.command.Data.raw, Metadata: x.command.Metadata,
	}
}

// call finds a call of a command.
func (s *CommandSpec) call(name string) (*Call, error) {
	for i := range s.Calls {
		if s.Calls[i].Name == name {
			return &s.Calls[i], nil
		}
	}
	return nil, fmt.Errorf("command %s has no call %s here", s.Type, name)
}

// undoArg is what the undoing of a function's call is told.
type undoArg struct {
	Called
	Spec      string         `json:"spec"`
	Run       int            `json:"run"`
	Key       string         `json:"key"`
	Principal edda.Principal `json:"principal"`
	// Fingerprint is that of the command.
	Fingerprint []byte `json:"fingerprint,omitempty"`
}

// callResult is the result of the step of a function's call. A call that failed, and may
// have been made, is a step that succeeded as far as the saga knows, because only those
// are undone. The step after it fails in its place.
type callResult struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  *edda.StepError `json:"error,omitempty"`
	// Data is what the call was told, if the results before had changed it.
	Data json.RawMessage `json:"data,omitempty"`
}
