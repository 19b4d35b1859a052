package relay

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/internal/jsondata"
)

// Bounds of a read of the relay.
const (
	maxRead      = 4096
	maxReadBytes = 4 << 20 // one event aside
	// maxReadDecoded is how many events whose data a codec keeps.
	maxReadDecoded = 256
)

// readRelayed reads the settled events after a place, in order, as messages for their shards. Full says that there may be more.
func readRelayed(ctx context.Context, q driver.Querier, d *driver.Dialect, o *Options, after ledger.Position) (events []relayed, full bool, err error) {
	if o.Events.Decode != nil {
		return readDecoded(ctx, q, d, o, after)
	}
	statement, args := "SELECT tx, seq, "+ledger.EventColumns+" FROM edda_events WHERE seq > $1 ORDER BY seq LIMIT $2", []any{after.Seq, maxRead}
	if d.Settled != "" {
		statement = "SELECT tx, seq, " + ledger.EventColumns + " FROM edda_events WHERE (tx, seq) > ($1, $2) AND " + d.Settled + " ORDER BY tx, seq LIMIT $3"
		args = []any{after.Tx, after.Seq, maxRead}
	}
	r := newReader(o.Shards)
	if err := r.read(ctx, q, statement, args...); err != nil {
		return nil, false, fmt.Errorf("read events: %w", err)
	}
	for _, i := range r.lists {
		if err := r.addItems(ctx, q, &r.found[i].message); err != nil {
			return nil, false, fmt.Errorf("read the items of event %s: %w", r.found[i].message.ID, err)
		}
	}
	return r.found, len(r.found) == maxRead || r.bytes >= maxReadBytes, nil
}

// readDecoded is readRelayed where the database does not have the data as JSON.
func readDecoded(ctx context.Context, q driver.Querier, d *driver.Dialect, o *Options, after ledger.Position) ([]relayed, bool, error) {
	events, err := o.Events.Select(ctx, q, d, ledger.Range{After: after, Limit: maxReadDecoded, Settled: true})
	if err != nil {
		return nil, false, err
	}
	found := make([]relayed, len(events))
	for i, e := range events {
		m := messageOf(e.ID.String(), e.Type, e.Object, e.Key, e.Broadcaster, e.CorrelationID, e.Version)
		m.CausationID, m.Time = e.CausationID, e.CreatedAt
		if m.Payload, err = o.Payload(e); err != nil {
			return nil, false, fmt.Errorf("event %s: %w", e.ID, err)
		}
		found[i] = relayed{position: e.Position, shard: shardOf(m.Key, o.Shards), message: m}
	}
	return found, len(found) == maxReadDecoded, nil
}

// reader makes messages of rows. What the database has as JSON is copied as it is.
type reader struct {
	shards int
	found  []relayed
	bytes  int
	lists  []int // which of them are lists
	slab   []byte

	// A row, in the order of tx, seq and ledger.EventColumns.
	tx, seq                         int64
	id, command, causation          sql.RawBytes
	level                           int64
	correlation, correlationType    sql.RawBytes
	correlationPattern, broadcaster sql.RawBytes
	typ, pattern, object, key       sql.RawBytes
	primaryKeys, data, metadata     sql.RawBytes
	version                         int64
	app, before, saga, after, chain sql.RawBytes
	explain                         sql.RawBytes
	live                            bool
	createdAt                       int64
	dest                            []any
}

func newReader(shards int) *reader {
	r := &reader{shards: shards}
	r.dest = []any{
		&r.tx, &r.seq, &r.id, &r.command, &r.causation, &r.level, &r.correlation, &r.correlationType, &r.correlationPattern, &r.broadcaster,
		&r.typ, &r.pattern, &r.object, &r.key, &r.primaryKeys, &r.data, &r.metadata, &r.version, &r.app, &r.before, &r.saga, &r.after,
		&r.chain, &r.explain, &r.live, &r.createdAt,
	}
	return r
}

