package cqrs

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
	"github.com/edda-io/edda/cqrs/internal/rebuild"
)

// RebuildOptions say how to rebuild. The zero value changes nothing but what is equal.
type RebuildOptions struct {
	// Replace puts what was rebuilt in the place of what is there when they differ. Without it a difference
	// is an error, and nothing is changed: then the events and the tables do not agree.
	Replace bool
	// Ignore names columns, as TABLE.COLUMN, that may differ: times of writing, numbers that the
	// database gives. Rows that are equal but for them stay as they are.
	Ignore []string
	// TakeOver ends a rebuild of the same tables that seems to be under way. One whose process has not
	// been heard of for 30 seconds is ended in any case.
	TakeOver bool
	// Progress is called now and then, by the goroutine that rebuilds; nil for not.
	Progress func(RebuildProgress)
}

// RebuildProgress is how far a rebuild has come.
type RebuildProgress struct {
	// Position is the last event that it has passed, Head the last that there was when it was last
	// looked at, and Events how many it has handled.
	Position Position `json:"position,omitzero"`
	Head     Position `json:"head,omitzero"`
	Events   int64    `json:"events"`
	// UpdatedAt is when it last went on.
	UpdatedAt time.Time `json:"updated_at,omitzero"`
}

// Rebuilt tells of a rebuild.
type Rebuilt struct {
	// Handlers are those that write the tables, all of which were run.
	Handlers []string       `json:"handlers"`
	Tables   []RebuiltTable `json:"tables"`
	// Events is how many events were handled, up to Position.
	Events   int64         `json:"events"`
	Position Position      `json:"position"`
	Took     time.Duration `json:"took"`
	// Replaced says that the tables were changed.
	Replaced bool `json:"replaced"`
}

// RebuiltTable compares a table with what the events make of it.
type RebuiltTable struct {
	Table Table `json:"table"`
	// Rows and Checksum are those of the table as it was, RebuiltRows and RebuiltChecksum those of what
	// was rebuilt. The checksum does not depend on the order of the rows.
	Rows            int64  `json:"rows"`
	Checksum        string `json:"checksum"`
	RebuiltRows     int64  `json:"rebuilt_rows"`
	RebuiltChecksum string `json:"rebuilt_checksum"`
	// Changed counts the rows that were written or removed.
	Changed int64 `json:"changed"`
}

func (t *RebuiltTable) equal() bool {
	return t.Rows == t.RebuiltRows && t.Checksum == t.RebuiltChecksum
}

// Rebuild runs a projector, named BROADCASTER/NAME, on all events from the beginning, beside the live tables
// and while they are used and written. Then, in one transaction, it compares the two, and with
// RebuildOptions.Replace makes the live tables what was rebuilt, so that readers see either. All projectors
// that write one of its tables are rebuilt with it. It returns what it found also with the error that they
// differ, whose reason is Conflict.
//
// While it runs, the projector writes doubles of the tables, named as Tx.Table says; events have
// Live false. It fails, and changes nothing, when the projector fails on an event, unless that is parked in
// the live projection too: it is skipped then. Whatever ends a rebuild, the live tables are whole; what
// it leaves behind the next one of the same tables removes.
//
// Reasons: BadName for no such handler; BadValue for one whose tables cannot be rebuilt, or bad options;
// Conflict for a difference, or another rebuild that is under way; Failed, Timeout or Panicked for the
// projector; Cancelled; Unavailable.
func (a *App) Rebuild(ctx context.Context, handler string, o RebuildOptions) (*Rebuilt, error) {
	op := "rebuild " + handler
	if err := a.life.enter(op); err != nil {
		return nil, err
	}
	defer a.life.leave()
	ctx, cancel := a.untilStop(ctx)
	defer cancel()
	began := time.Now()
	run, done, err := a.newRebuild(handler, o)
	if err == nil {
		err = run.Claim(ctx)
	}
	if err == nil {
		var found *rebuild.Result
		found, err = run.Run(ctx)
		done.fill(found)
		done.Took = time.Since(began)
	}
	if err == nil {
		return done, nil
	}
	e := &edda.Error{Op: op, Reason: waitReason(err), Err: err}
	if ctx.Err() != nil {
		e.Reason = reasonOf(ctx.Err())
	}
	if done == nil || len(done.Tables) == 0 {
		return nil, e
	}
	return done, e
}

// untilStop is a context that ends when the app is stopped. The function returned ends it too, and must be
// called.
func (a *App) untilStop(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-a.life.stopping:
			cancel(errors.New("the app was stopped"))
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-done
	}
}

