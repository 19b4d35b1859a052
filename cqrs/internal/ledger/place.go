package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
)

// States of a handler's row of edda_positions.
const (
	Running    = "running"
	Paused     = "paused"
	Rebuilding = "rebuilding"
)

// Place is a row of edda_positions: how far an eventual handler has come, which is the one
// truth about it. Whoever changes the handler's effects or its parked events holds the row's lock.
type Place struct {
	Handler string // BROADCASTER/NAME
	Position
	State string // running or paused; rebuilding for a rebuild's own row
	// Generation counts the changes of what a process may remember of the handler: its parked
	// events, and its place when a person has set it.
	Generation int64
	Events     int64  // how many it has handled
	Error      string // the last one; "" once it has gone on
	UpdatedAt  time.Time
}

// FirstGeneration is that of a handler none of whose events was ever parked.
const FirstGeneration = 1

const positionColumns = "handler, tx, seq, state, generation, events, error, updated_at"

// InsertPlaces makes the rows of handlers that have none yet, before the first event.
func InsertPlaces(ctx context.Context, tx *driver.Tx, handlers []string, now time.Time) error {
	for _, h := range handlers {
		_, err := tx.ExecContext(ctx, "INSERT INTO edda_positions ("+positionColumns+
			") VALUES ($1, 0, 0, $2, $3, 0, '', $4) ON CONFLICT (handler) DO NOTHING", h, Running, FirstGeneration, now.UnixMicro())
		if err != nil {
			return fmt.Errorf("write the position of handler %s: %w", h, err)
		}
	}
	return nil
}

// PutPlace makes a row, before the first event, in place of what is there of it.
func PutPlace(ctx context.Context, tx *driver.Tx, handler, state string, generation int64, now time.Time) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO edda_positions ("+positionColumns+") VALUES ($1, 0, 0, $2, $3, 0, '', $4)"+
		" ON CONFLICT (handler) DO UPDATE SET tx = 0, seq = 0, generation = excluded.generation, events = 0, updated_at = excluded.updated_at",
		handler, state, generation, now.UnixMicro())
	return err
}

// LockPlace reads a handler's row and keeps it from others until the transaction ends; nil when
// another process has it.
func LockPlace(ctx context.Context, tx *driver.Tx, d *driver.Dialect, handler string) (*Place, error) {
	return queryPosition(ctx, tx, handler, d.ForUpdate)
}

// SelectPlace reads a handler's row; nil when there is none.
func SelectPlace(ctx context.Context, q driver.Querier, handler string) (*Place, error) {
	return queryPosition(ctx, q, handler, "")
}

func queryPosition(ctx context.Context, q driver.Querier, handler, suffix string) (*Place, error) {
	r, err := scanPosition(q.QueryRowContext(ctx, "SELECT "+positionColumns+" FROM edda_positions WHERE handler = $1 "+suffix, handler))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the position of handler %s: %w", handler, err)
	}
	return r, nil
}

func scanPosition(row interface{ Scan(dest ...any) error }) (*Place, error) {
	var (
		r  Place
		at int64
	)
	err := row.Scan(&r.Handler, &r.Tx, &r.Seq, &r.State, &r.Generation, &r.Events, &r.Error, &at)
	r.UpdatedAt = time.UnixMicro(at).UTC()
	return &r, err
}

