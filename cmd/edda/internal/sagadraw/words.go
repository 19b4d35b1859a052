package sagadraw

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/cmd/edda/internal/human"
)

// looks is how a step in a state is shown.
type looks struct {
	mark  string
	style style
}

// pending is a running step that waits for somebody: no state of its own, but one
// to the eye.
const pending edda.StepState = "pending"

var stepLooks = map[edda.StepState]looks{
	edda.StepWaiting:        {"·", dim},
	edda.StepReady:          {"○", cyan},
	edda.StepRunning:        {"►", cyan},
	pending:                 {"◇", yellow},
	edda.StepSucceeded:      {"✓", green},
	edda.StepFailed:         {"✗", red},
	edda.StepCompensating:   {"↶", yellow},
	edda.StepCompensated:    {"↩", yellow},
	edda.StepNotCompensated: {"!", yellow},
	edda.StepSkipped:        {"–", dim},
	edda.StepCancelled:      {"⊘", dim},
}

// stuck is a step whose compensation has failed: it waits for a person.
const stuck edda.StepState = "compensation failed"

// seen returns the state of a step as it is shown.
func seen(t *edda.Step) edda.StepState {
	switch {
	case t.Compensation != nil && t.Compensation.State == edda.CompensationFailed:
		return stuck
	case t.Pending && t.State == edda.StepRunning:
		return pending
	default:
		return t.State
	}
}

func lookOf(s edda.StepState) looks {
	switch l, ok := stepLooks[s]; {
	case ok:
		return l
	case s == stuck:
		return looks{"✗", red}
	default: // of a later release
		return looks{"?", plainText}
	}
}

func stateWord(s edda.StepState) string { return strings.ReplaceAll(string(s), "_", " ") }

// what says whom a step asks for what.
func what(t *edda.Step) string {
	if t.SagaID != "" {
		return "saga " + plain(t.SagaID)
	}
	if q := t.Queue; q != nil {
		return task("stream "+q.Stream, t.Key, t.Method)
	}
	return task(t.Service, t.Key, t.Method)
}

func task(service, key, method string) string {
	if key != "" {
		service += "/" + key
	}
	return plain(service + " " + method)
}

// took returns how long a step took that has ended, or "".
func took(started, ended time.Time) string {
	if started.IsZero() || ended.IsZero() {
		return ""
	}
	return human.Duration(ended.Sub(started))
}

// status says where a step stands, beside its mark and its time; "" where those
// say it all.
func status(t *edda.Step, now time.Time) string {
	s := seen(t)
	text := stateWord(s)
	switch s {
	case edda.StepSucceeded:
		text = ""
		if t.Attempts > 1 {
			text = attempts(t.Attempts)
		}
	case edda.StepFailed:
		text += afterAttempts(t.Attempts)
	case edda.StepRunning:
		text += since(t.StartedAt, now)
	case pending:
		text = "to be completed" + since(t.StartedAt, now)
	case stuck:
		text = "succeeded, cannot be undone"
	}
	return text
}

func attempts(n int) string { return fmt.Sprintf("%d attempts", n) }

func afterAttempts(n int) string {
	if n < 2 {
		return ""
	}
	return " after " + attempts(n)
}

func since(started, now time.Time) string {
	if started.IsZero() || now.Before(started) {
		return ""
	}
	return " for " + human.Duration(now.Sub(started))
}

// problem says why a step, or its compensation, failed; "" when it did not.
func problem(e *edda.StepError) string {
	if e == nil {
		return ""
	}
	text := string(e.Reason)
	if e.Status != 0 {
		text += " " + strconv.Itoa(e.Status)
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return plain(text)
}

// undo says what was done to undo a step, or will be; "" where nobody asks.
func undo(s *edda.Saga, t *edda.Step, now time.Time) (string, style) {
	c := t.Compensation
	if c == nil || c.State == edda.CompensationWaiting && !mayBeUndone(s.State, t.State) {
		return "", plainText
	}
	text := "↩ " + task(c.Service, c.Key, c.Method)
	switch c.State {
	case edda.CompensationWaiting:
		if s.State == edda.SagaCreated || s.State == edda.SagaRunning {
			return text + ", if need be", dim
		}
		return text + " waits", dim
	case edda.CompensationRunning:
		return text + since(c.StartedAt, now), yellow
	case edda.CompensationSucceeded:
		text += "  " + took(c.StartedAt, c.EndedAt)
		if c.Attempts > 1 {
			text += ", " + attempts(c.Attempts)
		}
		return text, plainText
	case edda.CompensationFailed:
		return text + " failed" + afterAttempts(c.Attempts), red
	default:
		return text + " " + string(c.State) + " by hand", yellow
	}
}

// mayBeUndone says that a step in some state may be undone later.
func mayBeUndone(s edda.SagaState, t edda.StepState) bool {
	if s.Ended() && s != edda.SagaCompensationFailed {
		return false
	}
	switch t {
	case edda.StepFailed, edda.StepSkipped, edda.StepCancelled:
		return false
	default:
		return true
	}
}

// number writes a count so that it can be read when it is large.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + one + "s"
}

// plain makes text safe for a drawing: somebody else wrote it.
func plain(s string) string { return strings.Join(strings.Fields(human.Harmless(s)), " ") }
