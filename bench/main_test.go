package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// asChild tells the test binary to be a child of a row.
const asChild = "EDDA_BENCH_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) == "" {
		os.Exit(m.Run())
	}
	if err := Child(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// testChild runs this test binary as a child.
func testChild(ctx context.Context, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		return &exec.Cmd{Err: err}
	}
	c := exec.CommandContext(ctx, self, args...)
	c.Env = append(os.Environ(), asChild+"=1")
	return c
}
