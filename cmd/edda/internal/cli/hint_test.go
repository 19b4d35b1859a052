package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/spf13/cobra"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
)

// Whoever is nearest to what went wrong says what would be right, else what can be said of
// any such error is.
func TestHints(t *testing.T) {
	id, err := edda.ParseID("0190a5c1-7b2e-7000-8000-000000000001")
	if err != nil {
		t.Fatal(err)
	}
	noSaga, noGroup := &edda.Error{Reason: edda.NoSaga}, &edda.Error{Reason: edda.NoGroup}
	ofRequest := &edda.Error{Reason: edda.NoSaga, RequestID: id}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"of any saga", noSaga, "  what there is: edda sagas ls\n"},
		{"of this one", fmt.Errorf("do it: %w", cli.WithHint(noSaga, "look\nthere")), "  look\n  there\n"},
		{"the nearest", cli.WithHint(cli.WithHint(noSaga, "near"), "far"), "  near\n"},
		{"of a request", cli.WithHint(ofRequest, "look"), "  look\n  edda requests show " + id.String() + "\n"},
		{"that names its request", cli.WithHint(ofRequest, "see "+id.String()), "  see " + id.String() + "\n"},
		{"nothing to say", cli.WithHint(noSaga, ""), "  what there is: edda sagas ls\n"},
		{"nothing known", noGroup, ""},
		{"no reason", errors.New("no"), ""},
	} {
		var errOut bytes.Buffer
		in := &cli.Invocation{Args: []string{"fail"}, Program: "edda", Stderr: &errOut}
		root := &cobra.Command{Use: "edda"}
		root.AddCommand(&cobra.Command{Use: "fail", RunE: func(*cobra.Command, []string) error { return c.err }})
		code := in.Execute(t.Context(), root)
		if want := "edda: " + cli.Describe(c.err) + "\n" + c.want; code != cli.ExitFailed || errOut.String() != want {
			t.Errorf("%s: got exit code %d and\n%swant\n%s", c.name, code, &errOut, want)
		}
	}
	if err := cli.WithHint(nil, "look"); err != nil {
		t.Errorf("a hint makes %v of no error", err)
	}
}
