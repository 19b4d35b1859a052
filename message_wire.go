package edda

import (
	"fmt"
	"math"
	"time"

	"github.com/edda-io/edda/internal/wire"
)

// The numbers of the fields of a message and a reply. They never change and are
// never used again; docs/records.md lists them.
const (
	fID = iota + 1
	fType
	fNamespace
	fName
	fKey
	fReplyTo // nested: fNamespace, fName, fKey
	fSource
	fPrincipal
	fHeader // nested, repeated: 1 name, 2 value
	fContentType
	fSchema
	fPayload
	fFrame // repeated
	fCorrelationID
	fCausationID
	fTraceParent
	fTraceState
	fIdempotencyKey
	fDeadline // Unix nanoseconds
	fDue      // Unix nanoseconds
	fTime     // Unix nanoseconds
	fChain    // nested, repeated: fNamespace, fName, fKey
)

const (
	rStatus = iota + 1
	rHeader // nested, repeated: 1 name, 2 value
	rContentType
	rPayload
)

// AppendBinary appends the encoded message to b.
func (m *Message) AppendBinary(b []byte) ([]byte, error) {
	if !m.ID.IsZero() {
		b = wire.AppendBytes(b, fID, m.ID[:])
	}
	b = wire.AppendString(b, fType, m.Type)
	b = appendAddress(b, m.To)
	if m.ReplyTo != (Address{}) {
		b = appendNested(b, fReplyTo, m.ReplyTo)
	}
	b = wire.AppendString(b, fSource, m.Source)
	if m.Principal != Anonymous {
		b = wire.AppendString(b, fPrincipal, string(m.Principal))
	}
	b = appendHeaders(b, fHeader, m.Headers)
	b = wire.AppendString(b, fContentType, m.ContentType)
	b = wire.AppendString(b, fSchema, m.Schema)
	if len(m.Payload) > 0 {
		b = wire.AppendBytes(b, fPayload, m.Payload)
	}
	for _, f := range m.Frames {
		b = append(wire.AppendLen(b, fFrame, len(f)), f...)
	}
	b = wire.AppendString(b, fCorrelationID, m.CorrelationID)
	if !m.CausationID.IsZero() {
		b = wire.AppendBytes(b, fCausationID, m.CausationID[:])
	}
	b = wire.AppendString(b, fTraceParent, m.TraceParent)
	b = wire.AppendString(b, fTraceState, m.TraceState)
	b = wire.AppendString(b, fIdempotencyKey, m.IdempotencyKey)
	b = appendTime(b, fDeadline, m.Deadline)
	b = appendTime(b, fDue, m.Due)
	b = appendTime(b, fTime, m.Time)
	for _, a := range m.Chain {
		b = appendNested(b, fChain, a)
	}
	return append(b, m.unknown...), nil
}

// BinarySize is an upper bound of what AppendBinary appends, so that one
// allocation is enough. It is at most some 60 bytes too high for a message
// without headers.
func (m *Message) BinarySize() int {
	const tag = 6 // a tag and a length
	n := 18 + 8*tag + len(m.Type) + len(m.To.Namespace) + len(m.To.Name) + len(m.To.Key) +
		len(m.Principal) + len(m.ContentType) + len(m.Payload) + len(m.unknown)
	for _, s := range [...]string{m.Source, m.Schema, m.CorrelationID, m.TraceParent, m.TraceState, m.IdempotencyKey} {
		if s != "" {
			n += tag + len(s)
		}
	}
	if m.ReplyTo != (Address{}) {
		n += 4*tag + len(m.ReplyTo.Namespace) + len(m.ReplyTo.Name) + len(m.ReplyTo.Key)
	}
	if !m.CausationID.IsZero() {
		n += 20
	}
	for _, t := range [...]time.Time{m.Deadline, m.Due, m.Time} {
		if !t.IsZero() {
			n += 10
		}
	}
	for _, h := range m.Headers {
		n += 3*tag + len(h.Name) + len(h.Value)
	}
	for _, f := range m.Frames {
		n += tag + len(f)
	}
	for _, a := range m.Chain {
		n += 4*tag + len(a.Namespace) + len(a.Name) + len(a.Key)
	}
	return n
}

// UnmarshalBinary reads what AppendBinary wrote. Payload and frames alias b.
// Fields it does not know are kept and written again by AppendBinary.
func (m *Message) UnmarshalBinary(b []byte) error {
	*m = Message{Principal: Anonymous}
	var t, headers texts
	m.prepare(b, &t, &headers)
	r := wire.NewReader(b)
	var f wire.Field
	var bad error
	for r.Next(&f) {
		switch f.Num {
		case fID:
			bad = readID(&m.ID, f.Bytes)
		case fType:
			m.Type = t.text(f.Bytes)
		case fNamespace:
			m.To.Namespace = t.text(f.Bytes)
		case fName:
			m.To.Name = t.text(f.Bytes)
		case fKey:
			m.To.Key = t.text(f.Bytes)
		case fReplyTo:
			m.ReplyTo, bad = readAddress(f.Bytes, &t)
		case fSource:
			m.Source = t.text(f.Bytes)
		case fPrincipal:
			m.Principal = Principal(t.text(f.Bytes))
		case fHeader:
			bad = readHeader(&m.Headers, f.Bytes, &headers)
		case fContentType:
			m.ContentType = t.text(f.Bytes)
		case fSchema:
			m.Schema = t.text(f.Bytes)
		case fPayload:
			m.Payload = f.Bytes
		case fFrame:
			m.Frames = append(m.Frames, f.Bytes)
		case fCorrelationID:
			m.CorrelationID = t.text(f.Bytes)
		case fCausationID:
			bad = readID(&m.CausationID, f.Bytes)
		case fTraceParent:
			m.TraceParent = t.text(f.Bytes)
		case fTraceState:
			m.TraceState = t.text(f.Bytes)
		case fIdempotencyKey:
			m.IdempotencyKey = t.text(f.Bytes)
		case fDeadline:
			m.Deadline = readTime(f.Uint)
		case fDue:
			m.Due = readTime(f.Uint)
		case fTime:
			m.Time = readTime(f.Uint)
		case fChain:
			var a Address
			a, bad = readAddress(f.Bytes, &t)
			m.Chain = append(m.Chain, a)
		default:
			m.unknown = append(m.unknown, f.Raw...)
		}
		if bad != nil {
			return fmt.Errorf("message field %d: %w", f.Num, bad)
		}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("message: %w", err)
	}
	return nil
}

