package eventual

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// processNext runs a processor on the next event, and moves the place behind it. Its command commits in a
// transaction of its own, before that: it has an id that follows from event and handler, so that it
// is done once, whoever dies when.
func (l *lane) processNext(ctx context.Context, batch []Task, upto ledger.Position) error {
	m := batch[0]
	if len(batch) > 1 {
		upto = m.Event.Position
	}
	failure, err := l.process(ctx, m)
	if err != nil {
		return err
	}
	_, err = l.transact(ctx, func(ctx context.Context, r *laneRun) error {
		r.row.Position = upto
		return r.settle(ctx, m, failure)
	})
	return err
}

// processAgain runs a processor on a parked event.
func (l *lane) processAgain(ctx context.Context, row *ledger.Parked) error {
	m, err := l.load(ctx, l.v.o.DB.Reader(), row)
	if err != nil {
		return err
	}
	var failure error
	if m.How != nil {
		if failure, err = l.process(ctx, m); err != nil {
			return err
		}
	}
	_, err = l.transact(ctx, func(ctx context.Context, r *laneRun) error {
		if m.How == nil { // the event is gone, or no longer for this handler
			return r.unpark(ctx, row)
		}
		return r.settle(ctx, m, failure)
	})
	return err
}

// process runs a processor on an event, and its command. A failure is theirs; err says that it is not
// known what has become of it, or that it was not tried.
func (l *lane) process(ctx context.Context, m Task) (failure, err error) {
	if m.row == nil && l.parked.holds(m.Event) {
		return nil, nil // it is parked
	}
	if err := l.ours(ctx); err != nil {
		return nil, err
	}
	id := childID(m.Event, l.id)
	// What a processor that died here has done counts, also where it would say something else now.
	if row, err := ledger.SelectCommand(ctx, l.v.o.DB.Reader(), id); err != nil || row != nil && row.Status == ledger.Committed {
		return nil, err
	}
	own, failure := l.h.Process(ctx, m, id)
	switch reason := edda.ReasonOf(failure); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case own:
	case reason == edda.OutcomeUnknown, reason == edda.Unavailable, errors.Is(failure, driver.ErrBusy):
		return nil, failure // to be run again: it is the same command
	}
	return failure, nil
}

// ours checks that the handler is where this process thinks, before something is done that the
// handler's own transaction does not undo.
func (l *lane) ours(ctx context.Context) error {
	row, err := ledger.SelectPlace(ctx, l.v.o.DB.Reader(), l.id)
	if err != nil {
		return err
	}
	place, generation := l.at()
	if row == nil || row.Generation != generation || row.State == ledger.Paused || place.Before(row.Position) {
		return errMoved
	}
	return nil
}

// childID is the id of the command that a processor makes of an event: always the same one. It sorts
// with the event's, and lives where that does.
func childID(e *ledger.Event, handler string) edda.ID {
	h := sha256.New()
	h.Write(e.ID[:])
	h.Write([]byte(handler))
	id := e.ID
	const version, variant = 0x70, 0x80
	sum := h.Sum(nil)
	copy(id[6:14], sum)
	id[6] = id[6]&0x0f | version
	id[8] = id[8]&0x3f | variant
	return id
}