// newRebuild finds what is rebuilt together, and begins to tell of it.
func (a *App) newRebuild(handler string, o RebuildOptions) (*rebuild.Rebuild, *Rebuilt, error) {
	strong, err := a.isStrong(handler)
	if err != nil {
		return nil, nil, &edda.Error{Reason: edda.BadName, Err: err}
	}
	names, err := a.tablesOf(handler)
	if err != nil {
		return nil, nil, err
	}
	members := a.projectorsOf(names)
	how := rebuild.Options{
		DB: a.db, TxOptions: driver.TxOptions{Isolation: sql.LevelRepeatableRead}, Events: a.rows.stored, Logger: a.log,
		Within: a.within, Hold: a.holdLanes, Reason: reasonOf, Strong: strong, Replace: o.Replace, Ignore: o.Ignore, TakeOver: o.TakeOver,
	}
	if len(a.table.names) > 1 && !slices.ContainsFunc(members, func(m projecting) bool { return m.broadcaster != members[0].broadcaster }) {
		how.Broadcaster = members[0].broadcaster
	}
	if o.Progress != nil {
		how.Progress = func(p rebuild.Progress) { o.Progress(RebuildProgress(p)) }
	}
	told := &Rebuilt{}
	projectors := make([]rebuild.Projector, len(members))
	for i, m := range members {
		late := slices.Contains(a.table.eventual(m.broadcaster), m.h)
		if late && a.table.isBoth(m.broadcaster, m.h) || late == strong {
			return nil, nil, badValue("", "%s writes the same tables, and one is strong, the other eventual: what is in the tables does not follow from the events alone", m.id())
		}
		projectors[i] = a.rebuildProjector(m)
		told.Handlers = append(told.Handlers, m.id())
	}
	var tables []string
	for t := range names {
		tables = append(tables, string(t))
	}
	r, err := rebuild.New(how, tables, projectors)
	return r, told, err
}

// tablesOf are the tables of a projector that can be rebuilt.
func (a *App) tablesOf(handler string) (map[Table]bool, error) {
	names := map[Table]bool{}
	for b, h := range a.table.handlers() {
		if handlerID(b, h) != handler {
			continue
		}
		if h.kind != KindProjector || len(h.tables) == 0 {
			return nil, badValue("", "it is a %s that names no tables of its own, only a projector that does can be rebuilt", h.kind)
		}
		for _, t := range h.tables {
			names[t] = true
		}
	}
	return names, nil
}

// fill takes what a rebuild has found.
func (r *Rebuilt) fill(found *rebuild.Result) {
	r.Events, r.Position, r.Replaced = found.Events, found.Position, found.Replaced
	for i, c := range found.Tables {
		t := RebuiltTable{Table: Table(c.Table), Rows: c.Rows, Checksum: c.Checksum, RebuiltRows: c.DoubleRows, RebuiltChecksum: c.DoubleChecksum}
		if found.Replaced {
			t.Changed = found.Changed[i]
		}
		r.Tables = append(r.Tables, t)
	}
}

// projecting is a projector whose tables are rebuilt.
type projecting struct {
	broadcaster string
	h           *handler
}

func (m *projecting) id() string { return handlerID(m.broadcaster, m.h) }

// projectorsOf finds all projectors that write one of the tables, and adds all their tables.
func (a *App) projectorsOf(names map[Table]bool) (members []projecting) {
	for more := true; more; {
		more = false
		for b, h := range a.table.handlers() {
			mine := slices.ContainsFunc(h.tables, func(t Table) bool { return names[t] })
			if !mine || slices.ContainsFunc(members, func(m projecting) bool { return m.h == h }) {
				continue
			}
			members = append(members, projecting{b, h})
			for _, t := range h.tables {
				names[t] = true
			}
			more = true
		}
	}
	return members
}

// rebuildProjector is a projector as a rebuild runs it.
func (a *App) rebuildProjector(m projecting) rebuild.Projector {
	return rebuild.Projector{
		ID: m.id(), Broadcaster: m.broadcaster, Batch: m.h.batch != nil,
		Match: func(typ string) (how any, priority int) {
			if on := a.table.on(m.broadcaster, m.h, typ); on != nil {
				return on, on.c.Priority
			}
			return nil, 0
		},
		Handle: func(ctx context.Context, tx *Tx, tasks []rebuild.Task) error {
			return a.attempt(ctx, tasks[0].How.(*match), func(ctx context.Context) error {
				_, err := tidy(tx, func() (Data, error) {
					if m.h.batch == nil {
						return m.h.project(ctx, tx, (*Event)(tasks[0].Event))
					}
					events := make([]*Event, len(tasks))
					for i, t := range tasks {
						events[i] = (*Event)(t.Event)
					}
					return Data{}, m.h.batch(ctx, tx, events)
				})
				return err
			})
		},
	}
}

// isBoth reports whether a handler has strong routes and eventual ones.
func (t *table) isBoth(broadcaster string, h *handler) bool {
	all := t.broadcasters[broadcaster].events.of[h]
	return slices.ContainsFunc(all, func(r *route) bool { return r.c.Consistency != all[0].c.Consistency })
}

// on says how a handler of events runs on a type, whatever its consistency; nil when it does not.
func (t *table) on(broadcaster string, h *handler, typ string) *match {
	for _, one := range t.broadcasters[broadcaster].events.of[h] {
		if one.pattern.Match(typ) {
			return &one.match
		}
	}
	return nil
}

// rebuildOf is the progress of the rebuild of a handler's tables; nil when there is none.
func rebuildOf(h *handler, rows map[string]*ledger.Place) *RebuildProgress {
	for _, t := range h.tables {
		if r := rows[rebuild.Row(string(t))]; r != nil {
			return &RebuildProgress{Position: r.Position, Events: r.Events, UpdatedAt: r.UpdatedAt}
		}
	}
	return nil
}
