package cqrs

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

const eventColumns = "event_uuid, command_uuid, causation_uuid, causation_hierarchy_level, correlation_uuid, correlation_type," +
	" correlation_pattern_raw, broadcaster, event_type, pattern_raw, object, key, primary_keys, data, metadata, version," +
	" version_app, chain_before, chain_saga, chain_after, chain_events, explain, live_mode, created_at"

const (
	eventColumnCount = 24
	eventsAtOnce     = 40 // per statement
)

// insertEvents writes events, and the items of lists, in their order, and sets their
// positions.
func insertEvents(ctx context.Context, tx *Tx, events []*Event) error {
	for len(events) > 0 {
		n := min(len(events), eventsAtOnce)
		if err := insertSomeEvents(ctx, tx, events[:n]); err != nil {
			return fmt.Errorf("write events: %w", err)
		}
		events = events[n:]
	}
	return nil
}

func insertSomeEvents(ctx context.Context, tx *Tx, events []*Event) error {
	args := make([]any, 0, len(events)*eventColumnCount)
	for _, e := range events {
		var err error
		if args, err = appendEvent(args, e); err != nil {
			return err
		}
	}
	statement := "INSERT INTO edda_events (" + eventColumns + ") VALUES " + tuples(len(events), eventColumnCount, 0) + " RETURNING tx, seq"
	rows, err := tx.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for _, e := range events {
		if !rows.Next() {
			break
		}
		if err := rows.Scan(&e.Position.Tx, &e.Position.Seq); err != nil {
			return err
		}
	}
	if err := rows.Close(); err != nil {
		return err
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return insertItems(ctx, tx, events)
}

func appendEvent(args []any, e *Event) ([]any, error) {
	texts := make([]any, 0, 8)
	for _, v := range []any{e.PrimaryKeys, e.Metadata, chain(e.Before), chain(e.Saga), chain(e.After), chain(e.Chain)} {
		b, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", e.ID, err)
		}
		texts = append(texts, string(b))
	}
	bytes := len(e.Data) + len(e.Explain)
	for _, s := range texts {
		bytes += len(s.(string))
	}
	if err := e.checkRelay(bytes); err != nil {
		return nil, err
	}
	var explain any
	if len(e.Explain) > 0 {
		explain = string(e.Explain)
	}
	return append(args,
		e.ID.String(), e.CommandID.String(), nullID(e.CausationID), e.CausationLevel, e.CorrelationID, e.CorrelationType,
		e.CorrelationPattern, e.Broadcaster, e.Type, e.Pattern, e.Object, e.Key, texts[0], []byte(e.Data), texts[1], int64(e.Version),
		e.AppVersion, texts[2], texts[3], texts[4], texts[5], explain, e.Live, e.CreatedAt.UnixMicro()), nil
}

// chain is a chain that is an empty list rather than null.
func chain(names []string) []string {
	if names == nil {
		return []string{}
	}
	return names
}

