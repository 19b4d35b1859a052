package live

import "context"

// merge walks all sources of a topic, what was stored earlier first. It is for one
// goroutine at a time.
type merge struct {
	sources *sources
	cursors []cursor
	// places are where it is, with memory of their own.
	places []Place
	// bytes is how much is read at a time, of all sources together.
	bytes int
	// gap says that messages may have been removed before it came to them.
	gap bool
	// told says that its owner knows.
	told bool
}

// cursor is where a merge is in one source.
type cursor struct {
	w     Walker
	ahead []Entry // what was read and not passed
	ended bool    // there was no more when it was asked
	moved bool    // its place has changed
}

// minChunk is the least that is read of a source at a time.
const minChunk = 4 << 10

// newMerge returns a merge that begins at places, which it leaves as they are.
func newMerge(s Streams, c *sources, places []Place, bytes int) *merge {
	m := &merge{sources: c, cursors: make([]cursor, len(c.list)), places: own(places), bytes: bytes}
	for i := range m.cursors {
		m.cursors[i].w = s.Walk(c.specs[i].Namespace, c.specs[i].Stream, places[i])
	}
	return m
}

// next returns the message that comes next, and of which source it is. It is nil at the
// end of them all, and stays so until again is called.
func (m *merge) next(ctx context.Context) (e *Entry, source int, err error) {
	for i := range m.cursors {
		c := &m.cursors[i]
		if len(c.ahead) == 0 && !c.ended {
			if err := m.read(ctx, i, max(m.bytes/len(m.cursors), minChunk)); err != nil {
				return nil, 0, err
			}
		}
		if len(c.ahead) > 0 && (e == nil || c.ahead[0].Stored < e.Stored) {
			e, source = &c.ahead[0], i
		}
	}
	return e, source, nil
}

// read reads more of a source.
func (m *merge) read(ctx context.Context, i, bytes int) error {
	if ctx.Err() != nil { // a walker may go on for long without looking
		return ended(ctx)
	}
	c := &m.cursors[i]
	entries, err := c.w.Next(ctx, bytes)
	if err != nil {
		return err
	}
	c.ahead, c.ended = entries, len(entries) == 0
	m.gap = m.gap || c.w.Gap()
	if c.ended {
		if p := c.w.Place(); !p.Within(m.places[i]) {
			m.places[i], c.moved = m.places[i].With(p).clone(), true
		}
	}
	return nil
}

// prime has each source read something, so that it is known whether there is a gap.
func (m *merge) prime(ctx context.Context) error {
	for i := range m.cursors {
		if err := m.read(ctx, i, 1); err != nil {
			return err
		}
	}
	return nil
}

// pass moves it past the message that next has returned.
func (m *merge) pass(e *Entry, source int) {
	m.places[source].pass(e.Stored, e.Message.Shard, e.Message.Offset)
	c := &m.cursors[source]
	c.ahead, c.moved = c.ahead[1:], true
	if len(c.ahead) == 0 {
		c.ahead = nil
	}
}

// again has it look at sources that were at their end.
func (m *merge) again() {
	for i := range m.cursors {
		m.cursors[i].ended = false
	}
}

// held returns how many bytes it has read and not passed.
func (m *merge) held() int {
	n := 0
	for i := range m.cursors {
		for j := range m.cursors[i].ahead {
			n += m.cursors[i].ahead[j].Bytes
		}
	}
	return n
}
