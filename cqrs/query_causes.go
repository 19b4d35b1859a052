package cqrs

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// Limits of questions about causes and effects.
const (
	// MaxRelated is how many events Ancestors, Children, Siblings and Descendants return at most.
	MaxRelated = 10_000
	// MaxLevels is how many levels of causes, or of effects, they look at.
	MaxLevels = 256
)

// Parent returns the event that brought an event about, nil when that was nobody's effect, or
// is an event of elsewhere. The errors of this and what follows are those of Event, and TooLarge
// when there is more than MaxRelated or MaxLevels allow.
func (a *App) Parent(ctx context.Context, id edda.ID) (*Event, error) {
	op := "find the cause of event " + id.String()
	e, err := a.cause(ctx, id)
	if err != nil {
		return nil, queryError(op, err)
	}
	return e, nil
}

func (a *App) cause(ctx context.Context, id edda.ID) (*Event, error) {
	e, err := a.rows.eventByID(ctx, a.db.Reader(), id)
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return nil, noEvent(id.String())
	case e.CausationID.IsZero():
		return nil, nil
	}
	return a.rows.eventByID(ctx, a.db.Reader(), e.CausationID)
}

// Children returns the events that an event brought about itself, in their order.
func (a *App) Children(ctx context.Context, id edda.ID) ([]*Event, error) {
	return a.related(ctx, "find the effects of event ", id, selectChildrenSQL)
}

// Siblings returns the other events that the same event brought about, in their order. An event
// that is nobody's effect has none.
func (a *App) Siblings(ctx context.Context, id edda.ID) ([]*Event, error) {
	return a.related(ctx, "find the siblings of event ", id, selectSiblingsSQL)
}

// Ancestors returns the event that began it all, and so on down to the parent.
func (a *App) Ancestors(ctx context.Context, id edda.ID) ([]*Event, error) {
	return a.related(ctx, "find the ancestors of event ", id, selectAncestorsSQL)
}

// Descendants returns all events that an event brought about, directly or not, in their order:
// an effect comes after its cause.
func (a *App) Descendants(ctx context.Context, id edda.ID) ([]*Event, error) {
	return a.related(ctx, "find the descendants of event ", id, selectDescendantsSQL)
}

// The parameters are the event and how many at most; $3 is how many levels.
const (
	selectRelated = "SELECT tx, seq, " + ledger.EventColumns + " FROM edda_events WHERE "

	selectChildrenSQL = selectRelated + "causation_uuid = $1 ORDER BY tx, seq LIMIT $2"

	selectSiblingsSQL = selectRelated + "event_uuid <> $1 AND causation_uuid = (SELECT causation_uuid FROM edda_events WHERE event_uuid = $1)" +
		" ORDER BY tx, seq LIMIT $2"

	selectAncestorsSQL = "WITH RECURSIVE above (event_uuid, level) AS (" +
		"SELECT causation_uuid, 1 FROM edda_events WHERE event_uuid = $1 AND causation_uuid IS NOT NULL" +
		" UNION ALL " +
		"SELECT e.causation_uuid, a.level + 1 FROM edda_events e JOIN above a ON e.event_uuid = a.event_uuid" +
		" WHERE e.causation_uuid IS NOT NULL AND a.level <= $3) " +
		selectRelated + "event_uuid IN (SELECT event_uuid FROM above) ORDER BY causation_hierarchy_level, tx, seq LIMIT $2"

	selectDescendantsSQL = "WITH RECURSIVE below (event_uuid, level) AS (" +
		"SELECT event_uuid, 1 FROM edda_events WHERE causation_uuid = $1" +
		" UNION ALL " +
		"SELECT e.event_uuid, b.level + 1 FROM edda_events e JOIN below b ON e.causation_uuid = b.event_uuid" +
		" WHERE b.level <= $3) " +
		selectRelated + "event_uuid IN (SELECT event_uuid FROM below) ORDER BY tx, seq LIMIT $2"
)

func (a *App) related(ctx context.Context, op string, id edda.ID, statement string) ([]*Event, error) {
	op += id.String()
	found, err := a.find(ctx, statement, id, MaxRelated)
	if err != nil {
		return nil, queryError(op, err)
	}
	if len(found) == 0 { // perhaps because there is no such event
		if _, err := a.Event(ctx, id); err != nil {
			return nil, queryError(op, err)
		}
	}
	return found, nil
}

// find returns at most so many events, or says that there are more.
func (a *App) find(ctx context.Context, statement string, id edda.ID, most int) ([]*Event, error) {
	args := []any{id.String(), most + 1}
	deep := statement == selectAncestorsSQL || statement == selectDescendantsSQL
	if deep {
		args = append(args, MaxLevels)
	}
	found, err := a.rows.queryEvents(ctx, a.db.Reader(), statement, args...)
	switch {
	case err != nil:
		return nil, err
	case len(found) > most:
		return nil, &edda.Error{Reason: edda.TooLarge, Err: fmt.Errorf("there are more than %d", most)}
	case deep && levelsOf(found) > MaxLevels:
		return nil, &edda.Error{Reason: edda.TooLarge, Err: fmt.Errorf("there are more than %d levels of them", MaxLevels)}
	}
	return found, nil
}

// levelsOf is how many levels of causes and effects there are among events that hang together.
func levelsOf(events []*Event) int {
	if len(events) == 0 {
		return 0
	}
	byLevel := func(a, b *Event) int { return cmp.Compare(a.CausationLevel, b.CausationLevel) }
	return slices.MaxFunc(events, byLevel).CausationLevel - slices.MinFunc(events, byLevel).CausationLevel + 1
}
