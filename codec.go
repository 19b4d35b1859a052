package edda

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// decoder returns the type that guards a payload (nil for none) and how it is
// read from a message.
func decoder[In any]() (reflect.Type, func(*Message) (In, error)) {
	t := reflect.TypeFor[In]()
	if t == reflect.TypeFor[[]byte]() {
		return nil, func(m *Message) (In, error) { return any(m.Payload).(In), nil }
	}
	return t, func(m *Message) (In, error) {
		var v In
		if len(m.Payload) == 0 {
			return v, nil
		}
		// A payload was checked at the edge; one that still does not fit was accepted
		// under another release's types, and no retry will mend it.
		if err := json.Unmarshal(m.Payload, &v); err != nil {
			return v, &HandlerError{Reason: string(BadSchema), Message: fmt.Sprintf("payload is not a %s: %v", t, err), Final: true}
		}
		return v, nil
	}
}

// encoder returns the type of a reply (nil for an unknown one) and how it is
// made from what a handler returned.
func encoder[Out any]() (reflect.Type, func(Out) (*Reply, error)) {
	t := reflect.TypeFor[Out]()
	switch t {
	case reflect.TypeFor[*Reply]():
		return nil, func(o Out) (*Reply, error) { return any(o).(*Reply), nil }
	case reflect.TypeFor[[]byte]():
		return nil, func(o Out) (*Reply, error) {
			return &Reply{ContentType: "application/octet-stream", Payload: any(o).([]byte)}, nil
		}
	}
	return t, func(o Out) (*Reply, error) {
		b, err := json.Marshal(o)
		if err != nil {
			return nil, Final("BAD_REPLY", "reply cannot be encoded as JSON: %v", err)
		}
		return &Reply{ContentType: "application/json", Payload: b}, nil
	}
}

// JSON returns v as a payload. It panics when v cannot be encoded, which is a
// mistake in the program (a channel, a cycle).
func JSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("edda: JSON of %T: %v", v, err))
	}
	return b
}
