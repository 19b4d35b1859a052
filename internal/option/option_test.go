package option_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/option"
)

// The words of Go, and others: those of the path are for whoever has others to find.
func TestTexts(t *testing.T) {
	for _, c := range []struct {
		err       error
		want, why string
	}{
		{option.Bad("Wait", "is %d, must be positive", -1), "option Wait is -1, must be positive", " is -1, must be positive"},
		{option.In("Keys", io.EOF), "option Keys: EOF", ": EOF"},
		{option.In("Routes", option.InElement(2, "GET /a", option.In("Key", io.EOF))), `option Routes["GET /a"].Key: EOF`, ": EOF"},
		{option.In("Pages", option.InElement(2, "", option.Bad("", "has no %s", option.Name("Files")))), "option Pages[2] has no Files", " has no files"},
		{option.In("A", option.Bad("B", "is set without %s", option.Name("C"))), "option A.B is set without C", " is set without c"},
		{
			option.In("Routes", option.InElement(0, "GET /a", option.Errorf("there must be %s, not %q", option.Name("B"), "B"))),
			`option Routes["GET /a"]: there must be B, not "B"`, `: there must be b, not "B"`,
		},
		{option.Errorf("there must be %s", option.Name("B")), "there must be B", ": there must be b"},
	} {
		e, _ := errors.AsType[*option.Error](c.err)
		if c.err.Error() != c.want {
			t.Errorf("got %q, want %q", c.err, c.want)
		}
		if got := e.Why(func(n option.Name) string { return strings.ToLower(string(n)) }); got != c.why {
			t.Errorf("%s: in other words %q, want %q", c.want, got, c.why)
		}
	}
}

func TestPath(t *testing.T) {
	inner := option.Bad("B", "is wrong: %w", io.EOF)
	err := option.Refuse(option.In("A", option.InElement(3, "x", inner)))
	e, ok := errors.AsType[*option.Error](err)
	if !ok || !errors.Is(err, io.EOF) || edda.ReasonOf(err) != edda.BadValue || err.Error() != `check options: option A["x"].B is wrong: EOF` {
		t.Fatalf("got %v", err)
	}
	if want := []option.Step{{Field: "A"}, {Index: 3, Label: "x"}, {Field: "B"}}; !slices.Equal(e.Path, want) {
		t.Errorf("the path is %+v, want %+v", e.Path, want)
	}
	if inner.Error() != "option B is wrong: EOF" {
		t.Errorf("what was within has become %q", inner)
	}
}

func TestNothingIsWrong(t *testing.T) {
	if err := option.Refuse(option.In("A", option.InElement(0, "", nil))); err != nil {
		t.Errorf("got %v", err)
	}
}
