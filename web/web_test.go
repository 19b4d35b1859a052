package web_test

import (
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"testing"

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
	run(t, "node", "--test", "edda.test.js")
}

// run runs a program. Without it the test is left out, but not in continuous
// integration.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing, which the tests of the client need: %v", name, err)
		}
		t.Skipf("LEFT OUT: %s is missing, so the client was not tested: %v", name, err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
}
