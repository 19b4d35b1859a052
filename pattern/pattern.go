// Package pattern matches types of messages, such as test.created, with patterns, such
// as test.:crud. A type is dot-separated; the parts between its dots are segments.
//
//   - :name is exactly one segment that is not empty,
//   - :name? is the same, or nothing,
//   - * is one segment or more, in the middle as well; so is a segment that only starts
//     with it,
//   - ::x is the segment :x itself,
//   - everything else stands for itself, in its own case.
//
// A pattern matches whole types only: test.:crud matches test.created, and neither test
// nor test.created.list.
//
// [Parse] reads this language, [ParseFold] the dialect of it that spool-broadcast has. No
// pattern, and no set of them, makes matching slow: what it costs grows with the length
// of the type, times at most the number of segments that the patterns have.
//
// Patterns are immutable. Nothing here starts a goroutine.
package pattern

import (
	"math/bits"
	"slices"
	"strings"
)

// Limits of patterns.
const (
	// MaxBytes is how long a pattern is at most.
	MaxBytes = 512
	// MaxSegments is how many segments one has at most.
	MaxSegments = 63
	// MaxOptional is how many of those may be optional.
	MaxOptional = 8
	// MaxAlternatives is how many texts a segment with alternatives stands for at most.
	MaxAlternatives = 64
)

// Pattern is one pattern. Make it with Parse or ParseFold. It is immutable, and so safe
// for concurrent use.
type Pattern struct {
	text string
	fold bool
	segs []segment
	// Bit i of a mask is set when segment i is of the kind. In the same way a set of
	// places in the pattern is a number: bit i says that i segments of it are through.
	texts, one, optional, wild uint64
}

type kind uint8

const (
	text kind = iota
	one
	optional
	wild
)

// segment is a part of a pattern.
type segment struct {
	kind kind
	// name is that of a parameter. Of a text that has no alternatives it is the text as it
	// was written.
	name string
	// texts are what a text stands for, sorted, each once, folded if the pattern is.
	texts []string
}

// String returns the pattern as it was written.
func (p *Pattern) String() string { return p.text }

// Params returns the names of the parameters, in their order, as often as they are
// there. The slice is the caller's.
func (p *Pattern) Params() []string {
	var names []string
	for _, s := range p.segs {
		if s.kind == one || s.kind == optional {
			names = append(names, s.name)
		}
	}
	return names
}

// Match reports whether the pattern matches all of subject. It does not allocate.
func (p *Pattern) Match(subject string) bool {
	end := uint64(1) << len(p.segs)
	at := p.skip(1)
	for {
		seg, rest, more := strings.Cut(subject, ".")
		if p.fold && !more && seg == "" && at&end != 0 {
			return true // all but the dot at the end has matched
		}
		if at = p.skip(p.step(at, seg)); at == 0 || !more {
			return at&end != 0
		}
		subject = rest
	}
}

// step returns the places that seg leads to from those of at.
func (p *Pattern) step(at uint64, seg string) uint64 {
	next := at&p.wild<<1 | at&(p.wild<<1) // into a *, or on within one
	if seg != "" {
		next |= at & p.one << 1
	}
	for open := at & p.texts; open != 0; open &= open - 1 {
		if i := bits.TrailingZeros64(open); p.segs[i].is(seg, p.fold) {
			next |= 2 << i
		}
	}
	return next
}

// skip adds the places that are reached by leaving optional segments out.
func (p *Pattern) skip(at uint64) uint64 {
	for {
		more := at | at&p.optional<<1
		if more == at {
			return at
		}
		at = more
	}
}

// plain returns segments that match the same, with as few ways through them as there can
// be: next to a * nothing needs to be optional, and which of several parameters are is
// all the same.
func plain(segs []segment) []segment {
	all := make([]segment, 0, len(segs))
	for len(segs) > 0 {
		n := 0 // how many there are before the next text
		for n < len(segs) && segs[n].kind != text {
			n++
		}
		run := segs[:n]
		wilds := slices.ContainsFunc(run, func(s segment) bool { return s.kind == wild })
		for _, s := range run {
			if s.kind != optional {
				all = append(all, s)
			}
		}
		for _, s := range run {
			if s.kind == optional && !wilds {
				all = append(all, s)
			}
		}
		if n < len(segs) {
			all = append(all, segs[n])
			n++
		}
		segs = segs[n:]
	}
	return all
}

func (s *segment) is(seg string, fold bool) bool {
	if !fold {
		return s.texts[0] == seg
	}
	return slices.ContainsFunc(s.texts, func(t string) bool { return foldsTo(seg, t) })
}
