package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/edda-io/edda"
)

// grows writes a, whose handler adds b and c, which may fail.
func (c *sagaClient) grows(ctx context.Context) error {
	key := c.journalKey()
	last, want, order := "write", edda.SagaSucceeded, []string{"do a", "do b", "do c"}
	if c.rng.IntN(2) == 0 {
		last, want, order = "refuse", edda.SagaCompensated, []string{"do a", "do b", "undo b", "undo a"}
	}
	id, err := c.create(ctx, "growing", spec("a", "journals", key, "grow", last, nil, "strike"))
	if err != nil {
		return err
	}
	if _, err := c.end(ctx, id, want); err != nil {
		return err
	}
	return c.reads(ctx, key, order...)
}

// nested writes a, then b and c in a saga of their own, and fails.
func (c *sagaClient) nested(ctx context.Context) error {
	key := c.journalKey()
	id, err := c.create(ctx, "nesting",
		spec("a", "journals", key, "write", "a", nil, "strike"),
		map[string]any{"id": "n", "after": []string{"a"}, "saga": map[string]any{"steps": []any{
			spec("b", "journals", key, "write", "b", nil, "strike"),
			spec("c", "journals", key, "write", "c", []string{"b"}, "strike"),
		}}},
		spec("d", "journals", key, "refuse", "d", []string{"n"}, ""))
	if err != nil {
		return err
	}
	if _, err := c.end(ctx, id, edda.SagaCompensated); err != nil {
		return err
	}
	return c.reads(ctx, key, "do a", "do b", "do c", "undo c", "undo b", "undo a")
}

// cancelled writes a to d, and is cancelled before, amid or after that.
func (c *sagaClient) cancelled(ctx context.Context) error {
	key := c.journalKey()
	id, err := c.create(ctx, "cancelled",
		spec("a", "journals", key, "write", "a", nil, "strike"),
		spec("b", "journals", key, "write", "b", []string{"a"}, "strike"),
		spec("c", "journals", key, "write", "c", []string{"a"}, "strike"),
		spec("d", "journals", key, "write", "d", []string{"b", "c"}, "strike"))
	if err != nil {
		return err
	}
	pause(ctx, time.Duration(c.rng.IntN(20))*time.Millisecond)
	if err := c.post(ctx, "/v1/sagas/"+id+"/cancel"); err != nil {
		return err
	}
	s, err := c.end(ctx, id, edda.SagaSucceeded, edda.SagaCompensated)
	if err != nil {
		return err
	}
	return c.agrees(ctx, s, key)
}

// late writes a and waits for somebody who completes c, in vain.
func (c *sagaClient) late(ctx context.Context) error {
	key := c.journalKey()
	id, err := c.createFrom(ctx, map[string]any{
		"name": "late", "start": true, "deadline": fmt.Sprintf("%dms", 20+c.rng.IntN(80)),
		"steps": []any{
			spec("a", "journals", key, "write", "a", nil, "strike"),
			spec("c", "journals", key, "hold", "c", []string{"a"}, "strike"),
		},
	})
	if err != nil {
		return err
	}
	s, err := c.end(ctx, id, edda.SagaCompensated)
	if err != nil {
		return err
	}
	if s.Reason != edda.DeadlineExceeded {
		return fmt.Errorf("saga %s is undone, reason %s, want %s", id, s.Reason, edda.DeadlineExceeded)
	}
	return c.agrees(ctx, s, key)
}

// post posts nothing, and wants 200.
func (c *sagaClient) post(ctx context.Context, path string) error {
	a, err := c.load.ask(ctx, "POST", path, "", http.Header{})
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("POST %s: got %v", path, a)
	}
	return err
}

// lines returns what a journal says.
func (c *sagaClient) lines(ctx context.Context, key string) ([]string, error) {
	a, err := c.load.ask(ctx, "POST", "/v1/call/journals/"+key+"/read", "", http.Header{})
	if err != nil {
		return nil, err
	}
	var got []string
	if err := json.Unmarshal(a.body, &got); err != nil {
		return nil, fmt.Errorf("read journal %s: got %v", key, a)
	}
	return got, nil
}

// reads compares a journal with the lines that it should have. A line is one of several
// when they are separated by bars; each of them is there once.
func (c *sagaClient) reads(ctx context.Context, key string, want ...string) error {
	got, err := c.lines(ctx, key)
	if err != nil {
		return err
	}
	good := len(got) == len(want) && len(slices.Compact(slices.Sorted(slices.Values(got)))) == len(got)
	for i := 0; good && i < len(got); i++ {
		good = slices.Contains(strings.Split(want[i], "|"), got[i])
	}
	if !good {
		return fmt.Errorf("journal %s says %q, want %q", key, got, want)
	}
	return nil
}

// agrees compares a journal with the states of the steps that have written it. A step
// that was cancelled may have written before it was left pending, and has not been undone.
func (c *sagaClient) agrees(ctx context.Context, s *edda.Saga, key string) error {
	lines, err := c.lines(ctx, key)
	if err != nil {
		return err
	}
	once := func(line string) int { // where it stands; -1 for nowhere, -2 for twice
		at := slices.Index(lines, line)
		if at >= 0 && slices.Contains(lines[at+1:], line) {
			return -2
		}
		return at
	}
	for i := range s.Steps {
		st := &s.Steps[i]
		do, undo := once("do "+st.ID), once("undo "+st.ID)
		var good bool
		switch st.State {
		case edda.StepSucceeded:
			good = do >= 0 && undo == -1
		case edda.StepCompensated:
			good = do >= 0 && undo > do
		case edda.StepCancelled:
			good = do >= -1 && undo == -1
		default:
			good = do == -1 && undo == -1
		}
		for _, id := range st.After {
			good = good && (do < 0 || once("do "+id) < do) && (undo < 0 || once("undo "+id) > undo)
		}
		if !good {
			return fmt.Errorf("saga %s is %s, step %s is %s, journal %s says %q", s.ID, s.State, st.ID, st.State, key, lines)
		}
	}
	return nil
}
