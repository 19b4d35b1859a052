package crashtest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"testing"
)

// helpers are what this binary does when a test runs it as another process.
var helpers = map[string]func() error{
	"second-node": tellOpen,
	"read-only":   tellOpen,
	"bomb":        runBomb,
	"worker":      runWorker,
	"cqrs":        runCQRS,
}

const helperVariable = "EDDA_CRASHTEST_HELPER"

func TestMain(m *testing.M) {
	name := os.Getenv(helperVariable)
	if name == "" {
		debug.SetGCPercent(200) // the disks in memory are many, small and soon gone
		code := m.Run()
		if buildDir != "" {
			_ = os.RemoveAll(buildDir)
		}
		os.Exit(code)
	}
	if err := helpers[name](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// helper returns a command that runs one of the helpers.
func helper(t *testing.T, name string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(append(os.Environ(), helperVariable+"="+name), env...)
	return cmd
}
