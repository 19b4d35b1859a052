package sqlitedb

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/edda-io/edda/cqrs/driver"
)

// job is a call of Transact or Direct.
type job struct {
	ctx    context.Context
	f      func(ctx context.Context, tx *driver.Tx) error
	direct bool      // without a transaction
	alone  bool      // in one of its own
	since  time.Time // when it was called

	// turn tells the caller that the job is done, or that it must lead.
	turn chan turn
	done bool  // for whoever leads
	err  error // the outcome, once it is done
	// leads is set when the caller was told to lead. It is guarded by queue.mu.
	leads bool
}

type turn int

const (
	turnDone turn = iota
	turnLead
)

// end gives the job its outcome.
func (j *job) end(err error) {
	j.done, j.err = true, err
	j.turn <- turnDone // there is room: a job that leads has taken what told it so
}

var errGoexit = errors.New("the function has ended its goroutine, as testing.T.FailNow does, and not returned")

// queue hands the writer from caller to caller. The one who finds it free leads: it runs
// its own function and those of the callers that come meanwhile, commits, and hands the
// writer to the first of those who wait. So nobody works for others for longer than one
// commit takes, and no goroutine is needed besides those of the callers.
type queue struct {
	w *writer

	mu      sync.Mutex // guards what follows, and is held for no longer than that takes
	waiting []*job
	led     bool          // somebody leads
	closed  bool          // no more callers are let in
	idle    chan struct{} // is closed once closed is set and nobody leads
}

func newQueue(w *writer) *queue { return &queue{w: w, idle: make(chan struct{})} }

// do runs the job and returns its outcome.
func (q *queue) do(j *job) error {
	j.since, j.turn = time.Now(), make(chan turn, 1)
	leads, err := q.enter(j)
	if err != nil {
		return err
	}
	if !leads {
		if leads, err = q.wait(j); !leads {
			return err
		}
	}
	q.lead(j)
	return j.err
}

// enter lets a job wait, or lead.
func (q *queue) enter(j *job) (leads bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, driver.ErrClosed
	}
	q.waiting = append(q.waiting, j)
	leads, q.led = !q.led, true
	j.leads = leads
	return leads, nil
}

// wait waits until the job is done, and returns its outcome, or is to lead.
func (q *queue) wait(j *job) (leads bool, err error) {
	select {
	case t := <-j.turn:
		return t == turnLead, j.err
	case <-j.ctx.Done():
	}
	if q.leave(j) {
		return false, j.ctx.Err()
	}
	t := <-j.turn // somebody runs it, or it leads: that is short, as its context has ended
	return t == turnLead, j.err
}

// leave takes the job away, unless it is too late for that.
func (q *queue) leave(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, j)
	if i < 0 || j.leads {
		return false
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return true
}

// lead runs jobs until its own is done, which is the first that waits.
func (q *queue) lead(own *job) {
	returned := false
	defer func() {
		if !returned {
			q.w.abandon(own)
		}
		q.handOver()
	}()
	for !own.done {
		q.w.round(q.next)
	}
	returned = true
}

// next takes the first job that waits if it fits.
func (q *queue) next(fits func(j *job) bool) *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 || !fits(q.waiting[0]) {
		return nil
	}
	j := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	return j
}

// handOver lets the first job that waits lead.
func (q *queue) handOver() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.w.takeBack(), q.waiting...)
	if len(q.waiting) > 0 {
		q.waiting[0].leads = true
		q.waiting[0].turn <- turnLead
		return
	}
	q.led = false
	if q.closed {
		close(q.idle)
	}
}

// close lets no more callers in and waits for those that are.
func (q *queue) close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		if !q.led {
			close(q.idle)
		}
	}
	q.mu.Unlock()
	<-q.idle
}
