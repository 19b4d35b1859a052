package cli

import (
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"90s": "2026-11-21T08:58:30Z", "7d": "2026-11-14T09:00:00Z", "0d": "2026-11-21T09:00:00Z", "2026-11-01": "2026-11-01T00:00:00Z",
		"2026-11-01T10:00:00+01:00": "2026-11-01T10:00:00+01:00", "-1h": "", "-1d": "", "d": "", "999999999d": "", "yesterday": "",
	} {
		got, err := ParseTime("--since", text, now)
		if want == "" && err == nil || want != "" && (err != nil || got.Format(time.RFC3339) != want) {
			t.Errorf("%q: got %v and %v, want %q", text, got, err, want)
		}
	}
}

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, "yes": true, "n\n": false, "\n": false, "": false, "yes please\n": false} {
		var asked strings.Builder
		if got := confirm(strings.NewReader(answer), &asked, "remove it?"); got != want || asked.String() != "remove it? [y/N] " {
			t.Errorf("%q: got %v after %q, want %v", answer, got, asked.String(), want)
		}
	}
}
