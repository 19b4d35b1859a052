package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/rawjson"
)

// Range says which events to read.
type Range struct {
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

// Select returns events in the order of their positions.
func (er Events) Select(ctx context.Context, q driver.Querier, d *driver.Dialect, r Range) ([]*Event, error) {
	statement, args := selectEventsSQL(d, r)
	return er.Query(ctx, q, statement, args...)
}

func selectEventsSQL(d *driver.Dialect, r Range) (statement string, args []any) {
	param := func(v any) string { args = append(args, v); return "$" + strconv.Itoa(len(args)) }
	var where, order string
	if d.Settled == "" { // there is one writer, and its numbers are the order
		order = "seq"
		where = "seq > " + param(r.After.Seq)
		if !r.Until.IsZero() {
			where += " AND seq <= " + param(r.Until.Seq)
		}
	} else {
		order = "tx, seq"
		where = "(tx, seq) > (" + param(r.After.Tx) + ", " + param(r.After.Seq) + ")"
		if !r.Until.IsZero() {
			where += " AND (tx, seq) <= (" + param(r.Until.Tx) + ", " + param(r.Until.Seq) + ")"
		}
		if r.Settled {
			where += " AND " + d.Settled
		}
	}
	if r.Broadcaster != "" {
		where += " AND broadcaster = " + param(r.Broadcaster)
	}
	statement = "SELECT tx, seq, " + EventColumns + " FROM edda_events WHERE " + where + " ORDER BY " + order
	if r.Limit > 0 {
		statement += " LIMIT " + param(r.Limit)
	}
	return statement, args
}

// ByID returns an event, nil when there is none.
func (er Events) ByID(ctx context.Context, q driver.Querier, id edda.ID) (*Event, error) {
	return er.queryEvent(ctx, q, "SELECT tx, seq, "+EventColumns+" FROM edda_events WHERE event_uuid = $1", id.String())
}

// OfCommand returns the event of a command, nil when it has saved none.
func (er Events) OfCommand(ctx context.Context, q driver.Querier, id edda.ID) (*Event, error) {
	return er.queryEvent(ctx, q, "SELECT tx, seq, "+EventColumns+
		" FROM edda_events WHERE event_uuid = (SELECT event_uuid FROM edda_commands WHERE command_uuid = $1)", id.String())
}

func (er Events) queryEvent(ctx context.Context, q driver.Querier, statement string, args ...any) (*Event, error) {
	events, err := er.Query(ctx, q, statement, args...)
	if err != nil || len(events) == 0 {
		return nil, err
	}
	return events[0], nil
}

// Query runs a query for tx, seq and EventColumns.
func (er Events) Query(ctx context.Context, q driver.Querier, statement string, args ...any) ([]*Event, error) {
	events, lists, err := er.readEvents(ctx, q, statement, args)
	if err == nil {
		err = readItems(ctx, q, lists)
	}
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return events, nil
}

// readEvents reads events, and says which of them are about lists.
func (er Events) readEvents(ctx context.Context, q driver.Querier, statement string, args []any) (events, lists []*Event, err error) {
	rows, err := q.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	r := newEventReader()
	for rows.Next() {
		e, err := r.read(rows)
		if err == nil && er.Decode != nil {
			stored := e.Data
			e.Data = nil
			e.Data, err = er.Decode(ctx, e, stored)
		}
		if err != nil {
			return nil, nil, err
		}
		events = append(events, e)
		if e.List() {
			lists = append(lists, e)
		}
	}
	return events, lists, rows.Err()
}

// eventReader makes events of rows. What is the same in many is held once.
type eventReader struct {
	texts  map[string]string
	chains map[string][]string

	// A row, as far as it is not read into the event itself.
	id, command, causation                                    sql.RawBytes
	correlationType, correlationPattern, broadcaster, pattern sql.RawBytes
	object, app, before, saga, after, chain                   sql.RawBytes
	keys, metadata, explain                                   sql.RawBytes
	version, createdAt                                        int64
}

func newEventReader() *eventReader {
	return &eventReader{texts: map[string]string{}, chains: map[string][]string{}}
}

// read makes an event of the row.
func (r *eventReader) read(rows *sql.Rows) (*Event, error) {
	e := &Event{}
	err := rows.Scan(&e.Position.Tx, &e.Position.Seq, &r.id, &r.command, &r.causation, &e.CausationLevel, &e.CorrelationID,
		&r.correlationType, &r.correlationPattern, &r.broadcaster, &e.Type, &r.pattern, &r.object, &e.Key, &r.keys, (*[]byte)(&e.Data),
		&r.metadata, &r.version, &r.app, &r.before, &r.saga, &r.after, &r.chain, &r.explain, &e.Live, &r.createdAt)
	if err != nil {
		return nil, err
	}
	if err := r.complete(e); err != nil {
		return nil, fmt.Errorf("event %s: %w", r.id, err)
	}
	return e, nil
}

func (r *eventReader) complete(e *Event) error {
	err := errors.Join(scanID{&e.ID}.Scan([]byte(r.id)), scanID{&e.CommandID}.Scan([]byte(r.command)))
	if len(r.causation) > 0 {
		err = errors.Join(err, scanID{&e.CausationID}.Scan([]byte(r.causation)))
	}
	if err != nil {
		return err
	}
	e.CorrelationType, e.CorrelationPattern = r.text(r.correlationType), r.text(r.correlationPattern)
	e.Broadcaster, e.Pattern, e.Object, e.AppVersion = r.text(r.broadcaster), r.text(r.pattern), r.text(r.object), r.text(r.app)
	e.Version, e.CreatedAt = uint64(r.version), time.UnixMicro(r.createdAt).UTC()
	e.PrimaryKeys, e.Metadata = r.members(r.keys), r.members(r.metadata)
	e.Explain = slices.Clone(json.RawMessage(r.explain))
	for _, c := range []struct {
		from sql.RawBytes
		to   *[]string
	}{{r.before, &e.Before}, {r.saga, &e.Saga}, {r.after, &e.After}, {r.chain, &e.Chain}} {
		if *c.to, err = r.names(c.from); err != nil {
			return err
		}
	}
	return nil
}

// text is a text that many events have.
func (r *eventReader) text(b []byte) string {
	s, ok := r.texts[string(b)]
	if !ok {
		s = string(b)
		r.texts[s] = s
	}
	return s
}

// names are the handlers in a chain. Events share them, which nobody may change.
func (r *eventReader) names(raw []byte) ([]string, error) {
	names, ok := r.chains[string(raw)]
	if ok {
		return names, nil
	}
	if err := json.Unmarshal(raw, &names); err != nil {
		return nil, err
	}
	names = slices.Clip(names)
	r.chains[string(raw)] = names
	return names, nil
}

// members are those of a JSON object, nil of none.
func (r *eventReader) members(raw []byte) map[string]json.RawMessage {
	var members map[string]json.RawMessage
	for name, value := range rawjson.Members(slices.Clone(raw)) {
		if members == nil {
			members = make(map[string]json.RawMessage, 2)
		}
		members[r.text([]byte(name.String()))] = slices.Clip(value)
	}
	return members
}

// SelectItems reads the aggregates of an event about a list.
func SelectItems(ctx context.Context, q driver.Querier, e *Event) error {
	return readItems(ctx, q, []*Event{e})
}

// readItems reads the aggregates of events about lists.
func readItems(ctx context.Context, q driver.Querier, lists []*Event) error {
	for len(lists) > 0 {
		n := portion(len(lists))
		if err := readSomeItems(ctx, q, lists[:n]); err != nil {
			return fmt.Errorf("the items of lists: %w", err)
		}
		lists = lists[n:]
	}
	return nil
}

func readSomeItems(ctx context.Context, q driver.Querier, lists []*Event) (err error) {
	args := make([]any, len(lists))
	byID := make(map[edda.ID]*Event, len(lists))
	for i, e := range lists {
		args[i], byID[e.ID] = e.ID.String(), e
	}
	rows, err := q.QueryContext(ctx, "SELECT event_uuid, key, version FROM edda_event_items WHERE event_uuid IN "+
		tuples(1, len(lists), 0)+" ORDER BY event_uuid, item", args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			id      edda.ID
			item    Item
			version int64
		)
		if err := rows.Scan(scanID{&id}, &item.Key, &version); err != nil {
			return err
		}
		item.Version = uint64(version)
		e := byID[id]
		e.Items = append(e.Items, item)
	}
	return rows.Err()
}

