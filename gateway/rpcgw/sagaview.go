package rpcgw

import (
	"encoding/json"

	"google.golang.org/protobuf/proto"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// maxViewBytes is about how much of a saga goes into one message. The first step
// does in any case.
const maxViewBytes = 2 << 20

func viewOf(s *edda.Saga, err error) (*eddav1.Saga, error) {
	if err != nil {
		return nil, err
	}
	return sagaView(s, 0), nil
}

// sagaView writes what is known of a saga, with as many of its steps from the first
// on as fit.
func sagaView(s *edda.Saga, first int) *eddav1.Saga {
	out := &eddav1.Saga{
		Id: s.ID, Namespace: s.Namespace, Name: printable(s.Name), State: string(s.State), Reason: string(s.Reason), Detail: printable(s.Detail),
		OnFailure: string(s.OnFailure), Principal: printable(string(s.Principal)), CorrelationId: printable(s.CorrelationID),
		CreatedAt: nanos(s.CreatedAt), StartedAt: nanos(s.StartedAt), EndedAt: nanos(s.EndedAt), Deadline: nanos(s.Deadline),
		StepCount: uint32(s.StepCount), SucceededCount: uint32(s.SucceededCount),
	}
	steps := s.Steps[min(first, len(s.Steps)):]
	size := 0
	for i := range steps {
		v := stepView(&steps[i])
		if size += proto.Size(v); size > maxViewBytes && i > 0 {
			out.MoreSteps = true
			break
		}
		out.Steps = append(out.Steps, v)
	}
	return out
}

func stepView(s *edda.Step) *eddav1.Step {
	out := &eddav1.Step{
		Id: s.ID, Service: s.Service, Method: s.Method, Key: s.Key, State: string(s.State), Args: texts(s.Args), After: s.After,
		SagaId: s.SagaID, Pending: s.Pending, Attempts: uint32(s.Attempts), Result: s.Result, Error: stepErrorView(s.Error),
		StartedAt: nanos(s.StartedAt), EndedAt: nanos(s.EndedAt),
	}
	if q := s.Queue; q != nil {
		out.Queue = &eddav1.Queue{Stream: q.Stream, Shard: q.Shard, Success: q.Success, Failure: q.Failure}
	}
	if c := s.Compensation; c != nil {
		out.Compensation = &eddav1.Compensation{
			Service: c.Service, Method: c.Method, Key: c.Key, Args: texts(c.Args), State: string(c.State), Attempts: uint32(c.Attempts),
			Error: stepErrorView(c.Error), StartedAt: nanos(c.StartedAt), EndedAt: nanos(c.EndedAt),
		}
	}
	return out
}

func stepErrorView(e *edda.StepError) *eddav1.StepError {
	if e == nil {
		return nil
	}
	return &eddav1.StepError{Reason: string(e.Reason), Message: printable(e.Message), Status: uint32(e.Status)}
}

// texts writes JSON values.
func texts(args []json.RawMessage) [][]byte {
	if len(args) == 0 {
		return nil
	}
	out := make([][]byte, len(args))
	for i, a := range args {
		out[i] = a
	}
	return out
}
