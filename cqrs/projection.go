package cqrs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/rebuild"
)

// Projection is how a projector is getting on, or another handler that is eventual.
type Projection struct {
	// Handler is BROADCASTER/NAME.
	Handler string `json:"handler"`
	// Kind is what it is; "" of a handler that no broadcaster of this app has, whose row is kept.
	Kind        Kind        `json:"kind,omitempty"`
	Consistency Consistency `json:"consistency,omitempty"`
	Tables      []Table     `json:"tables,omitempty"`
	// State is running or paused. A strong projector runs always.
	State string `json:"state"`
	// Position is the last event that it has passed, and Events is how many it has handled. Both are
	// zero of a strong one.
	Position Position `json:"position,omitzero"`
	Events   int64    `json:"events,omitempty"`
	// LagEvents is about how many events it has not passed yet, those for others included; Lag is
	// for how long the first of them has been there.
	LagEvents int64         `json:"lag_events"`
	Lag       time.Duration `json:"lag"`
	// Waiting is how many events wait to be tried again, and behind such; Dead counts its dead letters.
	Waiting int `json:"waiting"`
	Dead    int `json:"dead"`
	// Error is the last one, until the handler has gone on.
	Error string `json:"error,omitempty"`
	// UpdatedAt is when it last went on.
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	// Rebuild is there while its tables are rebuilt.
	Rebuild *RebuildProgress `json:"rebuild,omitempty"`
}

// Projections tells of all projectors, and of all other eventual handlers, by broadcaster and
// registration; those that no broadcaster of this app has come last. It asks the database, for
// whichever process they run in.
func (a *App) Projections(ctx context.Context) ([]Projection, error) {
	all, err := a.projections(ctx)
	if err != nil {
		return nil, &edda.Error{Op: "list projections", Reason: waitReason(err), Err: err}
	}
	return all, nil
}

func (a *App) projections(ctx context.Context) ([]Projection, error) {
	q := a.db.Reader()
	rows, err := ledger.SelectPlaces(ctx, q)
	if err != nil {
		return nil, err
	}
	byHandler := map[string]*ledger.Place{}
	for _, r := range rows {
		byHandler[r.Handler] = r
	}
	parked, err := ledger.CountParked(ctx, q)
	if err != nil {
		return nil, err
	}
	head, _, err := a.newest(ctx)
	if err != nil {
		return nil, err
	}
	var all []Projection
	known := map[string]bool{}
	for b, h := range a.table.handlers() {
		p := Projection{Handler: handlerID(b, h), Kind: h.kind, Consistency: Strong, Tables: h.tables, State: ledger.Running}
		known[p.Handler] = true
		if slices.Contains(a.table.eventual(b), h) {
			p.Consistency = Eventual
		} else if h.kind != KindProjector {
			continue
		}
		p.Rebuild = rebuildOf(h, byHandler)
		all = append(all, p)
	}
	for _, r := range rows {
		if !known[r.Handler] && !rebuild.IsRow(r.Handler) {
			all = append(all, Projection{Handler: r.Handler})
		}
	}
	for i := range all {
		p := &all[i]
		if r := byHandler[p.Handler]; r != nil && p.Consistency != Strong {
			p.fill(r)
			if err := a.lag(ctx, p, head); err != nil {
				return nil, err
			}
		}
		p.Waiting = parked[[2]string{p.Handler, ledger.Waiting}]
		p.Dead = parked[[2]string{p.Handler, ledger.Dead}] + parked[[2]string{p.Handler, ledger.Stopped}]
	}
	return all, nil
}

func (p *Projection) fill(r *ledger.Place) {
	p.State, p.Position, p.Events, p.Error, p.UpdatedAt = r.State, r.Position, r.Events, r.Error, r.UpdatedAt
}

