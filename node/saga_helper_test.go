package node_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/node"
)

// stepFunc handles a step.
type stepFunc func(ctx *edda.Context, in *edda.StepInput) (any, error)

// stepHandler is a handler for steps: whatever it returns is the result.
func stepHandler(h stepFunc) edda.HandlerFunc {
	return func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
		var in edda.StepInput
		if err := json.Unmarshal(m.Payload, &in); err != nil {
			return nil, fmt.Errorf("input %q: %w", m.Payload, err)
		}
		v, err := h(ctx, &in)
		if err != nil {
			return nil, err
		}
		b, err := json.Marshal(v)
		return &edda.Reply{ContentType: "application/json", Payload: b}, err
	}
}

// tool is a balanced service for steps without retries.
func tool(name string, h stepFunc) *edda.Service {
	s := balanced(name, stepHandler(h))
	s.Retry = once
	return s
}

// shelf is an ordered service for steps without retries.
func shelf(name string, h stepFunc) *edda.Service {
	s := ordered(name, stepHandler(h))
	s.Retry = once
	return s
}

// logged is a handler that writes down what it was asked, and returns the value.
func logged(j *journal, name string, v any) stepFunc {
	return func(_ *edda.Context, in *edda.StepInput) (any, error) {
		j.addf("%s%s%s", name, in.Args, in.Dependencies)
		return v, nil
	}
}

// failing is logged, and then fails for good.
func failing(j *journal, name string) stepFunc {
	return func(_ *edda.Context, in *edda.StepInput) (any, error) {
		j.addf("%s%s%s", name, in.Args, in.Dependencies)
		return nil, edda.Final("NO", "it did not work")
	}
}

// gated is logged once the gate is open.
func gated(gate <-chan struct{}, h stepFunc) stepFunc {
	return func(ctx *edda.Context, in *edda.StepInput) (any, error) {
		select {
		case <-gate:
			return h(ctx, in)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// args are JSON values, separated by blanks.
func args(values string) []json.RawMessage {
	var all []json.RawMessage
	for v := range strings.FieldsSeq(values) {
		all = append(all, json.RawMessage(v))
	}
	return all
}

// ask is a step that asks for "service" or "service/key", after steps whose ids are
// separated by blanks.
func ask(id, to, values, after string) edda.StepSpec {
	return edda.StepSpec{ID: id, Task: task(to, values), After: strings.Fields(after)}
}

func task(to, values string) edda.Task {
	service, key, _ := strings.Cut(to, "/")
	return edda.Task{Service: service, Key: key, Method: "run", Args: args(values)}
}

// undo gives a step a compensation.
func undo(s edda.StepSpec, to, values string) edda.StepSpec {
	t := task(to, values)
	s.Compensate = &t
	return s
}

// sagaOf is a saga that starts at once.
func sagaOf(name string, steps ...edda.StepSpec) *edda.SagaSpec {
	return &edda.SagaSpec{Name: name, Start: true, Steps: steps}
}

// create creates a saga, which has to work.
func create(t *testing.T, n *node.Node, s *edda.SagaSpec) string {
	t.Helper()
	ack, err := n.CreateSaga(t.Context(), s)
	if err != nil {
		t.Fatalf("create saga: %v", err)
	}
	if ack.ID == "" || ack.Joined {
		t.Fatalf("got %+v, want a new saga", ack)
	}
	return ack.ID
}

// look returns what is known of a saga.
func look(t *testing.T, n *node.Node, id string) *edda.Saga {
	t.Helper()
	s, err := n.Saga(t.Context(), "", id)
	if err != nil {
		t.Fatalf("look up saga: %v", err)
	}
	return s
}

// endsAs waits up to an hour for a saga, which has to end in the state.
func endsAs(t *testing.T, n *node.Node, id string, want edda.SagaState) *edda.Saga {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	s, err := n.WaitSaga(ctx, "", id)
	if err != nil {
		t.Fatalf("wait for saga: %v", err)
	}
	if s.State != want {
		t.Fatalf("saga is %s (%s %s), want %s: %s", s.State, s.Reason, s.Detail, want, states(s))
	}
	return s
}

// isIn fails the test unless the saga and its steps are in these states now, as
// states writes them.
func isIn(t *testing.T, n *node.Node, id, want string) *edda.Saga {
	t.Helper()
	synctest.Wait()
	s := look(t, n, id)
	if got := states(s); got != want {
		t.Fatalf("got %q, want %q (%+v)", got, want, s)
	}
	return s
}

// states writes "running: a=succeeded b=running", with the state of a compensation
// that is more than waiting behind a slash.
func states(s *edda.Saga) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:", s.State)
	for i := range s.Steps {
		st := &s.Steps[i]
		fmt.Fprintf(&b, " %s=%s", st.ID, st.State)
		if c := st.Compensation; c != nil && c.State != edda.CompensationWaiting {
			fmt.Fprintf(&b, "/%s", c.State)
		}
	}
	return b.String()
}

// finish finishes a step, which has to be answered so.
func finish(t *testing.T, n *node.Node, id, step string, r edda.StepResult, applied bool, state edda.StepState) {
	t.Helper()
	a, err := n.FinishStep(t.Context(), "", id, step, r)
	if err != nil {
		t.Fatalf("finish step %s: %v", step, err)
	}
	if a.Applied != applied || a.State != state {
		t.Fatalf("finish step %s: got %+v, want applied %v, state %s", step, a, applied, state)
	}
}

// hammer is the services of the worked example, whose last one is given.
func hammer(j *journal, last stepFunc) []*edda.Service {
	return []*edda.Service{
		tool("head", logged(j, "head", map[string]int{"headId": 1})),
		tool("handle", logged(j, "handle", map[string]int{"handleId": 2})),
		tool("destroyer", logged(j, "destroyer", nil)),
		tool("hammer", last),
	}
}

func hammerSpec() *edda.SagaSpec {
	return sagaOf("hammer",
		undo(ask("head", "head", `"ThunderBestowed"`, ""), "destroyer", `"anExampleArg"`),
		ask("handle", "handle", `"short"`, ""),
		ask("hammer", "hammer", "", "head handle"))
}

// noSlotIsLost fails the test unless all slots of the services are free.
func noSlotIsLost(t *testing.T, n *node.Node, services ...string) {
	t.Helper()
	synctest.Wait()
	for _, s := range services {
		if busy := node.Busy(n, s); busy != 0 {
			t.Errorf("service %s has %d slots taken, want none", s, busy)
		}
	}
	if ends, waiters := node.StepEnds(t, n); ends != 0 || waiters != 0 {
		t.Errorf("partitions wait for %d ends of steps, and have %d waiters; want none", ends, waiters)
	}
}
