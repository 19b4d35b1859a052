package live

import "slices"

const (
	// topicChunk is how many bytes a topic reads at a time.
	topicChunk = 256 << 10
	// topicBatch is how many messages it puts into the ring at a time.
	topicBatch = 256
)

// reader reads what a topic's sources have. It is of the topic's goroutine.
type reader struct {
	t *topic
	m *merge
	// caughtUp says that it has been at the end. Before that it reads for the first
	// subscriber, who may have come from far away.
	caughtUp bool
	gap      bool // known of the merge
	moved    bool // by the latest batch
	w        pointWriter
	items    []item
	told     []*subscription
}

// read puts everything that there is into the ring.
func (r *reader) read() error {
	r.look()
	for {
		done, err := r.batch()
		if err != nil {
			return err
		}
		if r.put() {
			done = r.afresh() && done
		} else {
			done = false
			r.begin()
		}
		if done {
			r.caughtUp = true
			r.t.caughtUp.Store(true)
			return nil
		}
	}
}

// look has it look at the sources that have rung.
func (r *reader) look() {
	if r.m == nil {
		r.begin()
		return
	}
	for i, s := range r.m.sources.list {
		if s.rung.Load() && s.rung.Swap(false) {
			r.m.cursors[i].ended = false
		}
	}
}

// begin has it begin where the topic is.
func (r *reader) begin() {
	r.t.mu.RLock()
	c, places := r.t.sources, r.t.places
	r.t.mu.RUnlock()
	for _, s := range c.list {
		s.rung.Store(false)
	}
	r.m = newMerge(r.t.h.streams, c, places, topicChunk)
	r.gap = false
}

// batch reads messages; done says that there are no more.
func (r *reader) batch() (done bool, err error) {
	t, m := r.t, r.m
	for range topicBatch {
		e, i, err := m.next(t.ctx)
		if err != nil || e == nil {
			return true, err
		}
		msg := t.h.publish(&t.key, m.sources, i, e)
		stored, size := e.Stored, e.Bytes
		m.pass(e, i)
		if msg == nil {
			continue
		}
		msg.From = r.w.write(m.sources, m.places)
		r.items = append(r.items, item{msg: msg, source: i, stored: stored, size: size + len(msg.From)})
	}
	return false, nil
}

// put gives the topic what was read, and tells those that want it. It is false when the
// topic has other sources now.
func (r *reader) put() bool {
	t := r.t
	t.mu.RLock()
	was := t.places
	t.mu.RUnlock()
	if len(was) != len(r.m.places) {
		r.drop()
		return false
	}
	places := slices.Clone(was)
	r.moved = false
	for i := range places {
		if r.m.cursors[i].moved {
			r.m.cursors[i].moved, r.moved = false, true
			places[i] = r.m.places[i].clone()
		}
	}
	var ok bool
	r.told, ok = t.put(r.m.sources, r.items, places, r.told[:0])
	for i, s := range r.told {
		s.tell()
		r.told[i] = nil
	}
	r.drop()
	return ok
}

func (r *reader) drop() {
	clear(r.items)
	r.items = r.items[:0]
}

// afresh looks whether the ring is to begin afresh: because messages were removed before
// the topic came to them, so that who subscribes, or resumes from before, must hear of it;
// or because the first subscriber has come from further than the ring is long, so that the topic goes to
// the end at once. It is false when there is more to be read then.
func (r *reader) afresh() bool {
	t := r.t
	missed := r.m.gap && (!r.gap || r.moved)
	if missed {
		r.gap = true
		t.mu.Lock()
		for s := range t.subs {
			if s.gap.Store(true); r.caughtUp || !s.resumed { // else it has looked for itself
				s.gapNews.Store(true)
			}
		}
		t.restart(t.places)
		t.mu.Unlock()
	}
	if r.caughtUp || !t.overflown() {
		if missed && r.moved {
			r.begin() // so that the next gap is seen too
			return false
		}
		return true
	}
	r.caughtUp = true
	t.jump()
	r.begin()
	return false
}

// overflown reports whether the ring has dropped messages since the topic began.
func (t *topic) overflown() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.ring.first > 0
}

// jump has the topic go to the end of its sources. Whoever follows it has what is between
// to walk.
func (t *topic) jump() {
	t.mu.RLock()
	c := t.sources
	t.mu.RUnlock()
	ends := make([]Place, len(c.specs))
	for i := range ends {
		end, err := t.h.streams.End(t.ctx, c.specs[i].Namespace, c.specs[i].Stream)
		if err != nil {
			return // whoever asks next gets it too
		}
		ends[i] = end
	}
	t.mu.Lock()
	if t.sources != c {
		t.mu.Unlock()
		return
	}
	for i := range ends {
		ends[i] = t.places[i].With(ends[i])
	}
	m := &mark{seq: t.ring.end, sources: c, from: t.from(), passed: t.ring.total}
	var told []*subscription
	for s := range t.subs {
		if s.armed {
			t.strike(s)
			s.wakeAt(m)
			told = append(told, s)
		}
	}
	t.ring.skip()
	t.restart(ends)
	t.mu.Unlock()
	for _, s := range told {
		s.tell()
	}
}
