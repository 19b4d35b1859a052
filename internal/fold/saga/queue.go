package saga

import (
	"cmp"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/record"
)

// startQueue appends the message that a step is. The step runs like one that was left
// pending.
func (m *Machine) startQueue(s *Saga, i int, t *record.StepTask, payload []byte) (beginning, error) {
	if !m.admits(payload) {
		return noRoom, nil
	}
	msg := s.message(i, t, payload)
	msg.Time = time.Unix(0, m.env.Time).UTC()
	err := m.streams.Send(&record.StreamAppended{
		Namespace: s.Namespace, Stream: t.Queue.Stream, Shard: cmp.Or(t.Queue.Shard, edda.DefaultShard),
		Messages: [][]byte{msg.AppendEnvelope(make([]byte, 0, msg.BinarySize()), edda.ID{}, msg.Principal)},
	})
	if err != nil {
		return begun, err
	}
	m.run(s, i)
	s.steps[i].flags |= pending
	return begun, nil
}

// path is where the saga is found over HTTP.
func (s *Saga) path() string {
	if s.Namespace == edda.DefaultNamespace {
		return "/v1/sagas/" + s.ID
	}
	return "/v1/ns/" + s.Namespace + "/sagas/" + s.ID
}

// message is what a step asks for, as docs/sagas-queue.md has it. Its id is the one that
// a request would have, so that a stream has it once.
func (s *Saga) message(i int, t *record.StepTask, payload []byte) edda.StreamMessage {
	return edda.StreamMessage{
		ID: s.requestID(i, false, 0, s.hash).String(), Type: t.Method, Key: cmp.Or(t.Key, s.Ref().root().ID), Source: s.path(),
		Principal: s.Principal, ReplyTo: edda.Address{Namespace: s.Namespace, Name: t.Queue.Success},
		Headers: edda.Headers{
			{Name: edda.SagaIDHeader, Value: s.ID}, {Name: edda.StepIDHeader, Value: s.steps[i].id}, {Name: edda.CompletionKeyHeader, Value: s.CompletionKey(i)},
		},
		ContentType: "application/json", Payload: payload,
		CorrelationID: s.correlation(), TraceParent: s.TraceParent, TraceState: s.TraceState,
	}
}
