package cqrs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/merge"
	"github.com/edda-io/edda/cqrs/internal/observe"
	"github.com/edda-io/edda/cqrs/internal/rawjson"
	"github.com/edda-io/edda/pattern"
)

// maxDepth is how many commands and derived events may follow from each other within one
// transaction.
const maxDepth = 32

// tree is one run of a transaction: a command, with what follows from it. It begins anew from
// the execution each time, and so changes nothing of that.
type tree struct {
	a  *App
	tx *Tx
	// later keeps what is stored when all handlers have run; nil where that is a
	// transaction's.
	later *later
	// unsaved counts the commands that are under way and not saved.
	unsaved int
	// events are what was collected, causes before effects.
	events []*Event
	// there is the row that was there in the place of the command's.
	there *thereError
}

// thereError: the row of another run of the command is there.
type thereError struct{ row *ledger.Command }

// Error implements error.
func (e *thereError) Error() string { return "command " + e.row.ID.String() + " is there already" }

// command runs a command: its row, its versions, its event and what that brings about. The
// event is not stored yet.
func (t *tree) command(ctx context.Context, x *execution, depth int) (*Event, error) {
	e, err := x.newEvent()
	if err != nil {
		return nil, err
	}
	e.AppVersion = cmp.Or(e.AppVersion, t.a.o.AppVersion)
	if err := t.begin(ctx, x, e); err != nil {
		return nil, err
	}
	if err := t.version(ctx, e, x.command.Data.model.name, x.want); err != nil {
		return nil, err
	}
	return e, t.event(ctx, e, depth)
}

// version gives an event its versions. Aggregates of a list are locked in the order of
// their keys, so that two lists do not wait for each other.
func (t *tree) version(ctx context.Context, e *Event, object string, want []ledger.Expectation) error {
	if len(want) == 1 && !e.List() {
		versions, err := t.raise(ctx, object, want)
		if err != nil {
			return err
		}
		e.Version = versions[0]
		return nil
	}
	sorted := slices.Clone(want)
	slices.SortFunc(sorted, func(a, b ledger.Expectation) int { return strings.Compare(a.Key, b.Key) })
	versions, err := t.raise(ctx, object, sorted)
	if err != nil {
		return err
	}
	byKey := make(map[string]uint64, len(sorted))
	for i, w := range sorted {
		byKey[w.Key] = versions[i]
	}
	e.Items = make([]Item, len(want))
	for i, w := range want {
		e.Items[i] = Item{Key: w.Key, Version: byKey[w.Key]}
	}
	e.Version = e.Items[0].Version
	return nil
}

// event collects an event and runs its strong handlers.
func (t *tree) event(ctx context.Context, e *Event, depth int) error {
	if depth > maxDepth {
		return &edda.Error{Op: "event " + e.Type, Reason: edda.Cycle,
			Err: fmt.Errorf("it is the %dth of commands and events that follow from each other, at most %d may", depth, maxDepth)}
	}
	if t.unsaved == 0 {
		t.events = append(t.events, e)
	}
	for _, m := range t.a.table.strong(e.Broadcaster, e.Type) {
		if err := t.handle(ctx, m, e, depth); err != nil {
			return err
		}
		e.Chain = append(e.Chain, m.h.name)
	}
	return nil
}

// handle runs a handler on an event, and merges what it returns into that.
func (t *tree) handle(ctx context.Context, m *match, e *Event, depth int) error {
	var r returned
	on := observe.What{Broadcaster: e.Broadcaster, Type: e.Type, Command: e.CommandID, Event: e.ID}
	err := t.a.attempts(ctx, m, on, func(ctx context.Context) (err error) {
		r = returned{}
		if err := expects("expects_input", m.c.ExpectsInput, e.Object); err != nil {
			return err
		}
		if m.c.Retry.Max == 1 {
			r, err = t.call(ctx, m, e, depth)
			return err
		}
		return t.savepoint(ctx, func() error {
			r, err = t.call(ctx, m, e, depth)
			return err
		})
	})
	if err != nil {
		return err
	}
	if err := e.take(r, m.c.Merge, m.c.MergeMetadata); err != nil {
		return &edda.Error{Op: string(m.h.kind) + " " + m.h.name, Reason: edda.Failed, Err: err}
	}
	return nil
}

