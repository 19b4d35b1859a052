// Package clitest runs commands of the program within tests, in their process.
package clitest

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// Commands are those that a test runs, by what makes them.
type Commands []func(*cli.Invocation) *cobra.Command

// Result is what a command left.
type Result struct {
	Code        int
	Out, ErrOut string
}

// Run runs one of the commands.
func (c Commands) Run(t *testing.T, environ []string, stdin string, args ...string) Result {
	t.Helper()
	var out, errOut bytes.Buffer
	code := c.Execute(t.Context(), &cli.Invocation{
		Args: args, Environ: environ, Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errOut,
	})
	return Result{code, out.String(), errOut.String()}
}

// OK runs one of the commands, which must work, at the node that has the URL. It returns
// what the command printed.
func (c Commands) OK(t *testing.T, url, stdin string, args ...string) string {
	t.Helper()
	r := c.Run(t, []string{"EDDA_URL=" + url}, stdin, args...)
	if r.Code != cli.ExitDone {
		t.Fatalf("edda %s: got %+v", strings.Join(args, " "), r)
	}
	return r.Out
}

// Execute runs one of the commands as in is, and returns its exit code. The program is
// called edda.
func (c Commands) Execute(ctx context.Context, in *cli.Invocation) int {
	in.Program = "edda"
	root := &cobra.Command{Use: "edda"}
	for _, command := range c {
		root.AddCommand(command(in))
	}
	return in.Execute(ctx, root)
}

// Numbers are the lines 1 to n.
func Numbers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintln(&b, i+1)
	}
	return b.String()
}
