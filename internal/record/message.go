package record

import (
	"encoding"
	"encoding/binary"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// AppendMessage appends the whole record like AppendTo, and encodes msg straight
// into its place; a.Message is not looked at.
func (a *Accepted) AppendMessage(b []byte, msg *edda.Message) ([]byte, error) {
	a.Message = nil
	return appendNested(a.AppendTo(b), 3, msg)
}

// AppendReply appends the whole record like AppendTo, and encodes the reply
// straight into its place; c.Reply is not looked at.
func (c *Completed) AppendReply(b []byte, reply *edda.Reply) ([]byte, error) {
	c.Reply = nil
	return appendNested(c.AppendTo(b), 3, reply)
}

// AppendedBytes is an upper bound of what a record with a message or a reply has
// beside it, changes and sends aside.
const AppendedBytes = HeaderBytes + 64

// appendNested appends a bytes field with what v encodes to.
func appendNested(b []byte, field byte, v encoding.BinaryAppender) ([]byte, error) {
	b = append(b, field<<3|byte(wire.Bytes), 0, 0, 0, 0)
	at := len(b)
	b, err := v.AppendBinary(b)
	if err != nil {
		return nil, err
	}
	putPadded(b[at-4:], len(b)-at)
	return b, nil
}

// putPadded writes n as a varint of exactly four bytes, which readers take like
// the shorter form.
func putPadded(b []byte, n int) {
	u := uint32(n)
	binary.LittleEndian.PutUint32(b, u&0x7f|u<<1&0x7f00|u<<2&0x7f0000|u<<3&0x7f000000|0x00808080)
}
