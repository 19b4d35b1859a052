package eventual

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/edda-io/edda/cqrs/driver"
	"github.com/edda-io/edda/cqrs/internal/ledger"
)

const (
	// maxParked is how many events of a handler may wait. When there are more, the handler reads
	// on only as they go.
	maxParked = 10_000
	// dueAtOnce is how many parked events are tried in one transaction.
	dueAtOnce = 50
	// firstBatch and maxBatch bound how many events are handled in one transaction.
	firstBatch = 64
	maxBatch   = sourceEvents
	// Retries of a lane whose transaction fails as a whole.
	laneRetry, laneRetryMax = 50 * time.Millisecond, 5 * time.Second
	// The wait for a handler that another process runs, while there are events for it.
	takenWait, takenWaitMax = 5 * time.Millisecond, time.Second
	// brokenMax is how often a handler may end its transaction before that is its failure.
	brokenMax = 3
)

// lane runs one eventual handler. Its goroutine is the only one that changes it.
type lane struct {
	v  *Lanes
	h  *Handler
	id string // BROADCASTER/NAME
	// budget is about how long a transaction may take.
	budget time.Duration
	rung   chan struct{} // has room for one
	turns  chan struct{} // holds one while the lane is at work, or somebody changes its row

	parked parkedSet
	size   int // of the next batch
	// verdicts are the failures of events that ended their transaction, so that it had to be run
	// again without them; broken counts how often the one named has done so.
	verdicts map[ledger.Position]error
	broken   map[ledger.Position]int
	retry    time.Duration // 0 after what went well

	mu         sync.Mutex      // guards what follows
	adopted    bool            // what follows was read from the database
	place      ledger.Position // what is at or before it is done or parked
	saved      ledger.Position // as it is in the database
	generation int64
	state      string
	dead       int           // dead letters
	changed    chan struct{} // closed when any of it changes
	err        error         // of the last transaction that failed
}

func newLane(v *Lanes, h *Handler) *lane {
	budget := 100 * time.Millisecond
	if v.o.DB.Dialect().ForUpdate == "" { // commands wait for it
		budget = 5 * time.Millisecond
	}
	return &lane{
		v: v, h: h, id: h.ID, budget: budget, size: firstBatch,
		rung: make(chan struct{}, 1), turns: make(chan struct{}, 1), changed: make(chan struct{}),
		verdicts: map[ledger.Position]error{}, broken: map[ledger.Position]int{},
	}
}

// ring says that there is something to do.
func (l *lane) ring() {
	select {
	case l.rung <- struct{}{}:
	default:
	}
}

func (l *lane) run(ctx context.Context) {
	for wait := time.Duration(0); pause(ctx, wait, l.rung) && l.hold(ctx); {
		wait = l.turn(ctx)
		l.free()
	}
}

