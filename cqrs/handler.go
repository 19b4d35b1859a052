package cqrs

import (
	"context"
	"encoding/json"
	"time"

	"github.com/edda-io/edda"
)

// Kind is what a handler is.
type Kind string

// The kinds.
const (
	KindHook       Kind = "hook"
	KindProjector  Kind = "projector"
	KindProcessor  Kind = "processor"
	KindDispatcher Kind = "dispatcher"
)

// Lifecycle is when a hook runs: before the reversible calls, or after them.
type Lifecycle string

// The lifecycles.
const (
	Before Lifecycle = "before"
	After  Lifecycle = "after"
)

// Consistency is when a handler of events runs: within the command's transaction, or
// after it, in one of its own.
type Consistency string

// The consistencies. Strong is the default.
const (
	Strong   Consistency = "strong"
	Eventual Consistency = "eventual"
)

// DefaultPriority is the priority of a handler that has none. Lower ones run first.
const DefaultPriority = 255

// Functions of handlers. What they are handed is theirs only while they run. They begin and end no
// transaction by a statement, and close the rows of their queries: whoever does not has failed.
type (
	// HookFunc is run on a command before or after its calls. An error refuses the command.
	// What it returns is merged into the command's data as the config says; a zero Data is
	// nothing. A hook may run within the transaction of another command; q reads there.
	HookFunc func(ctx context.Context, q Querier, c *Command) (Data, error)
	// ProjectFunc saves an event in tables for reading. It may return what it has saved,
	// for ExpectsOutput and for merging.
	ProjectFunc func(ctx context.Context, tx *Tx, e *Event) (Data, error)
	// ProjectBatchFunc saves many events at once, in their order. It is eventual.
	ProjectBatchFunc func(ctx context.Context, tx *Tx, events []*Event) error
	// ProcessFunc makes a command of an event, or nil for none. The command is run in a
	// savepoint of the transaction, or by itself after it when the processor is eventual;
	// the data of its event is merged into this one as the config says.
	ProcessFunc func(ctx context.Context, q Querier, e *Event) (*Command, error)
	// DispatchFunc derives events from an event: side effects of it which others listen to.
	// Of each only Type, and Data if that differs, need be set.
	DispatchFunc func(ctx context.Context, q Querier, e *Event) ([]*Derived, error)
)

// Derived is an event that a dispatcher derives.
type Derived struct {
	// Type is the event's, whose parameters are filled from the data.
	Type string
	// Data is that of the event it is derived from when zero.
	Data Data
	// Metadata go into the event beside those of the one it is derived from, or in place of those
	// of the same names. The names changes, previous, hooks and principal are taken.
	Metadata map[string]json.RawMessage
	// Explain is why.
	Explain []byte
}

// Config says how a handler runs. The zero value works.
type Config struct {
	// Priority orders the handlers that match; those of the same priority run in the order
	// of their registration. DefaultPriority when zero.
	Priority int `json:"priority,omitempty"`
	// Lifecycle is for hooks; Before when empty.
	Lifecycle Lifecycle `json:"lifecycle,omitempty"`
	// Consistency is for the others; Strong when empty.
	Consistency Consistency `json:"consistency,omitempty"`
	// ExpectsInput names the objects that the handler takes, such as User or User.list; "*"
	// is any, and in the next two also none. Others are an error. Nothing is checked when
	// empty; so for the next two.
	ExpectsInput Objects `json:"expects_input,omitempty"`
	// ExpectsResponse is what must come back: from a hook, the object it returns; to a
	// processor, that of its command's event.
	ExpectsResponse Objects `json:"expects_response,omitempty"`
	// ExpectsOutput is what must go out: the object that a projector returns as saved, that
	// of a processor's command, those of a dispatcher's events.
	ExpectsOutput Objects `json:"expects_output,omitempty"`
	// DispatchesCommand is a pattern that the type of a processor's command must match.
	DispatchesCommand string `json:"dispatches_command,omitempty"`
	// Merge says what becomes of the result in the data, and MergeMetadata in the metadata,
	// of the command or event.
	Merge         Merge `json:"data,omitzero"`
	MergeMetadata Merge `json:"metadata,omitzero"`
	// Retry says how often the handler is tried. A hook and a strong handler are tried once
	// when it is zero, and hold the transaction while they wait; an eventual one by edda's
	// default. Timeout is of one attempt; 30 seconds when zero. A handler that goes on after
	// that, when its context has ended, is waited for, and has failed whatever it returns.
	Retry   edda.RetryPolicy `json:"retry,omitzero"`
	Timeout time.Duration    `json:"timeout,omitempty"`
	// OnDead is what an eventual handler does after its last attempt: edda.Continue puts
	// the event with the dead letters and goes on, edda.StopKey lets the later events of
	// the aggregate wait, edda.Pause all of them.
	OnDead edda.OnDead `json:"onDead,omitempty"`
}

// Route says on which types a handler runs, and how.
type Route struct {
	Pattern string
	Config  Config
}

// On returns a route. The pattern is read as by pattern.ParseFold.
func On(pattern string, c Config) Route { return Route{Pattern: pattern, Config: c} }
