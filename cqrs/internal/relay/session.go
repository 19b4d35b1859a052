package relay

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// Bounds of what is under way.
const (
	// maxWindow is how many events wait, or are being appended, at which no more are read.
	maxWindow = 4 * maxRead
	// maxBatch and maxBatchBytes bound one append, one event aside.
	maxBatch      = 4096
	maxBatchBytes = 4 << 20
)

// session relays from a place on until something fails. One goroutine, that of run, has all
// of its state; others read, append and note for it, and hand it what came of it.
//
//	read ─▶ events ─▶ shards ─▶ append, one at a time each ─▶ acked ─▶ note
//
// It reads ahead only while it is behind: else it reads what has come while the last appends were
// under way, so that batches grow with the load.
type session struct {
	*Relay
	row    progress // as it is in the database, as far as this process knows
	shards []shardQueue
	wg     sync.WaitGroup

	// Events are numbered as they are read: read is the place of the last one.
	read    progress
	window  []inFlight // those after acked, up to read
	pending int        // how many of them wait, or are being appended
	acked   progress
	reads   uint64 // how many reads were begun
	reading bool
	full    bool          // the last read has found as much as it could
	news    bool          // there may be events that were not read
	reload  bool          // another process may have come further
	waiting time.Duration // for events that are not settled

	noting    *progress // is being noted; nil for none
	noteAt    time.Time // when to note again; zero: there is nothing to note
	measuring atomic.Bool

	found chan foundEvents
	done  chan appendDone
	noted chan error
}

// inFlight is an event that was read.
type inFlight struct {
	position ledger.Position
	acked    bool
}

// foundEvents are what a read has found.
type foundEvents struct {
	events    []relayed
	full      bool
	unsettled bool // there are events whose place is not final
	row       *progress
	read      uint64
	err       error
}

func newSession(r *Relay, row *progress) *session {
	s := &session{
		Relay: r, row: *row, read: *row, acked: *row, news: true, shards: make([]shardQueue, r.o.Shards),
		found: make(chan foundEvents, 1), done: make(chan appendDone, r.o.Shards), noted: make(chan error, 1),
	}
	for i := range s.shards {
		s.shards[i].name = shardName(i, r.o.Shards)
	}
	return s
}

// run returns the first error, after all that it has begun has ended and the place was noted.
func (s *session) run(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	defer s.lastNote(ctx) // after end and Wait
	defer s.wg.Wait()
	defer end()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		s.start(ctx)
		poll, stop := s.timer()
		var err error
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case f := <-s.found:
			err = s.take(f)
		case d := <-s.done:
			err = s.appended(ctx, d)
		case err = <-s.noted:
			s.wasNoted()
		case <-s.woken:
			s.news, s.waiting = true, 0
		case <-look.C:
			s.news, s.reload = true, true
			s.measure(ctx)
		case <-poll:
			s.news = s.news || s.waiting > 0
		}
		stop()
		if err != nil {
			return err
		}
	}
}

// timer rings when events may be settled that were not, or the place is to be noted.
func (s *session) timer() (<-chan time.Time, func()) {
	wait := time.Duration(-1)
	if s.waiting > 0 && !s.reading {
		wait = s.waiting
	}
	if !s.noteAt.IsZero() && s.noting == nil {
		if until := max(time.Until(s.noteAt), 0); wait < 0 || until < wait {
			wait = until
		}
	}
	if wait < 0 {
		return nil, func() {}
	}
	t := time.NewTimer(wait)
	return t.C, func() { t.Stop() }
}

// start begins whatever can begin.
func (s *session) start(ctx context.Context) {
	for i := range s.shards {
		s.startAppend(ctx, i)
	}
	if s.news && !s.reading && (s.pending == 0 || s.full && s.pending < maxWindow) {
		s.startRead(ctx)
	}
	if s.noting == nil && !s.noteAt.IsZero() && !time.Now().Before(s.noteAt) {
		row := s.acked
		s.noting = &row
		s.wg.Go(func() { s.noted <- moveProgress(ctx, s.o.DB, &row) })
	}
}

func (s *session) startRead(ctx context.Context) {
	s.reads++
	f := foundEvents{read: s.reads}
	reload := s.reload && len(s.window) == 0
	s.reading, s.news, s.reload = true, false, s.reload && !reload
	after := s.read
	s.wg.Go(func() {
		f.err = s.find(ctx, after, reload, &f)
		s.found <- f
	})
}

