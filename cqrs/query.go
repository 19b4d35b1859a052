package cqrs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/pattern"
)

// Limits of App.Events.
const (
	DefaultEvents = 10
	MaxEvents     = 1000
)

// EventFilter says which events to list: those of which all that is set is true. The zero value
// is the latest ten.
type EventFilter struct {
	// Types are patterns, read as by pattern.ParseFold, of which an event's type must match one.
	Types []string `json:"types,omitempty"`
	// Broadcaster is whose events.
	Broadcaster string `json:"broadcaster,omitempty"`
	// Object is the name of a model, such as User, of whose objects and lists the events are, or
	// with ".list" of whose lists. Key is that of an aggregate, in a list too.
	Object string `json:"object,omitempty"`
	Key    string `json:"key,omitempty"`
	// CorrelationID is the story's. CommandID and CausationID are what brought an event about.
	CorrelationID string  `json:"correlation_uuid,omitempty"`
	CommandID     edda.ID `json:"command_uuid,omitzero"`
	CausationID   edda.ID `json:"causation_uuid,omitzero"`
	// Since is the earliest time of an event, and Until what it must be before.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// OldestFirst lists them in their order. Otherwise the latest comes first.
	OldestFirst bool `json:"oldest_first,omitempty"`
	// Limit is how many at most, from 1 to MaxEvents; DefaultEvents when zero.
	Limit int `json:"limit,omitempty"`
	// After is the Next of the page before.
	After string `json:"after,omitempty"`
}

// EventPage is a page of events.
type EventPage struct {
	Items []*Event `json:"items"`
	// Next is where the next page begins; "" when there is none.
	Next string `json:"next,omitempty"`
}

// Event returns an event. Its error is a *edda.Error: NoEvent when there is none, Unavailable
// when the database cannot be asked, Cancelled or Timeout when ctx has ended.
func (a *App) Event(ctx context.Context, id edda.ID) (*Event, error) {
	op := "read event " + id.String()
	e, err := a.rows.eventByID(ctx, a.db.Reader(), id)
	if err == nil && e == nil {
		err = noEvent(id.String())
	}
	if err != nil {
		return nil, queryError(op, err)
	}
	return e, nil
}

func noEvent(id string) error {
	return &edda.Error{Reason: edda.NoEvent, Err: fmt.Errorf("there is no event %s", id)}
}

// queryError is the error of a question to the database.
func queryError(op string, err error) error {
	e := &edda.Error{Op: op, Reason: failureReason(err), Err: err}
	if inner, ok := err.(*edda.Error); ok && inner.Op == "" { //nolint:errorlint // one that was made here
		e.Err = inner.Err
	}
	return e
}

// Events lists events that are committed. A page shows what there is when it is asked for: newer
// events do not move the pages after it. The error is a *edda.Error: BadValue for a filter that
// makes no sense, Unavailable when the database cannot be asked, Cancelled or Timeout when ctx
// has ended.
func (a *App) Events(ctx context.Context, f EventFilter) (*EventPage, error) {
	page, err := a.events(ctx, f)
	if err != nil {
		return nil, queryError("list events", err)
	}
	return page, nil
}

func (a *App) events(ctx context.Context, f EventFilter) (*EventPage, error) {
	s, err := newEventSearch(&f)
	if err != nil {
		return nil, &edda.Error{Reason: edda.BadValue, Err: err}
	}
	s.alone = a.db.Dialect().Settled == ""
	limit := cmp.Or(f.Limit, DefaultEvents)
	page := &EventPage{Items: []*Event{}}
	for {
		n := limit - len(page.Items) + 1 // one more tells whether there is a next page
		if len(s.types) > 0 {            // what the statement finds need not match
			n = max(n, minSearched)
		}
		statement := s.statement(n)
		found, err := a.rows.queryEvents(ctx, a.db.Reader(), statement, s.args...)
		if err != nil {
			return nil, err
		}
		for _, e := range found {
			s.after = e.Position
			if !s.fits(e) {
				continue
			}
			if len(page.Items) == limit {
				page.Next = page.Items[limit-1].Position.String()
				return page, nil
			}
			page.Items = append(page.Items, e)
		}
		if len(found) < n {
			return page, nil
		}
	}
}

// minSearched is how many events are read at least, where many may not match.
const minSearched = 100

// eventSearch is a filter that makes sense.
type eventSearch struct {
	types []*pattern.Pattern
	where []string
	args  []any
	after Position
	desc  bool
	// alone says that there is one writer, whose numbers are the order.
	alone bool
	fixed int // how many args are the filter's
}