// call calls a handler with its own copy of the event.
func (t *tree) call(ctx context.Context, m *match, e *Event, depth int) (returned, error) {
	r := returned{by: m.h.name}
	switch m.h.kind {
	case KindProjector:
		d, err := tidy(t.tx, func() (Data, error) { return m.h.project(ctx, t.tx, e.copied()) })
		if err != nil {
			return r, err
		}
		r.raw, r.object = d.raw, d.Object()
		return r, expects("expects_output", m.c.ExpectsOutput, r.object)
	case KindProcessor:
		c, err := tidy(t.tx, func() (*Command, error) { return m.h.process(ctx, t.tx, e.copied()) })
		if err != nil || c == nil {
			return r, err
		}
		child, err := t.child(ctx, m, c, e, depth)
		if err != nil {
			return r, err
		}
		r.raw, r.object = child.Data, child.Object
		return r, expects("expects_response", m.c.ExpectsResponse, r.object)
	case KindDispatcher:
		derived, err := tidy(t.tx, func() ([]*Derived, error) { return m.h.dispatch(ctx, t.tx, e.copied()) })
		if err != nil {
			return r, err
		}
		return r, t.derive(ctx, m, derived, e, depth)
	case KindHook:
	}
	return r, fmt.Errorf("a %s runs on no event", m.h.kind)
}

// child runs the command of a processor, in a savepoint.
func (t *tree) child(ctx context.Context, m *match, c *Command, cause *Event, depth int) (e *Event, err error) {
	own := *c
	if err := own.checkDispatched(m.c); err != nil {
		return nil, err
	}
	own.causedBy(cause)
	x, err := t.a.newExecution(&own)
	if err != nil {
		return nil, opOf("do "+own.Type, err)
	}
	x.level = cause.CausationLevel + 1
	if own.DoNotSave {
		t.unsaved++
		defer func() { t.unsaved-- }()
	}
	err = t.a.observed(ctx, x.observation(), func(ctx context.Context) error {
		err := t.savepoint(ctx, func() error {
			e, err = t.within(ctx, x, depth)
			return err
		})
		if there, ok := errors.AsType[*thereError](err); ok && there.row.ID == x.command.ID {
			e, err = t.before(ctx, there.row, x)
		}
		return err
	})
	return e, opOf(x.op(), err)
}

// within runs a command that began within the transaction: validators and hooks too.
func (t *tree) within(ctx context.Context, x *execution, depth int) (*Event, error) {
	if x.command.NoTransaction && t.later == nil {
		return nil, unexpected("it says NoTransaction, but runs within one")
	}
	if len(x.spec.Calls) > 0 {
		return nil, unexpected("it makes calls, which may not be made while a transaction is open: let the processor be eventual")
	}
	if err := t.a.validate(ctx, x); err != nil {
		return nil, err
	}
	for _, l := range []Lifecycle{Before, After} {
		if err := t.a.hooks(ctx, t.tx, x, l); err != nil {
			return nil, err
		}
	}
	return t.command(ctx, x, depth+1)
}

// before is the event of a command that was done before, and has the same id.
func (t *tree) before(ctx context.Context, there *ledger.Command, x *execution) (*Event, error) {
	if err := sameCommand(there, x); err != nil {
		return nil, err
	}
	for _, e := range t.events {
		if e.ID == there.EventID {
			return e, nil
		}
	}
	e, err := t.a.rows.eventByID(ctx, t.tx, there.EventID)
	if err == nil && (e == nil || there.Status != ledger.Committed) {
		return nil, &edda.Error{Op: x.op(), Reason: edda.Conflict, Err: fmt.Errorf("there is a command %s that is %s, and has no event", there.ID, there.Status)}
	}
	return e, err
}

// derive collects the events of a dispatcher, and runs their handlers.
func (t *tree) derive(ctx context.Context, m *match, all []*Derived, cause *Event, depth int) error {
	for i, d := range all {
		if d == nil {
			return fmt.Errorf("derived event %d is nil", i+1)
		}
		e, err := cause.derive(d)
		if err != nil {
			return opOf("event "+d.Type, err)
		}
		if err := expects("expects_output", m.c.ExpectsOutput, e.Object); err != nil {
			return opOf("event "+d.Type, err)
		}
		want := make([]ledger.Expectation, max(len(e.Items), 1))
		want[0] = ledger.Expectation{Key: e.Key, Any: true}
		for i, item := range e.Items {
			want[i] = ledger.Expectation{Key: item.Key, Any: true}
		}
		if err := t.version(ctx, e, strings.TrimSuffix(e.Object, listSuffix), want); err != nil {
			return opOf("event "+e.Type, err)
		}
		if err := t.event(ctx, e, depth+1); err != nil {
			return opOf("event "+e.Type, err)
		}
	}
	return nil
}

// opOf says what was being done when err happened.
func opOf(op string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*edda.Error); ok && e.Op == "" { //nolint:errorlint // one that was made here
		e.Op = op
		return e
	}
	return fmt.Errorf("%s: %w", op, err)
}

