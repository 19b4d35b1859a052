package pattern

import (
	"slices"
	"sync"
)

// Set finds those of many patterns that match a type. The zero value is an empty one.
// AppendMatches may be called concurrently; Add and Remove may not be called while it
// runs, nor while each other does. A Set must not be copied.
//
// Patterns that begin in the same way share what that costs, and of those that differ
// in a text only the one that fits costs anything. At worst, for each segment of the type,
// a match looks at each pattern's own segments up to there.
//
// There is no precedence among patterns: all that match count, the most general one as
// much as the most exact one. Whoever numbers patterns as they are registered gets
// them in that order.
type Set struct {
	exact, folding node            // where patterns of either dialect begin
	places         map[int][]*node // where the patterns of an id end
	nodes          int             // how many indices of nodes there are
	free           []int           // those that are not in use
	walks          sync.Pool       // of *walk
}

// node is a place in patterns that begin in the same way. The names of parameters make
// no difference.
type node struct {
	index  int
	parent *node
	seg    *segment // between the parent and here
	// The nodes after this one. There may be several after one text, if it is one of
	// different alternatives.
	texts               map[string][]*node
	one, optional, wild *node
	ids                 []int // whose patterns end here, ascending
}

// Add adds a pattern under an id. An id may have several patterns, and several ids the
// same one.
func (s *Set) Add(p *Pattern, id int) {
	n := s.root(p.fold)
	segs := plain(p.segs)
	for i := range segs {
		n = s.after(n, &segs[i])
	}
	i, is := slices.BinarySearch(n.ids, id)
	if is {
		return
	}
	n.ids = slices.Insert(n.ids, i, id)
	if s.places == nil {
		s.places = map[int][]*node{}
	}
	s.places[id] = append(s.places[id], n)
}

// Remove removes all patterns of an id. It is all right if there are none.
func (s *Set) Remove(id int) {
	for _, n := range s.places[id] {
		if i, is := slices.BinarySearch(n.ids, id); is {
			n.ids = slices.Delete(n.ids, i, i+1)
		}
		for n.parent != nil && n.unused() {
			n.parent.drop(n)
			s.free = append(s.free, n.index)
			n = n.parent
		}
	}
	delete(s.places, id)
}

// AppendMatches appends the ids of all patterns that match all of subject, in ascending
// order, each once. It does not allocate, except to grow ids.
func (s *Set) AppendMatches(ids []int, subject string) []int {
	w, _ := s.walks.Get().(*walk)
	if w == nil {
		w = &walk{}
	}
	if len(w.seen) < s.nodes {
		w.seen = append(w.seen, make([]uint64, s.nodes-len(w.seen))...)
	}
	from := len(ids)
	if !s.exact.unused() {
		w.subject = append(w.subject[:0], subject...)
		ids = w.match(&s.exact, false, ids)
	}
	if !s.folding.unused() {
		w.subject = appendFolded(w.subject[:0], subject)
		ids = w.match(&s.folding, true, ids)
	}
	s.walks.Put(w)
	slices.Sort(ids[from:])
	return ids[:from+len(slices.Compact(ids[from:]))]
}
