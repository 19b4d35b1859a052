package rpcconn

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// What something is found by is refused when it is no UTF-8; all else is replaced,
// so that the node can read the message and say what is wrong.
func TestSagaThatIsNotUTF8(t *testing.T) {
	const bad = "\xff"
	task := func(change func(*edda.StepSpec)) *edda.SagaSpec {
		s := edda.StepSpec{ID: "a", Task: edda.Task{Service: "s", Method: "m"}, Compensate: new(edda.Task), Saga: new(edda.SagaSpec)}
		change(&s)
		return &edda.SagaSpec{Steps: []edda.StepSpec{s}}
	}
	for name, s := range map[string]*edda.SagaSpec{
		"key":                task(func(s *edda.StepSpec) { s.Key = bad }),
		"compensation's key": task(func(s *edda.StepSpec) { s.Compensate.Key = bad }),
		"nested key":         task(func(s *edda.StepSpec) { s.Saga.Steps = task(func(s *edda.StepSpec) { s.Key = bad }).Steps }),
		"idempotency key":    {IdempotencyKey: bad},
		"nested":             task(func(s *edda.StepSpec) { s.Saga.IdempotencyKey = bad }),
	} {
		_, err := AppendSaga(nil, 1, s)
		if r := edda.ReasonOf(err); r != edda.BadName && r != edda.BadValue {
			t.Errorf("%s: got %v, want it to be refused", name, err)
		}
	}
	all := task(func(s *edda.StepSpec) {
		s.ID, s.Service, s.Method, s.After = bad, bad, bad, []string{bad}
		s.Compensate = &edda.Task{Service: bad, Method: bad}
		s.Saga = &edda.SagaSpec{Name: bad}
		s.Queue = &edda.QueueSpec{Stream: bad, Shard: bad, Success: bad, Failure: bad}
	})
	all.Namespace, all.ID, all.Name, all.OnFailure, all.CorrelationID, all.TraceParent, all.TraceState = bad, bad, bad, bad, bad, bad, bad
	b, err := AppendSaga(nil, 1, all)
	if err != nil {
		t.Fatal(err)
	}
	var r eddav1.CreateSagaRequest
	if err := proto.Unmarshal(b, &r); err != nil || r.GetSaga().GetSteps()[0].GetId() != "\uFFFD" {
		t.Errorf("got %v, %v, want the replacement character", &r, err)
	}
}

// A filter until the epoch must not become one without an end, for what is pruned by
// it is gone.
func TestTimesAtTheirEnds(t *testing.T) {
	for _, tc := range []struct {
		t    time.Time
		want int64
	}{
		{time.Time{}, 0},
		{time.Unix(0, 0), 1},
		{time.Unix(0, 5), 5},
		{time.Unix(0, -5), -5},
		{time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC), math.MinInt64},
		{time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC), math.MaxInt64},
	} {
		var f eddav1.SagaFilter
		if err := proto.Unmarshal(AppendTime(nil, 7, tc.t), &f); err != nil || f.GetUntil() != tc.want {
			t.Errorf("%v: got %d, %v, want %d", tc.t, f.GetUntil(), err, tc.want)
		}
	}
	for _, year := range []int{1500, 2500} {
		_, err := AppendSaga(nil, 1, &edda.SagaSpec{Deadline: time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)})
		if edda.ReasonOf(err) != edda.BadValue {
			t.Errorf("a deadline in %d: got %v, want BAD_VALUE", year, err)
		}
	}
}
