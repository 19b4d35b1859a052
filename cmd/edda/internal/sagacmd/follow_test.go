package sagacmd

import (
	"strings"
	"testing"
)

// On a terminal a drawing takes the place of the one before, as far as there is room.
func TestScreen(t *testing.T) {
	var out strings.Builder
	s := screen{out: &out, lines: 3}
	for _, text := range []string{"a\n", "a\n", "b\nc\nd\n", ""} {
		s.show(text)
	}
	if got, want := out.String(), "a\n\x1b[1A\x1b[Jb\nc\n\x1b[2A\x1b[J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
