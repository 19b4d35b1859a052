package pattern

import (
	"bytes"
	"slices"
)

// root returns where patterns of a dialect begin.
func (s *Set) root(fold bool) *node {
	if fold {
		return &s.folding
	}
	return &s.exact
}

// after returns the node after n that seg leads to, and makes it if need be.
func (s *Set) after(n *node, seg *segment) *node {
	if seg.kind == text {
		for _, t := range n.texts[seg.texts[0]] {
			if slices.Equal(t.seg.texts, seg.texts) {
				return t
			}
		}
		t := s.newNode(n, seg)
		if n.texts == nil {
			n.texts = map[string][]*node{}
		}
		for _, what := range seg.texts {
			n.texts[what] = append(n.texts[what], t)
		}
		return t
	}
	next := n.next(seg.kind)
	if *next == nil {
		*next = s.newNode(n, seg)
	}
	return *next
}

func (s *Set) newNode(parent *node, seg *segment) *node {
	n := &node{parent: parent, seg: seg}
	if last := len(s.free) - 1; last >= 0 {
		n.index, s.free = s.free[last], s.free[:last]
	} else {
		n.index = s.nodes
		s.nodes++
	}
	return n
}

// next returns what leads on by a segment that is no text.
func (n *node) next(k kind) **node {
	switch k {
	case one:
		return &n.one
	case optional:
		return &n.optional
	default:
		return &n.wild
	}
}

func (n *node) unused() bool {
	return len(n.ids) == 0 && len(n.texts) == 0 && n.one == nil && n.optional == nil && n.wild == nil
}

// drop forgets a node after n.
func (n *node) drop(after *node) {
	if after.seg.kind != text {
		*n.next(after.seg.kind) = nil
		return
	}
	for _, what := range after.seg.texts {
		kept := slices.DeleteFunc(n.texts[what], func(t *node) bool { return t == after })
		if len(kept) == 0 {
			delete(n.texts, what)
		} else {
			n.texts[what] = kept
		}
	}
}

// walk is what a match needs meanwhile: it follows all patterns at once, segment by
// segment, and enters no node twice for the same segment. So it takes at most as many
// steps for each as there are nodes, however many ways lead to them.
type walk struct {
	subject   []byte
	now, next []*node  // nodes that what has been read leads to
	seen      []uint64 // by index of a node, the step in which it was entered last
	step      uint64
}

// match appends the ids of the patterns from root that match the subject.
func (w *walk) match(root *node, fold bool, ids []int) []int {
	w.step++
	w.now = append(w.enter(w.now[:0], root.optional), root)
	rest := w.subject
	for len(w.now) > 0 {
		seg, after, more := bytes.Cut(rest, dot)
		if fold && !more && len(seg) == 0 {
			ids = w.ends(ids) // all but the dot at the end has matched
		}
		w.advance(seg)
		if !more {
			return w.ends(ids)
		}
		rest = after
	}
	return ids
}

var dot = []byte{'.'}

// advance goes on from all nodes by a segment.
func (w *walk) advance(seg []byte) {
	w.step++
	next := w.next[:0]
	for _, n := range w.now {
		if n.seg != nil && n.seg.kind == wild {
			next = w.enter(next, n)
		}
		next = w.enter(next, n.wild)
		for _, t := range n.texts[string(seg)] {
			next = w.enter(next, t)
		}
		if len(seg) > 0 {
			next = w.enter(next, n.one)
			next = w.enter(next, n.optional)
		}
	}
	w.now, w.next = next, w.now
}

// enter adds a node, if it is one, with those that are reached without a segment.
func (w *walk) enter(to []*node, n *node) []*node {
	for ; n != nil && w.seen[n.index] != w.step; n = n.optional {
		w.seen[n.index] = w.step
		to = append(to, n)
	}
	return to
}

func (w *walk) ends(ids []int) []int {
	for _, n := range w.now {
		ids = append(ids, n.ids...)
	}
	return ids
}
