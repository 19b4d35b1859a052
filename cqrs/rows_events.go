package cqrs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edda-io/edda"
)

const eventColumns = "event_uuid, command_uuid, causation_uuid, causation_hierarchy_level, correlation_uuid, correlation_type," +
	" correlation_pattern_raw, broadcaster, event_type, pattern_raw, object, key, primary_keys, data, metadata, version," +
	" version_app, chain_before, chain_saga, chain_after, chain_events, explain, live_mode, created_at"

const eventColumnCount = 24

// eventRows are the rows of events, whose data a codec may have made something else.
type eventRows struct {
	codec Codec
	// numbered says that the number that the database gives a row is the event's place, as it is
	// where there is one writer.
	numbered bool
}

// insertEvents writes events, and the items of lists, in their order, and sets their
// positions.
func (er eventRows) insertEvents(ctx context.Context, tx *Tx, events []*Event) error {
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

func (er eventRows) insertSomeEvents(ctx context.Context, tx *Tx, events []*Event) (err error) {
	args := make([]any, 0, len(events)*eventColumnCount)
	for _, e := range events {
		if args, err = er.appendEvent(ctx, args, e); err != nil {
			return err
		}
	}
	statement := "INSERT INTO edda_events (" + eventColumns + ") VALUES " + tuples(len(events), eventColumnCount, 0)
	if er.numbered && len(events) == 1 { // which costs less than RETURNING
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

func (er eventRows) appendEvent(ctx context.Context, args []any, e *Event) ([]any, error) {
	texts, bytes := make([]any, 0, 6), len(e.Data)+len(e.Explain)
	for _, v := range []any{e.PrimaryKeys, e.Metadata, chain(e.Before), chain(e.Saga), chain(e.After), chain(e.Chain)} {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", e.ID, err)
		}
		texts = append(texts, string(b))
		bytes += len(b)
	}
	if err := e.checkRelay(bytes); err != nil {
		return nil, err
	}
	if e.PrimaryKeys == nil {
		texts[0] = "{}"
	}
	if e.Metadata == nil {
		texts[1] = nil
	}
	data, err := er.codec.encode(ctx, e)
	if err != nil {
		return nil, err
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

// chain is a chain that is an empty list rather than null.
func chain(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

func insertItems(ctx context.Context, tx *Tx, events []*Event) error {
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

func insertSomeItems(ctx context.Context, tx *Tx, e *Event, from, n int) error {
	const columns = 5
	object := strings.TrimSuffix(e.Object, listSuffix)
	args := make([]any, 0, n*columns)
	for i, item := range e.Items[from : from+n] {
		args = append(args, e.ID.String(), from+i, object, item.Key, int64(item.Version))
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO edda_event_items (event_uuid, item, object, key, version) VALUES "+tuples(n, columns, 0), args...)
	return err
}
