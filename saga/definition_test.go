package saga_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/saga"
)

// hammer is the saga that most tests are about.
func hammer() *saga.Definition {
	def := saga.New("hammer")
	head := def.AddStep("head", "smithy", "forge-head", "ThunderBestowed").CompensateWith("smithy", "melt-head", "anExampleArg")
	handle := def.AddStep("handle", "smithy", "carve-handle", "short")
	def.AddStep("hammer", "smithy", "assemble").DependsOn(head, handle)
	return def
}

func raw(values ...string) []json.RawMessage {
	var args []json.RawMessage
	for _, v := range values {
		args = append(args, json.RawMessage(v))
	}
	return args
}

func task(method string, args ...string) edda.Task {
	return edda.Task{Service: "smithy", Method: method, Args: raw(args...)}
}

// started returns what a backend is asked to create.
func started(t *testing.T, def *saga.Definition) *edda.SagaSpec {
	t.Helper()
	b := &backend{}
	if _, err := saga.NewClient(b).Start(t.Context(), def); err != nil {
		t.Fatal(err)
	}
	return b.created
}

func TestQueueStep(t *testing.T) {
	q := edda.QueueSpec{Stream: "handle-requests", Success: "handles", Failure: "handle-failures"}
	def := saga.New("hammer")
	head := def.AddStep("head", "smithy", "forge-head")
	handle := def.AddQueueStep("handle", q, "carve", "short", 7).DependsOn(head).CompensateWith("smithy", "burn")
	handle.Key = "oak"
	want := []edda.StepSpec{
		{ID: "head", Task: task("forge-head")},
		{ID: "handle", Task: edda.Task{Key: "oak", Method: "carve", Args: raw(`"short"`, `7`)}, After: []string{"head"}, Compensate: new(task("burn")), Queue: &q},
	}
	got := started(t, def)
	if diff := cmp.Diff(want, got.Steps); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	handle.Retry.Max = 2
	if err := started(t, def).Validate(); edda.ReasonOf(err) != edda.BadSchema {
		t.Errorf("with retries: %v", err)
	}
	head.Key = "7"
	if err := def.Err(); edda.ReasonOf(err) != edda.BadValue || !strings.Contains(err.Error(), "stands in the address") {
		t.Errorf("a key beside the address: %v", err)
	}
	def = saga.New("bad")
	def.AddQueueStep("a", q, "m", math.Inf(1))
	if err := def.Err(); edda.ReasonOf(err) != edda.BadJSON {
		t.Errorf("a bad argument: %v", err)
	}
}

