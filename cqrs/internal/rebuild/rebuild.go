// Package rebuild runs projectors on all events from the beginning, beside the live tables and while
// those are used and written, in doubles of the tables. Then, in one transaction, it compares the two,
// and makes the live tables what was rebuilt if it is told to.
//
// Whatever ends a rebuild, the live tables are whole, and what it has left the next one of the same
// tables removes. Of two that run at once the second is refused, whichever processes they are in. A
// Rebuild belongs to one goroutine; what it starts has ended when Run returns.
package rebuild

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/double"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

const (
	// prefix begins the names of the rows of edda_positions that the tables under a rebuild have.
	prefix = "#rebuild/"
	// stale is after what time without a word a rebuild's process is taken for dead.
	stale = 30 * time.Second
	// maxRest is how many events at most are left for the last transaction.
	maxRest = 2000
)

// Row is the name of the row of edda_positions that a table has while it is rebuilt.
func Row(table string) string { return prefix + table }

// IsRow reports whether a row of edda_positions is that of a table, and not of a handler.
func IsRow(handler string) bool { return strings.HasPrefix(handler, prefix) }

// Options of a rebuild. All are required, up to Reason.
type Options struct {
	DB        driver.DB
	TxOptions driver.TxOptions // nobody else writes the doubles: RepeatableRead will do
	Events    ledger.Events    // reads them
	Logger    *slog.Logger
	// Within makes the context of a transaction, for the projectors that run in it.
	Within func(ctx context.Context) context.Context
	// Hold keeps eventual handlers from work in this process until free.
	Hold func(ctx context.Context, handlers ...string) (free func(), err error)
	// Reason is the reason of a projector's failure.
	Reason func(failure error) edda.Reason

	// Strong says that the projectors run within the commands' transactions.
	Strong bool
	// Broadcaster is the only one whose events they get; "" for several.
	Broadcaster string
	// Replace puts what was rebuilt in the place of what is there when they differ, which is an error
	// without it. Ignore are columns, as TABLE.COLUMN, that may differ. TakeOver ends a rebuild of the
	// same tables that seems to be under way.
	Replace  bool
	Ignore   []string
	TakeOver bool
	// Progress is called now and then, by the goroutine that rebuilds; nil for not.
	Progress func(Progress)
}

// Projector is one whose tables are rebuilt.
type Projector struct {
	ID          string // BROADCASTER/NAME
	Broadcaster string
	// Match says how it runs on a type of event, and with which priority; nil when it does not.
	Match func(typ string) (how any, priority int)
	// Batch says that Handle takes many events at once.
	Batch bool
	// Handle runs it on an event, or on several if it is a Batch.
	Handle func(ctx context.Context, tx *driver.Tx, tasks []Task) error
}

// Task is an event, and how a projector runs on it.
type Task struct {
	Event    *ledger.Event
	How      any
	p        *Projector
	priority int
}

// Progress is how far a rebuild has come; cqrs.RebuildProgress says what its fields are.
type Progress struct {
	Position  ledger.Position
	Head      ledger.Position
	Events    int64
	UpdatedAt time.Time
}

// Result tells of a rebuild.
type Result struct {
	Tables   []double.Comparison // none if it did not come that far
	Changed  []int64             // rows of each that were written or removed; nil without Replaced
	Events   int64
	Position ledger.Position
	Replaced bool
}

// Rebuild is a rebuild under way.
type Rebuild struct {
	o        Options
	members  []Projector
	ids      []string    // theirs
	names    []string    // of the tables, sorted
	tables   *double.Set // with their doubles, once it is claimed
	own      int64       // the generation of the rows, by which they are known as this rebuild's
	place    ledger.Position
	size     int           // of the next transaction, in events
	budget   time.Duration // of a transaction
	skipped  map[skip]bool
	behind   map[skippedKey]bool // aggregates of what was skipped
	result   Result
	progress Progress
}

// skip is an event that is parked in the live projection, and failed here too.
type skip struct {
	handler string
	at      ledger.Position
}

type skippedKey struct {
	handler string
	ledger.Aggregate
}

// New returns a rebuild of tables by all projectors that write one of them. It has not begun. The error
// is about the names of the tables.
func New(o Options, tables []string, members []Projector) (*Rebuild, error) {
	r := &Rebuild{o: o, members: members, names: slices.Sorted(slices.Values(tables)), skipped: map[skip]bool{}, behind: map[skippedKey]bool{}, size: 512}
	if r.budget = time.Second; o.DB.Dialect().ForUpdate == "" { // commands wait for it
		r.budget = 20 * time.Millisecond
	}
	for i := range members {
		r.ids = append(r.ids, members[i].ID)
	}
	for _, t := range r.names {
		if err := double.Check(t); err != nil {
			return nil, &edda.Error{Reason: edda.BadValue, Err: err}
		}
	}
	return r, nil
}

func badValue(format string, args ...any) error {
	return &edda.Error{Reason: edda.BadValue, Err: fmt.Errorf(format, args...)}
}

// Run rebuilds, once it is claimed. It returns what it has found also with the error that the tables
// differ. The error is a *edda.Error, Conflict, for that, and when another rebuild has taken over; a
// projector's failure, with its reason; or the database's.
func (r *Rebuild) Run(ctx context.Context) (*Result, error) {
	err := r.replay(ctx)
	if err != nil {
		r.abandon(ctx)
	}
	return &r.result, err
}

// replay runs the projectors on all events, and then ends the rebuild.
func (r *Rebuild) replay(ctx context.Context) error {
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
			return errors.Join(err, badValue("the handlers %s are too far apart: let them come to the same place first", strings.Join(r.ids, ", ")))
		}
	}
}

// errRest says that there are more events than the last transaction should handle.
var errRest = errors.New("too many events are left")

// target is up to where to go before the last transaction: the newest event, or where the eventual
// handlers are.
func (r *Rebuild) target(ctx context.Context) (ledger.Position, error) {
	if r.o.Strong {
		head, _, err := ledger.Newest(ctx, r.o.DB.Reader(), r.o.DB.Dialect())
		return head, err
	}
	var least *ledger.Place
	for _, m := range r.members {
		row, err := ledger.SelectPlace(ctx, r.o.DB.Reader(), m.ID)
		if err != nil {
			return ledger.Position{}, err
		}
		if row == nil { // it has not run yet
			return ledger.Position{}, nil
		}
		if least == nil || row.Before(least.Position) {
			least = row
		}
	}
	return least.Position, nil
}

// upTo runs the projectors on the events up to a place.
func (r *Rebuild) upTo(ctx context.Context, target ledger.Position) error {
	f := &feed{o: &r.o, take: r.take}
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
func (r *Rebuild) take(events []*ledger.Event) []Task {
	all := make([]Task, 0, len(events))
	for _, e := range events {
		e.Live = false
		first := len(all)
		for i := range r.members {
			p := &r.members[i]
			if p.Broadcaster != e.Broadcaster {
				continue
			}
			if how, priority := p.Match(e.Type); how != nil {
				all = append(all, Task{Event: e, How: how, p: p, priority: priority})
			}
		}
		if len(all)-first > 1 {
			slices.SortStableFunc(all[first:], func(a, b Task) int { return a.priority - b.priority })
		}
	}
	return all
}
