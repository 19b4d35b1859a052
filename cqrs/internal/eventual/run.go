package eventual

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// handle runs the handler on new events, in one transaction. The place is after them then, or
// after those that there was time for.
func (l *lane) handle(ctx context.Context, batch []Task, upto ledger.Position) error {
	began := time.Now()
	done, err := l.transact(ctx, func(ctx context.Context, r *laneRun) error {
		if err := r.all(ctx, batch); err != nil {
			return err
		}
		r.row.Position = upto
		if r.left != nil {
			r.row.Position = *r.left
		}
		return nil
	})
	if err != nil {
		// What has failed may fail because there is much of it.
		l.size = max(l.size/2, 1)
		return err
	}
	l.tune(len(batch), time.Since(began), done)
	return nil
}

// tune sees to it that a transaction takes about the budget.
func (l *lane) tune(n int, took time.Duration, r *laneRun) {
	switch {
	case took > 2*l.budget || r.left != nil:
		l.size = max(min(r.ran, n)/2, 1)
	case took < l.budget && n == l.size:
		l.size = min(2*l.size, maxBatch)
	}
}

// again tries parked events.
func (l *lane) again(ctx context.Context, due []*ledger.Parked) error {
	_, err := l.transact(ctx, func(ctx context.Context, r *laneRun) error {
		for _, row := range due {
			m, err := l.load(ctx, r.tx, row)
			if err != nil {
				return err
			}
			if m.How == nil { // the event is gone, or no longer for this handler
				if err := r.unpark(ctx, row); err != nil {
					return err
				}
				continue
			}
			if err := r.carefully(ctx, m, nil); err != nil {
				return err
			}
			if r.over() {
				break
			}
		}
		return nil
	})
	return err
}

// load reads a parked event.
func (l *lane) load(ctx context.Context, q driver.Querier, row *ledger.Parked) (Task, error) {
	e, err := l.v.o.Events.ByID(ctx, q, row.EventID)
	if err != nil || e == nil {
		return Task{row: row}, err
	}
	return Task{How: l.h.Match(e), Event: e, row: row}, nil
}

// laneRun is a transaction of a lane under way. It is made anew when the transaction is run again.
type laneRun struct {
	l      *lane
	tx     *driver.Tx
	row    *ledger.Place
	parked parkedSet
	began  time.Time
	// shared says that parked is the lane's own still.
	shared bool
	saved  bool             // events were stored
	ran    int              // events
	dead   int              // dead letters more
	left   *ledger.Position // where it has stopped before the end
}

// transact runs f with the handler's row locked, and remembers what it has changed once it is stored.
func (l *lane) transact(ctx context.Context, f func(ctx context.Context, r *laneRun) error) (*laneRun, error) {
	var done *laneRun
	o := &l.v.o
	place, generation := l.at()
	err := o.DB.Transact(ctx, o.TxOptions, func(ctx context.Context, tx *driver.Tx) error {
		ctx = o.Within(ctx)
		row, err := ledger.LockPlace(ctx, tx, o.DB.Dialect(), l.id)
		switch {
		case err != nil:
			return err
		case row == nil:
			return errTaken
		case row.Generation != generation || row.State == ledger.Paused || place.Before(row.Position):
			return errMoved
		}
		row.Position, row.Error = place, ""
		r := &laneRun{l: l, tx: tx, row: row, parked: l.parked, shared: true, began: time.Now()}
		if err := f(ctx, r); err != nil {
			return err
		}
		row.Events += int64(r.ran)
		done = r
		return ledger.MovePlace(ctx, tx, row, time.Now())
	})
	if err != nil {
		return nil, err
	}
	if done.saved {
		o.Stored()
	}
	l.parked = done.parked
	clear(l.verdicts)
	clear(l.broken)
	l.update(func() {
		l.place, l.saved = done.row.Position, done.row.Position
		l.generation, l.state = done.row.Generation, done.row.State
		l.dead += done.dead
	})
	return done, nil
}

// over reports whether the transaction has taken its time, or the handler is to stop.
func (r *laneRun) over() bool { return r.paused() || time.Since(r.began) > r.l.budget }

func (r *laneRun) paused() bool { return r.row.State == ledger.Paused }

