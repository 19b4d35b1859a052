package channelcmd

import (
	"testing"
	"time"

	"github.com/edda-io/edda"
)

func TestParseLive(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]edda.From{
		"": "", "start": "start", "end": "end", "pAb-_9": "pAb-_9", "1h": "2026-11-21T08:00:00Z", "2026-11-01": "2026-11-01T00:00:00Z",
	} {
		if got, err := parseLive(text, now); err != nil || got != want {
			t.Errorf("%q: got %q and %v, want %q", text, got, err, want)
		}
	}
}
