// Package eventual runs handlers of events after the events were committed: each on all events that
// match, in order, in batches that are transactions and move the handler's place too. So what a handler
// does in SQL happens once per event, whoever dies when, and however many processes run it. An event that
// fails is parked, and with it the later ones of the same aggregates, until it succeeds or a person
// decides.
//
// Each handler has a goroutine, its lane, which Run waits for. All methods of Lanes are safe for
// concurrent use.
package eventual

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

const (
	// lookEvery is how soon what another process has committed is seen.
	lookEvery = time.Second
	// lookSoon and lookLate bound the wait for events that are committed, and not settled yet.
	lookSoon = time.Millisecond
	lookLate = 50 * time.Millisecond
)

// Options of Lanes. All are required.
type Options struct {
	DB        driver.DB
	TxOptions driver.TxOptions // of each transaction
	Events    ledger.Events    // reads them
	Logger    *slog.Logger
	// Within makes the context of a transaction, for the handlers that run in it.
	Within func(ctx context.Context) context.Context
	// Stored is called when handlers have stored events.
	Stored func()
	// Repeats reports whether a handler that has failed so is tried again.
	Repeats func(failure error) bool
}

// Handler is an eventual handler. Its functions are called by one goroutine at a time.
type Handler struct {
	// ID is what it is called in the database: BROADCASTER/NAME.
	ID string
	// Match says how it runs on an event; nil when it does not. It must not change the event, as
	// nobody may, and is called for all events of the database.
	Match func(e *ledger.Event) *How
	// Batch says that Handle takes many events at once.
	Batch bool
	// Handle runs it on an event, or on several if it is a Batch, as its transaction goes on with
	// them, and reports whether that has stored events.
	Handle func(ctx context.Context, tx *driver.Tx, tasks []Task) (stored bool, err error)
	// Process takes the place of Handle if what the handler does is a command, which has the id and
	// commits by itself. Own says that a failure is the handler's own, and not of the command.
	Process func(ctx context.Context, t Task, command edda.ID) (own bool, err error)
}

// How says how a handler runs on an event.
type How struct {
	Retry  edda.RetryPolicy
	OnDead edda.OnDead
	// Config is what the handler knows beside that.
	Config any
}

// Task is an event, and how a handler runs on it.
type Task struct {
	*How
	Event *ledger.Event
	row   *ledger.Parked // of a parked event
}

// Lanes run eventual handlers: one goroutine each, its lane, and one that sees to it that they
// hear of new events. The rows in the database are the truth; what a lane remembers is checked
// against them, under a lock, in each transaction.
type Lanes struct {
	o      Options
	source *source
	lanes  []*lane
	by     map[string]*lane // by BROADCASTER/NAME
	woken  chan struct{}    // has room for one
	head   atomic.Pointer[ledger.Position]
}

// New makes a lane for each handler. They do not run yet.
func New(o Options, handlers []Handler) *Lanes {
	v := &Lanes{o: o, by: map[string]*lane{}, woken: make(chan struct{}, 1)}
	v.head.Store(&ledger.Position{})
	v.source = newSource(func(ctx context.Context, after ledger.Position, limit int) ([]*ledger.Event, error) {
		return o.Events.Select(ctx, o.DB.Reader(), o.DB.Dialect(), ledger.Range{After: after, Limit: limit, Settled: true})
	})
	for i := range handlers {
		l := newLane(v, &handlers[i])
		v.lanes = append(v.lanes, l)
		v.by[l.id] = l
	}
	return v
}

// Wake says that there may be events. It does not block.
func (v *Lanes) Wake() {
	select {
	case v.woken <- struct{}{}:
	default:
	}
}

// Run runs the handlers until ctx ends.
func (v *Lanes) Run(ctx context.Context) {
	if len(v.lanes) == 0 || !v.register(ctx) {
		return
	}
	var wg sync.WaitGroup
	for _, l := range v.lanes {
		wg.Go(func() { l.run(ctx) })
	}
	wg.Go(func() { v.watch(ctx) })
	wg.Wait()
}

// register makes the rows of handlers that are new: they begin before the first event. It reports
// false when ctx has ended.
func (v *Lanes) register(ctx context.Context) bool {
	var ids []string
	for _, l := range v.lanes {
		ids = append(ids, l.id)
	}
	slices.Sort(ids)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := v.o.DB.Transact(ctx, v.o.TxOptions, func(ctx context.Context, tx *driver.Tx) error {
			return ledger.InsertPlaces(ctx, tx, ids, time.Now())
		})
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		v.o.Logger.ErrorContext(ctx, "eventual handlers cannot begin yet", "err", err)
		if !pause(ctx, wait, nil) {
			return false
		}
	}
}

// pause waits for a time, or until it is rung for, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration, rung <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-rung:
	case <-t.C:
	}
	return ctx.Err() == nil
}

// watch tells the lanes of new events: when commands commit here, and of what others have
// committed within lookEvery. It also writes the places of those that had nothing to do.
func (v *Lanes) watch(ctx context.Context) {
	var seen ledger.Position
	wait, saved := time.Duration(0), time.Now()
	for pause(ctx, wait, v.woken) {
		head, unsettled, err := ledger.Newest(ctx, v.o.DB.Reader(), v.o.DB.Dialect())
		switch {
		case err != nil:
			wait = lookEvery
			if ctx.Err() == nil {
				v.o.Logger.ErrorContext(ctx, "new events cannot be looked for", "err", err)
			}
		case unsettled:
			wait = min(max(2*wait, lookSoon), lookLate)
		default:
			wait = lookEvery
		}
		if seen.Before(head) {
			seen = head
			v.head.Store(&head)
			v.source.fresh()
			v.ring()
			if unsettled {
				wait = lookSoon
			}
		}
		if now := time.Now(); now.Sub(saved) >= lookEvery {
			saved = now
			v.save(ctx)
		}
	}
}

// ring wakes all lanes.
func (v *Lanes) ring() {
	for _, l := range v.lanes {
		l.ring()
	}
}

// save writes the places of lanes that have passed over events which are not for them.
func (v *Lanes) save(ctx context.Context) {
	var idle []*lane
	for _, l := range v.lanes {
		if l.unsaved() {
			idle = append(idle, l)
		}
	}
	if len(idle) == 0 {
		return
	}
	slices.SortFunc(idle, func(a, b *lane) int { return strings.Compare(a.id, b.id) })
	moved := make(map[*lane]ledger.Position, len(idle))
	err := v.o.DB.Transact(ctx, v.o.TxOptions, func(ctx context.Context, tx *driver.Tx) error {
		clear(moved)
		for _, l := range idle {
			place, generation := l.at()
			row, err := ledger.LockPlace(ctx, tx, v.o.DB.Dialect(), l.id)
			if err != nil {
				return err
			}
			if row == nil || row.Generation != generation || !row.Before(place) {
				continue
			}
			row.Position = place
			if err := ledger.MovePlace(ctx, tx, row, time.Now()); err != nil {
				return err
			}
			moved[l] = place
		}
		return nil
	})
	if err != nil {
		if ctx.Err() == nil {
			v.o.Logger.ErrorContext(ctx, "the places of eventual handlers cannot be written", "err", err)
		}
		return
	}
	for l, place := range moved {
		l.wasSaved(place)
	}
}
