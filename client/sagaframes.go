package client

import (
	"cmp"
	"encoding/json"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/rpcconn"
	"github.com/edda-io/edda/internal/wire"
)

// sagaRef names a saga, as the beginning of every message about one.
func sagaRef(namespace, id string) []byte {
	return wire.AppendString(wire.AppendString(nil, 1, rpcconn.Text(namespace)), 2, rpcconn.Text(id))
}

// appendFilter appends a filter as the first field.
func appendFilter(b []byte, f edda.SagaFilter) []byte {
	b, mark := wire.Begin(b, 1)
	b = wire.AppendString(b, 1, rpcconn.Text(f.Namespace))
	b = wire.AppendString(b, 2, rpcconn.Text(f.ID))
	b = wire.AppendString(b, 3, rpcconn.Text(f.Name))
	b = wire.AppendString(b, 4, rpcconn.Text(string(f.State)))
	b = wire.AppendString(b, 5, rpcconn.Text(string(f.Principal)))
	b = rpcconn.AppendTime(b, 6, f.Since)
	b = rpcconn.AppendTime(b, 7, f.Until)
	wire.End(b, mark)
	return b
}

func finishRequest(namespace, id, step string, r edda.StepResult) []byte {
	b := wire.AppendString(sagaRef(namespace, id), 3, rpcconn.Text(step))
	if e := r.Error; e != nil {
		var mark int
		b, mark = wire.Begin(b, 5)
		b = wire.AppendString(b, 1, rpcconn.Text(string(e.Reason)))
		b = wire.AppendString(b, 2, rpcconn.Text(e.Message))
		b = wire.AppendUint(b, 3, uint64(max(e.Status, 0)))
		wire.End(b, mark)
	} else {
		b = append(wire.AppendLen(b, 4, len(r.Result)), r.Result...)
	}
	return wire.AppendString(b, 6, rpcconn.Text(r.CompletionKey))
}

func readSagaAck(op string, b []byte) (*edda.SagaAck, error) {
	a := new(edda.SagaAck)
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			a.ID = string(f.Bytes)
		case 2:
			a.State = edda.SagaState(f.Bytes)
		case 3:
			a.Durability = edda.Durability(f.Bytes)
		case 4:
			a.Joined = f.Uint != 0
		}
	}
	if err := r.Err(); err != nil {
		return nil, malformed(op, err)
	}
	return a, nil
}

func readStepAnswer(op string, b []byte) (*edda.StepAnswer, error) {
	a := new(edda.StepAnswer)
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			a.Applied = f.Uint != 0
		case 2:
			a.State = edda.StepState(f.Bytes)
		}
	}
	if err := r.Err(); err != nil {
		return nil, malformed(op, err)
	}
	return a, nil
}

func readRemoved(op string, b []byte) (n int, err error) {
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		if f.Num == 1 {
			n = int(f.Uint)
		}
	}
	if err := r.Err(); err != nil {
		return 0, malformed(op, err)
	}
	return n, nil
}

// readSagas reads a page, and the cursor of the next.
func readSagas(op string, b []byte) (page []edda.Saga, next string, err error) {
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			s, _, err := readSaga(op, f.Bytes)
			if err != nil {
				return nil, "", err
			}
			page = append(page, *s)
		case 2:
			next = string(f.Bytes)
		}
	}
	if err := r.Err(); err != nil {
		return nil, "", malformed(op, err)
	}
	return page, next, nil
}

// readSaga reads a saga, and whether it has more steps.
func readSaga(op string, b []byte) (s *edda.Saga, more bool, err error) {
	s = new(edda.Saga)
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			s.ID = string(f.Bytes)
		case 2:
			s.Namespace = string(f.Bytes)
		case 3:
			s.Name = string(f.Bytes)
		case 4:
			s.State = edda.SagaState(f.Bytes)
		case 5:
			s.Reason = edda.Reason(f.Bytes)
		case 6:
			s.Detail = string(f.Bytes)
		case 7:
			s.OnFailure = edda.OnFailure(f.Bytes)
		case 8:
			s.Principal = edda.Principal(f.Bytes)
		case 9:
			s.CorrelationID = string(f.Bytes)
		case 10:
			s.CreatedAt = timeOf(f.Uint)
		case 11:
			s.StartedAt = timeOf(f.Uint)
		case 12:
			s.EndedAt = timeOf(f.Uint)
		case 13:
			s.Deadline = timeOf(f.Uint)
		case 14:
			s.StepCount = int(f.Uint)
		case 15:
			s.SucceededCount = int(f.Uint)
		case 16:
			step, err := readStep(f.Bytes)
			if err != nil {
				return nil, false, malformed(op, err)
			}
			s.Steps = append(s.Steps, step)
		case 17:
			more = f.Uint != 0
		}
	}
	if err := r.Err(); err != nil {
		return nil, false, malformed(op, err)
	}
	s.Namespace = cmp.Or(s.Namespace, edda.DefaultNamespace)
	return s, more, nil
}

func readStep(b []byte) (s edda.Step, err error) {
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) && err == nil {
		switch f.Num {
		case 1:
			s.ID = string(f.Bytes)
		case 2:
			s.Service = string(f.Bytes)
		case 3:
			s.Method = string(f.Bytes)
		case 4:
			s.Key = string(f.Bytes)
		case 5:
			s.State = edda.StepState(f.Bytes)
		case 6:
			s.Args = append(s.Args, json.RawMessage(f.Bytes))
		case 7:
			s.After = append(s.After, string(f.Bytes))
		case 8:
			s.SagaID = string(f.Bytes)
		case 9:
			s.Pending = f.Uint != 0
		case 10:
			s.Attempts = int(f.Uint)
		case 11:
			s.Result = json.RawMessage(f.Bytes)
		case 12:
			s.Error, err = readStepError(f.Bytes)
		case 13:
			s.StartedAt = timeOf(f.Uint)
		case 14:
			s.EndedAt = timeOf(f.Uint)
		case 15:
			s.Compensation, err = readCompensation(f.Bytes)
		case 16:
			s.Queue, err = readQueue(f.Bytes)
		}
	}
	return s, cmp.Or(err, r.Err())
}

func readQueue(b []byte) (*edda.QueueSpec, error) {
	q := new(edda.QueueSpec)
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			q.Stream = string(f.Bytes)
		case 2:
			q.Shard = string(f.Bytes)
		case 3:
			q.Success = string(f.Bytes)
		case 4:
			q.Failure = string(f.Bytes)
		}
	}
	return q, r.Err()
}

func readCompensation(b []byte) (c *edda.Compensation, err error) {
	c = new(edda.Compensation)
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) && err == nil {
		switch f.Num {
		case 1:
			c.Service = string(f.Bytes)
		case 2:
			c.Method = string(f.Bytes)
		case 3:
			c.Key = string(f.Bytes)
		case 4:
			c.Args = append(c.Args, json.RawMessage(f.Bytes))
		case 5:
			c.State = edda.CompensationState(f.Bytes)
		case 6:
			c.Attempts = int(f.Uint)
		case 7:
			c.Error, err = readStepError(f.Bytes)
		case 8:
			c.StartedAt = timeOf(f.Uint)
		case 9:
			c.EndedAt = timeOf(f.Uint)
		}
	}
	return c, cmp.Or(err, r.Err())
}

func readStepError(b []byte) (*edda.StepError, error) {
	e := new(edda.StepError)
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			e.Reason = edda.Reason(f.Bytes)
		case 2:
			e.Message = string(f.Bytes)
		case 3:
			e.Status = int(f.Uint)
		}
	}
	return e, r.Err()
}