// checkDispatched checks a processor's command against what the config says of it.
func (c *Command) checkDispatched(config *Config) error {
	if err := expects("expects_output", config.ExpectsOutput, c.Data.Object()); err != nil {
		return err
	}
	if config.DispatchesCommand == "" {
		return nil
	}
	p, err := pattern.ParseFold(config.DispatchesCommand)
	if err != nil {
		return err
	}
	if !p.Match(c.Type) {
		return unexpected("dispatches_command is %s, but its command is %s", config.DispatchesCommand, c.Type)
	}
	return nil
}

// causedBy makes an event the cause of the command: the story goes on, and on behalf of whom
// it does. What the command says itself of principal and metadata counts.
func (c *Command) causedBy(e *Event) {
	c.CausationID, c.CorrelationID = e.ID, e.CorrelationID
	if c.Principal == "" {
		var p edda.Principal
		if json.Unmarshal(e.Metadata["principal"], &p) == nil {
			c.Principal = p
		}
	}
	all := make(map[string]json.RawMessage, len(e.Metadata)+len(c.Metadata))
	for name, v := range e.Metadata {
		if !slices.Contains(takenMetadata, name) {
			all[name] = v
		}
	}
	maps.Copy(all, c.Metadata)
	c.Metadata = all
}

// copied is the event for a handler.
func (e *Event) copied() *Event {
	c := *e
	c.Data = bytes.Clone(e.Data)
	c.PrimaryKeys, c.Metadata, c.Includes = maps.Clone(e.PrimaryKeys), maps.Clone(e.Metadata), maps.Clone(e.Includes)
	c.Items = slices.Clone(e.Items)
	c.Before, c.Saga = slices.Clone(e.Before), slices.Clone(e.Saga)
	c.After, c.Chain = slices.Clone(e.After), slices.Clone(e.Chain)
	return &c
}

// take merges what a handler has returned into the event.
func (e *Event) take(r returned, data, metadata Merge) (err error) {
	if r.raw == nil {
		return nil
	}
	if as := r.include(data); as != "" {
		if e.Includes == nil {
			e.Includes = map[string]json.RawMessage{}
		}
		e.Includes[as] = r.raw
	}
	if e.Metadata, err = merge.How(metadata).ApplyMetadata(e.Metadata, r.raw, takenMetadata); err != nil {
		return err
	}
	merged, err := merge.How(data).Apply(e.Data, r.raw)
	if err != nil || bytes.Equal(merged, e.Data) {
		return err
	}
	for name := range e.PrimaryKeys {
		if !sameMember(e.Data, merged, name) {
			return fmt.Errorf("it would change %s, which is of the primary key", name)
		}
	}
	e.Data = merged
	return nil
}

// sameMember reports whether a member is the same in two objects, or in the items of two
// lists.
func sameMember(a, b json.RawMessage, name string) bool {
	if !rawjson.IsList(a) {
		v, _ := rawjson.Member(a, name)
		w, _ := rawjson.Member(b, name)
		return bytes.Equal(v, w)
	}
	next, stop := iter.Pull2(rawjson.Items(b))
	defer stop()
	for _, item := range rawjson.Items(a) {
		if _, other, ok := next(); !ok || !sameMember(item, other, name) {
			return false
		}
	}
	return true
}

// derive makes a derived event, without its versions.
func (e *Event) derive(d *Derived) (*Event, error) {
	if err := checkExplain(d.Explain); err != nil {
		return nil, unexpected("Explain: %w", err)
	}
	if err := checkMetadata(d.Metadata); err != nil {
		return nil, unexpected("%w", err)
	}
	c := e.copied()
	c.CausationID, c.CausationLevel, c.Explain = e.ID, e.CausationLevel+1, d.Explain
	c.Saga, c.Before, c.After, c.Chain, c.Includes = []string{}, []string{}, []string{}, []string{}, nil
	c.CreatedAt = now()
	if c.Metadata == nil {
		c.Metadata = make(map[string]json.RawMessage, len(d.Metadata))
	}
	maps.Copy(c.Metadata, d.Metadata)
	if d.Data.model != nil {
		c.Object, c.Key, c.Data, c.PrimaryKeys = d.Data.Object(), d.Data.keys[0], d.Data.raw, d.Data.primary()
		c.Items = nil
		if d.Data.list {
			c.Items = make([]Item, len(d.Data.keys))
			for i, key := range d.Data.keys {
				c.Items[i].Key = key
			}
		}
	}
	p, err := readType(d.Type)
	if err != nil {
		return nil, unexpected("its type: %w", err)
	}
	c.Pattern = d.Type
	if c.Type, err = fill(p, Data{list: c.List(), raw: c.Data}); err != nil {
		return nil, unexpected("its type: %w", err)
	}
	c.ID = edda.NewID(edda.Address{Name: c.Broadcaster, Key: c.Key}.Hash(), c.CreatedAt)
	return c, nil
}
