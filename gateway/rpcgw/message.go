package rpcgw

import (
	"errors"
	"fmt"
	"time"

	"github.com/edda-io/edda"
	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// messageOf reads a message. Who sent it is not the message's to say.
func messageOf(m *eddav1.Message) (*edda.Message, error) {
	if m == nil {
		return nil, &edda.Error{Reason: edda.BadValue, Err: errors.New("there is no message")}
	}
	out := &edda.Message{
		Type: m.GetType(), To: edda.Address{Namespace: m.GetNamespace(), Name: m.GetService(), Key: m.GetKey()},
		ReplyTo: addressOf(m.GetReplyTo()), Source: m.GetSource(), Headers: headersOf(m.GetHeaders()),
		ContentType: m.GetContentType(), Schema: m.GetSchema(), Payload: m.GetPayload(), Frames: m.GetFrames(),
		CorrelationID: m.GetCorrelationId(), TraceParent: m.GetTraceparent(), TraceState: m.GetTracestate(),
		IdempotencyKey: m.GetIdempotencyKey(), Deadline: timeOf(m.GetDeadline()), Due: timeOf(m.GetDue()),
	}
	for _, a := range m.GetChain() {
		out.Chain = append(out.Chain, addressOf(a))
	}
	var err error
	if out.ID, err = idOf("id", m.GetId()); err != nil {
		return nil, err
	}
	out.CausationID, err = idOf("causation_id", m.GetCausationId())
	return out, err
}

// idOf reads an id that may be missing.
func idOf(field string, b []byte) (id edda.ID, err error) {
	switch len(b) {
	case 0:
	case len(id):
		copy(id[:], b)
	default:
		err = &edda.Error{Reason: edda.BadValue, Err: fmt.Errorf("%s has %d bytes, must have %d or none", field, len(b), len(id))}
	}
	return id, err
}

func addressOf(a *eddav1.Address) edda.Address {
	return edda.Address{Namespace: a.GetNamespace(), Name: a.GetName(), Key: a.GetKey()}
}

func headersOf(hs []*eddav1.Header) edda.Headers {
	if len(hs) == 0 {
		return nil
	}
	out := make(edda.Headers, len(hs))
	for i, h := range hs {
		out[i] = edda.Header{Name: h.GetName(), Value: h.GetValue()}
	}
	return out
}

// headers writes headers.
func headers(hs edda.Headers) []*eddav1.Header {
	if len(hs) == 0 {
		return nil
	}
	out := make([]*eddav1.Header, len(hs))
	for i, h := range hs {
		out[i] = &eddav1.Header{Name: printable(h.Name), Value: printable(h.Value)}
	}
	return out
}

// timeOf reads nanoseconds since the Unix epoch, zero for none.
func timeOf(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// nanos writes a time, zero for none.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// replyOf reads a handler's reply.
func replyOf(r *eddav1.Reply) *edda.Reply {
	return &edda.Reply{
		Status: int(r.GetStatus()), Headers: headersOf(r.GetHeaders()), ContentType: r.GetContentType(), Payload: r.GetPayload(),
	}
}

// response writes the answer to a call.
func response(r *edda.Reply) *eddav1.CallResponse {
	return &eddav1.CallResponse{
		Reply: &eddav1.Reply{
			Status: uint32(r.EffectiveStatus()), Headers: headers(r.Headers), ContentType: printable(r.ContentType), Payload: r.Payload,
		},
		RequestId: r.RequestID[:], Position: r.Position, Attempts: uint32(r.Attempts), Replayed: r.Replayed,
	}
}

func ackOf(a *edda.Ack) *eddav1.Ack {
	return &eddav1.Ack{
		Id: a.ID[:], Position: a.Position, Durability: string(a.Durability), AcceptedAt: nanos(a.AcceptedAt), Joined: a.Joined, Done: a.Done,
	}
}

func requestInfo(r *edda.Request) *eddav1.RequestInfo {
	out := &eddav1.RequestInfo{
		Id: r.ID[:], Namespace: r.Namespace, Service: r.Service, Key: r.Key, Method: r.Method, State: string(r.State),
		Attempts: uint32(r.Attempts), Position: r.Position, Principal: printable(string(r.Principal)), CorrelationId: printable(r.CorrelationID),
		AcceptedAt: nanos(r.AcceptedAt), StartedAt: nanos(r.StartedAt), NextAttemptAt: nanos(r.NextAttemptAt), CompletedAt: nanos(r.CompletedAt),
	}
	if !r.CausationID.IsZero() {
		out.CausationId = r.CausationID[:]
	}
	if e := r.Error; e != nil {
		out.Error = &eddav1.Error{Reason: string(e.Reason), Message: printable(e.Message), RequestId: r.ID[:], Position: r.Position}
	}
	if reply := r.Reply; reply != nil {
		out.HasReply, out.ReplyStatus = true, uint32(reply.Status)
		out.ReplyContentType, out.ReplySize = printable(reply.ContentType), uint64(reply.Size)
	}
	return out
}
