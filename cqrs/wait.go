package cqrs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/internal/eventual"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// Wait returns once a handler has come to a position, such as Outcome.Position of a command whose effects
// the caller wants to read. The handler is named BROADCASTER/NAME; what a strong one does is there when
// App.Do returns. It returns at once when the handler is that far, and polls only when another
// process runs it.
//
// An event that is tried again is waited for; of a dead letter the error's reason is Dead. Other
// reasons are BadName, Timeout and Cancelled when ctx has ended, and Unavailable.
func (a *App) Wait(ctx context.Context, handler string, p Position) error {
	op := "wait for " + handler
	strong, err := a.isStrong(handler)
	if err != nil {
		return &edda.Error{Op: op, Reason: edda.BadName, Err: err}
	}
	if strong || p.IsZero() {
		return nil
	}
	if err := a.await(ctx, handler, p); err != nil {
		if ctx.Err() != nil {
			return &edda.Error{Op: op, Reason: reasonOf(ctx.Err()), Err: err}
		}
		return &edda.Error{Op: op, Reason: waitReason(err), Err: err}
	}
	return nil
}

func waitReason(err error) edda.Reason {
	if e, ok := errors.AsType[*edda.Error](err); ok {
		return e.Reason
	}
	return edda.Unavailable
}

func (a *App) await(ctx context.Context, handler string, p Position) error {
	select {
	case <-a.life.started:
		if here, err := a.late.Await(ctx, handler, p, a.life.stopping); here {
			if errors.Is(err, eventual.ErrStopped) {
				return a.ended(ctx)
			}
			return err
		}
	default:
	}
	const first, last = 2 * time.Millisecond, 200 * time.Millisecond
	for wait := first; ; wait = min(2*wait, last) {
		row, err := ledger.SelectPlace(ctx, a.db.Reader(), handler)
		if err != nil {
			return err
		}
		if row != nil && !row.Before(p) {
			done, err := eventual.Handled(ctx, a.db.Reader(), handler, p)
			if done || err != nil {
				return err
			}
		}
		if !a.pause(ctx, wait, nil) {
			return a.ended(ctx)
		}
	}
}

// pause waits, and reports whether neither ctx nor the app has ended.
func (a *App) pause(ctx context.Context, d time.Duration, changed <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-changed:
		return true
	case <-ctx.Done():
	case <-a.life.stopping:
	}
	return false
}

func (a *App) ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return &edda.Error{Reason: edda.Unavailable, Err: errors.New("the app was stopped")}
}

// isStrong reports whether a handler has no eventual routes; the error says that there is no handler of
// this name.
func (a *App) isStrong(handler string) (bool, error) {
	var names []string
	for b, h := range a.table.handlers() {
		id := handlerID(b, h)
		if id == handler {
			return !slices.Contains(a.table.eventual(b), h), nil
		}
		names = append(names, id)
	}
	return false, fmt.Errorf("there is no handler of events %q%s", handler, known(names))
}

// handlers are all handlers of events, with their broadcasters, in the order of registration.
func (t *table) handlers() iter.Seq2[string, *handler] {
	return func(yield func(string, *handler) bool) {
		for _, b := range t.names {
			for _, h := range t.broadcasters[b].broadcaster.handlers {
				if h.kind != KindHook && !yield(b, h) {
					return
				}
			}
		}
	}
}
