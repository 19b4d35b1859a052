package pattern_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/edda-io/edda/pattern"
)

// FuzzMatch compares with a regular expression, which is how the dialect was made.
func FuzzMatch(f *testing.F) {
	for _, r := range common {
		f.Add(r.pattern, r.subject, false)
		f.Add(r.pattern, r.subject, true)
	}
	f.Add("pre(a|b)(|c).::x", "PREB.::x.", true)
	f.Add("*.:a?.*.x.:b?.*", "x.x.x..x.x", false)
	f.Fuzz(func(t *testing.T, text, subject string, fold bool) {
		p, err := parserOf(fold)(text)
		if err != nil {
			return
		}
		got := p.Match(subject)
		var s pattern.Set
		s.Add(p, 1)
		if in := s.AppendMatches(nil, subject); (len(in) == 1) != got {
			t.Errorf("a set of %q matches %q: %v, the pattern: %t", text, subject, in, got)
		}
		if !utf8.ValidString(subject) || strings.ContainsAny(text+subject, "\u212a\u017f") {
			return // regular expressions see other letters there
		}
		if want := expression(text, fold).MatchString("." + subject); got != want {
			t.Errorf("%q matches %q: %t, want %t by %s", text, subject, got, want, expression(text, fold))
		}
	})
}

func parserOf(fold bool) func(string) (*pattern.Pattern, error) {
	if fold {
		return pattern.ParseFold
	}
	return pattern.Parse
}

// expression matches a dot and what a proper pattern matches.
func expression(text string, fold bool) *regexp.Regexp {
	var b strings.Builder
	if b.WriteString("(?s)^"); fold {
		b.WriteString("(?i)")
		text = strings.TrimSuffix(strings.TrimPrefix(text, "."), ".")
	}
	for seg := range strings.SplitSeq(text, ".") {
		switch {
		case strings.HasPrefix(seg, "*"):
			b.WriteString(`\..*`)
		case strings.HasPrefix(seg, ":") && !strings.HasPrefix(seg, "::"):
			b.WriteString(`(\.[^.]+)`)
			if strings.HasSuffix(seg, "?") {
				b.WriteString("?")
			}
		case fold:
			b.WriteString(`\.` + alternatives(seg))
		case strings.HasPrefix(seg, "::"):
			b.WriteString(`\.` + regexp.QuoteMeta(seg[1:]))
		default:
			b.WriteString(`\.` + regexp.QuoteMeta(seg))
		}
	}
	if fold {
		b.WriteString(`\.?`)
	}
	return regexp.MustCompile(b.String() + "$")
}

// alternatives leaves what is said by parentheses, and the bars between them.
func alternatives(seg string) string {
	inside := false
	var b strings.Builder
	for _, r := range seg {
		switch {
		case r == '(' || r == ')':
			inside = r == '('
			b.WriteRune(r)
		case r == '|' && inside:
			b.WriteRune(r)
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	return b.String()
}

// FuzzSet compares a set with the patterns in it, one by one: each line is a pattern,
// ids are shared by some, every third is removed again, and comes back.
func FuzzSet(f *testing.F) {
	f.Add("a.b\n:x.b\n*.b\na.:y?.b\n*\na.*\n:x?.:y?\n::a.b\na.b", "a.b", uint64(0))
	f.Add("a.b\nA.(b|c)\n(a|x).(b|y)\na.b\n:x.B\n*.b.\na.:x?\na.:x?.*", "a.b.", ^uint64(0))
	f.Add("*.:a?.*.x\n*.*.:a?\n*.x.*\n*.:b?.:c?.x.*", "x.x..x.x.x", uint64(0b1010))
	f.Fuzz(func(t *testing.T, text, subject string, folds uint64) {
		var s pattern.Set
		in := map[int][]*pattern.Pattern{}
		add := func(which func(id int) bool) {
			i := 0
			for line := range strings.SplitSeq(text, "\n") {
				p, err := parserOf(folds>>(i%64)&1 == 1)(line)
				if id := i / 2; err == nil && which(id) {
					s.Add(p, id)
					in[id] = append(in[id], p)
				}
				i++
			}
		}
		third := func(id int) bool { return id%3 == 0 }
		add(func(int) bool { return true })
		checkSet(t, &s, in, subject)
		for id := range in {
			if third(id) {
				s.Remove(id)
				delete(in, id)
			}
		}
		checkSet(t, &s, in, subject)
		add(third)
		checkSet(t, &s, in, subject)
		for id := range in {
			s.Remove(id)
		}
		checkSet(t, &s, nil, subject)
	})
}

func checkSet(t *testing.T, s *pattern.Set, in map[int][]*pattern.Pattern, subject string) {
	t.Helper()
	want := []int{-1}
	for id, patterns := range in {
		if slices.ContainsFunc(patterns, func(p *pattern.Pattern) bool { return p.Match(subject) }) {
			want = append(want, id)
		}
	}
	slices.Sort(want)
	if got := s.AppendMatches([]int{-1}, subject); !slices.Equal(got, want) {
		t.Errorf("%q is matched by %v, want %v", subject, got, want)
	}
}
