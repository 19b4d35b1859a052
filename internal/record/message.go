package record

import (
	"encoding/binary"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/wire"
)

// AppendMessage appends the whole record like AppendTo, and encodes msg straight
// into its place; a.Message is not looked at.
func (a *Accepted) AppendMessage(b []byte, msg *edda.Message) ([]byte, error) {
	a.Message = nil
	b = a.AppendTo(b)
	b = append(b, 3<<3|byte(wire.Bytes))
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b, err := msg.AppendBinary(b)
	if err != nil {
		return nil, err
	}
	putPadded(b[at:], len(b)-at-4)
	return b, nil
}

// AppendedBytes is an upper bound of what AppendMessage adds to the message's own
// size.
const AppendedBytes = HeaderBytes + 96

// putPadded writes n as a varint of exactly four bytes, which readers take like
// the shorter form.
func putPadded(b []byte, n int) {
	u := uint32(n)
	binary.LittleEndian.PutUint32(b, u&0x7f|u<<1&0x7f00|u<<2&0x7f0000|u<<3&0x7f000000|0x00808080)
}
