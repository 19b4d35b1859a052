package eventual

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// ErrStopped says that stop was closed, or ctx has ended.
var ErrStopped = errors.New("nobody waits any more")

// Await returns once a handler's place is not before p and the event there is not parked; of a dead
// letter it fails, with the reason Dead. It fails with ErrStopped when ctx ends or stop is
// closed. Here is false at once when the handler has no lane here.
func (v *Lanes) Await(ctx context.Context, handler string, p ledger.Position, stop <-chan struct{}) (here bool, err error) {
	l := v.by[handler]
	if l == nil {
		return false, nil
	}
	for {
		l.mu.Lock()
		there := l.adopted && !l.place.Before(p)
		everParked, changed := l.generation > ledger.FirstGeneration, l.changed
		l.mu.Unlock()
		if there {
			if !everParked {
				return true, nil
			}
			if done, err := Handled(ctx, v.o.DB.Reader(), l.id, p); done || err != nil {
				return true, err
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return true, ErrStopped
		case <-stop:
			return true, ErrStopped
		case <-time.After(lookEvery):
		}
	}
}

// Handled reports whether an event that a handler has passed is not parked. Of a dead letter the
// error's reason is Dead.
func Handled(ctx context.Context, q driver.Querier, handler string, p ledger.Position) (bool, error) {
	r, err := ledger.ParkedAt(ctx, q, handler, p)
	if err != nil || r == nil {
		return r == nil, err
	}
	if r.State == ledger.Waiting {
		return false, nil
	}
	return true, &edda.Error{Reason: edda.Dead, Attempts: r.Attempts, Err: fmt.Errorf("event %s is a dead letter: %s", r.EventID, r.Error)}
}

// At is how far a handler has come in this process, which may be past what is stored: it has passed
// events that are not for it. It is false when the handler has no lane here.
func (v *Lanes) At(handler string) (ledger.Position, bool) {
	l := v.by[handler]
	if l == nil {
		return ledger.Position{}, false
	}
	p, _ := l.at()
	return p, true
}

// Hold keeps lanes from work until free, as far as they are here; then they read the database again.
// Whoever changes their rows would else find them changed by the lanes, over and over. The error is
// ctx's.
func (v *Lanes) Hold(ctx context.Context, handlers ...string) (free func(), err error) {
	var held []*lane
	free = func() {
		for _, l := range held {
			l.forget()
			l.free()
		}
	}
	slices.Sort(handlers)
	for _, h := range handlers {
		l := v.by[h]
		if l == nil {
			continue
		}
		if !l.hold(ctx) {
			free()
			return nil, ctx.Err()
		}
		held = append(held, l)
	}
	return free, nil
}

// Keep puts the place of the row's handler here into the row, which others change: what the lane has
// passed over without a transaction stays passed.
func (v *Lanes) Keep(row *ledger.Place) {
	if l := v.by[row.Handler]; l != nil {
		l.keep(row)
	}
}