func TestDefinition(t *testing.T) {
	want := &edda.SagaSpec{
		Namespace: "default", Name: "hammer", Start: true, Principal: edda.Anonymous,
		Steps: []edda.StepSpec{
			{ID: "head", Task: task("forge-head", `"ThunderBestowed"`), Compensate: new(task("melt-head", `"anExampleArg"`))},
			{ID: "handle", Task: task("carve-handle", `"short"`)},
			{ID: "hammer", Task: task("assemble"), After: []string{"head", "handle"}},
		},
	}
	def := hammer()
	if diff := cmp.Diff(want, started(t, def)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// A backend owns what it is given; a definition may be started again.
	started(t, def).Steps[2].After[0] = "changed"
	started(t, def).Steps[0].Args[0] = json.RawMessage("1")
	started(t, def).Steps[0].Compensate.Method = "changed"
	if diff := cmp.Diff(want, started(t, def)); diff != "" {
		t.Errorf("started again (-want +got)\n%s", diff)
	}
}

func TestDefinitionSettings(t *testing.T) {
	retry, undo := edda.RetryPolicy{Max: 3}, edda.RetryPolicy{Max: -1}
	def := &saga.Definition{
		ID: "trip-7", IdempotencyKey: "order-7", DeadlineAfter: time.Hour, OnFailure: edda.CancelSteps, CorrelationID: "story",
	}
	seat := def.AddStep("seat", "flights/LH 1/2", "book", map[string]int{"seats": 2}, nil).CompensateWith("flights/LH 1/2", "cancel")
	seat.Retry, seat.AttemptTimeout, seat.CompensationRetry = retry, time.Second, undo
	inner := saga.New("rooms")
	inner.AddStep("room", "hotels/ritz", "book")
	inner.OnFailure = edda.CancelSteps
	def.AddSaga("rooms", inner).After("seat")

	want := &edda.SagaSpec{
		Namespace: "other", ID: "trip-7", IdempotencyKey: "order-7", DeadlineAfter: time.Hour, OnFailure: edda.CancelSteps,
		CorrelationID: "story", Principal: "ada",
		Steps: []edda.StepSpec{
			{
				ID:             "seat",
				Task:           edda.Task{Service: "flights", Key: "LH 1/2", Method: "book", Args: raw(`{"seats":2}`, `null`), Retry: retry},
				AttemptTimeout: time.Second,
				Compensate:     &edda.Task{Service: "flights", Key: "LH 1/2", Method: "cancel", Retry: undo},
			},
			{ID: "rooms", After: []string{"seat"}, Saga: &edda.SagaSpec{
				Name: "rooms", OnFailure: edda.CancelSteps,
				Steps: []edda.StepSpec{{ID: "room", Task: edda.Task{Service: "hotels", Key: "ritz", Method: "book"}}},
			}},
		},
	}
	b := &backend{}
	if _, err := saga.NewClient(b).In("other").As("ada").Create(t.Context(), def); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.created); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestMistakesInDefinitions(t *testing.T) {
	for _, c := range []struct {
		name   string
		define func(*saga.Definition)
		reason edda.Reason
		text   string
	}{
		{"id twice", func(d *saga.Definition) {
			d.AddStep("a", "s", "m")
			d.AddStep("a", "s", "m")
		}, edda.Exists, "define step a: the id is used twice"},
		{"argument", func(d *saga.Definition) { d.AddStep("a", "s", "m", 1, math.NaN()) }, edda.BadJSON, "define step a: argument 1: "},
		{"raw argument", func(d *saga.Definition) { d.AddStep("a", "s", "m", json.RawMessage("{")) }, edda.BadJSON, "argument 0: "},
		{"address", func(d *saga.Definition) { d.AddStep("a", "users/", "m") }, edda.BadName, `"users/" has an empty key`},
		{"nil dependency", func(d *saga.Definition) { d.AddStep("a", "s", "m").DependsOn(nil) }, edda.BadValue, "a step that is nil"},
		{"compensation twice", func(d *saga.Definition) {
			d.AddStep("a", "s", "m").CompensateWith("s", "u").CompensateWith("s", "u")
		}, edda.BadValue, "two compensations"},
		{"compensation's address", func(d *saga.Definition) { d.AddStep("a", "s", "m").CompensateWith("", "u") }, edda.BadName, "define step a: compensation: "},
		{"compensation's argument", func(d *saga.Definition) {
			d.AddStep("a", "s", "m").CompensateWith("s", "u", func() {})
		}, edda.BadJSON, "compensation: argument 0: "},
		{"retry of no compensation", func(d *saga.Definition) {
			d.AddStep("a", "s", "m").CompensationRetry.Max = 1
		}, edda.BadValue, "no compensation"},
		{"nil saga", func(d *saga.Definition) { d.AddSaga("a", nil) }, edda.BadValue, "its saga is nil"},
		{"itself", func(d *saga.Definition) { d.AddSaga("a", d) }, edda.Cycle, "define step a: its saga contains itself"},
		{"inner", func(d *saga.Definition) {
			inner := saga.New("inner")
			inner.AddStep("b", "/", "m")
			d.AddSaga("a", inner)
		}, edda.BadName, "define step a: define saga inner: define step b: "},
	} {
		def := saga.New("test")
		c.define(def)
		_, err := saga.NewClient(nil).Start(t.Context(), def) // a nil backend: nothing is asked of it
		if edda.ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want reason %s and %q", c.name, err, c.reason, c.text)
		}
		if again := def.Err(); again == nil || again.Error() != err.Error() {
			t.Errorf("%s: Err is %v, want what Start returned", c.name, again)
		}
	}
	if err := hammer().Err(); err != nil {
		t.Error(err)
	}
	if _, err := saga.NewClient(nil).Start(t.Context(), nil); edda.ReasonOf(err) != edda.BadValue {
		t.Errorf("no definition: got %v, want BAD_VALUE", err)
	}
}

// All mistakes are told at once, so that nobody mends them one by one.
func TestAllMistakesAreTold(t *testing.T) {
	def := hammer()
	def.AddStep("head", "smithy", "forge-head")
	def.AddStep("sign", "", "sign", make(chan int))
	err := def.Err()
	for _, text := range []string{"define saga hammer: ", "step head: the id", "step sign: ", "argument 0: "} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want also %q", err, text)
		}
	}
	if !errors.Is(err, &edda.Error{Reason: edda.Exists}) {
		t.Errorf("got reason %s, want that of the first", edda.ReasonOf(err))
	}
}
