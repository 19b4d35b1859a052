package rpcconn

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// AppendAppend appends an AppendRequest as a field. The append must be one that
// edda.Append.Validate has passed. Who appends is for the node to say.
func AppendAppend(b []byte, field int, a *edda.Append) ([]byte, error) {
	b, mark := wire.Begin(b, field)
	b = wire.AppendString(b, 1, a.Namespace)
	b = wire.AppendString(b, 2, a.Stream)
	b = wire.AppendString(b, 3, a.Shard)
	for i := range a.Messages {
		var inner int
		b, inner = wire.Begin(b, 4)
		e := validMessageOfStream(&a.Messages[i]).Envelope()
		e.Principal = edda.Anonymous
		var err error
		if b, err = e.AppendBinary(b); err != nil {
			return b, err
		}
		b = wire.AppendUint(b, 25, a.Messages[i].Number)
		wire.End(b, inner)
	}
	switch {
	case a.IfLast != nil: // zero is an offset
		b = binary.AppendUvarint(b, 5<<3|uint64(wire.Varint))
		b = binary.AppendUvarint(b, *a.IfLast)
	case a.IfEmpty:
		b = wire.AppendUint(b, 6, 1)
	}
	b = wire.AppendString(b, 7, a.Channel)
	b = wire.AppendString(b, 8, a.Producer)
	wire.End(b, mark)
	return b, nil
}

// validMessageOfStream returns the message with all texts in UTF-8: the same one, or a
// copy. What it is found by is UTF-8, or else it is not valid.
func validMessageOfStream(m *edda.StreamMessage) *edda.StreamMessage {
	ok := validHeaders(m.Headers)
	for _, s := range [...]string{m.Source, m.ContentType, m.CorrelationID, m.TraceParent, m.TraceState} {
		ok = ok && utf8.ValidString(s)
	}
	if ok {
		return m
	}
	fixed := *m
	for _, s := range [...]*string{&fixed.Source, &fixed.ContentType, &fixed.CorrelationID, &fixed.TraceParent, &fixed.TraceState} {
		*s = Text(*s)
	}
	fixed.Headers = fixHeaders(m.Headers)
	return &fixed
}

// AppendGroup appends a GroupSpec as a field. The group must be one that
// edda.GroupSpec.Validate has passed.
func AppendGroup(b []byte, field int, g *edda.GroupSpec) []byte {
	b, mark := wire.Begin(b, field)
	b = wire.AppendString(b, 1, g.Namespace)
	b = wire.AppendString(b, 2, g.Stream)
	b = wire.AppendString(b, 3, g.Name)
	b = wire.AppendString(b, 4, Text(string(g.From)))
	b = wire.AppendUint(b, 5, uint64(g.MinMembers))
	b = wire.AppendUint(b, 6, uint64(g.MaxMembers))
	b = wire.AppendUint(b, 7, uint64(g.ProcessingTimeout))
	b = wire.AppendUint(b, 8, uint64(g.IdleTimeout))
	if g.Retry != (edda.RetryPolicy{}) {
		b = AppendRetry(b, 9, g.Retry)
	}
	wire.End(b, mark)
	return b
}