// LastPosition returns the position of the last event of an event's transaction and story, or,
// where transactions have no ids, of its story so far.
func LastPosition(ctx context.Context, q driver.Querier, e *Event) (Position, error) {
	p := Position{Tx: e.Position.Tx}
	err := q.QueryRowContext(ctx, "SELECT max(seq) FROM edda_events WHERE correlation_uuid = $1 AND tx = $2",
		e.CorrelationID, e.Position.Tx).Scan(&p.Seq)
	if err != nil {
		return Position{}, fmt.Errorf("read the position of event %s: %w", e.ID, err)
	}
	return p, nil
}

// Newest is the place of the newest event that is settled, and whether there are others.
func Newest(ctx context.Context, q driver.Querier, d *driver.Dialect) (head Position, unsettled bool, err error) {
	order, settled := "seq DESC", "TRUE"
	if d.Settled != "" {
		order, settled = "tx DESC, seq DESC", d.Settled
	}
	one := func(where string) (p Position, settledToo bool, err error) {
		err = q.QueryRowContext(ctx, "SELECT tx, seq, "+settled+" FROM edda_events "+where+" ORDER BY "+order+" LIMIT 1").
			Scan(&p.Tx, &p.Seq, &settledToo)
		if errors.Is(err, sql.ErrNoRows) {
			return Position{}, true, nil
		}
		return p, settledToo, err
	}
	head, is, err := one("")
	if err != nil || is {
		return head, false, err
	}
	head, _, err = one("WHERE " + settled)
	return head, true, err
}
