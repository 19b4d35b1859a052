package live

import (
	"cmp"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/edda-io/edda"
)

// subscription is a place in a topic, and what is wanted from there on. It is in the
// topic's ring, or walks the sources itself.
type subscription struct {
	t         *topic
	principal edda.Principal
	notify    func()
	present   func(edda.Presence, bool)
	resumed   bool // it began with a resume point
	closed    atomic.Bool
	told      atomic.Bool // since it took last
	gap       atomic.Bool // there has been one
	gapNews   atomic.Bool // there has been one since Take returned last
	gapAhead  bool        // of Take: what comes next is after one that was known at the beginning
	joined    atomic.Bool
	taken     int // bytes that the Take under way has, which alone uses it

	// mu guards what follows. Topic.mu may be locked under it.
	mu   sync.Mutex
	in   interests
	over bool
	walk *merge // of Take; nil where it does not walk
	// inRing says that the message numbered cursor is the next one.
	inRing bool
	cursor uint64
	// sources are those that from and places are of.
	sources *sources
	// places are where it is when it walks, or when it is in the ring but has messages
	// behind it that are still before the topic there. Else they are nil, and from is where it is.
	places []Place
	from   edda.From
	// floor is after all that it has had of sources that were removed. See sources.floor.
	floor int64
	// passed is how many bytes the topic had seen when it was where this is.
	passed int64
	atEnd  bool // it has been there once

	// The topic changes these too, with topic.mu held for writing; others hold mu, and
	// topic.mu for reading.

	// armed says that it is at the end, so that it is told of the next message it wants.
	armed bool
	// woken is where it is since it was told; it does not know yet.
	woken *mark
	slot  int // in topic.idle, -1 when it is not there
}

var errOver = errors.New("the subscription is over")

// tell notifies the owner.
func (s *subscription) tell() {
	if s.notify != nil && !s.closed.Load() && !s.told.Swap(true) {
		s.notify()
	}
}

// wakeAt has it go on at a mark. topic.mu is held for writing.
func (s *subscription) wakeAt(m *mark) { s.armed, s.woken, s.slot = false, m, -1 }

// where returns the places where it is, which are nobody's to change. mu is held; it is
// not armed.
func (s *subscription) where() []Place {
	if s.places != nil {
		return s.places
	}
	places, _ := s.sources.parse(s.from)
	return places
}

// parse returns the places and the latest time of a resume point that was made for these
// sources.
func (c *sources) parse(from edda.From) (places []Place, latest int64) {
	p, err := parsePoint(from)
	if err != nil {
		panic("live: its own resume point is mangled")
	}
	places = make([]Place, len(c.hashes))
	for i, h := range c.hashes {
		places[i], _ = p.place(h)
	}
	return places, p.latest
}

// move has it go on in the sources that the topic has now. mu and topic.mu are held, the
// latter at least for reading.
func (s *subscription) move(c *sources) {
	if s.sources == c {
		return
	}
	s.floor = s.floorIn(c)
	s.places = own(c.places(s.sources, s.places))
	s.sources, s.walk = c, nil
}

// floorIn is its floor once its sources are c. Its places are not nil.
func (s *subscription) floorIn(c *sources) int64 {
	floor := s.floor
	for i, src := range s.sources.list {
		if c.index(src) < 0 {
			floor = max(floor, s.places[i].Time+1)
		}
	}
	return floor
}

// share has it be where a resume point of the topic's is, or its end where that is empty,
// if nothing is behind it that is not behind that. mu and topic.mu are held, the latter at
// least for reading.
func (s *subscription) share(from edda.From) bool {
	from = cmp.Or(from, s.t.from())
	places, latest := s.sources.parse(from)
	if latest < s.floor || !within(s.places, places) {
		return false
	}
	s.places, s.from = nil, from
	return true
}

// seek looks for the place in the ring where it has been up to, and is false when that is
// not there. mu and topic.mu are held, the latter at least for reading.
func (s *subscription) seek() bool {
	t := s.t
	s.move(t.sources)
	if !within(t.base, s.places) {
		return false
	}
	s.cursor = t.ring.first
	for s.cursor < t.ring.end && s.has(t.ring.at(s.cursor)) {
		s.cursor++
	}
	s.inRing, s.walk = true, nil
	if s.cursor == t.ring.end {
		s.passed = t.ring.total
		s.share("")
		return true
	}
	m := t.ring.at(s.cursor).mark
	s.passed = m.passed
	s.share(m.from)
	return true
}

// has reports whether a message of the ring is behind its places.
func (s *subscription) has(it *item) bool {
	return s.places[it.source].Has(it.stored, it.msg.Message.Shard, it.msg.Message.Offset)
}

// wokenUp has it go on where it was told to. mu and topic.mu are held.
func (s *subscription) wokenUp() {
	m := s.woken
	s.woken = nil
	s.inRing, s.cursor, s.passed = true, m.seq, m.passed
	if s.places == nil {
		s.sources, s.from = m.sources, m.from
		return
	}
	s.move(m.sources)
	at, _ := m.sources.parse(m.from)
	for i := range at {
		s.places[i] = s.places[i].With(at[i]).clone()
	}
	s.share(m.from)
}

// fallOut has it walk, because the ring does not reach back to it. mu is held.
func (s *subscription) fallOut() {
	s.places = own(s.where())
	s.inRing, s.walk = false, nil
}

// From is where it is. See edda.Subscription.
func (s *subscription) From() edda.From {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.t
	t.mu.RLock()
	defer t.mu.RUnlock()
	switch {
	case s.armed && s.places == nil:
		return t.from()
	case s.armed:
		places := own(t.sources.places(s.sources, s.places))
		for i := range places {
			places[i] = places[i].With(t.places[i])
		}
		w := pointWriter{floor: s.floorIn(t.sources)}
		return w.write(t.sources, places)
	case s.places != nil:
		w := pointWriter{floor: s.floor}
		return w.write(s.sources, s.places)
	case s.woken != nil:
		return s.woken.from
	}
	return s.from
}

// Gap is whether messages may be missing. See edda.Subscription.
func (s *subscription) Gap() bool {
	return s.gap.Load()
}

// Behind is how much has come since it was at the end. See edda.Subscription.
func (s *subscription) Behind() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t.mu.RLock()
	defer s.t.mu.RUnlock()
	passed := s.passed
	switch {
	case s.armed || !s.atEnd:
		return 0
	case s.woken != nil:
		passed = s.woken.passed
	}
	return max(0, s.t.ring.total-passed)
}
