package record

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// someSteps are steps with every field set, one of them with a saga of its own.
func someSteps() []edda.StepSpec {
	retry := edda.RetryPolicy{Max: 3, Delay: time.Second, MaxDelay: time.Minute, Backoff: 1.5, Jitter: -1}
	task := edda.Task{Service: "flights", Key: "42", Method: "book", Args: []json.RawMessage{json.RawMessage(`"FRA"`), json.RawMessage(`7`)}, Retry: retry}
	undo := edda.Task{Service: "flights", Method: "cancel", Args: []json.RawMessage{json.RawMessage(`{}`)}, Retry: retry}
	return []edda.StepSpec{
		{ID: "flight", Task: task, After: []string{"hotel", "earlier"}, AttemptTimeout: time.Second, Compensate: &undo},
		{ID: "hotel", Task: edda.Task{Service: "hotels", Method: "book"}},
		{ID: "car", After: []string{"hotel", "flight"}, Saga: &edda.SagaSpec{
			Name: "rent", Deadline: time.Unix(0, 7).UTC(), DeadlineAfter: time.Hour, OnFailure: edda.CancelSteps,
			Steps: []edda.StepSpec{{ID: "a", Task: undo, After: []string{"b"}}, {ID: "b", Task: undo}},
		}},
		{
			ID: "rooms", Task: edda.Task{Key: "7", Method: "clean", Args: task.Args}, Compensate: &undo,
			Queue: &edda.QueueSpec{Stream: "rooms", Shard: "eu", Success: "cleaned", Failure: "dirty"},
		},
	}
}

func TestStepsAreReadAsTheyWere(t *testing.T) {
	want := someSteps()
	got, err := DecodeSteps(EncodeSteps(want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("together they read as\n%+v, %v, want\n%+v", got, err, want)
	}
	for i := range want {
		if got, err := ReadStepSpec(AppendStepSpec(nil, &want[i])); err != nil || !reflect.DeepEqual(got, want[i]) {
			t.Errorf("alone it reads as\n%+v, %v, want\n%+v", got, err, want[i])
		}
	}
	if _, err := ReadStepSpec(EncodeSteps(want)[2]); err == nil {
		t.Error("places are read without the steps that they name")
	}
}

// A dependency takes a few bytes, however long the ids are.
func TestManyDependenciesAreShort(t *testing.T) {
	const wide = 100
	var steps []edda.StepSpec
	var after []string
	for range 10 {
		row := make([]string, wide)
		for i := range row {
			row[i] = fmt.Sprintf("a-step-with-a-long-name-%d", len(steps))
			steps = append(steps, edda.StepSpec{ID: row[i], Task: edda.Task{Service: "s", Method: "m"}, After: after})
		}
		after = row
	}
	size := 0
	for _, b := range EncodeSteps(steps) {
		size += len(b)
	}
	if edges := 9 * wide * wide; size > 2*edges+64*len(steps) {
		t.Errorf("%d edges take %d bytes", edges, size)
	}
}

func FuzzDecodeSteps(f *testing.F) {
	for _, b := range EncodeSteps(someSteps()) {
		f.Add(b)
	}
	f.Add(wire.AppendBytes(nil, specSaga, wire.AppendBytes(nil, nestedStep, nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		steps, err := DecodeSteps([][]byte{b})
		if err != nil {
			return
		}
		var task StepTask
		if err := task.Decode(b, true); err != nil {
			return
		}
		again, err := DecodeSteps(EncodeSteps(steps))
		if err != nil || len(again) != 1 {
			t.Fatalf("%+v: encoded, it is refused: %v", steps, err)
		}
	})
}
