package ledger

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestKeptTextIsWhatAnyDatabaseTakes(t *testing.T) {
	for name, s := range map[string]string{
		"NUL":            "a\x00b",
		"no UTF-8":       "a\xffb",
		"cut in a rune":  strings.Repeat("a", maxKeptText-1) + "éé",
		"long, no ASCII": strings.Repeat("€", maxKeptText),
	} {
		got := KeptText(s)
		if !utf8.ValidString(got) || strings.ContainsRune(got, 0) || len(got) > maxKeptText+len("…") {
			t.Errorf("%s: got %q", name, got)
		}
	}
	for _, s := range []string{"", "plain", strings.Repeat("é", maxKeptText/2)} {
		if got := KeptText(s); got != s {
			t.Errorf("got %q, want %q", got, s)
		}
	}
}
