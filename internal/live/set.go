package live

import (
	"context"
	"slices"
)

// set gives the topic other sources.
func (t *topic) set(ctx context.Context, to *Topic) error {
	for {
		t.mu.RLock()
		is, over := t.sources, t.over
		t.mu.RUnlock()
		if is == nil || over || is.version >= to.Version {
			return nil
		}
		c := arrange(to)
		if err := t.prepare(ctx, is, c); err != nil {
			c.stopBut(is)
			return err
		}
		if t.replace(is, c) {
			is.stopBut(c)
			t.rouse()
			return nil
		}
		c.stopBut(is) // somebody else was faster
	}
}

// prepare gives c the sources of is that stay, and begins the others.
func (t *topic) prepare(ctx context.Context, is, c *sources) error {
	for i, h := range c.hashes {
		if s := is.find(h); s != nil {
			c.list[i] = s
			continue
		}
		end, err := t.watch(ctx, c, i)
		if err != nil {
			return err
		}
		c.list[i].began = end
	}
	return nil
}

// replace has the topic go on with sources c in place of is. It is false when it has
// others already. Who is at the end stays there. Who is not reads what it has missed from
// where it is stored, of the sources that there are now, so the ring begins afresh.
func (t *topic) replace(is, c *sources) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sources != is || t.over {
		return false
	}
	places := c.places(is, t.places)
	c.floor = is.floor
	for i, s := range is.list {
		if c.index(s) < 0 {
			c.floor = max(c.floor, t.places[i].Time+1)
		}
	}
	t.sources = c
	t.restart(places)
	return true
}

// find returns the source with a hash, nil when there is none.
func (c *sources) find(hash uint64) *source {
	if i, ok := slices.BinarySearch(c.hashes, hash); ok {
		return c.list[i]
	}
	return nil
}

// stopBut lets go of the sources that other does not have too.
func (c *sources) stopBut(other *sources) {
	for _, s := range c.list {
		if s != nil && other.index(s) < 0 {
			s.stop()
		}
	}
}