// lag says how far a handler is behind.
func (a *App) lag(ctx context.Context, p *Projection, head Position) error {
	place := p.Position
	if a.isStarted() {
		if here, ok := a.late.At(p.Handler); ok && place.Before(here) {
			place = here
		}
	}
	if !place.Before(head) {
		return nil
	}
	where, order, args := "(tx, seq) > ($1, $2)", "tx, seq", []any{place.Tx, place.Seq}
	if a.db.Dialect().Settled == "" {
		where, order, args = "seq > $1", "seq", args[1:]
	}
	var at int64
	err := a.db.Reader().QueryRowContext(ctx, "SELECT created_at FROM edda_events WHERE "+where+" ORDER BY "+order+" LIMIT 1", args...).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	p.LagEvents, p.Lag = max(head.Seq-place.Seq, 1), max(time.Since(time.UnixMicro(at)), 0)
	return err
}

// isStarted reports whether Start has been called.
func (a *App) isStarted() bool {
	select {
	case <-a.life.started:
		return true
	default:
		return false
	}
}

// PauseProjection lets an eventual handler, named BROADCASTER/NAME, stop after what it is at, in all
// processes and until ResumeProjection. Reasons: BadName, Unavailable.
func (a *App) PauseProjection(ctx context.Context, handler string) error {
	return a.setState(ctx, "pause ", handler, ledger.Paused)
}

// ResumeProjection lets a handler go on that was paused, by a person or by OnDead.
func (a *App) ResumeProjection(ctx context.Context, handler string) error {
	return a.setState(ctx, "resume ", handler, ledger.Running)
}

func (a *App) setState(ctx context.Context, op, handler, state string) error {
	return a.change(ctx, op+handler, handler, func(ctx context.Context, tx *Tx, r *ledger.Place) error {
		r.State = state
		if state == ledger.Running {
			r.Error = ""
		}
		return nil
	})
}

// change changes a handler's row, and what belongs to it, with its lock, and lets the handler know.
func (a *App) change(ctx context.Context, op, handler string, f func(ctx context.Context, tx *Tx, r *ledger.Place) error) error {
	free, err := a.holdLanes(ctx, handler)
	if err != nil {
		return &edda.Error{Op: op, Reason: reasonOf(err), Err: err}
	}
	defer free()
	err = a.db.Transact(ctx, a.txOptions(), func(ctx context.Context, tx *Tx) error {
		if strong, err := a.isStrong(handler); err == nil && !strong { // it may not have run yet, anywhere
			if err := ledger.InsertPlaces(ctx, tx, []string{handler}, time.Now()); err != nil {
				return err
			}
		}
		// Unlike a lane it waits for who has the row.
		_, err := tx.ExecContext(ctx, "UPDATE edda_positions SET updated_at = updated_at WHERE handler = $1", handler)
		if err != nil {
			return err
		}
		r, err := ledger.SelectPlace(ctx, tx, handler)
		if err != nil {
			return err
		}
		if r == nil || rebuild.IsRow(handler) {
			return a.noRow(handler)
		}
		if a.isStarted() {
			a.late.Keep(r)
		}
		if err := f(ctx, tx, r); err != nil {
			return err
		}
		return ledger.MovePlace(ctx, tx, r, time.Now())
	})
	if err != nil {
		return &edda.Error{Op: op, Reason: waitReason(err), Err: err}
	}
	return nil
}

// holdLanes keeps the lanes of handlers from work, as far as they are in this process. When they are let go
// they read the database again.
func (a *App) holdLanes(ctx context.Context, handlers ...string) (free func(), err error) {
	if !a.isStarted() {
		return func() {}, nil
	}
	return a.late.Hold(ctx, handlers...)
}

// noRow says why a handler has no row.
func (a *App) noRow(handler string) error {
	strong, err := a.isStrong(handler)
	if err == nil && strong {
		err = errors.New("it is strong: it runs within the commands' transactions")
	}
	return &edda.Error{Reason: edda.BadName, Err: err}
}