func insertItems(ctx context.Context, tx *Tx, events []*Event) error {
	const atOnce, columns = 200, 5
	for _, e := range events {
		object := strings.TrimSuffix(e.Object, listSuffix)
		for from := 0; from < len(e.Items); from += atOnce {
			items := e.Items[from:min(from+atOnce, len(e.Items))]
			args := make([]any, 0, len(items)*columns)
			for i, item := range items {
				args = append(args, e.ID.String(), from+i, object, item.Key, int64(item.Version))
			}
			_, err := tx.ExecContext(ctx, "INSERT INTO edda_event_items (event_uuid, item, object, key, version) VALUES "+
				tuples(len(items), columns, 0), args...)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// eventRange says which events to read.
type eventRange struct {
	// After is the place of the last event that is not wanted; Until that of the last
	// that may be, the zero value for all.
	After, Until Position
	// Limit is how many events at most; 0 for all.
	Limit int
	// Settled takes only events whose place in the order is final.
	Settled bool
	// Broadcaster is whose events; "" for all.
	Broadcaster string
}

// selectEvents returns events in the order of their positions.
func selectEvents(ctx context.Context, q Querier, d *driver.Dialect, r eventRange) ([]*Event, error) {
	var (
		where strings.Builder
		args  []any
		order = "tx, seq"
	)
	param := func(v any) string { args = append(args, v); return "$" + strconv.Itoa(len(args)) }
	if d.Settled == "" { // there is one writer, and its numbers are the order
		order = "seq"
		where.WriteString("seq > " + param(r.After.Seq))
		if !r.Until.IsZero() {
			where.WriteString(" AND seq <= " + param(r.Until.Seq))
		}
	} else {
		where.WriteString("(tx, seq) > (" + param(r.After.Tx) + ", " + param(r.After.Seq) + ")")
		if !r.Until.IsZero() {
			where.WriteString(" AND (tx, seq) <= (" + param(r.Until.Tx) + ", " + param(r.Until.Seq) + ")")
		}
		if r.Settled {
			where.WriteString(" AND " + d.Settled)
		}
	}
	if r.Broadcaster != "" {
		where.WriteString(" AND broadcaster = " + param(r.Broadcaster))
	}
	statement := "SELECT tx, seq, " + eventColumns + " FROM edda_events WHERE " + where.String() + " ORDER BY " + order
	if r.Limit > 0 {
		statement += " LIMIT " + param(r.Limit)
	}
	return queryEvents(ctx, q, statement, args...)
}

// eventByID returns an event, nil when there is none.
func eventByID(ctx context.Context, q Querier, id edda.ID) (*Event, error) {
	return queryEvent(ctx, q, "SELECT tx, seq, "+eventColumns+" FROM edda_events WHERE event_uuid = $1", id.String())
}

// eventOfCommand returns the event of a command, nil when it has saved none.
func eventOfCommand(ctx context.Context, q Querier, id edda.ID) (*Event, error) {
	return queryEvent(ctx, q, "SELECT tx, seq, "+eventColumns+
		" FROM edda_events WHERE event_uuid = (SELECT event_uuid FROM edda_commands WHERE command_uuid = $1)", id.String())
}

func queryEvent(ctx context.Context, q Querier, statement string, args ...any) (*Event, error) {
	events, err := queryEvents(ctx, q, statement, args...)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	return events[0], nil
}

// queryEvents runs a query for tx, seq and eventColumns.
func queryEvents(ctx context.Context, q Querier, statement string, args ...any) ([]*Event, error) {
	rows, err := q.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()
	var events, lists []*Event
	for rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		events = append(events, e)
		if e.List() {
			lists = append(lists, e)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	if err := rows.Close(); err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	for _, e := range lists {
		if err := queryItems(ctx, q, e); err != nil {
			return nil, fmt.Errorf("read the items of event %s: %w", e.ID, err)
		}
	}
	return events, nil
}

func scanEvent(rows *sql.Rows) (*Event, error) {
	var (
		e                                    Event
		keys, metadata                       []byte
		before, saga, after, events, explain []byte
		createdAt, version                   int64
	)
	err := rows.Scan(&e.Position.Tx, &e.Position.Seq,
		scanID{&e.ID}, scanID{&e.CommandID}, scanID{&e.CausationID}, &e.CausationLevel, &e.CorrelationID, &e.CorrelationType,
		&e.CorrelationPattern, &e.Broadcaster, &e.Type, &e.Pattern, &e.Object, &e.Key, &keys, (*[]byte)(&e.Data), &metadata, &version,
		&e.AppVersion, &before, &saga, &after, &events, &explain, &e.Live, &createdAt)
	if err != nil {
		return nil, err
	}
	e.Version, e.CreatedAt = uint64(version), time.UnixMicro(createdAt).UTC()
	if len(explain) > 0 {
		e.Explain = explain
	}
	for _, c := range []struct {
		from []byte
		to   any
	}{{keys, &e.PrimaryKeys}, {metadata, &e.Metadata}, {before, &e.Before}, {saga, &e.Saga}, {after, &e.After}, {events, &e.Chain}} {
		if len(c.from) == 0 {
			continue
		}
		if err := json.Unmarshal(c.from, c.to); err != nil {
			return nil, fmt.Errorf("event %s: %w", e.ID, err)
		}
	}
	return &e, nil
}

func queryItems(ctx context.Context, q Querier, e *Event) error {
	rows, err := q.QueryContext(ctx, "SELECT key, version FROM edda_event_items WHERE event_uuid = $1 ORDER BY item", e.ID.String())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var item Item
		if err := rows.Scan(&item.Key, &item.Version); err != nil {
			return err
		}
		e.Items = append(e.Items, item)
	}
	return rows.Err()
}

// lastPosition returns the position of the last event of an event's transaction and story, or,
// where transactions have no ids, of its story so far.
func lastPosition(ctx context.Context, q Querier, e *Event) (Position, error) {
	p := Position{Tx: e.Position.Tx}
	err := q.QueryRowContext(ctx, "SELECT max(seq) FROM edda_events WHERE correlation_uuid = $1 AND tx = $2",
		e.CorrelationID, e.Position.Tx).Scan(&p.Seq)
	if err != nil {
		return Position{}, fmt.Errorf("read the position of event %s: %w", e.ID, err)
	}
	return p, nil
}
