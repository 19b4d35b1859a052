package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// EventColumns are the columns of edda_events, after tx and seq.
const EventColumns = "event_uuid, command_uuid, causation_uuid, causation_hierarchy_level, correlation_uuid, correlation_type," +
	" correlation_pattern_raw, broadcaster, event_type, pattern_raw, object, key, primary_keys, data, metadata, version," +
	" version_app, chain_before, chain_saga, chain_after, chain_events, explain, live_mode, created_at"

const eventColumnCount = 24

// Event is a row of edda_events, with its items when it is about a list. It has the fields of
// cqrs.Event, which says what they are, and is converted to it.
type Event struct {
	ID                 edda.ID
	CommandID          edda.ID
	CausationID        edda.ID
	CausationLevel     int
	CorrelationID      string
	CorrelationType    string
	CorrelationPattern string
	Broadcaster        string
	Type               string
	Pattern            string
	Object             string
	Key                string
	PrimaryKeys        map[string]json.RawMessage
	Data               json.RawMessage
	Metadata           map[string]json.RawMessage
	Version            uint64
	AppVersion         string
	Items              []Item
	Before             []string
	Saga               []string
	After              []string
	Chain              []string
	Explain            json.RawMessage
	Live               bool
	CreatedAt          time.Time
	Position           Position
	Includes           map[string]json.RawMessage
}

// Item is an aggregate of an event about several, in edda_event_items.
type Item struct {
	Key     string `json:"key"`
	Version uint64 `json:"version"`
}

// ListSuffix is what the objects of lists end with.
const ListSuffix = ".list"

// List reports whether it is about a list.
func (e *Event) List() bool { return strings.HasSuffix(e.Object, ListSuffix) }

// Aggregates are those that it is about: those of its items when it is about several.
func (e *Event) Aggregates() []Aggregate {
	object := strings.TrimSuffix(e.Object, ListSuffix)
	if len(e.Items) == 0 {
		return []Aggregate{{object, e.Key}}
	}
	all := make([]Aggregate, len(e.Items))
	for i, item := range e.Items {
		all[i] = Aggregate{object, item.Key}
	}
	return all
}

// Size is about what an event takes in memory.
func (e *Event) Size() int {
	n := 512 + len(e.Data) + len(e.Explain)
	for _, v := range e.Metadata {
		n += len(v)
	}
	return n + 64*len(e.Items)
}

// Events are the rows of events, and what is done with events on the way into them and out. The
// zero value keeps them as they are.
type Events struct {
	// Check refuses an event before it is written; nil refuses none. Bytes is what its data, metadata,
	// explanation and chains have.
	Check func(e *Event, bytes int) error
	// Encode makes of an event's data what is stored, and Decode of that the data, when e has all but
	// that and its items. They are nil together: then data are stored as they are.
	Encode func(ctx context.Context, e *Event) ([]byte, error)
	Decode func(ctx context.Context, e *Event, stored []byte) (json.RawMessage, error)
	// Numbered says that the number that the database gives a row is the event's place, as it is
	// where there is one writer.
	Numbered bool
}

// Insert writes events, and the items of lists, in their order, and sets their positions.
func (er Events) Insert(ctx context.Context, tx *driver.Tx, events []*Event) error {
	for len(events) > 0 {
		n := portion(len(events))
		err := er.insertSomeEvents(ctx, tx, events[:n])
		if err == nil {
			err = insertItems(ctx, tx, events[:n])
		}
		if err != nil {
			return fmt.Errorf("write events: %w", err)
		}
		events = events[n:]
	}
	return nil
}

func (er Events) insertSomeEvents(ctx context.Context, tx *driver.Tx, events []*Event) (err error) {
	args := make([]any, 0, len(events)*eventColumnCount)
	for _, e := range events {
		if args, err = er.appendEvent(ctx, args, e); err != nil {
			return err
		}
	}
	statement := "INSERT INTO edda_events (" + EventColumns + ") VALUES " + tuples(len(events), eventColumnCount, 0)
	if er.Numbered && len(events) == 1 { // which costs less than RETURNING
		result, err := tx.ExecContext(ctx, statement, args...)
		if err == nil {
			events[0].Position.Seq, err = result.LastInsertId()
		}
		return err
	}
	rows, err := tx.QueryContext(ctx, statement+" RETURNING tx, seq, event_uuid", args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			at Position
			id edda.ID
		)
		if err := rows.Scan(&at.Tx, &at.Seq, scanID{&id}); err != nil {
			return err
		}
		// Nothing promises that what is returned is in the order of what is inserted.
		if i := slices.IndexFunc(events, func(e *Event) bool { return e.ID == id }); i >= 0 {
			events[i].Position = at
		}
	}
	return rows.Err()
}

func (er Events) appendEvent(ctx context.Context, args []any, e *Event) ([]any, error) {
	texts, bytes := make([]any, 0, 6), len(e.Data)+len(e.Explain)
	for _, v := range []any{e.PrimaryKeys, e.Metadata, Chain(e.Before), Chain(e.Saga), Chain(e.After), Chain(e.Chain)} {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", e.ID, err)
		}
		texts = append(texts, string(b))
		bytes += len(b)
	}
	if er.Check != nil {
		if err := er.Check(e, bytes); err != nil {
			return nil, err
		}
	}
	if e.PrimaryKeys == nil {
		texts[0] = "{}"
	}
	if e.Metadata == nil {
		texts[1] = nil
	}
	data := []byte(e.Data)
	if er.Encode != nil {
		var err error
		if data, err = er.Encode(ctx, e); err != nil {
			return nil, err
		}
	}
	return append(args,
		e.ID.String(), e.CommandID.String(), nullID(e.CausationID), e.CausationLevel, e.CorrelationID, e.CorrelationType,
		e.CorrelationPattern, e.Broadcaster, e.Type, e.Pattern, e.Object, e.Key, texts[0], data, texts[1], int64(e.Version),
		e.AppVersion, texts[2], texts[3], texts[4], texts[5], nullText(e.Explain), e.Live, e.CreatedAt.UnixMicro()), nil
}

// nullText is JSON as a parameter, NULL when there is none.
func nullText(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return string(b)
}

// Chain is a chain of handlers that is an empty list rather than null.
func Chain(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

func insertItems(ctx context.Context, tx *driver.Tx, events []*Event) error {
	for _, e := range events {
		for from := 0; from < len(e.Items); {
			n := portion(len(e.Items) - from)
			if err := insertSomeItems(ctx, tx, e, from, n); err != nil {
				return err
			}
			from += n
		}
	}
	return nil
}

func insertSomeItems(ctx context.Context, tx *driver.Tx, e *Event, from, n int) error {
	const columns = 5
	object := strings.TrimSuffix(e.Object, ListSuffix)
	args := make([]any, 0, n*columns)
	for i, item := range e.Items[from : from+n] {
		args = append(args, e.ID.String(), from+i, object, item.Key, int64(item.Version))
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO edda_event_items (event_uuid, item, object, key, version) VALUES "+tuples(n, columns, 0), args...)
	return err
}
