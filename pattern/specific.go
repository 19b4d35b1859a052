package pattern

import (
	"cmp"
	"math/bits"
	"slices"
)

// Compare says which of two patterns is more specific, whichever types they match: the
// result is positive when p is, negative when q is, and 0 when neither is. What decides is,
// in this order:
//
//   - more segments that are texts,
//   - fewer segments that are a *,
//   - more parameters that must be there,
//   - fewer alternatives.
func Compare(p, q *Pattern) int {
	return cmp.Or(
		cmp.Compare(bits.OnesCount64(p.texts), bits.OnesCount64(q.texts)),
		cmp.Compare(bits.OnesCount64(q.wild), bits.OnesCount64(p.wild)),
		cmp.Compare(bits.OnesCount64(p.one&^p.optional), bits.OnesCount64(q.one&^q.optional)),
		cmp.Compare(q.alternatives(), p.alternatives()),
	)
}

// alternatives returns how many texts the pattern's segments have.
func (p *Pattern) alternatives() int {
	n := 0
	for _, s := range p.segs {
		n += len(s.texts)
	}
	return n
}

// Overlap reports whether there is a type that both patterns match. They must be of the
// same dialect. Types that end with a dot do not count.
func Overlap(p, q *Pattern) bool {
	// at[i] has bit j set when there are segments that lead to place i of p and j of q.
	at := make([]uint64, len(p.segs)+1)
	at[0] = 1
	for i := range at {
		at[i] = p.meet(q, i, at[i])
		if i == len(p.segs) {
			break
		}
		at[i+1] |= p.lead(q, i, at[i])
	}
	return at[len(p.segs)]&(1<<len(q.segs)) != 0
}

// meet returns the places of q that can be reached from those of at while p stays at i:
// it leaves out what is optional, or is in a * of p.
func (p *Pattern) meet(q *Pattern, i int, at uint64) uint64 {
	inside := i > 0 && p.segs[i-1].kind == wild
	for {
		more := q.skip(at)
		if inside {
			more |= q.after(p.segs[i-1], more)
		}
		if more == at {
			return at
		}
		at = more
	}
}

// lead returns the places of q after segment i of p, from those of at before it.
func (p *Pattern) lead(q *Pattern, i int, at uint64) uint64 {
	next := q.after(p.segs[i], at)
	if p.segs[i].kind == optional {
		next |= at
	}
	return next
}

// after returns the places of p that a segment leads to which s matches as well.
func (p *Pattern) after(s segment, at uint64) uint64 {
	next := at & (p.wild << 1)
	for open := at &^ (1 << len(p.segs)); open != 0; open &= open - 1 {
		i := bits.TrailingZeros64(open)
		if s.meets(p.segs[i]) {
			next |= 2 << i
		}
	}
	return next
}

// meets reports whether there is a segment of a type that both match.
func (s segment) meets(other segment) bool {
	switch {
	case s.kind == wild || other.kind == wild:
		return true
	case s.kind == text && other.kind == text:
		return slices.ContainsFunc(s.texts, func(t string) bool { return slices.Contains(other.texts, t) })
	case s.kind == text:
		return slices.ContainsFunc(s.texts, func(t string) bool { return t != "" })
	case other.kind == text:
		return other.meets(s)
	}
	return true
}
