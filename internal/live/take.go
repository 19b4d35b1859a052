package live

import (
	"context"

	"github.com/edda-io/edda"
)

const (
	// scanItems is how many messages of the ring are looked at while it is locked.
	scanItems = 256
	// walkEntries is how many messages are walked until one looks into the ring again.
	walkEntries = 256
	// turns is how often one Take does either, so that nobody who takes from several is
	// held up by one that wants little of much.
	turns = 32
	// A subscription reads so many bytes at a time for each message that is asked for, at
	// most maxChunk, and lets go of what it has read and not passed when that is more than
	// maxHeld.
	bytesEach = 512
	maxChunk  = 64 << 10
	maxHeld   = 16 << 10
	// maxTaken is how many bytes of messages one Take returns, and one more message: nobody
	// has all that it could ask for in memory.
	maxTaken = 1 << 20
)

// found is what came of looking for messages.
type found uint8

const (
	some  found = iota // there may be more in the ring
	walks              // what comes next is not in the ring
	full               // there may be more, and no room for it
	end                // there is no more
)

// Take returns messages. See edda.Subscription.
func (s *subscription) Take(ctx context.Context, n int) (b edda.LiveBatch, err error) {
	s.told.Store(false)
	s.taken = 0
	defer func() { b.Gap = s.gapNews.Swap(false) }()
	n = max(n, 1)
	for turn := 1; ; turn++ {
		var f found
		if f, err = s.ring(&b, n); err == nil && f == walks {
			f, err = s.walkOn(ctx, &b, n)
		}
		switch {
		case err != nil && len(b.Messages) > 0:
			s.later() // it gets the error then
			return b, nil
		case err != nil:
			return b, err
		case f == end:
			return b, nil
		case f == full:
			s.settle(&b, n)
			return b, nil
		case turn >= turns && (s.notify != nil || len(b.Messages) > 0):
			s.settle(&b, n)
			return b, nil
		}
		if err := ctx.Err(); err != nil && len(b.Messages) == 0 {
			return b, ended(ctx)
		}
	}
}

// enough reports whether there is no room for another message.
func (s *subscription) enough(b *edda.LiveBatch, n int) bool {
	return len(b.Messages) == n || s.taken >= maxTaken
}

// settle ends a Take before the end.
func (s *subscription) settle(b *edda.LiveBatch, n int) {
	if s.walk != nil && s.walk.held() > maxHeld {
		s.walk = nil
	}
	if len(b.Messages) < n && !b.Over {
		s.later()
	}
}

// later has the owner notified soon, by the topic.
func (s *subscription) later() {
	t := s.t
	t.waitMu.Lock()
	t.again = append(t.again, s)
	t.waitMu.Unlock()
	t.rouse()
}

// ring takes messages of the ring.
func (s *subscription) ring(b *edda.LiveBatch, n int) (found, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.closed.Load() {
		b.Over = true
		return end, nil
	}
	before := len(b.Messages)
	s.t.mu.RLock()
	f, err := s.scan(b, n)
	s.t.mu.RUnlock()
	if len(b.Messages) > before && f == full {
		s.spend(b)
	}
	return f, err
}

// scan looks at messages of the ring, until one uses up a pattern. mu and topic.mu are held,
// the latter for reading.
func (s *subscription) scan(b *edda.LiveBatch, n int) (found, error) {
	t := s.t
	switch {
	case t.err != nil:
		return end, t.err
	case s.armed:
		return end, nil
	case s.woken != nil:
		s.wokenUp()
	}
	if !s.inRing && !s.seek() {
		return walks, nil
	}
	if s.cursor < t.ring.first {
		s.fallOut()
		s.move(t.sources)
		return walks, nil
	}
	if s.places != nil {
		s.move(t.sources)
	}
	for range scanItems {
		if s.cursor == t.ring.end {
			s.arm()
			return end, nil
		}
		if s.enough(b, n) {
			return full, nil
		}
		it := t.ring.at(s.cursor)
		s.cursor++
		s.gapAhead = false
		if msg := s.look(it); msg != nil {
			if b.Messages == nil {
				b.Messages = make([]*edda.LiveMessage, 0, min(uint64(n), t.ring.end-s.cursor+1, scanItems))
			}
			b.Messages = append(b.Messages, msg)
			s.taken += it.size
			if s.in.ephemeral > 0 && s.spends(msg.Message.Type) {
				return full, nil
			}
		}
	}
	return some, nil
}

