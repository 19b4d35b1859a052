package live

import (
	"cmp"
	"context"
	"slices"

	"github.com/edda-io/edda"
)

// Subscribe begins to listen. s was validated, and t was looked up for it: whoever does so
// looks again afterwards, and calls Set or Remove when it has changed meanwhile. It returns
// an *edda.Error: BadValue for a resume point or a pattern that makes no sense, what
// Streams returns, and what Remove was given. The caller closes the subscription.
//
// Nobody is notified before the first Take. Whoever gets as many messages as it asked for
// takes again; else it is notified once there may be more. Notify may still run when Close
// returns.
func (h *Hub) Subscribe(ctx context.Context, t Topic, sub *edda.Subscribe) (edda.Subscription, error) {
	list, err := parseInterests(sub.Patterns, sub.Ephemeral)
	if err != nil {
		return nil, err
	}
	at, err := parseStart(cmp.Or(sub.From, edda.FromEnd))
	if err != nil {
		return nil, err
	}
	if err := at.check(&t); err != nil {
		return nil, err
	}
	found, made, err := h.enter(&t, at.places)
	if err != nil {
		return nil, err
	}
	s := &subscription{
		t: found, slot: -1, resumed: at.resumes(),
		notify: sub.Notify, present: sub.Presence, principal: cmp.Or(sub.Principal, edda.Anonymous),
	}
	if err := s.begin(ctx, &t, &at, made, list); err != nil {
		s.absent()
		h.release(found)
		return nil, err
	}
	return s, nil
}

// begin has a subscription begin. made says that its topic was made for it.
func (s *subscription) begin(ctx context.Context, to *Topic, at *start, made bool, list []interest) error {
	t := s.t
	select {
	case <-t.ready:
	case <-ctx.Done():
		return ended(ctx)
	}
	if err := t.set(ctx, to); err != nil {
		return err
	}
	if t.key.channel {
		s.joined.Store(true)
		t.presence.join(s)
	}
	for {
		c, places, err := t.start(ctx, at, made)
		if err != nil {
			return err
		}
		ok, err := s.attach(c, places, at.floor(c), list)
		if err != nil {
			return err
		}
		if !ok {
			continue // the channel was changed
		}
		if err := s.prime(ctx); err != nil {
			s.detach()
			return err
		}
		return nil
	}
}

// start returns the places where a subscription begins, in the sources that there are now.
// Who had the topic made begins where it did.
func (t *topic) start(ctx context.Context, at *start, made bool) (*sources, []Place, error) {
	t.mu.RLock()
	c, err := t.sources, t.err
	t.mu.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	if made && at.kind == edda.AtEnd {
		places := make([]Place, len(c.list))
		for i, s := range c.list {
			places[i] = s.began
		}
		return c, places, nil
	}
	places, err := at.find(ctx, t.h.streams, c)
	return c, places, err
}

// attach makes a subscription one of its topic's, at places in sources c. It is false when
// the topic has others now.
func (s *subscription) attach(c *sources, places []Place, floor int64, list []interest) (bool, error) {
	t := s.t
	s.mu.Lock()
	defer s.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return false, t.err
	}
	if t.sources != c {
		return false, nil
	}
	fresh, err := s.in.missing(list)
	if err != nil {
		return false, err
	}
	t.register(s, fresh)
	s.in.list = fresh
	s.in.renew()
	t.subs[s] = struct{}{}
	s.sources, s.places, s.floor = c, own(places), floor
	s.seek()
	return true, nil
}

// prime finds out whether there is a gap after the resume point. Who is in the ring
// has none, unless the topic itself has only begun.
func (s *subscription) prime(ctx context.Context) error {
	if !s.resumed {
		return nil
	}
	s.mu.Lock()
	in, c, places := s.inRing, s.sources, s.where()
	s.mu.Unlock()
	if in && s.t.caughtUp.Load() {
		return nil
	}
	m := newMerge(s.t.h.streams, c, places, minChunk)
	if err := m.prime(ctx); err != nil {
		return err
	}
	if m.gap {
		s.gap.Store(true) // which is said before the first Take
		s.gapAhead, m.told = true, true
	}
	if !in {
		s.walk = m // Take is not called yet
	}
	return nil
}

// Add adds patterns. See edda.Subscription.
func (s *subscription) Add(patterns []string, ephemeral bool) error {
	list, err := parseInterests(patterns, ephemeral)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.closed.Load() {
		return badValue("add patterns", errOver)
	}
	all := s.in.all
	fresh, err := s.in.missing(list)
	if err != nil {
		return err
	}
	t := s.t
	t.mu.Lock()
	defer t.mu.Unlock()
	t.register(s, fresh)
	s.in.list = append(s.in.list, fresh...)
	s.in.renew()
	if s.in.all && !all && s.armed {
		t.enlist(s)
	}
	return nil
}

// Remove removes patterns. See edda.Subscription.
func (s *subscription) Remove(patterns ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(func(i *interest) bool {
		return len(patterns) == 0 || slices.Contains(patterns, i.text)
	})
}

// drop removes the interests that gone says. s.mu is held.
func (s *subscription) drop(gone func(*interest) bool) {
	t := s.t
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := s.in.list[:0]
	for i := range s.in.list {
		if gone(&s.in.list[i]) {
			t.unregister(&s.in.list[i])
		} else {
			kept = append(kept, s.in.list[i])
		}
	}
	clear(s.in.list[len(kept):])
	s.in.list = kept
	s.in.renew()
	s.over = s.over || len(kept) == 0
	if !s.in.all || s.over {
		t.strike(s)
	}
	s.armed = s.armed && !s.over
}

// Patterns are those held. See edda.Subscription.
func (s *subscription) Patterns() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.in.all && !s.over {
		return nil
	}
	list := make([]string, 0, len(s.in.list))
	for i := range s.in.list {
		list = append(list, s.in.list[i].text)
	}
	return list
}

// Close ends it. See edda.Subscription.
func (s *subscription) Close() {
	if s.closed.Swap(true) {
		return
	}
	s.detach()
	s.absent()
	s.t.h.release(s.t)
}

// detach undoes attach.
func (s *subscription) detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(func(*interest) bool { return true })
	s.t.mu.Lock()
	delete(s.t.subs, s)
	s.t.mu.Unlock()
}

// absent has its principal leave, once.
func (s *subscription) absent() {
	if s.joined.Swap(false) {
		s.t.presence.leave(s)
	}
}
