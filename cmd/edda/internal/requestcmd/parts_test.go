package requestcmd_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/clitest"
	"github.com/edda-io/edda/cmd/edda/internal/requestcmd"
)

var commands = clitest.Commands{requestcmd.Call, requestcmd.Requests}

// counting serves a service that yields parts, fails once when it is asked to
// stumble, and returns the environment of its callers.
func counting(t *testing.T) []string {
	t.Helper()
	s := edda.NewBalanced("count")
	s.Retry = edda.RetryPolicy{Max: 2, Delay: time.Millisecond}
	s.HandleAny(func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		for i := range 3 {
			if m.Type == "stumble" && i == 1 && ctx.Attempt() == 1 {
				return nil, errors.New("oops")
			}
			if err := edda.Yield(ctx, i); err != nil {
				return nil, err
			}
		}
		if m.Type == "fail" {
			return nil, edda.Final("NO", "no more")
		}
		return edda.TextReply(200, "done"), nil
	})
	return []string{"EDDA_URL=" + clitest.OpenNode(t, "", s).URL}
}

func TestCallParts(t *testing.T) {
	t.Parallel()
	env := counting(t)
	for _, tc := range []struct {
		args        string
		code        int
		out, errOut string
	}{
		{"call count up --parts", cli.ExitDone, "0\n1\n2\ndone\n", ""},
		{"call count stumble --parts", cli.ExitDone, "0\n1\n2\ndone\n", ""},
		{"call count fail --parts", cli.ExitFailed, "0\n1\n2\n", "NO: no more"},
		{"call count up --parts --async", cli.ExitUsage, "", "parts"},
		{"call nobody up --parts", cli.ExitFailed, "", "nobody"},
		{"requests parts x", cli.ExitUsage, "", "id"},
		{"requests parts 0190a5c1-7b2e-7000-8000-000000000001", cli.ExitFailed, "", "request"},
		{"requests parts 0190a5c1-7b2e-7000-8000-000000000001 --after 7", cli.ExitUsage, "", "ATTEMPT.PART"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			t.Parallel()
			r := commands.Run(t, env, "", strings.Fields(tc.args)...)
			if r.Code != tc.code || !strings.HasSuffix(r.Out, tc.out) || !strings.Contains(r.ErrOut, tc.errOut) {
				t.Errorf("exit %d, printed %q and %q, want %d, %q and %q", r.Code, r.Out, r.ErrOut, tc.code, tc.out, tc.errOut)
			}
		})
	}
}

func TestRequestsParts(t *testing.T) {
	t.Parallel()
	env := counting(t)
	r := commands.Run(t, env, "", "call", "count", "up", "--async")
	id := strings.Fields(r.Out)[1] // accepted ID (DURABILITY)
	r = commands.Run(t, env, "", "requests", "parts", id, "--after", "1.1")
	if r.Code != cli.ExitDone || r.Out != "1\n2\ndone\n" {
		t.Errorf("exit %d, printed %q and %q", r.Code, r.Out, r.ErrOut)
	}
	r = commands.Run(t, env, "", "requests", "parts", id, "--after", "1.2", "--json")
	if want := `{"number":"1.3","attempt":1,"contentType":"application/json","data":2}` + "\n"; r.Code != cli.ExitDone || !strings.HasPrefix(r.Out, want) {
		t.Errorf("exit %d, printed %q and %q, want %q first", r.Code, r.Out, r.ErrOut, want)
	}
}
