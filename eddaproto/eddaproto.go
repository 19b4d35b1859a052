// Package eddaproto adds methods whose payloads are Protocol Buffers messages.
//
// A payload may come in the binary format (application/protobuf) or as its JSON
// mapping (application/json); the reply goes back in the same one. A payload that
// does not decode is refused before it is accepted.
package eddaproto

import (
	"fmt"
	"mime"
	"reflect"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/edda-io/edda"
)

// ContentType is that of the binary format.
const ContentType = "application/protobuf"

// Handle adds a typed method, as edda.Handle does for JSON. It panics when the
// name is malformed or taken.
func Handle[In, Out any, PIn message[In], POut message[Out]](s *edda.Service, method string, fn func(ctx *edda.Context, in PIn) (POut, error)) {
	s.Add(edda.Method{
		Name:   method,
		Output: reflect.TypeFor[POut](),
		Check: func(contentType string, payload []byte) error {
			return decode(contentType, payload, PIn(new(In)))
		},
		Handler: func(ctx *edda.Context, m *edda.Message) (*edda.Reply, error) {
			in := PIn(new(In))
			if err := decode(m.ContentType, m.Payload, in); err != nil {
				// It was checked at the edge, under another release's types: no retry mends it.
				return nil, edda.Final(string(edda.BadSchema), "%v", err)
			}
			out, err := fn(ctx, in)
			if err != nil {
				return nil, err
			}
			return encode(m.ContentType, out)
		},
	})
}

// message is a pointer to a generated message type.
type message[T any] interface {
	*T
	proto.Message
}

// decode reads a payload in the format that its content type names; JSON when it
// names none.
func decode(contentType string, payload []byte, m proto.Message) error {
	binary, err := isBinary(contentType)
	switch {
	case err != nil:
		return &edda.Error{Reason: edda.BadMediaType, Err: err}
	case binary:
		err = proto.Unmarshal(payload, m)
	case len(payload) > 0:
		err = protojson.Unmarshal(payload, m)
	}
	if err != nil {
		return &edda.Error{Reason: edda.BadSchema, Err: fmt.Errorf("payload is not a %s: %w", m.ProtoReflect().Descriptor().FullName(), err)}
	}
	return nil
}

func encode(contentType string, m proto.Message) (*edda.Reply, error) {
	reply := &edda.Reply{ContentType: "application/json"}
	binary, err := isBinary(contentType)
	if err != nil {
		return nil, err
	}
	if binary {
		reply.ContentType = ContentType
		reply.Payload, err = proto.Marshal(m)
	} else {
		reply.Payload, err = protojson.Marshal(m)
	}
	if err != nil {
		return nil, edda.Final("BAD_REPLY", "reply cannot be encoded: %v", err)
	}
	// A message whose fields are all unset takes no bytes, and is still a reply.
	reply.Status = 200
	return reply, nil
}

func isBinary(contentType string) (bool, error) {
	if contentType == "" {
		return false, nil
	}
	t, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
	case t == ContentType || t == "application/x-protobuf":
		return true, nil
	case t == "application/json" || strings.HasSuffix(t, "+json") || t == "application/x-www-form-urlencoded":
		return false, nil
	}
	return false, fmt.Errorf("content type %q is neither %s nor application/json", contentType, ContentType)
}
