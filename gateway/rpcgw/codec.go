package rpcgw

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that this one wraps
	"google.golang.org/grpc/mem"

	eddav1 "github.com/edda-io/edda/rpc/edda/v1"
)

// encoded is a message that is encoded already. Its bytes come from the buffers and
// go back there, unless they are shared with others.
type encoded struct {
	bytes  []byte
	shared bool
}

// incoming is a message of a worker. What cannot be decoded is the worker's stream
// to tell about: gRPC would end it without a word.
type incoming struct {
	eddav1.WorkerFrames
	err error
}

// codec is the one of protobuf, which also takes what is encoded already.
type codec struct{}

var protobuf = encoding.GetCodecV2("proto")

// Name is that of protobuf's codec: on the wire there is no difference.
func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) (mem.BufferSlice, error) {
	if e, ok := v.(*encoded); ok {
		if e.shared {
			return mem.BufferSlice{mem.SliceBuffer(e.bytes)}, nil
		}
		return mem.BufferSlice{mem.NewBuffer(&e.bytes, buffers)}, nil
	}
	return protobuf.Marshal(v)
}

func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	if in, ok := v.(*incoming); ok {
		in.err = protobuf.Unmarshal(data, &in.WorkerFrames)
		return nil
	}
	return protobuf.Unmarshal(data, v)
}

// buffers is where the bytes of an encoded message come from; gRPC gives them back
// once they are written.
var buffers = mem.DefaultBufferPool()
