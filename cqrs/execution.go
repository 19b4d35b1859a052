package cqrs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/rawjson"
	"github.com/edda-io/edda/pattern"
)

// execution is a run of a command that is under way. Hooks and calls change it; from the
// transaction on nobody does, because that may be run several times.
type execution struct {
	command *Command // with its defaults; nobody else's
	of      *command
	spec    *CommandSpec // of.spec
	run     int
	// fingerprint is that of the command as it was given.
	fingerprint []byte
	// isNew says that the command's id was made here, so that no row can be there.
	isNew bool
	// event is the event's type before its parameters are filled in.
	event *pattern.Pattern
	// want are the versions that the aggregates must have, in the order of the data.
	want []ledger.Expectation
	// level is the event's causation level.
	level               int
	before, saga, after []string
	// found is what hooks and calls returned, by their names.
	found map[string]json.RawMessage
	// includes are those of the event.
	includes  map[string]json.RawMessage
	createdAt time.Time
}

// newExecution checks a command, and gives it its defaults. It asks no database.
func (a *App) newExecution(c *Command) (*execution, error) {
	of, ok := a.table.command(c.Type)
	if !ok {
		return nil, &edda.Error{Reason: edda.NoMethod, Err: fmt.Errorf("no broadcaster has a command %q%s", c.Type, known(a.table.types()))}
	}
	own := *c
	x := &execution{command: &own, of: of, spec: &of.spec, run: 1, event: of.event, createdAt: now()}
	if err := x.checkData(); err != nil {
		return nil, err
	}
	if err := x.checkContext(); err != nil {
		return nil, err
	}
	if err := x.fillTypes(c.Type); err != nil {
		return nil, err
	}
	if err := x.expect(); err != nil {
		return nil, err
	}
	if own.ID.IsZero() {
		x.isNew = true
		own.ID = x.newID()
	}
	if a.o.Codec.Encode == nil { // a hash of what is encrypted could be guessed
		x.fingerprint = c.fingerprint()
	}
	own.Data.given = nil
	if own.CorrelationID == "" {
		own.CorrelationID = own.ID.String()
	}
	if own.Principal == "" {
		own.Principal = edda.Anonymous
	}
	return x, nil
}

// now is the time, as exact as it is stored.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// newID makes an id that lives where the aggregate's requests do.
func (x *execution) newID() edda.ID {
	return edda.NewID(edda.Address{Name: x.of.broadcaster.name, Key: x.key()}.Hash(), time.Now())
}

// op says what is being done.
func (x *execution) op() string { return "do " + x.command.Type }

// row is that of the run, before there is an event.
func (x *execution) row() *ledger.Command {
	c := x.command
	return &ledger.Command{
		ID: c.ID, Run: x.run, Status: ledger.Committed, Broadcaster: x.of.broadcaster.name, Type: c.Type,
		Object: c.Data.Object(), Key: x.key(), Principal: c.Principal, CreatedAt: x.createdAt,
		Fingerprint: x.fingerprint,
	}
}

// key is the key of the aggregate, or of the first one of a list.
func (x *execution) key() string { return x.command.Data.keys[0] }

func (x *execution) checkData() error {
	d := x.command.Data
	switch m := x.spec.Model.core(); {
	case d.model == nil:
		return badValue("", "it has no data; Model.Stage and Model.StageList make some")
	case d.model != m:
		return badValue("", "its data is a %s, must be one of the model %s that the command has", d.Object(), m.name)
	}
	return nil
}

func (x *execution) checkContext() error {
	c := x.command
	if err := checkMetadata(c.Metadata); err != nil {
		return badValue("", "%w", err)
	}
	if err := checkText(c.CorrelationID); err != nil {
		return badValue("", "CorrelationID is %q: %w", clip([]byte(c.CorrelationID)), err)
	}
	if err := checkText(string(c.Principal)); err != nil {
		return badValue("", "Principal is %q: %w", clip([]byte(c.Principal)), err)
	}
	if err := checkExplain(c.Explain); err != nil {
		return badValue("", "Explain: %w", err)
	}
	return nil
}

// fillTypes fills in the parameters of the command's type, and finds the event's.
func (x *execution) fillTypes(given string) error {
	typ, err := fill(x.of.typ, x.command.Data)
	if err != nil {
		return badValue("", "its type: %w", err)
	}
	if given != x.spec.Type && !strings.EqualFold(strings.TrimSuffix(given, "."), typ) {
		return badValue("", "it is a command %s, but its data makes that %s", given, typ)
	}
	x.command.Type = typ
	if x.command.EventType == "" {
		x.command.EventType = x.spec.Event
		return nil
	}
	if x.event, err = readType(x.command.EventType); err != nil {
		return badValue("", "EventType: %w", err)
	}
	return nil
}

