package rawjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
)

// member is one of an object in JSON.
type member struct {
	name  string
	value json.RawMessage
}

// Object has the members of an object in their order, each name once. Their values are as they
// were written, so that a number of any size stays what it is.
type Object struct {
	list []member
	at   map[string]int
}

// ReadObject reads an object from valid JSON. Of a name that stands twice the last value
// counts.
func ReadObject(raw json.RawMessage) (*Object, error) {
	if !IsObject(raw) {
		return nil, fmt.Errorf("it is %s, not an object", Form(raw))
	}
	o := NewObject()
	for name, value := range Members(raw) {
		o.Set(name.String(), value)
	}
	return o, nil
}

// NewObject returns an object without members.
func NewObject() *Object { return &Object{at: map[string]int{}} }

// All are the members, in their order.
func (o *Object) All() iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		for _, m := range o.list {
			if !yield(m.name, m.value) {
				return
			}
		}
	}
}

// ReadList reads a list from valid JSON.
func ReadList(raw json.RawMessage) ([]json.RawMessage, error) {
	if !IsList(raw) {
		return nil, fmt.Errorf("it is %s, not a list", Form(raw))
	}
	list := []json.RawMessage{}
	for _, item := range Items(raw) {
		list = append(list, item)
	}
	return list, nil
}

// Get returns a member's value; nil when there is none.
func (o *Object) Get(name string) json.RawMessage {
	if i, ok := o.at[name]; ok {
		return o.list[i].value
	}
	return nil
}

// Set sets a member: in the place of the one there is, or as the last one.
func (o *Object) Set(name string, value json.RawMessage) {
	if i, ok := o.at[name]; ok {
		o.list[i].value = value
		return
	}
	o.at[name] = len(o.list)
	o.list = append(o.list, member{name, value})
}

// Fold sets all members that another object has.
func (o *Object) Fold(other *Object) {
	for _, m := range other.list {
		o.Set(m.name, m.value)
	}
}

// JSON writes the object.
func (o *Object) JSON() (json.RawMessage, error) {
	b := []byte{'{'}
	for i, m := range o.list {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, name...), ':'), m.value...)
	}
	return append(b, '}'), nil
}

// Join writes a list.
func Join(list []json.RawMessage) json.RawMessage {
	b := []byte{'['}
	for i, item := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, item...)
	}
	return append(b, ']')
}

// IsList reports whether JSON is a list.
func IsList(raw json.RawMessage) bool { return First(raw) == '[' }

// IsNothing reports whether there is no JSON, or null.
func IsNothing(raw json.RawMessage) bool {
	return string(bytes.TrimSpace(raw)) == "null" || First(raw) == 0
}

// First is the first byte that is not white space; 0 when there is none.
func First(raw json.RawMessage) byte {
	if i := spaceEnd(raw, 0); i < len(raw) {
		return raw[i]
	}
	return 0
}

// Form says to people what a value is.
func Form(raw json.RawMessage) string {
	switch First(raw) {
	case 0:
		return "nothing"
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}
