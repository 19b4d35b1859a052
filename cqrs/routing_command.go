package cqrs

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/merge"
	"github.com/edda-io/edda/pattern"
)

// command reads a command.
func (b *tableBuilder) command(one *Broadcaster, s *CommandSpec) {
	at := fmt.Sprintf("broadcaster %s: command %s", one.name, cmp.Or(s.Type, "without a type"))
	c := &command{spec: *s, broadcaster: one}
	var typErr, eventErr error
	c.typ, typErr = readType(s.Type)
	c.event, eventErr = readType(s.Event)
	if typErr != nil {
		b.badf("%s: its type: %w", at, typErr)
	}
	if eventErr != nil {
		b.badf("%s: its event: %w", at, eventErr)
	}
	b.model(at, s.Model)
	b.calls(at, s.Calls)
	if typErr == nil {
		b.commands = append(b.commands, c)
	}
}

// readType reads a type whose parameters can be filled in.
func readType(s string) (*pattern.Pattern, error) {
	p, err := pattern.ParseFold(s)
	if err != nil {
		return nil, err
	}
	_, err = p.Fill(func(string) (string, bool) { return "x", true })
	return p, err
}

// model sees to it that there is one model of each name.
func (b *tableBuilder) model(at string, o object) {
	if o == nil {
		b.badf("%s: it has no model", at)
		return
	}
	m := o.core()
	if other, there := b.models[m.name]; there && other != m {
		b.badf("%s: there is another model called %s; make one and use it for both", at, m.name)
	}
	b.models[m.name] = m
}

// calls checks the calls of a command.
func (b *tableBuilder) calls(at string, calls []Call) {
	for i := range calls {
		c := &calls[i]
		if slices.ContainsFunc(calls[:i], func(o Call) bool { return o.Name == c.Name }) {
			b.badf("%s: call %s is there twice", at, c.Name)
		}
		if err := c.check(); err != nil {
			b.badf("%s: call %s: %w", at, cmp.Or(c.Name, "without a name"), err)
		}
	}
}

// check says what is wrong with a call.
func (c *Call) check() error {
	if err := edda.CheckName("call", c.Name); err != nil {
		return errors.Unwrap(err)
	}
	if err := c.Retry.Validate(); err != nil {
		return fmt.Errorf("retry: %w", errors.Unwrap(err))
	}
	if err := merge.How(c.Merge).Check(); err != nil {
		return err
	}
	switch {
	case c.Name == commitStep:
		return errors.New("the name is that of the step after the calls")
	case c.Merge.Include != "":
		return errors.New("it includes its result, which after hooks find in Command.Calls anyway")
	case c.Do == nil && c.Service == "":
		return errors.New("it has neither Do nor Service")
	case (c.Do != nil || c.Undo != nil) && (c.Service != "" || c.Method != "" || c.UndoMethod != ""):
		return errors.New("it has functions and a service; one of them makes the call and undoes it")
	case c.Service != "" && c.Method == "":
		return errors.New("it has a service and no method")
	case c.Timeout < 0:
		return fmt.Errorf("timeout is %s, must be positive", c.Timeout)
	}
	if c.Service != "" {
		if _, err := edda.ParseAddress(c.Service); err != nil {
			return errors.Unwrap(err)
		}
	}
	return nil
}
