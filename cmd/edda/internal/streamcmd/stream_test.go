package streamcmd_test

import (
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/clitest"
	"github.com/edda-io/edda/cmd/edda/internal/streamcmd"
)

var commands = clitest.Commands{streamcmd.New}

// A table goes to a terminal only as wide as that is; who reads page after page sees its
// header once.
func TestReadAll(t *testing.T) {
	t.Parallel()
	node := clitest.OpenNode(t, t.TempDir())
	commands.OK(t, node.URL, clitest.Numbers(1100), "streams", "append", "s", "--lines")
	got := commands.OK(t, node.URL, "", "streams", "read", "s", "--all")
	if n := strings.Count(got, "\n"); n != 1101 || strings.Count(got, "OFFSET") != 1 || !strings.HasSuffix(got, "  1100\n") {
		t.Errorf("got %d lines that end in %q, want a header and 1100 messages", n, got[len(got)-40:])
	}
	r := commands.Run(t, []string{"EDDA_URL=" + node.URL}, "", "streams", "read", "s", "--limit", "1050", "--raw")
	if r.Out != clitest.Numbers(1050) || r.ErrOut != "there is more: --from 1050\n" {
		t.Errorf("got %d bytes and %q, want 1050 messages and how to go on", len(r.Out), r.ErrOut)
	}
}