// look passes a message of the ring, and returns it if it is wanted. As long as there are
// messages behind it that the ring has still to come to, the message needs a resume point
// of its own.
func (s *subscription) look(it *item) *edda.LiveMessage {
	m := &it.msg.Message
	if s.places == nil {
		s.sources, s.from, s.passed = it.mark.sources, it.msg.From, it.mark.passed+int64(it.size)
		if s.in.match(m.Type) {
			return it.msg
		}
		return nil
	}
	if s.has(it) {
		s.passed = it.mark.passed + int64(it.size)
		return nil
	}
	s.places[it.source].pass(it.stored, m.Shard, m.Offset)
	s.passed = it.mark.passed + int64(it.size)
	shared := s.share(it.msg.From)
	switch {
	case !s.in.match(m.Type):
		return nil
	case shared:
		return it.msg
	}
	w := pointWriter{floor: s.floor}
	return &edda.LiveMessage{Message: *m, Namespace: it.msg.Namespace, From: w.write(s.sources, s.places)}
}

// arm has it told of what comes, because it is at the end. mu and topic.mu are held.
func (s *subscription) arm() {
	t := s.t
	s.armed, s.atEnd = true, true
	if s.places != nil {
		s.share("")
	}
	if s.in.all {
		t.enlist(s)
	}
}

// spends reports whether a message of a type uses up a pattern. mu is held.
func (s *subscription) spends(typ string) bool {
	for i := range s.in.list {
		if s.in.list[i].spent(typ) {
			return true
		}
	}
	return false
}

// spend removes the patterns that the last message uses up. mu is held.
func (s *subscription) spend(b *edda.LiveBatch) {
	if s.in.ephemeral == 0 {
		return
	}
	typ := b.Messages[len(b.Messages)-1].Message.Type
	for i := range s.in.list {
		if s.in.list[i].spent(typ) {
			b.Spent = append(b.Spent, s.in.list[i].text)
		}
	}
	if len(b.Spent) > 0 {
		s.drop(func(i *interest) bool { return i.spent(typ) })
		b.Over = s.over
	}
}

// walking returns the merge of its sources, which reads as many bytes at a time as n messages
// are worth. After a gap that is another one, once it has passed what it had read, so that
// the next gap is seen too.
func (s *subscription) walking(n int) *merge {
	if s.walk == nil || s.walk.told && s.walk.held() == 0 {
		s.walk = newMerge(s.t.h.streams, s.sources, s.places, 0)
	}
	s.walk.bytes = min(n*bytesEach, maxChunk)
	return s.walk
}

// walkOn takes messages from the sources themselves.
func (s *subscription) walkOn(ctx context.Context, b *edda.LiveBatch, n int) (found, error) {
	h := s.t.h
	s.walking(n).again()
	for range walkEntries {
		m := s.walking(n)
		e, i, err := m.next(ctx)
		if err != nil {
			s.walk = nil
			return end, err
		}
		if m.gap && !m.told {
			m.told = true
			s.gap.Store(true)
			s.gapNews.Store(!s.gapAhead || s.gapNews.Load())
		}
		if e == nil {
			s.mu.Lock()
			s.places = own(m.places)
			s.mu.Unlock()
			return some, nil
		}
		msg := h.publish(&s.t.key, m.sources, i, e)
		stop := s.pass(b, msg, e, i)
		m.pass(e, i)
		s.gapAhead = false
		h.walked.Add(1)
		if stop || s.enough(b, n) {
			return full, nil
		}
	}
	return some, nil
}

// pass moves it past a message that it has walked, and takes that if it is wanted. It is
// true when the walk is over for now: the message has used up a pattern, or the channel has
// other sources now.
func (s *subscription) pass(b *edda.LiveBatch, msg *edda.LiveMessage, e *Entry, source int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t.mu.RLock()
	same := s.sources == s.t.sources
	s.t.mu.RUnlock()
	if !same {
		return true
	}
	s.places[source].pass(e.Stored, e.Message.Shard, e.Message.Offset)
	if msg == nil {
		return false
	}
	s.passed += int64(e.Bytes)
	if s.over || !s.in.match(msg.Message.Type) {
		return false
	}
	w := pointWriter{floor: s.floor}
	msg.From = w.write(s.sources, s.places)
	b.Messages = append(b.Messages, msg)
	s.taken += e.Bytes
	if s.in.ephemeral == 0 || !s.spends(msg.Message.Type) {
		return false
	}
	s.spend(b)
	return true
}
