package wsgw

import (
	"os"
	"strings"
	"testing"

	"github.com/edda-io/edda"
)

// The transcripts of docs/live.md are what happens.
func TestTranscripts(t *testing.T) {
	doc, err := os.ReadFile("../../docs/live.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(doc), "```live\n")[1:]
	if len(blocks) != 3 {
		t.Fatalf("got %d transcripts, want 3", len(blocks))
	}
	for _, b := range blocks {
		w := startReal(t, Options{})
		if _, _, err := w.node.SetChannel(t.Context(), edda.ChannelSpec{Name: "room"}); err != nil {
			t.Fatal(err)
		}
		transcript, _, _ := strings.Cut(b, "```")
		replay(t, w.dial(t), transcript)
	}
}

func replay(t *testing.T, c *client, transcript string) {
	t.Helper()
	var wants []string
	read := func() {
		t.Helper()
		for i, got := range c.wantAll(wants...) {
			if want := wants[i]; strings.Count(want, `":`) < len(got) {
				t.Errorf("got %v, of which the document says only %s", got, want)
			}
		}
		wants = nil
	}
	for line := range strings.Lines(transcript) {
		line = strings.TrimSpace(line)
		if frame, ok := strings.CutPrefix(line, "→ "); ok {
			c.send(frame)
			continue
		}
		frame, ok := strings.CutPrefix(line, "← ")
		if !ok {
			t.Fatalf("a line that is neither sent nor received: %q", line)
		}
		frame, loose := strings.CutSuffix(frame, " in any order with the next")
		if wants = append(wants, frame); !loose {
			read()
		}
	}
}
