package pattern_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda/pattern"
)

type row struct {
	pattern, subject string
	want             bool
}

// What both dialects have in common.
var common = []row{
	// :name is exactly one segment.
	{"test.:crud", "test.created", true},
	{"test.:crud", "test.created.list", false},
	{"test.:crud", "test", false},
	{"test.:crud", "other.created", false},
	{":a.:b", "x.y", true},
	{":a.:a", "x.y", true},
	{":a", "x", true},
	{":a", "x.y", false},
	{":id.created", "42.created", true},
	{"test.:test_uuid.created", "test.6b1f-0.created", true},
	{"test.:test_uuid.created", "test..created", false},
	{"movies.:title.mp4", "movies.narnia.mp4", true},
	{"movies.:title.mp4", "movies.narnia.mp3", false},
	{"movies.:title.mp4", "movies.narnia", false},
	// :name? is an optional one.
	{"books.:author.:title?", "books.smith", true},
	{"books.:author.:title?", "books.smith.narnia", true},
	{"books.:author.:title?", "books", false},
	{"books.:author.:title?", "books.smith.narnia.reviews", false},
	{"books.:genre.:author?.:title?", "books.horror", true},
	{"books.:genre.:author?.:title?", "books.horror.smith", true},
	{"books.:genre.:author?.:title?", "books.horror.smith.narnia", true},
	{"books.:genre.:author?.:title?", "books.horror.smith.narnia.reviews", false},
	{"a.:b?.c", "a.c", true},
	{"a.:b?.c", "a.b.c", true},
	{"a.:b?.c", "a.c.c", true},
	{"a.:b?.c", "a.b", false},
	{":a?.b", "b", true},
	{":a?.b", "a.b", true},
	{":a?.:b?", "x", true},
	// * is one segment or more, anywhere.
	{"test.*", "test", false},
	{"test.*", "test.a", true},
	{"test.*", "test.a.b", true},
	{"test.*", "tests.a", false},
	{"*.test", "a.test", true},
	{"*.test", "a.b.test", true},
	{"*.test", "test", false},
	{"*.test", "test.test", true},
	{"*.test", "test.test.x", false},
	{"a.*.z", "a.z", false},
	{"a.*.z", "a.b.z", true},
	{"a.*.z", "a.b.c.z", true},
	{"a.*.z", "a.z.z.z", true},
	{"a.*.z", "a.b.c", false},
	{"a.*.m.*.z", "a.b.m.n.m.y.z", true},
	{"a.*.m.*.z", "a.m.m.z", false},
	{"*.*", "a", false},
	{"*.*", "a.b", true},
	{"*", "a", true},
	{"*", "a.b.c", true},
	{"books.*", "books.", true},
	{"books.*?", "books.x.y", true},
	{"books.*rest", "books.x.y", true},
	{"*.:x?.*", "a", false},
	{"*.:x?.*", "a.b", true},
	// The whole subject, and nothing else, character by character.
	{"test.created", "test.created", true},
	{"test.created", "test.created.list", false},
	{"test.created", "a.test.created", false},
	{"test.created", "testXcreated", false},
	{"test", "tes", false},
	{"test", "testing", false},
	{"a+b", "a+b", true},
	{"a+b", "aab", false},
	{"a+b", "ab", false},
	{"[ab]", "a", false},
	{"a?", "a?", true},
	{"a?", "", false},
	{"a|b", "a|b", true},
	{"a|b", "a", false},
	{"^a$", "^a$", true},
	{`\w`, `\w`, true},
	{`\w`, "a", false},
	{"a*", "a*", true},
	{"a*", "aa", false},
	{"x.a:b", "x.a:b", true},
	{"message::complete", "message::complete", true},
	{"große.maße", "große.maße", true},
	{"a b.c\nd", "a b.c\nd", true},
}

func TestParseMatches(t *testing.T) {
	checkRows(t, pattern.Parse, append(slices.Clone(common), []row{
		{"test.created", "Test.Created", false},
		{"Test.:x", "Test.y", true},
		{"Test.:x", "test.y", false},
		{"test.created", "test.created.", false},
		{"test.:x", "test.a.", false},
		{"test.:x", "test.", false},
		{"test.", "test.", true},
		{"a..b", "a..b", true},
		{"a..b", "a.b", false},
		{".", ".", true},
		{"test.(created|updated)", "test.created", false},
		{"test.(created|updated)", "test.(created|updated)", true},
		{"test.::x", "test.:x", true},
		{"test.::x", "test.y", false},
		{"test.::x", "test.::x", false},
		{"test.:::x", "test.::x", true},
		{"::", ":", true},
		{"*", "", true},
		{":x?", "", false},
	}...))
}

func TestParseFoldMatches(t *testing.T) {
	checkRows(t, pattern.ParseFold, append(slices.Clone(common), []row{
		{"test.created", "Test.CREATED", true},
		{"Test.:Crud", "tEST.x", true},
		{"große.äpfel", "GROẞE.ÄPFEL", true},
		{"σ", "ς", true},
		{"k", "\u212a", false}, // the sign of Kelvin
		{"é", "e", false},
		{"éa", "É", false},
		{"test.created", "test.created.", true},
		{"test.created", "test.created..", false},
		{"test.created", ".test.created", false},
		{"test.:x", "test.a.", true},
		{"test.:x", "test.", false},
		{"test.:x?", "test.", true},
		{"*.test", "a.test.", true},
		{"test.*", "test.", true},
		{"a.:x.*", "a.x.", true},
		{"a.:x.*", "a.x", false},
		{":x?", "", true},
		{"test.", "test", true},
		{"test.", "test.", true},
		{".test.:x", "test.a", true},
		{"test.(created|updated)", "test.created", true},
		{"test.(created|updated)", "test.Updated.", true},
		{"test.(created|updated)", "test.deleted", false},
		{"test.(created|updated)", "test.(created|updated)", false},
		{"test.(created|updated).:id", "test.updated.7", true},
		{"movies.:title.(mp4|mov)", "movies.narnia.mov", true},
		{"movies.:title.(mp4|mov)", "movies.narnia.avi", false},
		{"pre(a|b)post", "prebpost", true},
		{"pre(a|b)post", "prepost", false},
		{"(a|b)(c|d)", "BC", true},
		{"(a|b)(c|d)", "ab", false},
		{"colo(u|)r", "color", true},
		{"(a)", "a", true},
		{"(a+|b)", "aa", false},
		{"(a+|b)", "a+", true},
		{"test.::x", "test.::x", true},
		{"test.::x", "test.:x", false},
		{"test.::(a|b)", "test.::b", true},
	}...))
}

