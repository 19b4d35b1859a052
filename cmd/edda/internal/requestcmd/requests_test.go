package requestcmd_test

import (
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/clitest"
	"github.com/edda-io/edda/examples"
)

// A key may end with a slash, and is shown as it is called.
func TestKeyThatEndsWithASlash(t *testing.T) {
	t.Parallel()
	url := clitest.OpenNode(t, "", examples.Services()...).URL
	commands.OK(t, url, "", "call", "users/a/", "login", "--async", "--delay", "1h")
	if got := commands.OK(t, url, "", "requests", "ls"); !strings.Contains(got, " users/a/ ") {
		t.Errorf("got\n%swant users/a/", got)
	}
}
