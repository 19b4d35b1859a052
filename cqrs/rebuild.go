package cqrs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/double"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

const (
	// rebuildPrefix begins the names of the rows of edda_positions that the tables under a rebuild have.
	rebuildPrefix = "#rebuild/"
	// rebuildStale is after what time without a word a rebuild's process is taken for dead.
	rebuildStale = 30 * time.Second
	// rebuildRest is how many events at most are left for the last transaction.
	rebuildRest = 2000
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
	r, err := a.newRebuild(handler, o)
	if err == nil {
		err = r.run(ctx)
	}
	if r != nil {
		r.result.Took = time.Since(began)
	}
	if err == nil {
		return &r.result, nil
	}
	e := &edda.Error{Op: op, Reason: waitReason(err), Err: err}
	if ctx.Err() != nil {
		e.Reason = reasonOf(ctx.Err())
	}
	if r == nil || len(r.result.Tables) == 0 {
		return nil, e
	}
	return &r.result, e
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

// rebuild is a rebuild under way.
type rebuild struct {
	a        *App
	o        RebuildOptions
	members  []projecting
	strong   bool
	names    []Table       // sorted
	tables   *double.Set   // with their doubles, once it is claimed
	own      int64         // the generation of the rows, by which they are known as this rebuild's
	place    Position      // what was rebuilt so far
	size     int           // of the next transaction, in events
	budget   time.Duration // of a transaction
	skipped  map[skip]bool
	behind   map[skippedKey]bool // aggregates of what was skipped
	result   Rebuilt
	progress RebuildProgress
}

// projecting is a projector whose tables are rebuilt.
type projecting struct {
	broadcaster string
	h           *handler
	id          string
}

// matched is an event, and how a projector runs on it.
type matched struct {
	*match
	e *Event
}

// skip is an event that is parked in the live projection, and failed here too.
type skip struct {
	handler string
	at      Position
}

type skippedKey struct {
	handler string
	ledger.Aggregate
}

// newRebuild finds what is rebuilt together.
func (a *App) newRebuild(handler string, o RebuildOptions) (*rebuild, error) {
	r := &rebuild{a: a, o: o, skipped: map[skip]bool{}, behind: map[skippedKey]bool{}, size: 512}
	if r.budget = time.Second; a.db.Dialect().ForUpdate == "" { // commands wait for it
		r.budget = 20 * time.Millisecond
	}
	strong, err := a.isStrong(handler)
	if err != nil {
		return nil, &edda.Error{Reason: edda.BadName, Err: err}
	}
	r.strong = strong
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
	r.gather(names)
	for _, m := range r.members {
		late := slices.Contains(a.table.eventual(m.broadcaster), m.h)
		if late && a.table.isBoth(m.broadcaster, m.h) || late == r.strong {
			return nil, badValue("", "%s writes the same tables, and one is strong, the other eventual: what is in the tables does not follow from the events alone", m.id)
		}
		r.result.Handlers = append(r.result.Handlers, m.id)
	}
	r.names = slices.Sorted(maps.Keys(names))
	for _, t := range r.names {
		if err := double.Check(string(t)); err != nil {
			return nil, &edda.Error{Reason: edda.BadValue, Err: err}
		}
	}
	return r, nil
}

// gather finds all projectors that write one of the tables, and all their tables.
func (r *rebuild) gather(names map[Table]bool) {
	for more := true; more; {
		more = false
		for b, h := range r.a.table.handlers() {
			mine := slices.ContainsFunc(h.tables, func(t Table) bool { return names[t] })
			if !mine || slices.ContainsFunc(r.members, func(m projecting) bool { return m.h == h }) {
				continue
			}
			r.members = append(r.members, projecting{b, h, handlerID(b, h)})
			for _, t := range h.tables {
				names[t] = true
			}
			more = true
		}
	}
}

// isBoth reports whether a handler has strong routes and eventual ones.
func (t *table) isBoth(broadcaster string, h *handler) bool {
	all := t.broadcasters[broadcaster].events.of[h]
	return slices.ContainsFunc(all, func(r *route) bool { return r.c.Consistency != all[0].c.Consistency })
}

// run rebuilds.
func (r *rebuild) run(ctx context.Context) error {
	if err := r.claim(ctx); err != nil {
		return err
	}
	err := r.replay(ctx)
	if err != nil {
		r.abandon(ctx)
	}
	return err
}

// replay runs the projectors on all events, and then ends the rebuild.
func (r *rebuild) replay(ctx context.Context) error {
	for {
		target, err := r.target(ctx)
		if err != nil {
			return err
		}
		r.progress.Head = target
		if err := r.upTo(ctx, target); err != nil {
			return err
		}
		err = r.finish(ctx)
		if !errors.Is(err, errRest) {
			return err
		}
		if again, err := r.target(ctx); err != nil || again == target {
			return errors.Join(err, badValue("", "the handlers %s are too far apart: let them come to the same place first", strings.Join(r.result.Handlers, ", ")))
		}
	}
}

// errRest says that there are more events than the last transaction should handle.
var errRest = errors.New("too many events are left")

// target is up to where to go before the last transaction: the newest event, or where the eventual
// handlers are.
func (r *rebuild) target(ctx context.Context) (Position, error) {
	if r.strong {
		head, _, err := r.a.newest(ctx)
		return head, err
	}
	var least *ledger.Place
	for _, m := range r.members {
		row, err := ledger.SelectPlace(ctx, r.a.db.Reader(), m.id)
		if err != nil {
			return Position{}, err
		}
		if row == nil { // it has not run yet
			return Position{}, nil
		}
		if least == nil || row.Before(least.Position) {
			least = row
		}
	}
	return least.Position, nil
}

// upTo runs the projectors on the events up to a place.
func (r *rebuild) upTo(ctx context.Context, target Position) error {
	f := &feed{a: r.a, take: r.take}
	if len(r.a.table.names) > 1 && !slices.ContainsFunc(r.members, func(m projecting) bool { return m.broadcaster != r.members[0].broadcaster }) {
		f.broadcaster = r.members[0].broadcaster
	}
	for s, err := range f.events(ctx, r.place, target) {
		if err != nil {
			return err
		}
		if err := r.handle(ctx, s.matched, s.until); err != nil {
			return err
		}
		if r.o.Progress != nil {
			r.o.Progress(r.progress)
		}
	}
	return nil
}

// take finds how the projectors run on events: on each by priority, then as they were registered.
func (r *rebuild) take(events []*Event) []matched {
	all := make([]matched, 0, len(events))
	for _, e := range events {
		e.Live = false
		first := len(all)
		for _, m := range r.members {
			if m.broadcaster != e.Broadcaster {
				continue
			}
			if how := r.a.table.on(m.broadcaster, m.h, e.Type); how != nil {
				all = append(all, matched{match: how, e: e})
			}
		}
		if len(all)-first > 1 {
			slices.SortStableFunc(all[first:], func(a, b matched) int { return a.c.Priority - b.c.Priority })
		}
	}
	return all
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
		if r := rows[rebuildPrefix+string(t)]; r != nil {
			return &RebuildProgress{Position: r.Position, Events: r.Events, UpdatedAt: r.UpdatedAt}
		}
	}
	return nil
}

// txOptions are those of a rebuild: nobody else writes the doubles.
func (r *rebuild) txOptions() driver.TxOptions {
	o := r.a.txOptions()
	o.Isolation = repeatableRead
	return o
}
