package streamcmd

import (
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/streamjson"
)

func TestWordsOfStreams(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{cursor(map[string]uint64{"default": 4}), "4"}, {cursor(map[string]uint64{"eu": 4}), "eu:4"}, {cursor(nil), ""},
		{cursor(map[string]uint64{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}), "a:1 b:2 c:3 and 2 more"},
		{keeps(nil), "everything"}, {keeps(&streamjson.Retention{Age: "1h0m0s", Count: 1, Bytes: 1 << 20}), "1h, 1 message, 1 MiB"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestParsePlace(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]edda.From{
		"": "", "start": "start", "end": "end", "0": "0", "17": "17", "1h": "2026-11-21T08:00:00Z", "1d": "2026-11-20T09:00:00Z",
		"2026-11-01": "2026-11-01T00:00:00Z", "2026-11-01T10:00:00.5+01:00": "2026-11-01T09:00:00.5Z",
	} {
		if got, err := parsePlace("--from", text, now); err != nil || got != want {
			t.Errorf("%q: got %q and %v, want %q", text, got, err, want)
		}
	}
}
