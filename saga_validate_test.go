package edda

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// goodSaga has every field that may be set.
func goodSaga() *SagaSpec {
	task := Task{Service: "hotels", Key: "7", Method: "book", Args: []json.RawMessage{json.RawMessage(`{"nights":2}`)}, Retry: RetryPolicy{Max: 3}}
	return &SagaSpec{
		Namespace: "shop", ID: "trip-1", Name: "trip", Start: true, Deadline: time.Now(), OnFailure: CancelSteps, IdempotencyKey: "k", Principal: "ada",
		Steps: []StepSpec{
			{ID: "car", Task: task, After: []string{"hotel", "flight", "hotel"}, AttemptTimeout: time.Second},
			{ID: "hotel", Task: task, Compensate: &Task{Service: "hotels", Method: "cancel"}},
			{ID: "flight", After: []string{"hotel"}, Saga: &SagaSpec{Name: "fly", DeadlineAfter: time.Hour, OnFailure: WaitForSteps, Steps: []StepSpec{
				{ID: "hotel", Task: task},
			}}},
			{
				ID: "rooms", Task: Task{Key: "7", Method: "clean", Args: task.Args}, Compensate: &Task{Service: "hotels", Method: "cancel"},
				Queue: &QueueSpec{Stream: "rooms", Shard: "eu", Success: "cleaned", Failure: "dirty"},
			},
		},
	}
}