// SelectPlaces reads all rows, by handler.
func SelectPlaces(ctx context.Context, q driver.Querier) (all []*Place, err error) {
	rows, err := q.QueryContext(ctx, "SELECT "+positionColumns+" FROM edda_positions ORDER BY handler")
	if err != nil {
		return nil, fmt.Errorf("read positions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()

	for rows.Next() {
		r, err := scanPosition(rows)
		if err != nil {
			return nil, fmt.Errorf("read positions: %w", err)
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// MovePlace writes a row that LockPlace has returned.
func MovePlace(ctx context.Context, tx *driver.Tx, r *Place, now time.Time) error {
	_, err := tx.ExecContext(ctx, "UPDATE edda_positions SET tx = $2, seq = $3, state = $4, generation = $5, events = $6, error = $7,"+
		" updated_at = $8 WHERE handler = $1", r.Handler, r.Tx, r.Seq, r.State, r.Generation, r.Events, r.Error, now.UnixMicro())
	if err != nil {
		return fmt.Errorf("move the position of handler %s: %w", r.Handler, err)
	}
	return nil
}

// States of parked events.
const (
	Waiting = "waiting" // for its next attempt, or behind one of its aggregate
	Dead    = "dead"    // a dead letter: its aggregate goes on
	Stopped = "stopped" // a dead letter, whose aggregate waits
)

// Parked is a row of edda_parked: an event that a handler has passed over.
type Parked struct {
	Handler  string
	Position Position
	EventID  edda.ID
	Object   string
	Key      string
	State    string
	Attempts int
	// NextAt is when it may be tried; the zero time as soon as nothing of its aggregate is
	// before it.
	NextAt    time.Time
	Error     string
	UpdatedAt time.Time
	// Held are the aggregates that wait behind it. They are not stored: of a list they are
	// those of its items.
	Held []Aggregate
}

// Aggregate names one.
type Aggregate struct{ Object, Key string }

const parkedColumns = "handler, tx, seq, event_uuid, object, key, state, attempts, next_at, error, updated_at"

// PutParked writes a parked event, in place of what is there of it.
func PutParked(ctx context.Context, tx *driver.Tx, r *Parked, now time.Time) error {
	next := int64(0)
	if !r.NextAt.IsZero() {
		next = r.NextAt.UnixMicro()
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO edda_parked ("+parkedColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"+
		" ON CONFLICT (handler, tx, seq) DO UPDATE SET state = excluded.state, attempts = excluded.attempts,"+
		" next_at = excluded.next_at, error = excluded.error, updated_at = excluded.updated_at",
		r.Handler, r.Position.Tx, r.Position.Seq, r.EventID.String(), r.Object, r.Key, r.State, r.Attempts, next, r.Error, now.UnixMicro())
	if err != nil {
		return fmt.Errorf("park event %s for handler %s: %w", r.EventID, r.Handler, err)
	}
	return nil
}

// DeleteParked takes a parked event away.
func DeleteParked(ctx context.Context, tx *driver.Tx, handler string, p Position) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM edda_parked WHERE handler = $1 AND tx = $2 AND seq = $3", handler, p.Tx, p.Seq)
	if err != nil {
		return fmt.Errorf("take the parked event %s from handler %s: %w", p, handler, err)
	}
	return nil
}

// ParkedRange says which parked events to read.
type ParkedRange struct {
	Handler string   // "" for all
	States  []string // none for all
	Event   edda.ID  // zero for all
	// AfterHandler and After are the place after which to begin.
	AfterHandler string
	After        Position
	Limit        int // 0 for all
}

// SelectParked reads parked events, by handler and position.
func SelectParked(ctx context.Context, q driver.Querier, r ParkedRange) (all []*Parked, err error) {
	var args []any
	param := func(v any) string { args = append(args, v); return "$" + strconv.Itoa(len(args)) }
	statement := "SELECT " + parkedColumns + " FROM edda_parked WHERE (handler, tx, seq) > (" +
		param(r.AfterHandler) + ", " + param(r.After.Tx) + ", " + param(r.After.Seq) + ")"
	if r.Handler != "" {
		statement += " AND handler = " + param(r.Handler)
	}
	if len(r.States) > 0 {
		states := make([]string, len(r.States))
		for i, s := range r.States {
			states[i] = param(s)
		}
		statement += " AND state IN (" + strings.Join(states, ", ") + ")"
	}
	if !r.Event.IsZero() {
		statement += " AND event_uuid = " + param(r.Event.String())
	}
	statement += " ORDER BY handler, tx, seq"
	if r.Limit > 0 {
		statement += " LIMIT " + param(r.Limit)
	}
	rows, err := q.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("read parked events: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()

	for rows.Next() {
		var (
			p        Parked
			next, at int64
		)
		if err := rows.Scan(&p.Handler, &p.Position.Tx, &p.Position.Seq, scanID{&p.EventID}, &p.Object, &p.Key, &p.State, &p.Attempts,
			&next, &p.Error, &at); err != nil {
			return nil, fmt.Errorf("read parked events: %w", err)
		}
		if next != 0 {
			p.NextAt = time.UnixMicro(next).UTC()
		}
		p.UpdatedAt = time.UnixMicro(at).UTC()
		all = append(all, &p)
	}
	return all, rows.Err()
}

// ParkedAt returns a handler's parked event at a place; nil when there is none.
func ParkedAt(ctx context.Context, q driver.Querier, handler string, p Position) (*Parked, error) {
	before := p
	before.Seq--
	rows, err := SelectParked(ctx, q, ParkedRange{Handler: handler, AfterHandler: handler, After: before, Limit: 1})
	if err != nil || len(rows) == 0 || rows[0].Position != p {
		return nil, err
	}
	return rows[0], nil
}

// CountParked returns how many events are parked, by handler and state.
func CountParked(ctx context.Context, q driver.Querier) (all map[[2]string]int, err error) {
	rows, err := q.QueryContext(ctx, "SELECT handler, state, count(*) FROM edda_parked GROUP BY handler, state")
	if err != nil {
		return nil, fmt.Errorf("count parked events: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	all = map[[2]string]int{}
	for rows.Next() {
		var (
			of [2]string
			n  int
		)
		if err := rows.Scan(&of[0], &of[1], &n); err != nil {
			return nil, fmt.Errorf("count parked events: %w", err)
		}
		all[of] = n
	}
	return all, rows.Err()
}
