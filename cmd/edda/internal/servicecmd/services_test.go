package servicecmd_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/edda-io/edda/cmd/edda/internal/cli"
	"github.com/edda-io/edda/cmd/edda/internal/clitest"
	"github.com/edda-io/edda/cmd/edda/internal/requestcmd"
	"github.com/edda-io/edda/cmd/edda/internal/servicecmd"
)

var commands = clitest.Commands{servicecmd.Services, requestcmd.Call}

// A service whose workers are all silent has none that takes its calls.
func TestServicesOfSilentWorkers(t *testing.T) {
	t.Parallel()
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/services":
			_, _ = w.Write([]byte(`{"items":[{"name":"dead","kind":"ordered","workers":1,"silentWorkers":1},{"name":"half","kind":"ordered","workers":2,"silentWorkers":1},` +
				`{"name":"stuck","kind":"ordered","workers":1,"stoppedKeyCount":1},{"name":"well","kind":"ordered","workers":1}]}`))
		case "/v1/services/dead":
			_, _ = w.Write([]byte(`{"name":"dead","kind":"ordered","workers":1,"silentWorkers":1}`))
		default:
			http.NotFound(w, r)
		}
	}))
	defer node.Close()
	out := strings.Join(strings.Fields(commands.OK(t, node.URL, "", "services", "ls")), " ")
	for _, want := range []string{
		"dead ordered any 1, silent 0 0 no worker", "half ordered any 2, 1 silent 0 0 running", "stuck ordered any 1 0 0 1 key stopped", "well ordered any 1 0 0 running",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("got %s, want %q in it", out, want)
		}
	}
	out = strings.Join(strings.Fields(commands.OK(t, node.URL, "", "services", "show", "dead")), " ")
	if want := "state no worker workers 1, silent"; !strings.Contains(out, want) {
		t.Errorf("got %s, want %q in it", out, want)
	}
}

// Who may not remove a service for its work is told with which flag it goes.
func TestRemoveServiceWithWork(t *testing.T) {
	t.Parallel()
	node := clitest.OpenNode(t, "")
	commands.OK(t, node.URL, "", "services", "put", "far", "--kind", "ordered", "--endpoint", "http://127.0.0.1:1/far")
	commands.OK(t, node.URL, "", "call", "far/a", "m", "--async", "--delay", "1h")
	r := commands.Run(t, []string{"EDDA_URL=" + node.URL}, "", "services", "rm", "far")
	if r.Code != cli.ExitFailed || !strings.Contains(r.ErrOut, "remove it with --force") {
		t.Errorf("got %+v, want it to name the flag", r)
	}
	commands.OK(t, node.URL, "", "services", "rm", "far", "--force")
}
