package live

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/edda-io/edda/pattern"
)

// sources are what a topic is fed by, in order of their hashes. They are immutable; a
// channel that is changed gets others, which share the sources that stay.
type sources struct {
	version uint64
	list    []*source
	specs   []Source
	hashes  []uint64
	types   []matcher
	// floor is after all that sources which were removed have had, so that nobody who comes
	// back hears it again when they are back too.
	floor int64
}

// source is a stream that feeds a topic, for as long as it does.
type source struct {
	hash uint64
	// began is where those who subscribed before it was there hear of it from.
	began Place
	rung  atomic.Bool
	stop  func() // of Streams.Watch
}

// arrange returns the sources of a topic, in order of their hashes, without their source.
func arrange(t *Topic) *sources {
	c := &sources{version: t.Version, specs: slices.Clone(t.Sources)}
	hash := func(s *Source) uint64 { return sourceHash(s.Namespace, s.Stream) }
	slices.SortFunc(c.specs, func(a, b Source) int { return cmp.Compare(hash(&a), hash(&b)) })
	for i := range c.specs {
		c.hashes = append(c.hashes, hash(&c.specs[i]))
		c.types = append(c.types, newMatcher(c.specs[i].Patterns))
	}
	c.list = make([]*source, len(c.specs))
	return c
}

// index returns where a source stands, and -1 when it is not one of them.
func (c *sources) index(s *source) int {
	i, ok := slices.BinarySearch(c.hashes, s.hash)
	if !ok || c.list[i] != s {
		return -1
	}
	return i
}

// places returns where a subscription that stands at places in the sources of is stands in
// those of c: where a source began that has come since.
func (c *sources) places(is *sources, places []Place) []Place {
	if c == is {
		return places
	}
	to := make([]Place, len(c.list))
	for i, s := range c.list {
		if j := is.index(s); j >= 0 {
			to[i] = places[j]
		} else {
			to[i] = s.began
		}
	}
	return to
}

// within reports whether everything that is behind p is behind q, source by source.
func within(p, q []Place) bool {
	for i := range p {
		if !p[i].Within(q[i]) {
			return false
		}
	}
	return true
}

// own returns places that share no memory with p.
func own(p []Place) []Place {
	q := make([]Place, len(p))
	for i := range p {
		q[i] = p[i].clone()
	}
	return q
}

// fewPatterns is how many are tried one by one.
const fewPatterns = 8

// matcher says whether any of some patterns matches. It is immutable.
type matcher struct {
	all bool
	few []*pattern.Pattern
	set *pattern.Set // where they are not few
}

func newMatcher(patterns []*pattern.Pattern) matcher {
	m := matcher{all: len(patterns) == 0}
	if len(patterns) <= fewPatterns {
		m.few = patterns
		return m
	}
	m.set = &pattern.Set{}
	for i, p := range patterns {
		m.set.Add(p, i)
	}
	return m
}

func (m *matcher) match(typ string) bool {
	if m.all {
		return true
	}
	for _, p := range m.few {
		if p.Match(typ) {
			return true
		}
	}
	if m.set == nil {
		return false
	}
	var room [32]int
	return len(m.set.AppendMatches(room[:0], typ)) > 0
}