// prepare makes room for what UnmarshalBinary is about to read. The texts lie in one piece
// of memory, those of the headers in another: who keeps the key or the type of a message
// does not keep its headers with it.
func (m *Message) prepare(b []byte, t, headers *texts) {
	size, n, headerSize := 0, 0, 0
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case fID, fPayload, fFrame, fCausationID:
		case fHeader:
			n++
			headerSize += len(f.Bytes)
		default:
			size += len(f.Bytes)
		}
	}
	if n > 0 {
		m.Headers = make(Headers, 0, n)
	}
	t.Grow(size)
	headers.Grow(headerSize)
}

// AppendBinary appends the encoded reply to b. What the node sets is not part
// of it.
func (r *Reply) AppendBinary(b []byte) ([]byte, error) {
	b = wire.AppendUint(b, rStatus, uint64(r.EffectiveStatus()))
	b = appendHeaders(b, rHeader, r.Headers)
	b = wire.AppendString(b, rContentType, r.ContentType)
	if len(r.Payload) > 0 {
		b = wire.AppendBytes(b, rPayload, r.Payload)
	}
	return append(b, r.unknown...), nil
}

// UnmarshalBinary reads what AppendBinary wrote. The payload aliases b. A content type
// that r has already is not copied.
func (r *Reply) UnmarshalBinary(b []byte) error {
	before := r.ContentType
	*r = Reply{}
	rd := wire.NewReader(b)
	var f wire.Field
	for rd.Next(&f) {
		switch f.Num {
		case rStatus:
			r.Status = int(f.Uint)
		case rHeader:
			var t texts
			t.Grow(len(f.Bytes))
			if err := readHeader(&r.Headers, f.Bytes, &t); err != nil {
				return fmt.Errorf("reply header: %w", err)
			}
		case rContentType:
			if r.ContentType = before; before != string(f.Bytes) {
				r.ContentType = string(f.Bytes)
			}
		case rPayload:
			r.Payload = f.Bytes
		default:
			r.unknown = append(r.unknown, f.Raw...)
		}
	}
	if err := rd.Err(); err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	return nil
}

func appendAddress(b []byte, a Address) []byte {
	if a.Namespace != DefaultNamespace {
		b = wire.AppendString(b, fNamespace, a.Namespace)
	}
	b = wire.AppendString(b, fName, a.Name)
	return wire.AppendString(b, fKey, a.Key)
}

// appendNested appends an address as a field.
func appendNested(b []byte, field int, a Address) []byte {
	n := sizeString(len(a.Name)) + sizeString(len(a.Key))
	if a.Namespace != DefaultNamespace {
		n += sizeString(len(a.Namespace))
	}
	return appendAddress(wire.AppendLen(b, field, n), a)
}

func readAddress(b []byte, t *texts) (Address, error) {
	var a Address
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case fNamespace:
			a.Namespace = t.text(f.Bytes)
		case fName:
			a.Name = t.text(f.Bytes)
		case fKey:
			a.Key = t.text(f.Bytes)
		}
	}
	return a, r.Err()
}

func appendHeaders(b []byte, field int, hs Headers) []byte {
	for _, h := range hs {
		n := sizeString(len(h.Name)) + sizeString(len(h.Value))
		b = wire.AppendLen(b, field, n)
		b = wire.AppendString(b, 1, h.Name)
		b = wire.AppendString(b, 2, h.Value)
	}
	return b
}

// sizeString is the size of a string field with a one-byte tag.
func sizeString(n int) int {
	if n == 0 {
		return 0
	}
	size := 2 + n
	for l := n; l >= 0x80; l >>= 7 {
		size++
	}
	return size
}

func readHeader(hs *Headers, b []byte, t *texts) error {
	var h Header
	r := wire.NewReader(b)
	var f wire.Field
	for r.Next(&f) {
		switch f.Num {
		case 1:
			h.Name = t.text(f.Bytes)
		case 2:
			h.Value = t.text(f.Bytes)
		}
	}
	*hs = append(*hs, h)
	return r.Err()
}

func readID(id *ID, b []byte) error {
	if len(b) != len(id) {
		return fmt.Errorf("id of %d bytes, want %d", len(b), len(id))
	}
	copy(id[:], b)
	return nil
}

// appendTime appends a time in Unix nanoseconds, which reach from 1678 to 2262;
// a node refuses later ones, and takes earlier ones for the past.
func appendTime(b []byte, field int, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	if t.Before(firstTime) {
		t = firstTime
	}
	return wire.AppendFixed(b, field, uint64(t.UnixNano()))
}

// firstTime is the first time that fits Unix nanoseconds.
var firstTime = time.Unix(0, math.MinInt64)

func readTime(u uint64) time.Time { return time.Unix(0, int64(u)).UTC() }
