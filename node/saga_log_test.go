package node_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// A saga that waits for a person is a warning; how sagas, steps and compensations end is
// there for who looks for a mistake.
func TestSagasAreLogged(t *testing.T) {
	bubble(t, "log", func(t *testing.T) {
		for _, c := range []struct {
			level slog.Level
			want  []string
		}{
			{slog.LevelWarn, []string{`level=WARN msg="saga waits for a person: a step could not be undone" saga=s1 namespace=default name=trip state=compensation_failed reason=STEP_FAILED`}},
			{slog.LevelDebug, []string{
				`msg="step ended" saga=s1 namespace=default step=a state=succeeded attempts=1 error=""`,
				`msg="step ended" saga=s1 namespace=default step=b state=failed attempts=1 error="NO: it did not work"`,
				`msg="compensation ended" saga=s1 namespace=default step=a state=failed attempts=1 error="NO: it did not work"`,
				`level=WARN msg="saga waits for a person`,
				`msg="saga ended" saga=s2 namespace=default name=trip state=succeeded reason="" detail=""`,
			}},
		} {
			var j journal
			var out bytes.Buffer
			n := start(t, node.Options{Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: c.level}))}, tool("good", logged(&j, "good", 1)), tool("bad", failing(&j, "bad")))
			fails, works := sagaOf("s1", undo(ask("a", "good", "", ""), "bad", ""), ask("b", "bad", "", "a")), sagaOf("s2", ask("a", "good", "", ""))
			fails.ID, works.ID, fails.Name, works.Name = "s1", "s2", "trip", "trip"
			endsAs(t, n, create(t, n, fails), edda.SagaCompensationFailed)
			endsAs(t, n, create(t, n, works), edda.SagaSucceeded)
			stop(t, n)
			for _, line := range c.want {
				if !strings.Contains(out.String(), line) {
					t.Errorf("at level %v no %s in\n%s", c.level, line, out.String())
				}
			}
			if lines := strings.Count(out.String(), "msg=\"s"); c.level == slog.LevelWarn && lines != 1 {
				t.Errorf("got %d lines at level %v, want 1:\n%s", lines, c.level, out.String())
			}
		}
	})
}
