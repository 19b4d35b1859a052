package web_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/edda-io/edda/web"
)

func TestFiles(t *testing.T) {
	names, err := fs.Glob(web.Files, "*")
	if want := []string{web.Types, web.Client}; err != nil || !slices.Equal(names, want) {
		t.Errorf("got %v, %v, want %v", names, err, want)
	}
}

// The client's own tests are in JavaScript, against the fake of a node.
func TestClient(t *testing.T) {
	if out := run(t, "node", "--test", "edda.test.js"); out != nil {
		t.Errorf("%s", out)
	}
}

// What the types allow and refuse is checked by the compiler itself.
func TestTypes(t *testing.T) {
	out := run(t, "npx", "--yes", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000", "-p", "typescript@5.9.3",
		"tsc", "--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "testdata/use.ts")
	if unreachable.Match(out) && os.Getenv("CI") == "" {
		t.Skipf("LEFT OUT: npm could not reach its registry, so the types were not checked:\n%s", out)
	}
	if out != nil {
		t.Errorf("the types do not fit:\n%s", out)
	}
}

// unreachable is what npm says without a network.
var unreachable = regexp.MustCompile(`ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ERR_SOCKET_TIMEOUT`)

// run runs a program, and returns what it said when it failed, else nil.
func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, find(t, name), args...)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Appendf(out, "%s: %v", name, err)
	}
	return nil
}

// find finds a program. Without it the test is left out, but not in continuous
// integration.
func find(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing, which the tests of the client need: %v", name, err)
	}
	t.Skipf("LEFT OUT: %s is missing, so the client was not tested: %v", name, err)
	return ""
}
