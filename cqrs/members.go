package cqrs

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// member is one of an object in JSON.
type member struct {
	name  string
	value json.RawMessage
}

// members are those of an object in JSON, in their order, each name once. Their values are
// as they were written, so that a number of any size stays what it is.
type members struct {
	list []member
	at   map[string]int
}

// readMembers reads an object from valid JSON. Of a name that stands twice the last value
// counts.
func readMembers(raw json.RawMessage) (*members, error) {
	if !isObject(raw) {
		return nil, fmt.Errorf("it is %s, not an object", formOf(raw))
	}
	ms := &members{at: map[string]int{}}
	for name, value := range membersOf(raw) {
		ms.set(name.String(), value)
	}
	return ms, nil
}

// readList reads a list from valid JSON.
func readList(raw json.RawMessage) ([]json.RawMessage, error) {
	if !isList(raw) {
		return nil, fmt.Errorf("it is %s, not a list", formOf(raw))
	}
	list := []json.RawMessage{}
	for _, item := range itemsOf(raw) {
		list = append(list, item)
	}
	return list, nil
}

// get returns a member's value; nil when there is none.
func (ms *members) get(name string) json.RawMessage {
	if i, ok := ms.at[name]; ok {
		return ms.list[i].value
	}
	return nil
}

func (ms *members) set(name string, value json.RawMessage) {
	if i, ok := ms.at[name]; ok {
		ms.list[i].value = value
		return
	}
	ms.at[name] = len(ms.list)
	ms.list = append(ms.list, member{name, value})
}

// fold sets all members that another object has.
func (ms *members) fold(other *members) {
	for _, m := range other.list {
		ms.set(m.name, m.value)
	}
}

// json writes the object.
func (ms *members) json() (json.RawMessage, error) {
	b := []byte{'{'}
	for i, m := range ms.list {
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

// joined writes a list.
func joined(list []json.RawMessage) json.RawMessage {
	b := []byte{'['}
	for i, item := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, item...)
	}
	return append(b, ']')
}

// isList reports whether JSON is a list, and isNothing whether there is none, or null.
func isList(raw json.RawMessage) bool { return firstOf(raw) == '[' }

func isNothing(raw json.RawMessage) bool {
	return string(bytes.TrimSpace(raw)) == "null" || firstOf(raw) == 0
}

// firstOf is the first byte that is not white space; 0 when there is none.
func firstOf(raw json.RawMessage) byte {
	if i := spaceEnd(raw, 0); i < len(raw) {
		return raw[i]
	}
	return 0
}

// formOf says to people what a value is.
func formOf(raw json.RawMessage) string {
	switch firstOf(raw) {
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

// keyOf returns what tells a string or a number from all others of either.
func keyOf(raw json.RawMessage) (string, error) {
	switch firstOf(raw) {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return `"` + s, err
	case '{', '[', 't', 'f', 'n', 0:
		return "", fmt.Errorf("it is %s, not a string or a number", formOf(raw))
	}
	return string(bytes.TrimSpace(raw)), nil
}
