package rpcgw

import (
	"errors"
	"time"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// appendOf reads messages to append. The backend checks them. Who appends is not theirs
// to say, and where they will be neither.
func appendOf(r *eddav1.AppendRequest) (*edda.Append, error) {
	if r == nil {
		return nil, &edda.Error{Op: "append", Reason: edda.BadValue, Err: errors.New("there is no append")}
	}
	a := &edda.Append{
		Namespace: r.GetNamespace(), Stream: r.GetStream(), Channel: r.GetChannel(), Shard: r.GetShard(), Producer: r.GetProducer(),
		Messages: make([]edda.StreamMessage, len(r.GetMessages())),
	}
	switch e := r.GetExpect().(type) {
	case *eddav1.AppendRequest_IfLast:
		a.IfLast = new(e.IfLast)
	case *eddav1.AppendRequest_IfEmpty:
		a.IfEmpty = e.IfEmpty
	}
	for i, m := range r.GetMessages() {
		causation, err := idOf("causation_id", m.GetCausationId())
		if err != nil {
			return nil, a.MessageError(i, err)
		}
		a.Messages[i] = edda.StreamMessage{
			ID: m.GetId(), Number: m.GetNumber(), Type: m.GetType(), Key: m.GetKey(), Source: m.GetSource(), ReplyTo: addressOf(m.GetReplyTo()),
			Headers: headersOf(m.GetHeaders()), ContentType: m.GetContentType(), Payload: m.GetPayload(),
			CorrelationID: m.GetCorrelationId(), CausationID: causation, TraceParent: m.GetTraceparent(), TraceState: m.GetTracestate(),
			Time: timeOf(m.GetTime()),
		}
	}
	return a, nil
}

// streamSpecOf reads a stream to set. The backend checks it.
func streamSpecOf(s *eddav1.StreamSpec) edda.StreamSpec {
	r := s.GetRetention()
	return edda.StreamSpec{
		Namespace: s.GetNamespace(), Name: s.GetName(), Shards: s.GetShards(), Dedupe: time.Duration(s.GetDedupe()),
		Retention: edda.Retention{Age: time.Duration(r.GetAge()), Count: r.GetCount(), Bytes: r.GetBytes()},
	}
}

// groupSpecOf reads a group to set. The backend checks it.
func groupSpecOf(g *eddav1.GroupSpec) edda.GroupSpec {
	return edda.GroupSpec{
		Namespace: g.GetNamespace(), Stream: g.GetStream(), Name: g.GetName(), From: edda.From(g.GetFrom()),
		MinMembers: int(g.GetMinMembers()), MaxMembers: int(g.GetMaxMembers()),
		ProcessingTimeout: time.Duration(g.GetProcessingTimeout()), IdleTimeout: time.Duration(g.GetIdleTimeout()), Retry: retryOf(g.GetRetry()),
	}
}

func groupRefOf(g *eddav1.GroupRef) edda.GroupRef {
	return edda.GroupRef{Namespace: g.GetNamespace(), Stream: g.GetStream(), Group: g.GetGroup()}
}