func TestValidateSaga(t *testing.T) {
	if err := goodSaga().Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(s *SagaSpec)
		reason Reason
		text   string // part of the error's
	}{
		{"namespace", func(s *SagaSpec) { s.Namespace = "a b" }, BadName, "namespace"},
		{"id", func(s *SagaSpec) { s.ID = "a~b" }, BadName, "saga id"},
		{"name", func(s *SagaSpec) { s.Name = "/" }, BadName, "saga name"},
		{"idempotency key", func(s *SagaSpec) { s.IdempotencyKey = strings.Repeat("k", 256) }, TooLarge, "256"},
		{"on failure", func(s *SagaSpec) { s.OnFailure = "panic" }, BadValue, `"wait" or "cancel"`},
		{"two deadlines", func(s *SagaSpec) { s.DeadlineAfter = time.Second }, BadValue, "twice"},
		{"negative deadline", func(s *SagaSpec) { s.Deadline, s.DeadlineAfter = time.Time{}, -1 }, BadValue, "negative"},
		{"far deadline", func(s *SagaSpec) { s.Deadline = time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC) }, BadValue, "2262"},
		{"no steps", func(s *SagaSpec) { s.Steps = nil }, BadSchema, "no steps"},
		{"step id", func(s *SagaSpec) { s.Steps[1].ID = "" }, BadName, "step id"},
		{"step id twice", func(s *SagaSpec) { s.Steps[2].ID = "car" }, Exists, `"car"`},
		{"unknown dependency", func(s *SagaSpec) { s.Steps[1].After = []string{"train"} }, BadSchema, `check saga: step hotel: it depends on "train"`},
		{"malformed dependency", func(s *SagaSpec) { s.Steps[1].After = []string{"a b"} }, BadName, "dependency"},
		{"itself", func(s *SagaSpec) { s.Steps[1].After = []string{"hotel"} }, Cycle, "hotel after hotel"},
		{"cycle", func(s *SagaSpec) { s.Steps[1].After = []string{"flight"} }, Cycle, "hotel after flight after hotel"},
		{"attempt timeout", func(s *SagaSpec) { s.Steps[0].AttemptTimeout = -1 }, BadValue, "attemptTimeout"},
		{"no service", func(s *SagaSpec) { s.Steps[0].Service = "" }, BadSchema, "service is missing"},
		{"no method", func(s *SagaSpec) { s.Steps[0].Method = "" }, BadSchema, "method is missing"},
		{"service", func(s *SagaSpec) { s.Steps[0].Service = "edda.saga" }, BadName, "reserved"},
		{"key", func(s *SagaSpec) { s.Steps[0].Key = "\x00" }, BadName, "key"},
		{"method", func(s *SagaSpec) { s.Steps[0].Method = "a/b" }, BadName, "method"},
		{"args", func(s *SagaSpec) { s.Steps[0].Args = []json.RawMessage{nil} }, BadSchema, "args[0] is not JSON"},
		{"retry", func(s *SagaSpec) { s.Steps[0].Retry.Max = -2 }, BadValue, "max"},
		{"compensation", func(s *SagaSpec) { s.Steps[1].Compensate.Method = "" }, BadSchema, "compensation's method is missing"},
		{"compensation's args", func(s *SagaSpec) { s.Steps[1].Compensate.Args = []json.RawMessage{[]byte("{")} }, BadSchema, "compensation's args[0]"},
		{"nested with a service", func(s *SagaSpec) { s.Steps[2].Service = "a" }, BadSchema, "no service"},
		{"nested with a compensation", func(s *SagaSpec) { s.Steps[2].Compensate = &Task{} }, BadSchema, "no compensation"},
		{"nested with an id", func(s *SagaSpec) { s.Steps[2].Saga.ID = "a" }, BadSchema, "has the id"},
		{"nested with a namespace", func(s *SagaSpec) { s.Steps[2].Saga.Namespace = "a" }, BadSchema, "has the namespace"},
		{"nested with start", func(s *SagaSpec) { s.Steps[2].Saga.Start = true }, BadSchema, "has the start"},
		{"nested with a key", func(s *SagaSpec) { s.Steps[2].Saga.IdempotencyKey = "a" }, BadSchema, "idempotency key"},
		{"nested with a principal", func(s *SagaSpec) { s.Steps[2].Saga.Principal = "a" }, BadSchema, "principal"},
		{"nested with a correlation", func(s *SagaSpec) { s.Steps[2].Saga.CorrelationID = "a" }, BadSchema, "correlation"},
		{"nested with a trace", func(s *SagaSpec) { s.Steps[2].Saga.TraceState = "a" }, BadSchema, "trace"},
		{"nested without steps", func(s *SagaSpec) { s.Steps[2].Saga.Steps = nil }, BadSchema, "step flight: it has no steps"},
		{"nested step", func(s *SagaSpec) { s.Steps[2].Saga.Steps[0].Method = "" }, BadSchema, "check saga: step flight: step hotel: method"},
		{"queue and saga", func(s *SagaSpec) { s.Steps[3].Saga = s.Steps[2].Saga }, BadSchema, "step rooms: it is a saga and a message at once"},
		{"queue with a service", func(s *SagaSpec) { s.Steps[3].Service = "a" }, BadSchema, "it has no service"},
		{"queue with retry", func(s *SagaSpec) { s.Steps[3].Retry.Max = 1 }, BadSchema, "retry"},
		{"queue with a timeout", func(s *SagaSpec) { s.Steps[3].AttemptTimeout = 1 }, BadSchema, "attemptTimeout"},
		{"queue without a stream", func(s *SagaSpec) { s.Steps[3].Queue.Stream = "" }, BadSchema, "queue.stream is missing"},
		{"queue without success", func(s *SagaSpec) { s.Steps[3].Queue.Success = "" }, BadSchema, "queue.success is missing"},
		{"queue without failure", func(s *SagaSpec) { s.Steps[3].Queue.Failure = "" }, BadSchema, "queue.failure is missing"},
		{"queue's shard", func(s *SagaSpec) { s.Steps[3].Queue.Shard = "a b" }, BadName, `queue.shard "a b"`},
		{"queue's failure", func(s *SagaSpec) { s.Steps[3].Queue.Failure = "a/b" }, BadName, `queue.failure "a/b"`},
		{"queue of one stream", func(s *SagaSpec) { s.Steps[3].Queue.Failure = "cleaned" }, BadValue, "must differ"},
		{"queue to itself", func(s *SagaSpec) { s.Steps[3].Queue.Stream = "cleaned" }, BadValue, "must differ"},
		{"queue's key", func(s *SagaSpec) { s.Steps[3].Key = ".." }, BadName, "key"},
		{"queue without a method", func(s *SagaSpec) { s.Steps[3].Method = "" }, BadSchema, "method is missing"},
		{"queue's args", func(s *SagaSpec) { s.Steps[3].Args = []json.RawMessage{nil} }, BadSchema, "args[0]"},
		{"queue's compensation", func(s *SagaSpec) { s.Steps[3].Compensate.Service = "" }, BadSchema, "compensation's service is missing"},
		{"context", func(s *SagaSpec) {
			s.CorrelationID, s.TraceState = strings.Repeat("c", MaxSagaContextBytes), "s"
		}, TooLarge, "correlation id and trace context have 4097 bytes"},
		{"too deep", func(s *SagaSpec) {
			for range MaxSagaDepth {
				s.Steps = []StepSpec{{ID: "a", Saga: &SagaSpec{Steps: s.Steps}}}
			}
		}, TooLarge, "deeper than 16"},
		{"too many", func(s *SagaSpec) {
			for range MaxSagaSteps / 2 {
				s.Steps[2].Saga.Steps = append(s.Steps[2].Saga.Steps, StepSpec{ID: "a", Task: s.Steps[0].Task})
			}
			s.Steps = append(s.Steps, slices.Repeat(s.Steps[:1], MaxSagaSteps/2)...)
		}, TooLarge, "100000 steps"},
	} {
		s := goodSaga()
		c.change(s)
		err := s.Validate()
		if ReasonOf(err) != c.reason || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, %s, want %s with %q", c.name, err, ReasonOf(err), c.reason, c.text)
		}
	}
}

