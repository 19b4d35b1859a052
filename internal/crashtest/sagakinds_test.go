package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/edda-io/edda"
)

// hammer makes a hammer, or fails to.
func (c *sagaClient) hammer(ctx context.Context, last string, want edda.SagaState) error {
	id, err := c.create(ctx, "hammer",
		spec("head", "smithy", "", "forge-head", "iron", nil, "melt-head"),
		spec("handle", "smithy", "", "carve-handle", "short", nil, ""),
		spec("hammer", "smithy", "", last, nil, []string{"head", "handle"}, ""))
	if err != nil {
		return err
	}
	s, err := c.end(ctx, id, want)
	if err != nil {
		return err
	}
	states := []edda.StepState{edda.StepSucceeded, edda.StepSucceeded, edda.StepSucceeded}
	if want == edda.SagaCompensated {
		states = []edda.StepState{edda.StepCompensated, edda.StepNotCompensated, edda.StepFailed}
	}
	for i, st := range s.Steps {
		if st.State != states[i] {
			return fmt.Errorf("hammer %s is %s, step %s is %s, want %s", id, s.State, st.ID, st.State, states[i])
		}
	}
	made := fmt.Sprintf(`{"hammerId":"hammer-%s","head":{"headId":"head-%s","kind":"iron"},"handle":{"handleId":"handle-%s","size":"short"}}`, id, id, id)
	if got := string(s.Steps[2].Result); want == edda.SagaSucceeded && got != made {
		return fmt.Errorf("hammer %s is %s, want %s", id, got, made)
	}
	return nil
}

// trip books places of the client's own, which may be too many of the cars.
func (c *sagaClient) trip(ctx context.Context) error {
	n, key, want := 1+c.rng.IntN(4), fmt.Sprint("c", c.id), edda.SagaSucceeded
	if n > c.cars {
		want = edda.SagaCompensated
	}
	id, err := c.create(ctx, "trip",
		spec("flight", "flights", key, "book", n, nil, "cancel"),
		spec("hotel", "hotels", key, "book", n, nil, "cancel"),
		spec("car", "cars", key, "book", n, nil, "cancel"))
	if err != nil {
		return err
	}
	if _, err := c.end(ctx, id, want); err != nil {
		return err
	}
	if want == edda.SagaSucceeded {
		c.booked, c.cars = c.booked+n, c.cars-n
	}
	return nil
}

// journal writes a to d, b and c at the same time; c is completed by call. When it
// fails, in the end, all is struck.
func (c *sagaClient) journal(ctx context.Context, fails bool) error {
	key, want := c.journalKey(), edda.SagaSucceeded
	steps := []map[string]any{
		spec("a", "journals", key, "write", "a", nil, "strike"),
		spec("b", "journals", key, "write", "b", []string{"a"}, "strike"),
		spec("c", "journals", key, "hold", "c", []string{"a"}, "strike"),
		spec("d", "journals", key, "write", "d", []string{"b", "c"}, "strike"),
	}
	if fails {
		want = edda.SagaCompensated
		steps = append(steps, spec("e", "journals", key, "refuse", "e", []string{"d"}, ""))
	}
	id, err := c.create(ctx, "journal", steps...)
	if err != nil {
		return err
	}
	if err := c.complete(ctx, id, "c"); err != nil {
		return err
	}
	if _, err := c.end(ctx, id, want); err != nil {
		return err
	}
	order := []string{"do a", "do b|do c", "do b|do c", "do d"}
	if fails {
		order = append(order, "undo d", "undo b|undo c", "undo b|undo c", "undo a")
	}
	return c.reads(ctx, key, order...)
}

func (c *sagaClient) journalKey() string { return fmt.Sprintf("j%d-%d", c.id, c.serial+1) }

// complete waits until a step is pending and completes it. Who has completed it need
// not have heard of it.
func (c *sagaClient) complete(ctx context.Context, id, step string) error {
	for {
		s, err := c.get(ctx, id, "")
		if err != nil {
			return err
		}
		if s.State != edda.SagaRunning {
			return fmt.Errorf("saga %s is %s, %s, before step %s was completed", id, s.State, s.Detail, step)
		}
		i := slices.IndexFunc(s.Steps, func(st edda.Step) bool { return st.ID == step })
		if s.Steps[i].Pending {
			break
		}
		pause(ctx, 5*time.Millisecond)
	}
	// The second time it comes too late, whatever it says.
	for i, result := range []string{step, "late"} {
		a, err := c.load.ask(ctx, "POST", "/v1/sagas/"+id+"/steps/"+step+"/complete", fmt.Sprintf(`{"result":%q}`, result), http.Header{"Content-Type": {"application/json"}})
		if err != nil {
			return err
		}
		var got edda.StepAnswer
		if err := json.Unmarshal(a.body, &got); err != nil || a.status != http.StatusOK || got.State == edda.StepRunning || i > 0 && got.Applied {
			return fmt.Errorf("complete %s of saga %s for the %d. time: got %v", step, id, i+1, a)
		}
	}
	c.tally.completed.Add(1)
	return nil
}

// stuck writes a and b and fails; b cannot be struck, until a person deals with that.
func (c *sagaClient) stuck(ctx context.Context) error {
	key := c.journalKey()
	id, err := c.create(ctx, "stuck",
		spec("a", "journals", key, "write", "a", nil, "strike"),
		spec("b", "journals", key, "write", "b", []string{"a"}, "stick"),
		spec("c", "journals", key, "refuse", "c", []string{"b"}, ""))
	if err != nil {
		return err
	}
	if _, err := c.end(ctx, id, edda.SagaCompensationFailed); err != nil {
		return err
	}
	if err := c.reads(ctx, key, "do a", "do b"); err != nil {
		return err
	}
	order := []string{"do a", "do b", "undo a"}
	action := []edda.CompensationAction{edda.RetryCompensation, edda.SkipCompensation, edda.ResolveCompensation}[c.rng.IntN(3)]
	if action == edda.RetryCompensation {
		if err := c.post(ctx, "/v1/call/journals/"+key+"/free"); err != nil {
			return err
		}
		order = []string{"do a", "do b", "undo b", "undo a"}
	}
	if err := c.post(ctx, "/v1/sagas/"+id+"/steps/b/compensation/"+string(action)); err != nil {
		return err
	}
	if _, err := c.end(ctx, id, edda.SagaCompensated); err != nil {
		return fmt.Errorf("after %s: %w", action, err)
	}
	return c.reads(ctx, key, order...)
}
