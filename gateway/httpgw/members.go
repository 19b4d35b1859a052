package httpgw

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/internal/httpio"
	"github.com/edda-io/edda/internal/jsondata"
)

// members are what a JSON object may have: by name, what reads the value.
type members map[string]func(value json.RawMessage) error

// object reads the body of a request of the node's own, which is one JSON object.
func (g *Gateway) object(x *exchange, known members) error {
	b, err := g.jsonBody(x)
	if err != nil {
		return err
	}
	return known.body(b, "the body must be a JSON object")
}

// objectOrNothing is object for a body that may be empty.
func (g *Gateway) objectOrNothing(x *exchange, known members) error {
	b, err := g.jsonBody(x)
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return err
	}
	return known.body(b, "the body must be a JSON object, or empty")
}

// noBody reads the body of a request of the node's own that has no members.
func (g *Gateway) noBody(x *exchange) error { return g.objectOrNothing(x, nil) }

// jsonBody reads a body that says it is JSON, or says nothing.
func (g *Gateway) jsonBody(x *exchange) ([]byte, error) {
	b, err := httpio.Body(x.w, x.r, g.opts.MaxBody)
	if err != nil {
		return nil, err
	}
	if t := x.r.Header.Get("Content-Type"); t != "" && len(b) > 0 && !jsondata.IsJSON(t) {
		return nil, refuse(edda.BadMediaType, "the body must be application/json")
	}
	return b, nil
}

// body reads a body of the node's own; want says to people what it must be.
func (m members) body(b []byte, want string) error {
	if !utf8.Valid(b) || !json.Valid(b) || bytes.TrimSpace(b)[0] != '{' {
		return refuse(edda.BadJSON, want)
	}
	return m.read("", b)
}

// read reads an object whose name is the path, which ends in a dot unless it is the
// body itself. Members are read in order of their names, so that of several
// mistakes the same one is told each time.
func (m members) read(path string, b []byte) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(b, &given); err != nil || given == nil {
		return badMember(path[:len(path)-1], "an object")
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if m[name] == nil {
			return refuse(edda.UnknownField, "unknown member "+strconv.Quote(path+name)+m.there())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if err := m[name](given[name]); err != nil {
			return err
		}
	}
	return nil
}

// there says which members there are.
func (m members) there() string {
	if len(m) == 0 {
		return "; there are none"
	}
	return "; there are " + strings.Join(slices.Sorted(maps.Keys(m)), ", ")
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