// checkEventType refuses a command whose event could have no type, whatever hooks and calls make of
// its data: the primary key stays as it is.
func (x *execution) checkEventType() error {
	first := x.command.Data.first()
	typ, err := x.event.Fill(func(name string) (string, bool) {
		if v, ok := rawjson.Member(first, name); ok && slices.Contains(x.command.Data.model.key, name) {
			part, err := keyPart(v)
			return part, err == nil
		}
		return "x", true
	})
	if err == nil {
		err = checkType(typ)
	}
	if err != nil {
		return badValue("", "the event's type: %w", err)
	}
	return nil
}

// checkType refuses a type of event that no stream takes.
func checkType(typ string) error {
	if err := (&edda.Append{Stream: "s", Messages: []edda.StreamMessage{{Type: typ}}}).Validate(); err != nil {
		return errors.Unwrap(err)
	}
	return nil
}

// fill fills in the parameters of a type from data, or the first item of a list.
func fill(p *pattern.Pattern, d Data) (string, error) {
	first := d.first()
	return p.Fill(func(name string) (string, bool) {
		v, ok := rawjson.Member(first, name)
		if !ok {
			return "", false
		}
		part, err := keyPart(v)
		return part, err == nil
	})
}

// expect says which versions the aggregates must have. Those that they have now are not
// known yet.
func (x *execution) expect() error {
	c := x.command
	w := ledger.Expectation{Any: c.Expect.kind != expectExact, Version: c.Expect.version}
	if c.Data.list && w.Version > 0 {
		return badValue("", "Expect is version %d for a list; only NewAggregate and AnyVersion can be that", w.Version)
	}
	x.want = make([]ledger.Expectation, len(c.Data.keys))
	for i, key := range c.Data.keys {
		w.Key = key
		x.want[i] = w
	}
	return nil
}

// unchanged makes the versions that the aggregates have now those that they must have.
func (x *execution) unchanged(ctx context.Context, q Querier) error {
	if x.command.Expect.kind != expectUnchanged {
		return nil
	}
	versions, err := ledger.SelectVersions(ctx, q, x.command.Data.model.name, x.command.Data.keys)
	if err != nil {
		return err
	}
	for i, v := range versions {
		x.want[i].Version, x.want[i].Any = v, false
	}
	return nil
}

// replace puts data in the place of what the command has, about the same aggregates.
func (x *execution) replace(raw json.RawMessage) error {
	old := x.command.Data
	d, err := old.model.stage(raw, old.list, true)
	if err != nil {
		return err
	}
	if !slices.Equal(d.keys, old.keys) {
		return fmt.Errorf("the primary key was %s and would be %s, it must stay", old.names(), d.names())
	}
	x.command.Data = d
	return nil
}

// names shows the keys.
func (d Data) names() string {
	const most = 3
	if len(d.keys) > most {
		return strings.Join(d.keys[:most], ", ") + ", …"
	}
	return strings.Join(d.keys, ", ")
}

// copied is the command for a handler, who may change it.
func (x *execution) copied() *Command {
	c := *x.command
	c.Metadata, c.Calls = maps.Clone(c.Metadata), maps.Clone(c.Calls)
	return &c
}

// newEvent makes the event, without its version.
func (x *execution) newEvent() (*Event, error) {
	c := x.command
	typ, err := fill(x.event, c.Data)
	if err != nil {
		return nil, badValue("", "the event's type: %w", err)
	}
	metadata, err := x.metadata()
	if err != nil {
		return nil, err
	}
	return &Event{
		ID: x.newID(), CommandID: c.ID, CausationID: c.CausationID, CausationLevel: x.level,
		CorrelationID: c.CorrelationID, CorrelationType: c.Type, CorrelationPattern: x.spec.Type,
		Broadcaster: x.of.broadcaster.name, Type: typ, Pattern: c.EventType,
		Object: c.Data.Object(), Key: x.key(), PrimaryKeys: c.Data.primary(), Data: c.Data.raw, Metadata: metadata,
		AppVersion: x.spec.AppVersion, Before: ledger.Chain(x.before), Saga: ledger.Chain(x.saga), After: ledger.Chain(x.after), Chain: []string{},
		Explain: c.Explain, Live: true, CreatedAt: x.createdAt, Includes: maps.Clone(x.includes),
	}, nil
}

// metadata is the event's.
func (x *execution) metadata() (map[string]json.RawMessage, error) {
	all := make(map[string]json.RawMessage, len(x.command.Metadata)+2)
	maps.Copy(all, x.command.Metadata)
	principal, err := json.Marshal(x.command.Principal)
	if err != nil {
		return nil, err
	}
	all["principal"] = principal
	if len(x.found) > 0 {
		if all["hooks"], err = json.Marshal(x.found); err != nil {
			return nil, err
		}
	}
	return all, nil
}
