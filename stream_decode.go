package edda

import (
	"fmt"
	"strings"

	"github.com/edda-io/edda/internal/wire"
)

// StreamDecoder reads messages of a stream that follow each other as
// StreamMessage.UnmarshalBinary does, with few allocations: texts that stand in many
// of them are there once, and those that differ share memory. The zero value is ready.
// It belongs to one goroutine.
type StreamDecoder struct {
	last  StreamMessage
	texts texts
}

// textChunk is how much memory texts share. Whoever keeps one text keeps that much.
const textChunk = 4 << 10

// Decode reads a message that StreamMessage.Envelope was encoded as. Its payload aliases
// b; Shard and Offset are left as they are.
func (d *StreamDecoder) Decode(b []byte, m *StreamMessage) error {
	*m = StreamMessage{Shard: m.Shard, Offset: m.Offset, Principal: Anonymous}
	r := wire.NewReader(b)
	var f wire.Field
	var made ID
	for r.Next(&f) {
		var bad error
		switch f.Num {
		case fID:
			bad = readID(&made, f.Bytes)
		case fType:
			m.Type = d.again(d.last.Type, f.Bytes)
		case fKey:
			m.Key = d.again(d.last.Key, f.Bytes)
		case fReplyTo:
			m.ReplyTo, bad = readAddress(f.Bytes, &d.texts)
		case fSource:
			m.Source = d.again(d.last.Source, f.Bytes)
		case fPrincipal:
			m.Principal = Principal(d.again(string(d.last.Principal), f.Bytes))
		case fHeader:
			bad = readHeader(&m.Headers, f.Bytes, &d.texts)
		case fContentType:
			m.ContentType = d.again(d.last.ContentType, f.Bytes)
		case fPayload:
			m.Payload = f.Bytes
		case fCorrelationID:
			m.CorrelationID = d.again(d.last.CorrelationID, f.Bytes)
		case fCausationID:
			bad = readID(&m.CausationID, f.Bytes)
		case fTraceParent:
			m.TraceParent = d.again(d.last.TraceParent, f.Bytes)
		case fTraceState:
			m.TraceState = d.again(d.last.TraceState, f.Bytes)
		case fIdempotencyKey:
			m.ID = d.texts.text(f.Bytes)
		case fTime:
			m.Time = readTime(f.Uint)
		}
		if bad != nil {
			return fmt.Errorf("message field %d: %w", f.Num, bad)
		}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("message: %w", err)
	}
	if m.ID == "" && !made.IsZero() {
		var text [36]byte
		made.put(text[:])
		m.ID = d.texts.text(text[:])
	}
	d.last = *m
	d.last.Payload, d.last.Headers = nil, nil
	return nil
}

// again is text, unless the message before had the same.
func (d *StreamDecoder) again(before string, b []byte) string {
	if before == string(b) {
		return before
	}
	return d.texts.text(b)
}

// texts makes strings that share memory. It must not be copied.
type texts struct{ strings.Builder } // never grown, so that what was taken from it stays

// text returns b as a string that shares memory with others, unless it is long.
func (t *texts) text(b []byte) string {
	if len(b) > t.Cap()-t.Len() {
		if len(b) > textChunk/8 {
			return string(b)
		}
		t.Reset()
		t.Grow(textChunk)
	}
	at := t.Len()
	t.Write(b)
	return t.String()[at:]
}
