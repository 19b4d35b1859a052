package human_test

import (
	"testing"
	"time"

	"github.com/edda-io/edda/cmd/edda/internal/human"
)

func TestTextOfOthersIsHarmless(t *testing.T) {
	if got, want := human.Plain("a\x1b[31mb\nc\xff\u202ed"), "a\uFFFD[31mb c\uFFFD\uFFFDd"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDue(t *testing.T) {
	now := time.Now()
	for at, want := range map[time.Time]string{{}: "", now.Add(-time.Minute): "due", now.Add(90 * time.Minute): "in 1h"} {
		if got := human.Due(at); got != want {
			t.Errorf("got %q for %v, want %q", got, at, want)
		}
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{human.Size(0), "0 B"}, {human.Size(1023), "1023 B"}, {human.Size(1024), "1 KiB"}, {human.Size(1536), "1.5 KiB"}, {human.Size(1 << 30), "1 GiB"}, {human.Size(3 << 50), "3072 TiB"},
		{human.Counted(0, "group"), "no groups"}, {human.Counted(1, "group"), "1 group"}, {human.Counted(2, "group"), "2 groups"},
		{human.TrimZeros("72h0m0s"), "72h"}, {human.TrimZeros("1m0s"), "1m"}, {human.TrimZeros("10s"), "10s"}, {human.TrimZeros("1h0m30s"), "1h0m30s"}, {human.TrimZeros("10m0s"), "10m"},
		{human.ClipTo("abcdef", 4), "abc…"}, {human.ClipTo("äöüß", 4), "äöüß"}, {human.ClipTo("abcdef", 0), "abcdef"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "<0.1ms", 450 * time.Microsecond: "0.4ms", 9990 * time.Microsecond: "9.9ms", 12 * time.Millisecond: "12ms", 9999 * time.Millisecond: "9.9s",
		59900 * time.Millisecond: "59s", 61 * time.Second: "1m1s", 25 * time.Hour: "25h0m", 49*time.Hour + time.Minute: "2d1h",
	} {
		if got := human.Duration(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
