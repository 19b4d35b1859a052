package cqrs

import (
	"encoding/json"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// Tx is the transaction that a command or an eventual handler runs in. It has the methods
// of *sql.Tx that run statements, and belongs to the handler only while that runs.
type Tx = driver.Tx

// Querier reads: within the transaction where there is one, else what is committed.
type Querier = driver.Querier

// Event is the fact that an aggregate was changed. Its JSON is what streams and channels
// carry. Handlers must not change it, but for what the merging of their results changes.
type Event struct {
	// ID is the event's own. CommandID is that of the command it comes from; CausationID is
	// the event that brought the command, or the derived event, about, nil for none, and
	// CausationLevel how many events are above it. CorrelationID is the command's that began
	// it all, or what its caller gave.
	ID             edda.ID `json:"event_uuid"`
	CommandID      edda.ID `json:"command_uuid"`
	CausationID    edda.ID `json:"causation_uuid,omitzero"`
	CausationLevel int     `json:"causation_hierarchy_level"`
	CorrelationID  string  `json:"correlation_uuid"`
	// CorrelationType is the type of the command, CorrelationPattern its type before the
	// parameters were filled in.
	CorrelationType    string `json:"correlation_type"`
	CorrelationPattern string `json:"correlation_pattern_raw"`
	// Broadcaster is whose handlers it is for.
	Broadcaster string `json:"broadcaster"`
	// Type is the event's type, such as user.42.created; Pattern is what it was before
	// the parameters were filled in, such as user.:user_uuid.created.
	Type    string `json:"event_type"`
	Pattern string `json:"pattern_raw"`
	// Object is the model's name, with ".list" when Data is a list. Key is the aggregate's:
	// the values of the primary key, joined by "/"; that of the first item of a list.
	Object      string                     `json:"object"`
	Key         string                     `json:"key"`
	PrimaryKeys map[string]json.RawMessage `json:"primary_keys"`
	Data        json.RawMessage            `json:"data"`
	// Metadata is about the command: who asked for it, from where, and what its hooks and
	// calls found.
	Metadata map[string]json.RawMessage `json:"metadata,omitempty"`
	// Version counts the events of the aggregate, from 1. Items are the aggregates of a
	// list, in the order of Data.
	Version    uint64 `json:"version"`
	AppVersion string `json:"version_app,omitempty"`
	Items      []Item `json:"items,omitempty"`
	// Before, Saga and After name the hooks and calls that the command ran through, Chain
	// the strong handlers that ran on the event, in their order.
	Before []string `json:"chain_before"`
	Saga   []string `json:"chain_saga"`
	After  []string `json:"chain_after"`
	Chain  []string `json:"chain_events"`
	// Explain is why, as the command said.
	Explain json.RawMessage `json:"explain,omitempty"`
	// Live is false for what was replayed or imported.
	Live      bool      `json:"live_mode"`
	CreatedAt time.Time `json:"created_at"`
	// Position is the event's place in the order of all events, once it is stored.
	Position Position `json:"position,omitzero"`
	// Includes are results of hooks, calls and handlers that were to be included beside the
	// data. They are there for the handlers that follow in the transaction and in the Outcome
	// of Do, and are not stored.
	Includes map[string]json.RawMessage `json:"includes,omitempty"`
}

// List reports whether Data is a list.
func (e *Event) List() bool {
	return (*ledger.Event)(e).List()
}

// Decode reads Data into v.
func (e *Event) Decode(v any) error { return json.Unmarshal(e.Data, v) }

// Item is an aggregate of an event about several: its Key, and its Version after the event.
type Item = ledger.Item

// Position is a place in the order of all events of a database. A later event of an aggregate has a
// greater one, as Before says. As text (String, ParsePosition) and JSON it is opaque. The zero value,
// for which IsZero is true, is before all events.
type Position = ledger.Position

// ParsePosition reads what Position.String has written.
func ParsePosition(s string) (Position, error) { return ledger.ParsePosition(s) }