func TestValidateStepAlone(t *testing.T) {
	s := goodSaga().Steps[0]
	if err := s.Validate(); err != nil {
		t.Errorf("a dependency elsewhere: %v", err)
	}
	s.Method = ""
	if err := s.Validate(); ReasonOf(err) != BadSchema {
		t.Errorf("no method: %v", err)
	}
}

func TestValidateAddedSteps(t *testing.T) {
	good := goodSaga().Steps
	good[1].After = []string{"there-before"}
	if err := ValidateSteps(good); err != nil {
		t.Errorf("a dependency that was there before: %v", err)
	}
	for name, c := range map[string]struct {
		change func(s []StepSpec) []StepSpec
		reason Reason
	}{
		"none":  {func([]StepSpec) []StepSpec { return nil }, BadSchema},
		"twice": {func(s []StepSpec) []StepSpec { return append(s, s[0]) }, Exists},
		"cycle": {func(s []StepSpec) []StepSpec { s[1].After = []string{"there-before", "car"}; return s }, Cycle},
		"step":  {func(s []StepSpec) []StepSpec { s[1].Method = ""; return s }, BadSchema},
		"many":  {func(s []StepSpec) []StepSpec { return slices.Repeat(s[:1], MaxSagaSteps+1) }, TooLarge},
	} {
		if err := ValidateSteps(c.change(goodSaga().Steps)); ReasonOf(err) != c.reason {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLongCyclesAreShortened(t *testing.T) {
	s := &SagaSpec{}
	for i := range 50_000 {
		s.Steps = append(s.Steps, StepSpec{ID: fmt.Sprintf("s%d", i), Task: Task{Service: "a", Method: "b"}, After: []string{fmt.Sprintf("s%d", (i+1)%50_000)}})
	}
	if err := s.Validate(); ReasonOf(err) != Cycle || len(err.Error()) > 300 || !strings.HasPrefix(err.Error(), "check saga: steps wait for each other: s0 after s1 after") {
		t.Errorf("%v", err)
	}
}
