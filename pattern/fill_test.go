package pattern_test

import (
	"testing"

	"github.com/edda-io/edda/pattern"
)

func TestFill(t *testing.T) {
	data := map[string]string{"test_uuid": "42", "id": "7", "dot": "a.b", "empty": "", "colon": ":x"}
	get := func(name string) (string, bool) { v, ok := data[name]; return v, ok }
	for _, tc := range []struct{ pattern, want, err string }{
		{pattern: "test.:test_uuid.created", want: "test.42.created"},
		{pattern: "Test.Created", want: "Test.Created"},
		{pattern: ":id.:test_uuid.:id", want: "7.42.7"},
		{pattern: "test.:missing?.:id", want: "test.7"},
		{pattern: ":missing?.:id?", want: "7"},
		{pattern: "test.:colon", want: "test.:x"},
		{pattern: "test.:missing", err: `pattern "test.:missing": segment 2 has no value: nothing is known of :missing`},
		{pattern: "test.:dot", err: `pattern "test.:dot": segment 2 has the value "a.b" for :dot, which must be one segment, without dots`},
		{pattern: "test.:empty?", err: `pattern "test.:empty?": segment 2 has an empty value for :empty`},
		{pattern: ":missing?", err: `pattern ":missing?": none of its parameters has a value, nothing is left`},
		{pattern: "test.*", err: `pattern "test.*": segment 2 is *, which stands for many types`},
	} {
		checkFill(t, must(pattern.Parse(tc.pattern)), get, tc.want, tc.err)
		checkFill(t, must(pattern.ParseFold(tc.pattern)), get, tc.want, tc.err)
	}
	checkFill(t, must(pattern.Parse("..::a.(b|c).:id.")), get, "..:a.(b|c).7.", "")
	checkFill(t, must(pattern.ParseFold(".Test.::a.(B).:id.")), get, "Test.::a.B.7", "")
	checkFill(t, must(pattern.ParseFold("test.(a|b)")), get, "", `pattern "test.(a|b)": segment 2 has alternatives, which stand for many types`)
}

func checkFill(t *testing.T, p *pattern.Pattern, get func(string) (string, bool), want, wantErr string) {
	t.Helper()
	got, err := p.Fill(get)
	text := ""
	if err != nil {
		text = err.Error()
	}
	if got != want || text != wantErr {
		t.Errorf("%q is filled as %q, %s; want %q, %s", p, got, text, want, wantErr)
	}
}

// A parameter that is there twice is asked for twice, in its turn.
func TestFillInTurn(t *testing.T) {
	values := []string{"first", "second"}
	got, err := must(pattern.Parse(":id.to.:id")).Fill(func(string) (string, bool) {
		v := values[0]
		values = values[1:]
		return v, true
	})
	if err != nil || got != "first.to.second" {
		t.Errorf("got %q, %v", got, err)
	}
}
