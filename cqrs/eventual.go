package cqrs

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda/cqrs/internal/ledger"
)

const (
	// lookEvery is how soon what another process has committed is seen.
	lookEvery = time.Second
	// lookSoon and lookLate bound the wait for events that are committed, and not settled yet.
	lookSoon = time.Millisecond
	lookLate = 50 * time.Millisecond
)

// eventual runs the eventual handlers of the profile: one goroutine each, its lane, and one that
// sees to it that they hear of new events. The rows in the database are the truth; what a lane
// remembers is checked against them, under a lock, in each transaction.
type eventual struct {
	a      *App
	source *source
	lanes  []*lane
	by     map[string]*lane // by BROADCASTER/NAME
	woken  chan struct{}    // has room for one
	head   atomic.Pointer[Position]
}

// handlerID is what a handler is called in the database.
func handlerID(broadcaster string, h *handler) string { return broadcaster + "/" + h.name }

// newEventual makes the lanes of broadcasters.
func newEventual(a *App, broadcasters []string) *eventual {
	v := &eventual{a: a, by: map[string]*lane{}, woken: make(chan struct{}, 1)}
	v.head.Store(&Position{})
	v.source = newSource(func(ctx context.Context, after Position, limit int) ([]*Event, error) {
		return a.rows.selectEvents(ctx, a.db.Reader(), a.db.Dialect(), ledger.Range{After: after, Limit: limit, Settled: true})
	})
	for _, b := range broadcasters {
		for _, h := range a.table.eventual(b) {
			l := newLane(v, b, h)
			v.lanes = append(v.lanes, l)
			v.by[l.id] = l
		}
	}
	return v
}

// Wake implements component.
func (v *eventual) Wake() {
	select {
	case v.woken <- struct{}{}:
	default:
	}
}

// Run implements component.
func (v *eventual) Run(ctx context.Context) {
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
func (v *eventual) register(ctx context.Context) bool {
	var ids []string
	for _, l := range v.lanes {
		ids = append(ids, l.id)
	}
	slices.Sort(ids)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := v.a.db.Transact(ctx, v.a.txOptions(), func(ctx context.Context, tx *Tx) error {
			return ledger.InsertPlaces(ctx, tx, ids, time.Now())
		})
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		v.a.log.ErrorContext(ctx, "eventual handlers cannot begin yet", "err", err)
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
func (v *eventual) watch(ctx context.Context) {
	var seen Position
	wait, saved := time.Duration(0), time.Now()
	for pause(ctx, wait, v.woken) {
		head, unsettled, err := v.a.newest(ctx)
		switch {
		case err != nil:
			wait = lookEvery
			if ctx.Err() == nil {
				v.a.log.ErrorContext(ctx, "new events cannot be looked for", "err", err)
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
func (v *eventual) ring() {
	for _, l := range v.lanes {
		l.ring()
	}
}

// save writes the places of lanes that have passed over events which are not for them.
func (v *eventual) save(ctx context.Context) {
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
	moved := make(map[*lane]Position, len(idle))
	err := v.a.db.Transact(ctx, v.a.txOptions(), func(ctx context.Context, tx *Tx) error {
		clear(moved)
		for _, l := range idle {
			place, generation := l.at()
			row, err := ledger.LockPlace(ctx, tx, v.a.db.Dialect(), l.id)
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
			v.a.log.ErrorContext(ctx, "the places of eventual handlers cannot be written", "err", err)
		}
		return
	}
	for l, place := range moved {
		l.wasSaved(place)
	}
}
