package cqrs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// MaxTraceEvents is how many events a Trace has at most.
const MaxTraceEvents = 1000

// Trace is a story: the events that began it, and what they brought about.
type Trace struct {
	// CorrelationID is that of the first event.
	CorrelationID string `json:"correlation_uuid"`
	// Roots are events that no event in the database brought about. There are several only where
	// the story was asked for by a correlation id that several commands have.
	Roots []*TraceNode `json:"roots"`
	// Truncated says that there are more than MaxTraceEvents; the later ones are left out.
	Truncated bool `json:"truncated,omitempty"`
}

// TraceNode is an event of a story.
type TraceNode struct {
	Event *Event `json:"event"`
	// Asked says that this is the event that was asked for, by its id or its command's.
	Asked bool `json:"asked,omitempty"`
	// Eventual are the eventual handlers that the event is for, in the order of their priority.
	Eventual []Handled `json:"eventual,omitempty"`
	// Children are the events that it brought about, in their order.
	Children []*TraceNode `json:"children,omitempty"`
}

// Handled is what has become of an event with an eventual handler.
type Handled struct {
	// Handler is BROADCASTER/NAME.
	Handler string `json:"handler"`
	// State is done, once the handler has gone past the event, or a person has dropped it; pending
	// before; waiting, dead or stopped as a DeadLetter is.
	State string `json:"state"`
	// Attempts is how often it was tried, when it has failed; NextAt is when it is tried again, and
	// Error the last one.
	Attempts int       `json:"attempts,omitempty"`
	NextAt   time.Time `json:"next_at,omitzero"`
	Error    string    `json:"error,omitempty"`
}

// States of Handled beside those of dead letters.
const (
	handledDone    = "done"
	handledPending = "pending"
)

// Trace returns the story that an event belongs to, from the event that began it. The id is that
// of an event or of a command, or a correlation id. The error is a *edda.Error: NoEvent when there
// is nothing of this id, TooLarge when more than MaxLevels events led to the one that was asked
// for, Unavailable when the database cannot be asked, Cancelled or Timeout when ctx has ended.
func (a *App) Trace(ctx context.Context, id string) (*Trace, error) {
	t, err := a.trace(ctx, id)
	if err != nil {
		return nil, queryError("trace "+id, err)
	}
	return t, nil
}

func (a *App) trace(ctx context.Context, id string) (*Trace, error) {
	roots, asked, err := a.roots(ctx, id)
	if err != nil {
		return nil, err
	}
	t := &Trace{CorrelationID: roots[0].CorrelationID}
	events := roots
	for _, root := range roots {
		below, err := a.rows.queryEvents(ctx, a.db.Reader(), selectDescendantsSQL, root.ID.String(), MaxTraceEvents+1, MaxLevels)
		if err != nil {
			return nil, err
		}
		if events = append(slices.Clip(events), below...); len(events) > MaxTraceEvents {
			break
		}
	}
	if len(events) > MaxTraceEvents {
		t.Truncated, events = true, events[:MaxTraceEvents]
	}
	nodes := make(map[edda.ID]*TraceNode, len(events))
	for i, e := range events {
		node := &TraceNode{Event: e, Asked: e.ID == asked}
		nodes[e.ID] = node
		if i < len(roots) {
			t.Roots = append(t.Roots, node)
		} else if parent := nodes[e.CausationID]; parent != nil {
			parent.Children = append(parent.Children, node)
		}
	}
	return t, a.addHandled(ctx, nodes)
}

// roots returns the events that began a story, at least one, and which event was asked for.
func (a *App) roots(ctx context.Context, id string) (roots []*Event, asked edda.ID, err error) {
	e, err := a.eventOrCommand(ctx, id)
	if err != nil {
		return nil, asked, err
	}
	if e != nil {
		above, err := a.find(ctx, selectAncestorsSQL, e.ID, MaxRelated)
		if len(above) == 0 {
			above = []*Event{e}
		}
		return above[:1], e.ID, err
	}
	roots, err = a.rows.queryEvents(ctx, a.db.Reader(), selectRootsSQL, id, MaxTraceEvents+1)
	if err == nil && len(roots) == 0 {
		err = &edda.Error{Reason: edda.NoEvent, Err: fmt.Errorf("there is no event, no command with an event, and no story of the id %s", id)}
	}
	return roots, asked, err
}

const selectRootsSQL = selectRelated + "correlation_uuid = $1 AND (causation_uuid IS NULL" +
	" OR NOT EXISTS (SELECT 1 FROM edda_events p WHERE p.event_uuid = edda_events.causation_uuid))" +
	" ORDER BY tx, seq LIMIT $2"

// eventOrCommand returns the event of the id, or the event of the command of the id, or nil.
func (a *App) eventOrCommand(ctx context.Context, text string) (*Event, error) {
	id, err := edda.ParseID(text)
	if err != nil {
		return nil, nil //nolint:nilerr // a correlation id may be any text
	}
	e, err := a.rows.eventByID(ctx, a.db.Reader(), id)
	if err != nil || e != nil {
		return e, err
	}
	return a.rows.eventOfCommand(ctx, a.db.Reader(), id)
}

// addHandled says of each event what its eventual handlers have made of it.
func (a *App) addHandled(ctx context.Context, nodes map[edda.ID]*TraceNode) error {
	q := a.db.Reader()
	rows, err := ledger.SelectPlaces(ctx, q)
	if err != nil {
		return err
	}
	places := make(map[string]Position, len(rows))
	for _, r := range rows {
		places[r.Handler] = r.Position
	}
	parked, err := ledger.CountParked(ctx, q)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		late := a.table.late(n.Event.Broadcaster, n.Event.Type)
		if len(late) == 0 {
			continue
		}
		failed := map[string]*ledger.Parked{}
		if len(parked) > 0 {
			rows, err := ledger.SelectParked(ctx, q, ledger.ParkedRange{Event: n.Event.ID})
			if err != nil {
				return err
			}
			for _, r := range rows {
				failed[r.Handler] = r
			}
		}
		for _, m := range late {
			handler := handlerID(n.Event.Broadcaster, m.h)
			n.Eventual = append(n.Eventual, handled(handler, n.Event, places, failed[handler]))
		}
	}
	return nil
}

func handled(handler string, e *Event, places map[string]Position, parked *ledger.Parked) Handled {
	if parked != nil {
		return Handled{Handler: handler, State: parked.State, Attempts: parked.Attempts, NextAt: parked.NextAt, Error: parked.Error}
	}
	place, runs := places[handler]
	if runs && !place.Before(e.Position) {
		return Handled{Handler: handler, State: handledDone}
	}
	return Handled{Handler: handler, State: handledPending}
}
