package eventual

import (
	"context"
	"slices"
	"sync"

	"github.com/edda-io/edda/cqrs/internal/ledger"
)

// Bounds of a source.
const (
	sourceEvents = 1000    // of a read at most
	sourceBytes  = 4 << 20 // that a read should not be above, as far as the last ones tell
	sourceChunks = 8       // that are remembered
)

// source reads events in their order for many handlers. Those that are at the same place, or near
// it, share what was read, so that an event is read and decoded once, and an end that was seen is
// not looked at again before there is news. It is safe for concurrent use.
type source struct {
	read func(ctx context.Context, after ledger.Position, limit int) ([]*ledger.Event, error)

	mu       sync.Mutex // guards what follows
	news     uint64     // rises when there may be more events
	chunks   []*chunk   // the last used at the end
	flights  map[ledger.Position]*flight
	end      ledger.Position // nothing was after it when news was endNews
	endNews  uint64
	perEvent int // bytes, of the last read
}

// chunk is a run of events; nothing is between after and the first.
type chunk struct {
	after  ledger.Position
	events []*ledger.Event
}

// flight is a read under way.
type flight struct {
	news   uint64 // as the read began
	done   chan struct{}
	events []*ledger.Event // nobody changes what follows after done
	err    error
}

func newSource(read func(ctx context.Context, after ledger.Position, limit int) ([]*ledger.Event, error)) *source {
	return &source{read: read, news: 1, flights: map[ledger.Position]*flight{}}
}

func (c *chunk) last() ledger.Position { return c.events[len(c.events)-1].Position }

// fresh says that there may be more events than were read.
func (s *source) fresh() {
	s.mu.Lock()
	s.news++
	s.mu.Unlock()
}

// after returns events that follow a place, in order and without a gap; none when it is the end.
// They are shared: nobody may change them, nor the slice.
func (s *source) after(ctx context.Context, p ledger.Position) ([]*ledger.Event, error) {
	s.mu.Lock()
	if events := s.known(p); len(events) > 0 || (s.end == p && s.endNews == s.news) {
		s.mu.Unlock()
		return events, nil
	}
	if f := s.flights[p]; f != nil && f.news == s.news {
		s.mu.Unlock()
		select {
		case <-f.done:
			return f.events, f.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f := &flight{news: s.news, done: make(chan struct{})}
	s.flights[p] = f
	limit := s.limit()
	s.mu.Unlock()

	f.events, f.err = s.read(ctx, p, limit)
	s.mu.Lock()
	s.landed(p, f)
	s.mu.Unlock()
	close(f.done)
	return f.events, f.err
}

// known returns what is remembered after a place.
func (s *source) known(p ledger.Position) []*ledger.Event {
	for i, c := range slices.Backward(s.chunks) {
		if p.Before(c.after) || !p.Before(c.last()) {
			continue
		}
		s.chunks = append(slices.Delete(s.chunks, i, i+1), c)
		at, there := slices.BinarySearchFunc(c.events, p, func(e *ledger.Event, p ledger.Position) int { return ledger.Compare(e.Position, p) })
		if there {
			at++
		}
		return slices.Clip(c.events[at:])
	}
	return nil
}

// landed remembers what a read has found.
func (s *source) landed(p ledger.Position, f *flight) {
	if s.flights[p] == f {
		delete(s.flights, p)
	}
	if f.err != nil {
		return
	}
	if len(f.events) == 0 {
		s.end, s.endNews = p, f.news
		return
	}
	f.events = slices.Clip(f.events)
	bytes := 0
	for _, e := range f.events {
		bytes += e.Size()
	}
	s.perEvent = bytes / len(f.events)
	// At the end of the log come a few at a time.
	for _, c := range s.chunks {
		if c.last() == p && len(c.events)+len(f.events) <= sourceEvents {
			c.events = append(c.events, f.events...)
			return
		}
	}
	if len(s.chunks) == sourceChunks {
		s.chunks = slices.Delete(s.chunks, 0, 1)
	}
	s.chunks = append(s.chunks, &chunk{after: p, events: f.events})
}

// limit is how many events to read at once.
func (s *source) limit() int {
	return min(max(sourceBytes/max(s.perEvent, 1), 1), sourceEvents)
}
