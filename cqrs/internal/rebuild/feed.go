package rebuild

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"runtime"
	"sync"

	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// Bounds of a feed.
const (
	feedEvents  = 4096    // of a segment
	feedBytes   = 8 << 20 // that a segment should not be above, as far as the last one tells
	feedReaders = 4       // at most
)

// feed hands out events in their order, in segments that several readers read and decode ahead.
type feed struct {
	o *Options
	// take decides what to keep of a segment. It is called by several goroutines.
	take func(events []*ledger.Event) []Task
}

// segment is a run of events that a reader has read.
type segment struct {
	after, until ledger.Position
	read         int // events
	matched      []Task
	err          error
	done         chan struct{}
}

// events hands out what follows a place, until the end, or a place. Each segment says until where it
// goes. Readers are ended, and waited for, when the caller stops.
func (f *feed) events(ctx context.Context, after, until ledger.Position) iter.Seq2[*segment, error] {
	return func(yield func(*segment, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		readers := min(feedReaders, max(runtime.GOMAXPROCS(0)-1, 1))
		todo := make(chan *segment)               // to be read
		ordered := make(chan *segment, 2*readers) // to be handed out
		sizes := make(chan int, 4*readers)        // of events, in bytes
		for range readers {
			wg.Go(func() {
				for s := range todo {
					f.read(ctx, s, sizes)
				}
			})
		}
		wg.Go(func() { f.split(ctx, after, until, todo, ordered, sizes) })
		for s := range ordered {
			<-s.done
			if s.err != nil {
				yield(nil, s.err)
				return
			}
			if !yield(s, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

// split finds where segments end, and hands them to the readers.
func (f *feed) split(ctx context.Context, after, until ledger.Position, todo, ordered chan<- *segment, sizes <-chan int) {
	defer close(ordered)
	defer close(todo)
	n := feedEvents
	for {
		select {
		case size := <-sizes:
			n = min(max(feedBytes/max(size, 1), 1), feedEvents)
		default:
		}
		s := &segment{after: after, done: make(chan struct{})}
		var end bool
		if s.until, end, s.err = f.boundary(ctx, after, until, n); s.err != nil || end {
			if s.err != nil {
				close(s.done)
				select {
				case ordered <- s:
				case <-ctx.Done():
				}
			}
			return
		}
		// First in the order, so that whoever reads it is waited for.
		select {
		case ordered <- s:
		case <-ctx.Done():
			return
		}
		select {
		case todo <- s:
		case <-ctx.Done():
			s.err = ctx.Err()
			close(s.done)
			return
		}
		after = s.until
	}
}

// boundary is the place of the n'th event after a place, or of the last one.
func (f *feed) boundary(ctx context.Context, after, until ledger.Position, n int) (p ledger.Position, end bool, err error) {
	if !after.Before(until) {
		return until, true, nil
	}
	d := f.o.DB.Dialect()
	if d.Settled == "" { // there are few gaps
		p = ledger.Position{Seq: min(after.Seq+int64(n), until.Seq)}
		return p, false, nil
	}
	err = f.o.DB.Reader().QueryRowContext(ctx, "SELECT tx, seq FROM edda_events WHERE (tx, seq) > ($1, $2) AND (tx, seq) <= ($3, $4)"+
		" ORDER BY tx, seq LIMIT 1 OFFSET $5", after.Tx, after.Seq, until.Tx, until.Seq, n-1).Scan(&p.Tx, &p.Seq)
	if errors.Is(err, sql.ErrNoRows) {
		return until, false, nil
	}
	return p, false, err
}

// read reads a segment.
func (f *feed) read(ctx context.Context, s *segment, sizes chan<- int) {
	defer close(s.done)
	events, err := f.o.Events.Select(ctx, f.o.DB.Reader(), f.o.DB.Dialect(), ledger.Range{After: s.after, Until: s.until, Broadcaster: f.o.Broadcaster})
	if s.err = err; err != nil || len(events) == 0 {
		return
	}
	s.read = len(events)
	bytes := 0
	for _, e := range events {
		bytes += e.Size()
	}
	select {
	case sizes <- bytes / len(events):
	default:
	}
	s.matched = f.take(events)
}
