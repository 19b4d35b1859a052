package cqrs

import (
	"context"
	"encoding/json"

	"github.com/edda-io/edda"
)

// Broadcaster is a named bus: commands, and what happens on them and their events. Its name
// is that of the ordered service that takes its commands too. Fill it when the program
// starts and hand it to New; from then on it must not change. What is wrong with it New
// says.
type Broadcaster struct {
	name       string
	commands   []CommandSpec
	validators []validator
	handlers   []*handler
	channels   []ChannelSpec
}

// handler is a function under a name, with its routes.
type handler struct {
	name   string // Class.method
	kind   Kind
	routes []Route
	// The function, one of these by kind.
	hook     HookFunc
	project  ProjectFunc
	batch    ProjectBatchFunc
	process  ProcessFunc
	dispatch DispatchFunc
	// tables are those of a projection, which can be rebuilt.
	tables []Table
}

type validator struct {
	pattern string
	check   func(ctx context.Context, c *Command) error
}

// ChannelSpec is an Edda channel for the broadcaster's events. The relay sets it, and feeds it by
// the stream of events; its history is that of the stream. A connection to a node elsewhere
// (client.Conn) cannot set channels: then the log says so, and who runs the node sets them, over HTTP
// or with `edda channels create`, to be fed by App.EventStream.
type ChannelSpec struct {
	// Name is the channel's.
	Name string
	// Events are patterns of the types of events that it carries, read as by pattern.Parse. When
	// empty it carries all; in an app of several broadcasters, those of this one's commands.
	Events []string
}

// Table is a table that a projector writes. While the projection is rebuilt, it writes
// another of the same form, whose name Tx.Table tells.
type Table string

// NewBroadcaster returns an empty one.
func NewBroadcaster(name string) *Broadcaster { return &Broadcaster{name: name} }

// Command adds a command.
func (b *Broadcaster) Command(s CommandSpec) { b.commands = append(b.commands, s) }

// Validator adds a check of commands whose type fits the pattern. All that match are run,
// in the order of their registration, when the command comes in and after each hook and
// call that changed its data. A command that none matches is refused.
func (b *Broadcaster) Validator(pattern string, check func(ctx context.Context, c *Command) error) {
	b.validators = append(b.validators, validator{pattern, check})
}

// Hook adds a hook. Its name, as that of every handler, is unique in the broadcaster, such
// as Users.isUnique; without routes it runs only where Options.Wiring says.
func (b *Broadcaster) Hook(name string, f HookFunc, on ...Route) {
	b.handlers = append(b.handlers, &handler{name: name, kind: KindHook, hook: f, routes: on})
}

// Projector adds a projector, and the tables that it writes, if it shall be possible to
// rebuild them.
func (b *Broadcaster) Projector(name string, f ProjectFunc, tables []Table, on ...Route) {
	b.handlers = append(b.handlers, &handler{name: name, kind: KindProjector, project: f, tables: tables, routes: on})
}

// BatchProjector adds an eventual projector that takes many events at once.
func (b *Broadcaster) BatchProjector(name string, f ProjectBatchFunc, tables []Table, on ...Route) {
	b.handlers = append(b.handlers, &handler{name: name, kind: KindProjector, batch: f, tables: tables, routes: on})
}

// Processor adds a processor.
func (b *Broadcaster) Processor(name string, f ProcessFunc, on ...Route) {
	b.handlers = append(b.handlers, &handler{name: name, kind: KindProcessor, process: f, routes: on})
}

// Dispatcher adds a dispatcher.
func (b *Broadcaster) Dispatcher(name string, f DispatchFunc, on ...Route) {
	b.handlers = append(b.handlers, &handler{name: name, kind: KindDispatcher, dispatch: f, routes: on})
}

// Channel adds a channel.
func (b *Broadcaster) Channel(s ChannelSpec) { b.channels = append(b.channels, s) }

// Backend is an Edda node: *node.Node in process, *client.Conn elsewhere.
type Backend interface {
	edda.StreamBackend
	edda.SagaBackend
}

// Check makes a check of a validator from a function on the data.
func Check[T any](f func(*T) error) func(context.Context, *Command) error {
	return func(_ context.Context, c *Command) error {
		var v T
		if err := json.Unmarshal(c.Data.raw, &v); err != nil {
			return err
		}
		return f(&v)
	}
}

// Projects makes a ProjectFunc from a function on the data, of type T, or []T of a list.
func Projects[T any](f func(ctx context.Context, tx *Tx, e *Event, v *T) error) ProjectFunc {
	return func(ctx context.Context, tx *Tx, e *Event) (Data, error) {
		v := new(T)
		if err := e.Decode(v); err != nil {
			return Data{}, err
		}
		return Data{}, f(ctx, tx, e, v)
	}
}
