package pattern

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Parse reads a pattern. The error says what is wrong with it: it is empty, is not
// UTF-8, has too much of something, or has a parameter without a proper name, which is
// made of letters, digits, "_" and "-".
func Parse(s string) (*Pattern, error) {
	if err := check(s); err != nil {
		return nil, err
	}
	return parse(s, s, false)
}

// ParseFold reads a pattern of spool-broadcast, which differs from others:
//
//   - the case of letters says nothing,
//   - subjects may end with one dot more than the pattern has, and a dot at either end of
//     the pattern says nothing,
//   - (a|b) within a segment means one of these texts; there are no dots and no
//     parentheses in them,
//   - ::x is the segment ::x, with both colons.
//
// All other characters stand for themselves. There, they were part of a regular
// expression, so that a+b happened to match aab: not here.
func ParseFold(s string) (*Pattern, error) {
	if err := check(s); err != nil {
		return nil, err
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(s, "."), ".")
	for i, seg := range strings.Split(bare, ".") {
		if seg == "" {
			return nil, fmt.Errorf("pattern %q: segment %d is empty", s, i+1)
		}
	}
	return parse(s, bare, true)
}

func check(s string) error {
	switch {
	case s == "":
		return errors.New("pattern is empty")
	case len(s) > MaxBytes:
		return fmt.Errorf("pattern has %d bytes, at most %d are allowed", len(s), MaxBytes)
	case !utf8.ValidString(s):
		return fmt.Errorf("pattern %q is not UTF-8", s)
	}
	return nil
}

// parse reads bare, which is what of s is to be read.
func parse(s, bare string, fold bool) (*Pattern, error) {
	parts := strings.Split(bare, ".")
	if len(parts) > MaxSegments {
		return nil, fmt.Errorf("pattern has %d segments, at most %d are allowed", len(parts), MaxSegments)
	}
	p := &Pattern{text: s, fold: fold, segs: make([]segment, len(parts))}
	for i, part := range parts {
		seg, err := parseSegment(part, fold)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: segment %d, %q, %w", s, i+1, part, err)
		}
		p.segs[i] = seg
		switch seg.kind {
		case text:
			p.texts |= 1 << i
		case optional:
			p.optional |= 1 << i
			p.one |= 1 << i
		case one:
			p.one |= 1 << i
		case wild:
			p.wild |= 1 << i
		}
	}
	if n := bits.OnesCount64(p.optional); n > MaxOptional {
		return nil, fmt.Errorf("pattern has %d optional segments, at most %d are allowed", n, MaxOptional)
	}
	return p, nil
}

func parseSegment(s string, fold bool) (segment, error) {
	switch {
	case strings.HasPrefix(s, "*"):
		return segment{kind: wild, name: s}, nil
	case strings.HasPrefix(s, "::"):
		if fold {
			return parseTexts(s)
		}
		return segment{kind: text, name: s[1:], texts: []string{s[1:]}}, nil
	case strings.HasPrefix(s, ":"):
		return parseParam(s[1:])
	case fold:
		return parseTexts(s)
	}
	return segment{kind: text, name: s, texts: []string{s}}, nil
}

func parseParam(s string) (segment, error) {
	name, may := strings.CutSuffix(s, "?")
	if name == "" {
		return segment{}, errors.New(`has no name after its colon`)
	}
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' {
			return segment{}, fmt.Errorf("has %q in the name of its parameter, which has letters, digits, \"_\" and \"-\" only", r)
		}
	}
	if may {
		return segment{kind: optional, name: name}, nil
	}
	return segment{kind: one, name: name}, nil
}

// parseTexts reads a segment that may have alternatives.
func parseTexts(s string) (segment, error) {
	texts := []string{""}
	rest := s
	for rest != "" {
		before, group, found := strings.Cut(rest, "(")
		inside, after, closed := strings.Cut(group, ")")
		switch {
		case strings.Contains(before, ")"):
			return segment{}, errors.New(`has ")" without "("`)
		case found && !closed:
			return segment{}, errors.New(`has "(" without ")": alternatives are written (a|b), without dots`)
		case strings.Contains(inside, "("):
			return segment{}, errors.New(`has parentheses in parentheses: alternatives are written (a|b|c)`)
		}
		alternatives := strings.Split(inside, "|")
		if len(texts)*len(alternatives) > MaxAlternatives {
			return segment{}, fmt.Errorf("has more than %d alternatives", MaxAlternatives)
		}
		texts, rest = combine(texts, before, alternatives), after
	}
	name := ""
	if len(texts) == 1 {
		name = texts[0]
	}
	for i, t := range texts {
		texts[i] = string(appendFolded(nil, t))
	}
	slices.Sort(texts)
	return segment{kind: text, name: name, texts: slices.Compact(texts)}, nil
}

// combine returns each of the heads with the text and each of the tails after it.
func combine(heads []string, text string, tails []string) []string {
	all := make([]string, 0, len(heads)*len(tails))
	for _, h := range heads {
		for _, t := range tails {
			all = append(all, h+text+t)
		}
	}
	return all
}