func checkRows(t *testing.T, parse func(string) (*pattern.Pattern, error), rows []row) {
	t.Helper()
	for i, r := range rows {
		p, err := parse(r.pattern)
		if err != nil {
			t.Errorf("%q: %v", r.pattern, err)
			continue
		}
		if got := p.Match(r.subject); got != r.want {
			t.Errorf("%q matches %q: %t, want %t", r.pattern, r.subject, got, r.want)
		}
		var s pattern.Set
		s.Add(p, i)
		if got := s.AppendMatches(nil, r.subject); (len(got) == 1) != r.want {
			t.Errorf("a set of %q matches %q: %v, want %t", r.pattern, r.subject, got, r.want)
		}
		if p.String() != r.pattern {
			t.Errorf("%q is written %q", r.pattern, p)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "pattern is empty",
		"a.:":                             `pattern "a.:": segment 2, ":", has no name after its colon`,
		":?":                              `pattern ":?": segment 1, ":?", has no name after its colon`,
		":a+":                             `pattern ":a+": segment 1, ":a+", has '+' in the name of its parameter, which has letters, digits, "_" and "-" only`,
		":a?b":                            `pattern ":a?b": segment 1, ":a?b", has '?' in the name of its parameter, which has letters, digits, "_" and "-" only`,
		"\xff":                            `pattern "\xff" is not UTF-8`,
		strings.Repeat("a", 513):          "pattern has 513 bytes, at most 512 are allowed",
		strings.Repeat("a.", 63) + "a":    "pattern has 64 segments, at most 63 are allowed",
		strings.Repeat(":a?.", 8) + ":a?": "pattern has 9 optional segments, at most 8 are allowed",
	} {
		checkRefused(t, "Parse", pattern.Parse, text, want)
		checkRefused(t, "ParseFold", pattern.ParseFold, text, want)
	}
	for text, want := range map[string]string{
		".":                        `pattern ".": segment 1 is empty`,
		"a..b":                     `pattern "a..b": segment 2 is empty`,
		"a.(b":                     `pattern "a.(b": segment 2, "(b", has "(" without ")": alternatives are written (a|b), without dots`,
		"a.(b|c.d)":                `pattern "a.(b|c.d)": segment 2, "(b|c", has "(" without ")": alternatives are written (a|b), without dots`,
		"b)":                       `pattern "b)": segment 1, "b)", has ")" without "("`,
		"((a|b)|c)":                `pattern "((a|b)|c)": segment 1, "((a|b)|c)", has parentheses in parentheses: alternatives are written (a|b|c)`,
		strings.Repeat("(a|b)", 7): `pattern "` + strings.Repeat("(a|b)", 7) + `": segment 1, "` + strings.Repeat("(a|b)", 7) + `", has more than 64 alternatives`,
		":(a|b)":                   `pattern ":(a|b)": segment 1, ":(a|b)", has '(' in the name of its parameter, which has letters, digits, "_" and "-" only`,
	} {
		checkRefused(t, "ParseFold", pattern.ParseFold, text, want)
	}
}

func checkRefused(t *testing.T, name string, parse func(string) (*pattern.Pattern, error), text, want string) {
	t.Helper()
	if p, err := parse(text); err == nil || err.Error() != want {
		t.Errorf("%s(%q) is %v, %v; want the error %s", name, text, p, err, want)
	}
}

func TestLongestPattern(t *testing.T) {
	p, err := pattern.Parse(strings.Repeat(":a?.", pattern.MaxOptional) + strings.Repeat(":a.", pattern.MaxSegments-pattern.MaxOptional-1) + "*")
	if err != nil {
		t.Fatal(err)
	}
	var s pattern.Set
	s.Add(p, 1)
	for n, want := range map[int]bool{54: false, 55: true, 63: true, 1000: true} {
		subject := strings.Repeat("x.", n-1) + "x"
		if got := p.Match(subject); got != want {
			t.Errorf("%d segments are matched: %t, want %t", n, got, want)
		}
		if got := len(s.AppendMatches(nil, subject)) == 1; got != want {
			t.Errorf("%d segments are matched by a set: %t, want %t", n, got, want)
		}
	}
}

func TestParams(t *testing.T) {
	for text, want := range map[string][]string{
		"test.created": nil, "*": nil, "::x.y": nil, ":a.b.:c?.:a": {"a", "c", "a"}, ":Größe.:x-1_y": {"Größe", "x-1_y"},
	} {
		for _, parse := range []func(string) (*pattern.Pattern, error){pattern.Parse, pattern.ParseFold} {
			if got := must(parse(text)).Params(); !slices.Equal(got, want) {
				t.Errorf("%q has the parameters %q, want %q", text, got, want)
			}
		}
	}
}

func must(p *pattern.Pattern, err error) *pattern.Pattern {
	if err != nil {
		panic(err)
	}
	return p
}
