package edda

import (
	"cmp"
	"encoding/binary"
	"strings"

	"github.com/edda-io/edda/internal/wire"
)

// A message of a stream is kept as a Message: the id that its producer gave it stands
// in IdempotencyKey, and one that the node made in ID.

// Envelope returns the message as the one envelope there is. An id that the producer
// did not give is made of the address hash that the stream lives at; see NewID.
func (m *StreamMessage) Envelope() Message {
	return Message{
		Type: cmp.Or(m.Type, DefaultMessageType), To: Address{Key: m.Key}, ReplyTo: m.ReplyTo, Source: m.Source,
		Principal: cmp.Or(m.Principal, Anonymous), Headers: m.Headers, ContentType: m.ContentType, Payload: m.Payload,
		CorrelationID: m.CorrelationID, CausationID: m.CausationID, TraceParent: m.TraceParent, TraceState: m.TraceState,
		IdempotencyKey: m.ID, Time: m.Time,
	}
}

// AppendEnvelope appends the message as the Envelope with this id, unless it has one of
// its own, and this principal is encoded.
func (m *StreamMessage) AppendEnvelope(b []byte, id ID, by Principal) []byte {
	if m.ID == "" {
		b = wire.AppendBytes(b, fID, id[:])
	}
	b = wire.AppendString(b, fType, cmp.Or(m.Type, DefaultMessageType))
	b = wire.AppendString(b, fKey, m.Key)
	if m.ReplyTo != (Address{}) {
		b = appendNested(b, fReplyTo, m.ReplyTo)
	}
	b = wire.AppendString(b, fSource, m.Source)
	if by != Anonymous {
		b = wire.AppendString(b, fPrincipal, string(by))
	}
	b = appendHeaders(b, fHeader, m.Headers)
	b = wire.AppendString(b, fContentType, m.ContentType)
	if len(m.Payload) > 0 {
		b = wire.AppendBytes(b, fPayload, m.Payload)
	}
	b = wire.AppendString(b, fCorrelationID, m.CorrelationID)
	if !m.CausationID.IsZero() {
		b = wire.AppendBytes(b, fCausationID, m.CausationID[:])
	}
	b = wire.AppendString(b, fTraceParent, m.TraceParent)
	b = wire.AppendString(b, fTraceState, m.TraceState)
	b = wire.AppendString(b, fIdempotencyKey, m.ID)
	return appendTime(b, fTime, m.Time)
}

// BinarySize is an upper bound of what the encoded Envelope takes, with an id that the
// node makes. It is a few bytes for each field too high.
func (m *StreamMessage) BinarySize() int {
	n := sizeField(cmp.Or(m.Type, DefaultMessageType)) + sizeField(m.Key) + sizeField(m.Source) + sizeField(string(m.Principal)) +
		sizeField(m.ContentType) + sizeField(m.CorrelationID) + sizeField(m.TraceParent) + sizeField(m.TraceState) + len(m.Payload) + 6
	if m.ID == "" {
		n += 18
	} else {
		n += sizeField(m.ID)
	}
	if m.ReplyTo != (Address{}) {
		n += 6 + sizeField(m.ReplyTo.Namespace) + sizeField(m.ReplyTo.Name) + sizeField(m.ReplyTo.Key)
	}
	for _, h := range m.Headers {
		n += 6 + sizeField(h.Name) + sizeField(h.Value)
	}
	if !m.CausationID.IsZero() {
		n += 18
	}
	if !m.Time.IsZero() {
		n += 10
	}
	return n
}

// sizeField is an upper bound of what a string takes with its tag and length.
func sizeField(s string) int {
	const short = 1 << 14
	switch {
	case s == "":
		return 0
	case len(s) < short:
		return len(s) + 4
	default:
		return len(s) + 7
	}
}

// binarySize is about what the append takes encoded, and not less.
func (a *Append) binarySize() int {
	const tag = 6
	n := 9*tag + len(a.Namespace) + len(a.Stream) + len(channelPrefix) + len(a.Channel) + len(a.Shard) + len(a.Producer)
	if a.Producer != "" {
		n += tag + binary.MaxVarintLen64*len(a.Messages)
	}
	for i := range a.Messages {
		n += tag + a.Messages[i].BinarySize()
	}
	return n
}

// UnmarshalBinary reads a message that Envelope was made of. Payload aliases b. Stream,
// Shard and Offset are left as they are.
func (m *StreamMessage) UnmarshalBinary(b []byte) error {
	var e Message
	if err := e.UnmarshalBinary(b); err != nil {
		return err
	}
	m.Set(&e)
	return nil
}

// Set makes m the message that an envelope holds; Stream, Shard and Offset are left as
// they are.
func (m *StreamMessage) Set(e *Message) {
	*m = StreamMessage{
		Stream: m.Stream, Shard: m.Shard, Offset: m.Offset,
		ID: e.IdempotencyKey, Type: e.Type, Key: e.To.Key, Source: e.Source, Principal: e.Principal, ReplyTo: e.ReplyTo,
		Headers: e.Headers, ContentType: e.ContentType, Payload: e.Payload, CorrelationID: e.CorrelationID, CausationID: e.CausationID,
		TraceParent: e.TraceParent, TraceState: e.TraceState, Time: e.Time,
	}
	if m.ID == "" {
		m.ID = e.ID.String()
	}
}

// RepliesSuffix ends the name of the stream that takes the replies to messages of another: it
// lives in the same partition, so that a handler's outcome and its reply are one record.
const RepliesSuffix = ".replies"

// StreamHash returns the address hash that a stream lives at, with all its shards and
// groups.
func StreamHash(namespace, stream string) uint64 {
	if of, ok := strings.CutSuffix(stream, RepliesSuffix); ok && of != "" {
		stream = of
	}
	return Address{Namespace: namespace, Name: "edda.stream", Key: stream}.Hash()
}