// all runs the handler on events, in order. When it does not come to the end, left says how far it has
// come.
func (r *laneRun) all(ctx context.Context, batch []Task) error {
	if r.l.h.Batch {
		return r.together(ctx, batch)
	}
	for len(batch) > 0 {
		n, err := r.some(ctx, batch)
		if err != nil {
			return err
		}
		if n < len(batch) && r.over() {
			r.left = &batch[n-1].Event.Position
			return nil
		}
		batch = batch[n:]
	}
	return nil
}

// some runs the handler on some of the events, at least one, and says on how many.
func (r *laneRun) some(ctx context.Context, batch []Task) (int, error) {
	if r.special(batch[0]) {
		return 1, r.carefully(ctx, batch[0], nil)
	}
	n, failure, err := r.quickly(ctx, batch)
	if err != nil || failure == nil {
		return n, err
	}
	// The effects of those before were undone too.
	for i, m := range batch[:n] {
		if err := r.carefully(ctx, m, nil); err != nil || r.paused() {
			return i + 1, err
		}
	}
	return n + 1, r.carefully(ctx, batch[n], failure)
}

// special reports whether the handler is not simply run on an event: one that waits behind others, or
// has ended a transaction.
func (r *laneRun) special(m Task) bool {
	return r.l.verdicts[m.Event.Position] != nil || m.row == nil && r.parked.holds(m.Event)
}

// quickly runs the handler on events in one savepoint, until its time is over. It says on how many, or
// how the one after them has failed; then all are undone.
func (r *laneRun) quickly(ctx context.Context, batch []Task) (n int, failure, err error) {
	failure, err = r.try(ctx, &batch[0], func() error {
		for n < len(batch) && (n == 0 || !r.special(batch[n]) && !r.over()) {
			if err := r.call(ctx, batch[n]); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if broken, ok := errors.AsType[*brokenError](err); ok {
		broken.at = batch[min(n, len(batch)-1)].Event.Position
	}
	if failure == nil && err == nil {
		r.ran += n
	}
	return n, failure, err
}

// carefully runs the handler on one event in a savepoint, unless its failure is known already, or it
// must wait.
func (r *laneRun) carefully(ctx context.Context, m Task, failure error) (err error) {
	held := m.row == nil && r.parked.holds(m.Event)
	if failure == nil {
		failure = r.l.verdicts[m.Event.Position]
	}
	if failure == nil && !held {
		failure, err = r.try(ctx, &m, func() error { return r.call(ctx, m) })
	}
	if err != nil {
		return err
	}
	return r.settle(ctx, m, failure)
}

// settle notes what became of an event, unless it has to wait behind others.
func (r *laneRun) settle(ctx context.Context, m Task, failure error) error {
	switch {
	case m.row == nil && r.parked.holds(m.Event):
		return r.park(ctx, r.parkedRow(m))
	case failure != nil:
		return r.fail(ctx, m, failure)
	}
	r.ran++
	if m.row != nil {
		return r.unpark(ctx, m.row)
	}
	return nil
}

// together runs a handler of batches on events. Of one that fails the halves are run, and so on, until
// it is known which event is to blame.
func (r *laneRun) together(ctx context.Context, batch []Task) error {
	for len(batch) > 0 && !r.paused() {
		n := slices.IndexFunc(batch, r.special)
		if n < 0 {
			n = len(batch)
		}
		var err error
		if n == 0 {
			n, err = 1, r.carefully(ctx, batch[0], nil)
		} else {
			err = r.halve(ctx, batch[:n])
		}
		if err != nil {
			return err
		}
		if r.paused() && r.left == nil && n < len(batch) {
			r.left = &batch[n-1].Event.Position
		}
		batch = batch[n:]
	}
	return nil
}

func (r *laneRun) halve(ctx context.Context, batch []Task) error {
	failure, err := r.try(ctx, &batch[0], func() error { return r.call(ctx, batch...) })
	switch {
	case err != nil:
		if broken, ok := errors.AsType[*brokenError](err); ok && len(batch) > 1 {
			broken.final, broken.many = false, broken.final
		}
		return err
	case failure == nil:
		r.ran += len(batch)
		return nil
	case len(batch) == 1:
		return r.fail(ctx, batch[0], failure)
	}
	half := len(batch) / 2
	if err := r.together(ctx, batch[:half]); err != nil {
		return err
	}
	if r.paused() {
		if r.left == nil {
			r.left = &batch[half-1].Event.Position
		}
		return nil
	}
	return r.together(ctx, batch[half:])
}
