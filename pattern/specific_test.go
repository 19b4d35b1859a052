package pattern_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/edda-io/edda/pattern"
)

// Each is more specific than the next.
func TestCompare(t *testing.T) {
	for _, order := range [][]string{
		{"test.created", "test.:crud", "test.:crud?", "test.*", ":a.:b", ":a", "*"},
		{"test.:id.created", "test.:id.:crud", "*.:crud", "*.*"},
		{"test.created", "test.(created|updated)", "test.(created|updated|destroyed)", "(a|b|c|d)"},
		{"user.*.created", "user.*"},
	} {
		for i, a := range order {
			for j, b := range order {
				got := pattern.Compare(parse(t, a), parse(t, b))
				if want := j - i; got*want < 0 || (got == 0) != (want == 0) {
					t.Errorf("Compare(%q, %q) is %d, want the sign of %d", a, b, got, want)
				}
			}
		}
	}
	if got := pattern.Compare(parse(t, "a.*.:x"), parse(t, "b.:y.*")); got != 0 {
		t.Errorf("of two that are as specific one wins: %d", got)
	}
}

func TestOverlap(t *testing.T) {
	for _, r := range []struct {
		p, q string
		want bool
	}{
		{"create.*", "create.user", true},
		{"create.*", "create.:what", true},
		{"create.*", "update.user", false},
		{"update.:a.x", "update.y.:b", true},
		{"update.:a.x", "update.y.z", false},
		{"*.user", "create.*", true},
		{"*.user", "create.*.list", false},
		{"a.*.z", "a.:b?.z", true},
		{"a.*.z", "a.z", false},
		{"a.:b?.z", "a.z", true},
		{"(a|b).c", "(B|d).C", true},
		{"(a|b).c", "(d|e).c", false},
		{"a.*", "*.*.*.b", true},
		{":a", "b.:c?", true},
		{":a.:b", ":a", false},
	} {
		p, q := parse(t, r.p), parse(t, r.q)
		if got := pattern.Overlap(p, q); got != r.want {
			t.Errorf("Overlap(%q, %q) is %t, want %t", r.p, r.q, got, r.want)
		}
		if got := pattern.Overlap(q, p); got != r.want {
			t.Errorf("Overlap(%q, %q) is %t, want %t", r.q, r.p, got, r.want)
		}
	}
}

// With three letters and four segments, all the types there are can be looked at.
func TestOverlapIsWhatTypesSay(t *testing.T) {
	types := []string{}
	for last := []string{""}; len(last[0]) < 8; {
		var next []string
		for _, s := range last {
			for _, seg := range []string{"a", "b", "c"} {
				next = append(next, s+seg+".")
			}
		}
		last = next
		types = append(types, next...)
	}
	segs := rapid.SampledFrom([]string{"a", "b", "(a|b)", "(b|c)", ":x", ":x?", "*"})
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) *pattern.Pattern {
			s := ""
			for _, seg := range rapid.SliceOfN(segs, 1, 3).Draw(t, name) {
				s += seg + "."
			}
			p, err := pattern.ParseFold(s)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		p, q := text("p"), text("q")
		want := false
		for _, s := range types {
			s = strings.TrimSuffix(s, ".")
			want = want || p.Match(s) && q.Match(s)
		}
		if got := pattern.Overlap(p, q); got != want {
			t.Errorf("Overlap(%q, %q) is %t, want %t", p, q, got, want)
		}
	})
}

func parse(t *testing.T, s string) *pattern.Pattern {
	t.Helper()
	p, err := pattern.ParseFold(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
