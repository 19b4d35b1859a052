package record

import "github.com/edda-io/edda/internal/wire"

// Part is a part of the reply of a running attempt. It is no outcome.
type Part struct {
	Seq   uint64
	Fence uint64
	// Number counts the parts of the attempt from 1.
	Number uint64
	// ContentType is nil when it is that of the part before, or none for the first.
	// It aliases the record, as Payload does.
	ContentType []byte
	Payload     []byte
}

// AppendTo appends the whole record.
func (p *Part) AppendTo(b []byte) []byte {
	b = wire.AppendUint(AppendHeader(b, TypePart), 1, p.Seq)
	b = wire.AppendUint(b, 2, p.Fence)
	b = wire.AppendUint(b, 3, p.Number)
	b = wire.AppendBytes(b, 4, p.ContentType)
	return wire.AppendBytes(b, 5, p.Payload)
}

// Decode reads the body of a record.
func (p *Part) Decode(body []byte) error {
	*p = Part{}
	return fields(TypePart, body, func(f *wire.Field) error {
		switch f.Num {
		case 1:
			p.Seq = f.Uint
		case 2:
			p.Fence = f.Uint
		case 3:
			p.Number = f.Uint
		case 4:
			p.ContentType = f.Bytes
		case 5:
			p.Payload = f.Bytes
		}
		return nil
	})
}
