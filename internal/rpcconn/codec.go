package rpcconn

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// Frames is an encoded message on its way out: its parts, one after the other.
// They belong to the connection once sent.
type Frames struct {
	Parts [][]byte
}

// codec passes on messages that were encoded elsewhere: Frames or a []byte out, a
// *[]byte in. What comes in is nobody else's and may be kept.
type codec struct{}

// Name is that of the format, as it stands in the content type.
func (codec) Name() string { return "proto" }

// Marshal hands over the bytes.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch v := v.(type) {
	case []byte:
		return mem.BufferSlice{mem.SliceBuffer(v)}, nil
	case *Frames:
		out := make(mem.BufferSlice, 0, len(v.Parts))
		for _, p := range v.Parts {
			if len(p) > 0 {
				out = append(out, mem.SliceBuffer(p))
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("encode %T: want []byte or *Frames", v)
}

// Unmarshal copies the bytes, whose memory is the transport's.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("decode %T: want *[]byte", v)
	}
	*b = data.Materialize()
	return nil
}
