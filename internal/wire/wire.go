// Package wire encodes numbered fields, the format of everything Edda keeps.
//
// A field is a tag (number*8 + kind) as a varint, then a varint (kind 0), eight
// bytes in little-endian order (kind 1), or a length as a varint and that many
// bytes (kind 2). That is the wire format of Protocol Buffers
// (https://protobuf.dev/programming-guides/encoding/), so that any protobuf
// tool can show a record. Absent fields cost nothing, unknown ones can be kept
// whole. Appending allocates only when the buffer grows; reading never copies.
package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

// Kind is how a field's value is laid out.
type Kind uint8

// The kinds of fields. Their numbers are those of Protocol Buffers.
const (
	Varint Kind = 0
	Fixed  Kind = 1
	Bytes  Kind = 2
)

// ErrMalformed: the bytes are not a sequence of fields.
var ErrMalformed = errors.New("malformed fields")

// AppendUint appends a varint field, or nothing when v is zero.
func AppendUint(b []byte, field int, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(field)<<3|uint64(Varint))
	return binary.AppendUvarint(b, v)
}

// AppendInt appends a signed number in zigzag form, or nothing when v is zero.
func AppendInt(b []byte, field int, v int64) []byte {
	return AppendUint(b, field, Zigzag(v))
}

// AppendFixed appends an eight-byte field, or nothing when v is zero.
func AppendFixed(b []byte, field int, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(field)<<3|uint64(Fixed))
	return binary.LittleEndian.AppendUint64(b, v)
}

// AppendBytes appends a bytes field, or nothing when v is nil. An empty v that
// is not nil is written, so that "empty" and "absent" stay apart.
func AppendBytes(b []byte, field int, v []byte) []byte {
	if v == nil {
		return b
	}
	b = AppendLen(b, field, len(v))
	return append(b, v...)
}

// AppendString appends a bytes field, or nothing when v is empty.
func AppendString(b []byte, field int, v string) []byte {
	if v == "" {
		return b
	}
	b = AppendLen(b, field, len(v))
	return append(b, v...)
}

// AppendLen appends the tag and length of a bytes field whose n bytes the
// caller appends next.
func AppendLen(b []byte, field, n int) []byte {
	b = binary.AppendUvarint(b, uint64(field)<<3|uint64(Bytes))
	return binary.AppendUvarint(b, uint64(n))
}

// Begin appends the tag of a bytes field whose content the caller appends next,
// with room for its length, which End fills in given the mark. Content of 256 MiB
// or more does not fit.
func Begin(b []byte, field int) (_ []byte, mark int) {
	b = binary.AppendUvarint(b, uint64(field)<<3|uint64(Bytes))
	b = append(b, 0x80, 0x80, 0x80, 0)
	return b, len(b)
}

// End ends the field that Begin began. Its length is a varint of four bytes,
// whatever it is, so that nothing has to be moved.
func End(b []byte, mark int) {
	n := len(b) - mark
	if n >= 1<<28 {
		panic("wire: a nested field of 256 MiB or more")
	}
	b[mark-4] = byte(n) | 0x80
	b[mark-3] = byte(n>>7) | 0x80
	b[mark-2] = byte(n>>14) | 0x80
	b[mark-1] = byte(n >> 21)
}

// Wrap makes what was appended to b from at on the content of a bytes field, which has to
// be moved for its tag and length.
func Wrap(b []byte, field, at int) []byte {
	var room [2 * binary.MaxVarintLen64]byte
	head := AppendLen(room[:0], field, len(b)-at)
	b = append(b, head...)
	copy(b[at+len(head):], b[at:])
	copy(b[at:], head)
	return b
}

// Zigzag maps small numbers of either sign to small unsigned ones.
func Zigzag(v int64) uint64 { return uint64(v)<<1 ^ uint64(v>>63) }

// Unzigzag is the inverse of Zigzag.
func Unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// Field is one field as Next found it.
type Field struct {
	Num  int
	Kind Kind
	// Uint is the value of a Varint or Fixed field.
	Uint uint64
	// Bytes is the value of a Bytes field; it aliases the input.
	Bytes []byte
	// Raw is the whole field, tag included; it aliases the input.
	Raw []byte
}

// Int reads Uint as a zigzag number.
func (f *Field) Int() int64 { return Unzigzag(f.Uint) }

// Reader reads fields from front to back. The zero value is at the end; set
// what is to be read with Reset.
type Reader struct {
	rest []byte
	err  error
}

// NewReader returns a reader of b. It keeps b and hands out slices of it.
func NewReader(b []byte) Reader { return Reader{rest: b} }

// Err is ErrMalformed when reading stopped before the end.
func (r *Reader) Err() error { return r.err }

// Next reads the next field into f. It is false at the end, and when the rest
// is malformed, which Err then says.
func (r *Reader) Next(f *Field) bool {
	if len(r.rest) == 0 || r.err != nil {
		return false
	}
	b := r.rest
	tag, n := binary.Uvarint(b)
	if n <= 0 || tag>>3 == 0 || tag>>3 > math.MaxInt32 {
		return r.fail()
	}
	f.Num, f.Kind, f.Uint, f.Bytes = int(tag>>3), Kind(tag&7), 0, nil
	at := n
	switch f.Kind {
	case Varint:
		v, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return r.fail()
		}
		f.Uint = v
		at += n
	case Fixed:
		if len(b)-at < 8 {
			return r.fail()
		}
		f.Uint = binary.LittleEndian.Uint64(b[at:])
		at += 8
	case Bytes:
		l, n := binary.Uvarint(b[at:])
		if n <= 0 || l > uint64(len(b)-at-n) {
			return r.fail()
		}
		at += n
		f.Bytes = b[at : at+int(l) : at+int(l)]
		at += int(l)
	default:
		return r.fail()
	}
	f.Raw = b[:at:at]
	r.rest = b[at:]
	return true
}

func (r *Reader) fail() bool {
	r.err = ErrMalformed
	return false
}
