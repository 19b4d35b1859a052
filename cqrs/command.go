package cqrs

import (
	"context"
	"encoding/json"
	"time"

	"github.com/edda-io/edda"
)

// Command is a request to change an aggregate. It belongs to App.Do from the call on.
type Command struct {
	// ID names the command. To repeat it gives the same outcome again, and changes nothing.
	// Another command under it, of another type, about another aggregate or with other data,
	// is refused. When it is zero, a new one is made.
	ID edda.ID
	// Type is one that the broadcaster has, with or without its parameters filled in.
	Type string
	// EventType is the type of the event, whose parameters are filled from the data.
	// When empty it is CommandSpec.Event.
	EventType string
	// Data is what it is about.
	Data Data
	// Expect says which version the aggregate must have; the zero value, the one that it
	// has when the command begins. Of a list all must fit: AnyVersion and NewAggregate
	// alone make sense there, beside the zero value.
	Expect Expect
	// CorrelationID names the whole story; the ID when empty. CausationID is the event
	// that brought it about.
	CorrelationID string
	CausationID   edda.ID
	// Metadata goes into the event, such as user, channel, application, device, session and
	// ip. The names changes, previous, hooks and principal are taken.
	Metadata map[string]json.RawMessage
	// Explain is why, for people.
	Explain json.RawMessage
	// Principal is who asks; edda.Anonymous when empty.
	Principal edda.Principal
	// DoNotSave runs the strong handlers in the transaction and stores neither event nor
	// version, also of what follows from it: stream, channels and eventual handlers hear
	// nothing. What the handlers write is stored, all or nothing, and so is that the command
	// was done: repeated, it does nothing, and its Outcome has no event. Versions are checked,
	// and the event has the one that it would have.
	//
	// NoTransaction runs the strong handlers first, each of their statements being stored by
	// itself, and then stores the command, versions and events in one transaction. What
	// fails half-way leaves what handlers have written until then, and nothing else, so the
	// command may be repeated, which runs them all anew. A handler that is tried again finds
	// what its last attempt wrote. A conflict with another writer may be found only at the end,
	// and two who repeat one command at the same time may both run its handlers. A processor's
	// command may say it only where there is no transaction.
	DoNotSave     bool
	NoTransaction bool
	// TraceParent is the W3C trace context, where ctx has no span.
	TraceParent string
	// Calls are the results of the reversible calls, by their names. The app fills it in,
	// for the after hooks.
	Calls map[string]json.RawMessage

	// derived says that the ID follows from an event and a handler, who may say it
	// otherwise the next time: it is the same command all the same.
	derived bool
}

// Expect is a version that an aggregate must have.
type Expect struct {
	kind    expectKind
	version uint64
}

type expectKind uint8

const (
	expectUnchanged expectKind = iota
	expectExact
	expectAny
)

// AnyVersion takes an aggregate as it is in the transaction: the last writer wins.
func AnyVersion() Expect { return Expect{kind: expectAny} }

// NewAggregate is for one that has no events yet.
func NewAggregate() Expect { return Expect{kind: expectExact} }

// Version is for one whose last event has this version.
func Version(n uint64) Expect { return Expect{kind: expectExact, version: n} }

// CommandSpec is a command that a broadcaster knows.
type CommandSpec struct {
	// Type is its type, such as create.user, or update.user.:user_uuid with parameters,
	// which are filled from the data. Required, and unique within an App.
	Type string
	// Event is the type of its event, such as user.:user_uuid.created. Required.
	Event string
	// Model is a *Model. Required.
	Model object
	// Calls are made to third parties, one after the other, and undone in reverse order when
	// anything fails later.
	Calls []Call
	// AppVersion is the version of the event's form; App.Options.AppVersion when empty.
	AppVersion string
}

// Call is a reversible call to a third party, which whichever process hosts the app's
// services makes and undoes, with Do and Undo. In their place Service names a service, in
// any language. Both are run at least once: they must be idempotent, for which Called.ID is
// the key.
type Call struct {
	// Name is the call's, in chain_saga and in Command.Calls: a name like a service's, but not
	// commit. Required, unique in the command.
	Name string
	// Do makes the call. What it returns, 1 MiB of JSON at most, is merged into the command's
	// data as Merge says, which is nothing by default; the after hooks find it in
	// Command.Calls. An error is tried again as Retry says; one of edda.Final says that
	// the call was not made.
	Do func(ctx context.Context, c *Called) (any, error)
	// Undo takes it back. It is called for each call that may have been made: also when Do
	// failed in the end, or its outcome was lost, so there may be nothing to take back, and
	// no Called.Result. It is repeated, after the delays of Retry, until it succeeds; with an
	// error of edda.Final the saga waits for a person. It may overtake a call that was given
	// up and is still on its way: a third party should refuse an ID that it was told to undo.
	// Nil: nothing undoes the call.
	Undo func(ctx context.Context, c *Called) error
	// Service ("mailer", or "mailer/KEY" when it is ordered), Method and UndoMethod are used in
	// place of Do and Undo. They are steps of a saga, such as saga.Handle takes: their
	// argument is a Called, with the data as it was before the first call, and their
	// dependencies are the results of the calls before; that of UndoMethod is the result that
	// it undoes. A call that fails is not undone: the service says that it was not made.
	// UndoMethod may be empty: then nothing undoes the call.
	Service, Method, UndoMethod string
	// Merge says what becomes of the result.
	Merge Merge
	// Retry is for Do, or Method; edda's default when zero. Timeout is of one attempt, of Undo
	// too; 30 seconds when zero.
	Retry   edda.RetryPolicy
	Timeout time.Duration
}

// Called is what a reversible call is told.
type Called struct {
	// ID is the same for each attempt of the call, and for its undoing: the command's id, the
	// run of it, and the call's name. A command that is repeated after it failed has another.
	ID string `json:"id"`
	// Command is its id, Type its type.
	Command edda.ID `json:"command_uuid"`
	Type    string  `json:"command_type"`
	// Object and Data are the command's, with the results of the calls before merged in.
	Object string          `json:"object"`
	Data   json.RawMessage `json:"data"`
	// Metadata is the command's: who asks, from where.
	Metadata map[string]json.RawMessage `json:"metadata,omitempty"`
	// Result is what the call returned, when it is undone.
	Result json.RawMessage `json:"result,omitempty"`
}

// Outcome is what became of a command.
type Outcome struct {
	// Command is its id. Event is its event, as stored.
	Command edda.ID `json:"command_uuid"`
	Event   *Event  `json:"event"`
	// Position is that of its last event; App.Wait takes it. Zero when nothing was saved.
	Position Position `json:"position,omitzero"`
	// Replayed says that the command had been done before.
	Replayed bool `json:"replayed,omitempty"`
}