// hold keeps the lane from work until free, or reports that ctx has ended. Whoever changes the row would else
// find it changed by the lane, over and over.
func (l *lane) hold(ctx context.Context) bool {
	select {
	case l.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *lane) free() { <-l.turns }

// update changes what others look at, and wakes who waits for it.
func (l *lane) update(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

// at returns the lane's place.
func (l *lane) at() (ledger.Position, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.place, l.generation
}

// unsaved reports whether the lane has moved on without a transaction.
func (l *lane) unsaved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.adopted && l.saved.Before(l.place)
}

func (l *lane) wasSaved(p ledger.Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.saved.Before(p) {
		l.saved = p
	}
}

// keep puts the lane's place into its row, which others change: what the lane has passed over without
// a transaction stays passed.
func (l *lane) keep(r *ledger.Place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.adopted && l.generation == r.Generation && r.Before(l.place) {
		r.Position = l.place
	}
}

// forget lets the lane read everything from the database again.
func (l *lane) forget() {
	l.mu.Lock()
	l.adopted = false
	l.mu.Unlock()
	l.ring()
}

// turn does a piece of work. It returns how long to wait for the next one, unless it is rung for.
func (l *lane) turn(ctx context.Context) time.Duration {
	l.mu.Lock()
	adopted, state := l.adopted, l.state
	l.mu.Unlock()
	if !adopted || state == ledger.Paused {
		if err := l.adopt(ctx); err != nil {
			return l.failed(ctx, err)
		}
		l.mu.Lock()
		state = l.state
		l.mu.Unlock()
		if state == ledger.Paused {
			return lookEvery // another process may let it go on
		}
	}
	return l.outcome(ctx, l.work)
}

// Outcomes of a transaction of a lane that are no failures.
var (
	errTaken = errors.New("another process is at it")
	errMoved = errors.New("the handler is not where it was") // by another process, or a person
)

// outcome does a piece of work and says when to come again.
func (l *lane) outcome(ctx context.Context, work func(ctx context.Context) (time.Duration, error)) time.Duration {
	wait, err := work(ctx)
	switch {
	case err == nil:
		l.succeeded()
		return wait
	case ctx.Err() != nil:
		return 0
	case errors.Is(err, errTaken):
		l.retry = min(max(2*l.retry, takenWait), takenWaitMax)
		return l.retry
	case errors.Is(err, errMoved), errors.Is(err, driver.ErrUnknown):
		l.forget()
		return 0
	}
	if broken, ok := errors.AsType[*brokenError](err); ok && l.judge(broken) {
		return 0
	}
	l.forget()
	return l.failed(ctx, err)
}

func (l *lane) succeeded() {
	l.retry = 0
	l.mu.Lock()
	l.err = nil
	l.mu.Unlock()
}

// failed is for a transaction that failed as a whole: nothing has changed, and no event is to blame.
func (l *lane) failed(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	l.retry = min(max(2*l.retry, laneRetry), laneRetryMax)
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	l.v.o.Logger.WarnContext(ctx, "an eventual handler could not go on", "handler", l.id, "err", err, "again_in", l.retry)
	return l.retry
}

// brokenError says that a handler's failure has ended the transaction.
type brokenError struct {
	at    ledger.Position
	final bool // it is the handler's doing: its time was over, or it left rows open
	many  bool // it is that on one of several events
	err   error
}

func (e *brokenError) Error() string { return e.err.Error() }

func (e *brokenError) Unwrap() error { return e.err }

// judge decides whether the handler's failure counts; else the connection is to blame. What counts is
// run again at once.
func (l *lane) judge(e *brokenError) bool {
	if e.many { // which one it was is found by running them one by one
		l.size = 1
		return true
	}
	l.broken[e.at]++
	if !e.final && l.broken[e.at] < brokenMax {
		return false
	}
	delete(l.broken, e.at)
	l.verdicts[e.at] = e.err
	return true
}

// adopt reads what the database says of the handler.
func (l *lane) adopt(ctx context.Context) error {
	q := l.v.o.DB.Reader()
	// The row comes first: if the parked events change after it, so does its generation.
	row, err := ledger.SelectPlace(ctx, q, l.id)
	if err != nil {
		return err
	}
	if row == nil { // somebody has deleted it
		err := l.v.o.DB.Transact(ctx, l.v.o.TxOptions, func(ctx context.Context, tx *driver.Tx) error {
			return ledger.InsertPlaces(ctx, tx, []string{l.id}, time.Now())
		})
		if err == nil {
			row, err = ledger.SelectPlace(ctx, q, l.id)
		}
		if err != nil || row == nil {
			return errors.Join(err, errMoved)
		}
	}
	l.mu.Lock()
	same := l.adopted && l.generation == row.Generation
	l.mu.Unlock()
	var set parkedSet
	dead := 0
	if !same {
		if set, dead, err = readParked(ctx, q, l.id); err != nil {
			return err
		}
		l.parked = set
	}
	l.update(func() {
		if !same {
			l.generation, l.dead, l.place = row.Generation, dead, row.Position
		}
		if l.place.Before(row.Position) {
			l.place = row.Position
		}
		l.adopted, l.saved, l.state = true, row.Position, row.State
	})
	return nil
}

// readParked reads a handler's parked events. It also returns how many are dead letters.
func readParked(ctx context.Context, q driver.Querier, handler string) (set parkedSet, dead int, err error) {
	rows, err := ledger.SelectParked(ctx, q, ledger.ParkedRange{Handler: handler, States: []string{ledger.Waiting, ledger.Stopped}})
	if err != nil {
		return set, 0, err
	}
	for _, r := range rows {
		e := &ledger.Event{ID: r.EventID, Object: r.Object, Key: r.Key}
		if e.List() {
			if err := ledger.SelectItems(ctx, q, e); err != nil {
				return set, 0, err
			}
		}
		r.Held = e.Aggregates()
		set.put(r)
	}
	err = q.QueryRowContext(ctx, "SELECT count(*) FROM edda_parked WHERE handler = $1 AND state <> $2", handler, ledger.Waiting).Scan(&dead)
	return set, dead, err
}

// work handles the parked events that are due, or the next events.
func (l *lane) work(ctx context.Context) (time.Duration, error) {
	due, next := l.parked.due(time.Now(), dueAtOnce)
	if len(due) > 0 && l.h.Process != nil {
		return 0, l.processAgain(ctx, due[0])
	}
	if len(due) > 0 {
		return 0, l.again(ctx, due)
	}
	wait := lookEvery
	if !next.IsZero() {
		wait = min(wait, max(time.Until(next), 0))
	}
	if len(l.parked.rows) >= maxParked {
		return wait, nil
	}
	place, _ := l.at()
	events, err := l.v.source.after(ctx, place)
	if err != nil || len(events) == 0 {
		return wait, err
	}
	batch, upto := l.pick(events)
	if len(batch) == 0 {
		l.update(func() { l.place = upto })
		return 0, nil
	}
	if l.h.Process != nil {
		return 0, l.processNext(ctx, batch, upto)
	}
	return 0, l.handle(ctx, batch, upto)
}

// pick takes the events that are for the handler, and says how far it has looked.
func (l *lane) pick(events []*ledger.Event) (batch []Task, upto ledger.Position) {
	for _, e := range events {
		if len(batch) == l.size {
			break
		}
		upto = e.Position
		if how := l.h.Match(e); how != nil {
			batch = append(batch, Task{How: how, Event: e})
		}
	}
	return batch, upto
}