func (r *reader) read(ctx context.Context, q driver.Querier, statement string, args ...any) error {
	rows, err := q.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // where an error is told already
	for r.bytes < maxReadBytes && rows.Next() {
		if err := rows.Scan(r.dest...); err != nil {
			return err
		}
		if err := r.take(); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return rows.Close()
}

// take makes a message of the row.
func (r *reader) take() error {
	e := ledger.Event{Object: string(r.object)}
	m := messageOf(string(r.id), string(r.typ), e.Object, string(r.key), string(r.broadcaster), string(r.correlation), uint64(r.version))
	if len(r.causation) > 0 {
		if err := m.CausationID.UnmarshalText(r.causation); err != nil {
			return fmt.Errorf("event %s: %w", m.ID, err)
		}
	}
	m.Time = time.UnixMicro(r.createdAt).UTC()
	m.Payload = r.payload(&m)
	if e.List() {
		r.lists = append(r.lists, len(r.found))
	}
	r.bytes += len(m.Payload)
	r.found = append(r.found, relayed{position: ledger.Position{Tx: r.tx, Seq: r.seq}, shard: shardOf(m.Key, r.shards), message: m})
	return nil
}

// slabBytes is how much memory payloads share.
const slabBytes = 256 << 10

// payload is the event's JSON, as json.Marshal writes an Event, but for the items of a list.
func (r *reader) payload(m *edda.StreamMessage) []byte {
	room := 1024 + len(r.data) + len(r.metadata) + len(r.primaryKeys) + len(r.explain) + len(r.chain) + len(r.before) + len(r.saga) + len(r.after)
	if cap(r.slab)-len(r.slab) < room {
		r.slab = make([]byte, 0, max(slabBytes, room))
	}
	at := len(r.slab)
	b := append(r.slab, '{')
	b = appendText(b, "event_uuid", m.ID)
	b = appendRawText(b, "command_uuid", r.command)
	if len(r.causation) > 0 {
		b = appendRawText(b, "causation_uuid", r.causation)
	}
	b = appendNumber(b, "causation_hierarchy_level", r.level)
	b = appendText(b, "correlation_uuid", m.CorrelationID)
	b = appendRawText(b, "correlation_type", r.correlationType)
	b = appendRawText(b, "correlation_pattern_raw", r.correlationPattern)
	b = appendRawText(b, "broadcaster", r.broadcaster)
	b = appendText(b, "event_type", m.Type)
	b = appendRawText(b, "pattern_raw", r.pattern)
	b = appendRawText(b, "object", r.object)
	b = appendRawText(b, "key", r.key)
	b = appendJSON(b, "primary_keys", r.primaryKeys)
	b = appendJSON(b, "data", r.data)
	b = appendJSON(b, "metadata", r.metadata)
	b = appendNumber(b, "version", r.version)
	if len(r.app) > 0 {
		b = appendRawText(b, "version_app", r.app)
	}
	b = appendJSON(b, "chain_before", r.before)
	b = appendJSON(b, "chain_saga", r.saga)
	b = appendJSON(b, "chain_after", r.after)
	b = appendJSON(b, "chain_events", r.chain)
	b = appendJSON(b, "explain", r.explain)
	b = strconv.AppendBool(append(b, `"live_mode":`...), r.live)
	b = append(b, `,"created_at":"`...)
	b = m.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","position":"`...)
	b = append(b, ledger.Position{Tx: r.tx, Seq: r.seq}.String()...)
	b = append(b, '"', '}')
	if cap(b) == cap(r.slab) {
		r.slab = b
	} // else it was larger than estimated, and has grown elsewhere
	return b[at:len(b):len(b)]
}

// The functions below append a member and a comma after it.

func appendText(b []byte, name, value string) []byte {
	b = append(append(append(b, '"'), name...), '"', ':')
	return append(jsondata.AppendString(b, value), ',')
}

func appendRawText(b []byte, name string, value sql.RawBytes) []byte {
	for _, c := range value {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return appendText(b, name, string(value))
		}
	}
	b = append(append(append(b, '"'), name...), '"', ':', '"')
	return append(append(b, value...), '"', ',')
}

func appendNumber(b []byte, name string, value int64) []byte {
	b = append(append(append(b, '"'), name...), '"', ':')
	return append(strconv.AppendInt(b, value, 10), ',')
}

// appendJSON appends nothing for no value.
func appendJSON(b []byte, name string, value sql.RawBytes) []byte {
	if len(value) == 0 || string(value) == "null" {
		return b
	}
	b = append(append(append(b, '"'), name...), '"', ':')
	return append(append(b, value...), ',')
}

// addItems adds the aggregates of a list to its message.
func (r *reader) addItems(ctx context.Context, q driver.Querier, m *edda.StreamMessage) error {
	e := &ledger.Event{}
	if err := e.ID.UnmarshalText([]byte(m.ID)); err != nil {
		return err
	}
	if err := ledger.SelectItems(ctx, q, e); err != nil {
		return err
	}
	items, err := json.Marshal(e.Items)
	if err != nil {
		return err
	}
	b := append(m.Payload[:len(m.Payload)-1:len(m.Payload)-1], `,"items":`...)
	m.Payload = append(append(b, items...), '}')
	return nil
}