// DeadLetter is an event that a handler has not been able to handle.
type DeadLetter struct {
	// Handler is BROADCASTER/NAME.
	Handler  string   `json:"handler"`
	Event    edda.ID  `json:"event_uuid"`
	Position Position `json:"position"`
	Object   string   `json:"object"`
	Key      string   `json:"key"`
	// State is dead; stopped, when the aggregate's later events wait for it; or waiting, for the next
	// attempt or behind another event.
	State    string `json:"state"`
	Attempts int    `json:"attempts"`
	// NextAt is when it is tried again; zero for not, or as soon as what is before it is gone.
	NextAt    time.Time `json:"next_at,omitzero"`
	Error     string    `json:"error,omitempty"`
	UpdatedAt time.Time `json:"updated_at"`
}

// DeadLetterFilter says which dead letters to list. The zero value means the first 100 of all handlers.
type DeadLetterFilter struct {
	// Handler is BROADCASTER/NAME; all when empty.
	Handler string
	// Waiting lists those too that wait.
	Waiting bool
	// After is the last one of the page before.
	After *DeadLetter
	// Limit is 100 when zero.
	Limit int
}

// DeadLetters lists events that could not be handled, by handler and position.
func (a *App) DeadLetters(ctx context.Context, f DeadLetterFilter) ([]DeadLetter, error) {
	const defaultLimit = 100
	r := ledger.ParkedRange{Handler: f.Handler, Limit: f.Limit, States: []string{ledger.Dead, ledger.Stopped}}
	if r.Limit == 0 {
		r.Limit = defaultLimit
	}
	if f.Waiting {
		r.States = nil
	}
	if f.After != nil {
		r.AfterHandler, r.After = f.After.Handler, f.After.Position
	}
	rows, err := ledger.SelectParked(ctx, a.db.Reader(), r)
	if err != nil {
		return nil, &edda.Error{Op: "list dead letters", Reason: edda.Unavailable, Err: err}
	}
	all := make([]DeadLetter, len(rows))
	for i, r := range rows {
		all[i] = DeadLetter{
			Handler: r.Handler, Event: r.EventID, Position: r.Position, Object: r.Object, Key: r.Key, State: r.State,
			Attempts: r.Attempts, NextAt: r.NextAt, Error: r.Error, UpdatedAt: r.UpdatedAt,
		}
	}
	return all, nil
}

// RetryDead lets a handler try an event again that is a dead letter, or waits, now and with all its attempts.
// A handler that is paused does so when it goes on. Reasons: NoDeadLetter, BadName, Unavailable.
func (a *App) RetryDead(ctx context.Context, handler string, event edda.ID) error {
	return a.changeParked(ctx, "retry ", handler, event, func(ctx context.Context, tx *Tx, p *ledger.Parked) error {
		p.State, p.Attempts, p.NextAt = ledger.Waiting, 0, time.Time{}
		return ledger.PutParked(ctx, tx, p, time.Now())
	})
}

// DropDead takes a dead letter away, or an event that waits: the handler will never handle it. Later events of
// the aggregate go on. Reasons as of RetryDead.
func (a *App) DropDead(ctx context.Context, handler string, event edda.ID) error {
	return a.changeParked(ctx, "drop ", handler, event, func(ctx context.Context, tx *Tx, p *ledger.Parked) error {
		return ledger.DeleteParked(ctx, tx, handler, p.Position)
	})
}

func (a *App) changeParked(ctx context.Context, op, handler string, event edda.ID, f func(ctx context.Context, tx *Tx, p *ledger.Parked) error) error {
	op += "event " + event.String() + " of " + handler
	return a.change(ctx, op, handler, func(ctx context.Context, tx *Tx, r *ledger.Place) error {
		rows, err := ledger.SelectParked(ctx, tx, ledger.ParkedRange{Handler: handler, Event: event})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return &edda.Error{Reason: edda.NoDeadLetter, Err: fmt.Errorf("the event %s is none of its dead letters", event)}
		}
		r.Generation++
		return f(ctx, tx, rows[0])
	})
}
