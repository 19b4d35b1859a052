package cqrs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/merge"
	"github.com/edda-io/edda/cqrs/internal/observe"
)

// validate asks the validators that match the command's type. One that none matches is
// refused.
func (a *App) validate(ctx context.Context, x *execution) error {
	all := a.table.validators(x.of.broadcaster.name, x.command.Type)
	if len(all) == 0 {
		return &edda.Error{Reason: edda.BadSchema, Err: fmt.Errorf("no validator of broadcaster %s is for it", x.of.broadcaster.name)}
	}
	for i := range all {
		if err := a.check(ctx, &all[i], x.copied()); err != nil {
			return err
		}
	}
	return nil
}

// check asks one validator. The reason is BadSchema, unless it has one.
func (a *App) check(ctx context.Context, v *validator, c *Command) (err error) {
	op := "validator of " + v.pattern
	defer func() {
		if p := recover(); p != nil {
			err = a.panicked(ctx, "validator", v.pattern, p)
		}
		if err == nil {
			return
		}
		reason := edda.BadSchema
		if e, ok := errors.AsType[*edda.Error](err); ok {
			reason = e.Reason
		}
		err = &edda.Error{Op: op, Reason: reason, Err: err}
	}()
	return v.check(ctx, c)
}

// hooks runs the hooks of a lifecycle, in their order. What they return is merged into
// the command, which is validated again when its data has changed.
func (a *App) hooks(ctx context.Context, q Querier, x *execution, l Lifecycle) error {
	for _, m := range a.table.hooks(x.of.broadcaster.name, x.command.Type, l) {
		if err := a.hook(ctx, q, x, m); err != nil {
			return err
		}
		if l == Before {
			x.before = append(x.before, m.h.name)
		} else {
			x.after = append(x.after, m.h.name)
		}
	}
	return nil
}

func (a *App) hook(ctx context.Context, q Querier, x *execution, m *match) error {
	var result Data
	on := observe.What{Broadcaster: x.of.broadcaster.name, Type: x.command.Type, Command: x.command.ID}
	err := a.attempts(ctx, m, on, func(ctx context.Context) (err error) {
		if err := expects("expects_input", m.c.ExpectsInput, x.command.Data.Object()); err != nil {
			return err
		}
		if result, err = tidy(q, func() (Data, error) { return m.h.hook(ctx, q, x.copied()) }); err != nil {
			return err
		}
		return expects("expects_response", m.c.ExpectsResponse, result.Object())
	})
	if err != nil {
		return err
	}
	if result.model == nil {
		return nil
	}
	err = a.take(ctx, x, returned{m.h.name, result.raw, result.Object()}, m.c.Merge, m.c.MergeMetadata)
	if err != nil {
		return &edda.Error{Op: "hook " + m.h.name, Reason: reasonOf(err), Err: err}
	}
	return nil
}

// returned is what a hook, a call or a handler has returned: JSON, and the object that it is, if
// it is one.
type returned struct {
	by     string
	raw    json.RawMessage
	object string
}

// include is the name under which it goes beside the data; "" for not at all.
func (r *returned) include(m Merge) string {
	if m.Include == "" {
		return ""
	}
	return cmp.Or(merge.How(m).IncludeAs(r.object), r.by)
}

// takeCall takes the result of a reversible call into the command.
func (a *App) takeCall(ctx context.Context, x *execution, c *Call, result json.RawMessage) error {
	calls := maps.Clone(x.command.Calls)
	if calls == nil {
		calls = map[string]json.RawMessage{}
	}
	calls[c.Name] = result
	x.command.Calls = calls
	if err := a.take(ctx, x, returned{by: c.Name, raw: result}, c.Merge, Merge{}); err != nil {
		return &edda.Error{Op: "call " + c.Name, Reason: reasonOf(err), Err: err}
	}
	x.saga = append(x.saga, c.Name)
	return nil
}

// take merges what a hook or a call has returned into the command, and validates that again
// when its data has changed.
func (a *App) take(ctx context.Context, x *execution, r returned, data, metadata Merge) error {
	if x.found == nil {
		x.found = map[string]json.RawMessage{}
	}
	x.found[r.by] = r.raw
	if as := r.include(data); as != "" {
		if x.includes == nil {
			x.includes = map[string]json.RawMessage{}
		}
		x.includes[as] = r.raw
	}
	more, err := merge.How(metadata).ApplyMetadata(x.command.Metadata, r.raw, takenMetadata)
	if err != nil {
		return err
	}
	x.command.Metadata = more
	raw, err := merge.How(data).Apply(x.command.Data.raw, r.raw)
	if err != nil || bytes.Equal(raw, x.command.Data.raw) {
		return err
	}
	if err := a.replace(ctx, x, raw); err != nil {
		return err
	}
	return a.validate(ctx, x)
}

// replace puts data in the place of what the command has. The model's functions may panic.
func (a *App) replace(ctx context.Context, x *execution, raw json.RawMessage) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = a.panicked(ctx, "model", x.command.Data.model.name, v)
		}
	}()
	return x.replace(raw)
}

// expects checks an object that comes in or goes out of a handler. "" is none.
func expects(what string, names Objects, object string) error {
	switch {
	case len(names) == 0, names.fits(object):
		return nil
	case object == "":
		return unexpected("%s is %s, but there is nothing", what, names)
	}
	return unexpected("%s is %s, but it is %s", what, names, object)
}
