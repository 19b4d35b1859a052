package rpcgw

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// fullSpec has a value in every field that travels.
func fullSpec() *edda.SagaSpec {
	retry := edda.RetryPolicy{Max: -1, Delay: time.Second, MaxDelay: time.Minute, Backoff: 1.5, Jitter: -1}
	args := []json.RawMessage{json.RawMessage(`1`), json.RawMessage(`{"a":[]}`)}
	return &edda.SagaSpec{
		Namespace: "shop", ID: "trip-1", Name: "trip", Start: true, Deadline: time.Unix(1, 2).UTC(), DeadlineAfter: time.Hour,
		OnFailure: edda.CancelSteps, IdempotencyKey: "once", CorrelationID: "c", TraceParent: "tp", TraceState: "ts",
		Steps: []edda.StepSpec{
			{
				ID: "fly", Task: edda.Task{Service: "flights", Key: "LH 1/ä", Method: "book", Args: args, Retry: retry},
				Compensate: &edda.Task{Service: "flights", Key: "k", Method: "cancel", Args: args[:1], Retry: edda.RetryPolicy{Max: 3}},
			},
			{ID: "sleep", Task: edda.Task{Service: "hotels", Method: "book"}, After: []string{"fly", "nested"}, AttemptTimeout: time.Second},
			{ID: "nested", Saga: &edda.SagaSpec{
				Name: "inner", DeadlineAfter: time.Second, OnFailure: edda.WaitForSteps,
				Steps: []edda.StepSpec{{ID: "x", Task: edda.Task{Service: "cars", Method: "rent"}}},
			}},
		},
	}
}

// What package client and package worker write by hand is what the gateway reads.
func TestSagaSpec(t *testing.T) {
	want := fullSpec()
	b, err := rpcconn.AppendSaga(nil, 1, want)
	if err != nil {
		t.Fatal(err)
	}
	r := new(eddav1.CreateSagaRequest)
	if err := proto.Unmarshal(b, r); err != nil {
		t.Fatal(err)
	}
	got, err := sagaSpecOf(r.GetSaga())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the saga (-written +read):\n%s", diff)
	}
	if _, err := sagaSpecOf(nil); edda.ReasonOf(err) != edda.BadValue {
		t.Errorf("no saga: got %v, want BAD_VALUE", err)
	}
}
