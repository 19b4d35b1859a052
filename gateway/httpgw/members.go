package httpgw

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
)

// members are what a JSON object may have: by name, what reads the value.
type members map[string]func(value json.RawMessage) error

// object reads the body of a request of the node's own, which is one JSON object.
func (g *Gateway) object(x *exchange, known members) error {
	b, err := g.body(x)
	if err != nil {
		return err
	}
	if t := x.r.Header.Get("Content-Type"); t != "" && !jsondata.IsJSON(t) {
		return refuse(edda.BadMediaType, "the body must be application/json")
	}
	if !json.Valid(b) {
		return refuse(edda.BadJSON, "the body must be a JSON object")
	}
	return known.read("", b)
}

// read reads an object whose name is the path, which ends in a dot unless it is the
// body itself. Members are read in order of their names, so that of several
// mistakes the same one is told each time.
func (m members) read(path string, b []byte) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(b, &given); err != nil || given == nil {
		if path == "" {
			return refuse(edda.BadJSON, "the body must be a JSON object")
		}
		return badMember(path[:len(path)-1], "an object")
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if m[name] == nil {
			return refuse(edda.UnknownField, "unknown member "+strconv.Quote(path+name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if err := m[name](given[name]); err != nil {
			return err
		}
	}
	return nil
}

func badMember(name, want string) error {
	return refuse(edda.BadValue, name+" must be "+want)
}

// value reads a value that has the type of what it is put into; want says which
// that is, to people.
func value[T any](name string, into *T, want string) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		if isNull(v) || json.Unmarshal(v, into) != nil {
			return badMember(name, want)
		}
		return nil
	}
}

// str reads a string.
func str[T ~string](name string, into *T) func(json.RawMessage) error {
	return value(name, into, "a string")
}

// positive reads a duration above zero.
func positive(name string, into *time.Duration) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		var text string
		if isNull(v) || json.Unmarshal(v, &text) != nil {
			return badMember(name, "a duration, such as \"1.5s\"")
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return badMember(name, "a duration above zero, such as \"1.5s\"")
		}
		*into = d
		return nil
	}
}

// within reads a nested object.
func within(name string, m members) func(json.RawMessage) error {
	return func(v json.RawMessage) error { return m.read(name+".", v) }
}

func isNull(v json.RawMessage) bool { return bytes.Equal(v, []byte("null")) }
