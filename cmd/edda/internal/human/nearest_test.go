package human_test

import (
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/human"
)

func TestNearest(t *testing.T) {
	names := []string{"listen", "dir", "logLevel", "logFormat", "tls.key", "tls.cert", "limits.keyQueue", "live.rate"}
	for given, want := range map[string]string{
		"listn": "listen", "Listen": "listen", "lisetn": "listen", "log-level": "logLevel", "log.level": "logLevel", "tls.crt": "tls.cert",
		"keyQueue": "limits.keyQueue", "rate": "live.rate", "dirs": "dir", "x": "", "frobnicate": "", "": "", "tls.frob": "",
	} {
		if got := human.Nearest(given, names); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}
