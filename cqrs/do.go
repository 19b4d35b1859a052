package cqrs

import (
	"context"
	"errors"

	"github.com/edda-io/edda"
)

// Do runs a command: validators, before hooks, reversible calls, after hooks, and the
// transaction with the strong handlers. When it returns without an error, the event, its strong
// projections, the commands that follow from it and their events are stored together, and
// when it returns one, none of them is, unless the reason is OutcomeUnknown: then to repeat it
// with the same Command.ID tells. The command belongs to Do from the call on.
func (a *App) Do(ctx context.Context, c *Command) (*Outcome, error) {
	op := "do " + c.Type
	if err := a.life.enter(op); err != nil {
		return nil, err
	}
	defer a.life.leave()
	return nil, &edda.Error{Op: op, Reason: edda.Internal, Err: errors.ErrUnsupported}
}
