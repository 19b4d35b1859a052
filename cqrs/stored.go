package cqrs

import (
	"context"
	"encoding/json"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/relay"
)

// eventRows writes and reads events. The zero value has no codec, and refuses nothing.
type eventRows struct{ stored ledger.Events }

func newEventRows(c Codec) eventRows {
	r := eventRows{ledger.Events{Check: relay.Check}}
	if c.Encode == nil {
		return r
	}
	r.stored.Encode = func(ctx context.Context, e *ledger.Event) ([]byte, error) { return c.encode(ctx, (*Event)(e)) }
	r.stored.Decode = func(ctx context.Context, e *ledger.Event, stored []byte) (json.RawMessage, error) {
		return c.decode(ctx, (*Event)(e), stored)
	}
	return r
}

// insertEvents writes events, with the items of lists, and sets their positions.
func (er eventRows) insertEvents(ctx context.Context, tx *Tx, events []*Event) error {
	rows := make([]*ledger.Event, len(events))
	for i, e := range events {
		rows[i] = (*ledger.Event)(e)
	}
	return er.stored.Insert(ctx, tx, rows)
}

// selectEvents returns events in the order of their positions.
func (er eventRows) selectEvents(ctx context.Context, q Querier, d *driver.Dialect, r ledger.Range) ([]*Event, error) {
	return eventsOf(er.stored.Select(ctx, q, d, r))
}

// queryEvents runs a query for tx, seq and ledger.EventColumns.
func (er eventRows) queryEvents(ctx context.Context, q Querier, statement string, args ...any) ([]*Event, error) {
	return eventsOf(er.stored.Query(ctx, q, statement, args...))
}

// eventByID returns an event, nil when there is none.
func (er eventRows) eventByID(ctx context.Context, q Querier, id edda.ID) (*Event, error) {
	e, err := er.stored.ByID(ctx, q, id)
	return (*Event)(e), err
}

// eventOfCommand returns the event of a command, nil when it has saved none.
func (er eventRows) eventOfCommand(ctx context.Context, q Querier, id edda.ID) (*Event, error) {
	e, err := er.stored.OfCommand(ctx, q, id)
	return (*Event)(e), err
}

func eventsOf(rows []*ledger.Event, err error) ([]*Event, error) {
	if rows == nil || err != nil {
		return nil, err
	}
	events := make([]*Event, len(rows))
	for i, r := range rows {
		events[i] = (*Event)(r)
	}
	return events, nil
}

// newest is the place of the newest event that is settled, and whether there are others.
func (a *App) newest(ctx context.Context) (head Position, unsettled bool, err error) {
	return ledger.Newest(ctx, a.db.Reader(), a.db.Dialect())
}

// handlerRows is a routing table as the database has it, for people.
func handlerRows(infos []HandlerInfo) ([]ledger.Handler, error) {
	rows := make([]ledger.Handler, len(infos))
	for i, h := range infos {
		routes, err := json.Marshal(h.Routes)
		if err != nil {
			return nil, err
		}
		rows[i] = ledger.Handler{Broadcaster: h.Broadcaster, Name: h.Handler, Kind: string(h.Kind), Routes: routes}
	}
	return rows, nil
}