func newEventSearch(f *EventFilter) (*eventSearch, error) {
	s := &eventSearch{desc: !f.OldestFirst}
	switch {
	case f.Limit < 0 || f.Limit > MaxEvents:
		return nil, fmt.Errorf("limit is %d, must be 1 to %d", f.Limit, MaxEvents)
	case !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until):
		return nil, fmt.Errorf("since is %s, must be before until, %s", f.Since.Format(time.RFC3339), f.Until.Format(time.RFC3339))
	}
	if f.After != "" {
		p, err := ParsePosition(f.After)
		if err != nil || p.IsZero() {
			return nil, errors.New("after must be the next of a page before")
		}
		s.after = p
	}
	if err := s.addTypes(f.Types); err != nil {
		return nil, err
	}
	s.addAggregate(f.Object, f.Key)
	s.equals("broadcaster", f.Broadcaster, f.Broadcaster != "")
	s.equals("correlation_uuid", f.CorrelationID, f.CorrelationID != "")
	s.equals("command_uuid", f.CommandID.String(), !f.CommandID.IsZero())
	s.equals("causation_uuid", f.CausationID.String(), !f.CausationID.IsZero())
	if !f.Since.IsZero() {
		s.where = append(s.where, "created_at >= "+s.param(f.Since.UnixMicro()))
	}
	if !f.Until.IsZero() {
		s.where = append(s.where, "created_at < "+s.param(f.Until.UnixMicro()))
	}
	s.fixed = len(s.args)
	return s, nil
}

func (s *eventSearch) param(v any) string {
	s.args = append(s.args, v)
	return fmt.Sprintf("$%d", len(s.args))
}

func (s *eventSearch) equals(column, value string, is bool) {
	if is {
		s.where = append(s.where, column+" = "+s.param(value))
	}
}

// addTypes has the statement find at least what the patterns match.
func (s *eventSearch) addTypes(types []string) error {
	var like []string
	for _, text := range types {
		p, err := pattern.ParseFold(text)
		if err != nil {
			return err
		}
		s.types = append(s.types, p)
		like = append(like, "lower(event_type) LIKE "+s.param(likeOf(text))+` ESCAPE '\'`)
	}
	if len(like) > 0 {
		s.where = append(s.where, "("+strings.Join(like, " OR ")+")")
	}
	return nil
}

// addAggregate has the statement find what is about an aggregate, or about objects of a model.
func (s *eventSearch) addAggregate(object, key string) {
	name, isList := strings.CutSuffix(object, listSuffix)
	objects := func(param string) string { return "object = " + param }
	switch {
	case object == "" && key == "":
		return
	case key == "" && isList:
		s.where = append(s.where, objects(s.param(object)))
	case key == "":
		s.where = append(s.where, "object IN ("+s.param(object)+", "+s.param(object+listSuffix)+")")
	case object == "":
		k := s.param(key)
		s.where = append(s.where, "(key = "+k+" OR event_uuid IN (SELECT event_uuid FROM edda_event_items WHERE key = "+k+"))")
	default:
		k, n := s.param(key), s.param(name)
		in := "event_uuid IN (SELECT event_uuid FROM edda_event_items WHERE " + objects(n) + " AND key = " + k + ")"
		if !isList {
			in = "(" + objects(n) + " AND key = " + k + " OR " + in + ")"
		}
		s.where = append(s.where, in)
	}
}

// statement finds n events after the place that the search has come to.
func (s *eventSearch) statement(n int) string {
	s.args = s.args[:s.fixed]
	where, than, direction := slices.Clone(s.where), " > ", ""
	if s.desc {
		than, direction = " < ", " DESC"
	}
	order := "tx" + direction + ", seq" + direction
	if s.alone {
		order = "seq" + direction
	}
	switch {
	case s.after.IsZero():
	case s.alone:
		where = append(where, "seq"+than+s.param(s.after.Seq))
	default:
		where = append(where, "(tx, seq)"+than+"("+s.param(s.after.Tx)+", "+s.param(s.after.Seq)+")")
	}
	text := "SELECT tx, seq, " + ledger.EventColumns + " FROM edda_events"
	if len(where) > 0 {
		text += " WHERE " + strings.Join(where, " AND ")
	}
	return text + " ORDER BY " + order + " LIMIT " + s.param(n)
}

func (s *eventSearch) fits(e *Event) bool {
	for _, p := range s.types {
		if p.Match(e.Type) {
			return true
		}
	}
	return len(s.types) == 0
}

// likeOf is a pattern of SQL that matches, of types in lower case, at least what the pattern does.
func likeOf(text string) string {
	var b []byte
	open := false // b ends with what stands for anything
	anything := func() {
		if !open {
			b, open = append(b, '%'), true
		}
	}
	for i, seg := range strings.Split(strings.Trim(text, "."), ".") {
		parameter := strings.HasPrefix(seg, ":") && !strings.HasPrefix(seg, "::")
		optional := parameter && strings.HasSuffix(seg, "?") // with a dot
		if i > 0 && !open && !optional {
			b = append(b, '.')
		}
		if parameter || strings.HasPrefix(seg, "*") || strings.Contains(seg, "(") {
			anything()
			continue
		}
		for _, r := range seg {
			switch {
			case r >= utf8.RuneSelf:
				anything() // of whose cases databases have opinions
				continue
			case 'A' <= r && r <= 'Z':
				r += 'a' - 'A'
			case r == '%' || r == '_' || r == '\\':
				b = append(b, '\\')
			}
			b, open = append(b, byte(r)), false
		}
	}
	anything() // such as a dot at the end
	return string(b)
}
