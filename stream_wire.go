package edda

import "cmp"

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

// BinarySize is an upper bound of what the encoded Envelope takes, like
// Message.BinarySize, with an id that the node makes.
func (m *StreamMessage) BinarySize() int {
	const tag = 6 // a tag and a length
	n := 18 + 20 + 11*tag + len(m.Type) + len(DefaultMessageType) + len(m.Key) + len(m.ID) + m.contextBytes() + len(m.Payload)
	n += 3 * tag * len(m.Headers)
	if m.ReplyTo != (Address{}) {
		n += 4*tag + len(m.ReplyTo.Namespace) + len(m.ReplyTo.Name) + len(m.ReplyTo.Key)
	}
	if !m.Time.IsZero() {
		n += 10
	}
	return n
}

// binarySize is about what the append takes encoded, and not less.
func (a *Append) binarySize() int {
	const tag = 6
	n := 8*tag + len(a.Namespace) + len(a.Stream) + len(a.Shard)
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

// StreamHash returns the address hash that a stream lives at, with all its shards and
// groups.
func StreamHash(namespace, stream string) uint64 {
	return Address{Namespace: namespace, Name: "edda.stream", Key: stream}.Hash()
}