// find reads what is after a place, or after that of another process which has come further.
func (s *session) find(ctx context.Context, after progress, reload bool, f *foundEvents) (err error) {
	q, d := s.o.DB.Reader(), s.o.DB.Dialect()
	if reload {
		f.row, err = selectProgress(ctx, q, s.name)
		switch {
		case err != nil:
			return err
		case f.row == nil || f.row.Producer != after.Producer || f.row.StreamAt != after.StreamAt:
			return errMoved
		case f.row.Number > after.Number:
			after = *f.row
		}
		if at, _, err := s.makeStream(ctx); err != nil || at != after.StreamAt {
			return cmp.Or(err, errMoved) // who begins anew says what is wrong
		}
	}
	if f.events, f.full, err = readRelayed(ctx, q, d, &s.o, after.Position); err != nil {
		return err
	}
	if len(f.events) == 0 && d.Settled != "" {
		_, f.unsettled, err = ledger.Newest(ctx, q, d)
	}
	return err
}

// errMoved says that somebody has changed the row.
var errMoved = errors.New("the row of the relay was changed: it is read anew")

// take hands what a read has found to the shards.
func (s *session) take(f foundEvents) error {
	s.reading = false
	if f.err != nil {
		return f.err
	}
	if f.row != nil {
		if f.row.Number < s.row.Number {
			return errMoved
		}
		s.adopt(f.row)
	}
	s.full = f.full
	s.news = s.news || len(f.events) > 0
	switch {
	case f.unsettled:
		s.waiting = min(max(2*s.waiting, lookSoon), lookLate)
	default:
		s.waiting = 0
		if len(f.events) == 0 {
			if err := s.allThere(f.read); err != nil {
				return err
			}
		}
	}
	for i := range f.events {
		e := &f.events[i]
		s.read.Number++
		s.read.Position = e.position
		e.message.Number = s.read.Number
		s.window = append(s.window, inFlight{position: e.position})
		if err := s.route(e.shard, &e.message); err != nil {
			return err
		}
	}
	s.advance()
	return nil
}

// adopt goes on where another process has come to.
func (s *session) adopt(row *progress) {
	s.row = *row
	if row.Number <= s.read.Number { // nothing is in flight: it is this process that is further
		return
	}
	s.read, s.acked, s.noteAt = *row, *row, time.Time{}
	for i := range s.shards {
		if sh := &s.shards[i]; sh.ahead.Number <= row.Number {
			sh.ahead.Number = 0
		}
	}
}

// advance moves the place behind all that are acknowledged without a gap.
func (s *session) advance() {
	n := 0
	for n < len(s.window) && s.window[n].acked {
		s.acked.Position = s.window[n].position
		n++
	}
	if n == 0 {
		return
	}
	s.acked.Number += uint64(n)
	if s.window = s.window[n:]; len(s.window) == 0 {
		s.window = nil
	}
	if s.noteAt.IsZero() {
		s.noteAt = time.Now().Add(noteAfter)
	}
}

func (s *session) wasNoted() {
	if s.row.Number < s.noting.Number {
		s.row = *s.noting
	}
	s.noting, s.noteAt = nil, time.Time{}
	if s.row.Number < s.acked.Number {
		s.noteAt = time.Now().Add(noteAfter)
	}
}

// lastNote notes the place when nothing runs any more. What is not noted is sent again by
// the next session, and passed over.
func (s *session) lastNote(ctx context.Context) {
	if s.acked.Number <= s.row.Number {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastNoteWithin)
	defer cancel()
	_ = moveProgress(ctx, s.o.DB, &s.acked)
}

// measure keeps the metrics of how far behind it is.
func (s *session) measure(ctx context.Context) {
	if !s.o.Metrics.kept || !s.measuring.CompareAndSwap(false, true) {
		return
	}
	after, app := s.acked.Position, s.o.App
	s.wg.Go(func() {
		defer s.measuring.Store(false)
		events, since, err := lag(ctx, s.o.DB.Reader(), after)
		if err != nil {
			return // reading says so
		}
		age := 0.0
		if events > 0 {
			age = max(time.Since(since).Seconds(), 0)
		}
		s.o.Metrics.lagEvents.WithLabelValues(app).Set(float64(events))
		s.o.Metrics.lagSeconds.WithLabelValues(app).Set(age)
	})
}
