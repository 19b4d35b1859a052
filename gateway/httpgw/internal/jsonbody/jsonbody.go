// Package jsonbody reads the JSON bodies of a node's own requests: objects of which all
// members are known by name. What is not known is refused by its name, and so is what is
// given twice or has another type; the errors are *edda.Error and say where in the body it is. What cannot be
// taken apart so simply, sagas and messages, is package specjson's.
//
// The functions keep no state and are safe for concurrent use.
package jsonbody

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/gateway/httpgw/internal/reqhead"
)

// Members are what a JSON object may have: by name, what reads the value.
type Members map[string]func(value json.RawMessage) error

// Read reads a body; want says to people what it must be.
func (m Members) Read(b []byte, want string) error {
	if !utf8.Valid(b) || !json.Valid(b) || bytes.TrimSpace(b)[0] != '{' {
		return refuse(edda.BadJSON, want)
	}
	return m.read("", b)
}

// read reads an object whose name is the path, which ends in a dot unless it is the
// body itself. Members are read in order of their names, so that of several
// mistakes the same one is told each time.
func (m Members) read(path string, b []byte) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(b, &given); err != nil || given == nil {
		return Bad(path[:len(path)-1], "an object")
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if m[name] == nil {
			return refuse(edda.UnknownField, "unknown member "+strconv.Quote(path+name)+m.there())
		}
	}
	if count(b) != len(given) {
		return Bad(path+twice(b), "given once")
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if err := m[name](given[name]); err != nil {
			return err
		}
	}
	return nil
}

// count returns how many members stand in an object, those that are there twice among them.
func count(b []byte) (n int) {
	for i, depth := 0, 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ':':
			if depth == 1 {
				n++
			}
		}
	}
	return n
}

// twice returns the name of the first member that stands in an object again.
func twice(b []byte) string {
	d := json.NewDecoder(bytes.NewReader(b))
	_, _ = d.Token() // it is known to be an object, and so is all that follows to be right
	for seen := map[string]bool{}; d.More(); {
		t, _ := d.Token()
		name, _ := t.(string)
		if seen[name] {
			return name
		}
		seen[name] = true
		var v json.RawMessage
		_ = d.Decode(&v)
	}
	return ""
}

// there says which members there are.
func (m Members) there() string {
	if len(m) == 0 {
		return "; there are none"
	}
	return "; there are " + strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}

// Bad refuses the value of a member, and says what it must be.
func Bad(name, want string) error {
	return refuse(edda.BadValue, name+" must be "+want)
}

// Value reads a value that has the type of what it is put into; want says which
// that is, to people.
func Value[T any](name string, into *T, want string) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		if IsNull(v) || json.Unmarshal(v, into) != nil {
			return Bad(name, want)
		}
		return nil
	}
}

// String reads a string.
func String[T ~string](name string, into *T) func(json.RawMessage) error {
	return Value(name, into, "a string")
}

// Positive reads a duration above zero.
func Positive(name string, into *time.Duration) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		var text string
		if IsNull(v) || json.Unmarshal(v, &text) != nil {
			return Bad(name, "a duration, such as \"1.5s\"")
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return Bad(name, "a duration above zero, such as \"1.5s\"")
		}
		*into = d
		return nil
	}
}

// Within reads a nested object.
func Within(name string, m Members) func(json.RawMessage) error {
	return func(v json.RawMessage) error { return m.read(name+".", v) }
}

// IsNull reports whether a value is null.
func IsNull(v json.RawMessage) bool { return bytes.Equal(v, []byte("null")) }

// Text reads a string that is not empty: to leave a choice to the node is to leave the
// member out.
func Text[T ~string](name string, into *T) func(json.RawMessage) error {
	read := String(name, into)
	return func(v json.RawMessage) error {
		if err := read(v); err != nil {
			return err
		}
		if *into == "" {
			return Bad(name, "left out or not empty")
		}
		return nil
	}
}

// Needed reads a string that is not empty, and that there must be.
func Needed[T ~string](name string, into *T) func(json.RawMessage) error {
	read := String(name, into)
	return func(v json.RawMessage) error {
		if err := read(v); err != nil {
			return err
		}
		if *into == "" {
			return refuse(edda.BadValue, name+" must not be empty")
		}
		return nil
	}
}

// AtLeast1 reads a number from 1 on.
func AtLeast1[T int | uint64](name string, into *T) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		if IsNull(v) || json.Unmarshal(v, into) != nil || *into < 1 {
			return Bad(name, "a number from 1 on")
		}
		return nil
	}
}

// WantPlace says to people what a place in a shard must be.
const WantPlace = `an offset, a time such as "2026-01-02T15:04:05Z", "start" or "end"`

// Place reads where in a shard something is to begin.
func Place(name string, into *edda.From) func(json.RawMessage) error {
	return func(v json.RawMessage) error {
		if n, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			*into = edda.FromOffset(n)
			return nil
		}
		if v[0] != '"' || json.Unmarshal(v, into) != nil {
			return Bad(name, WantPlace)
		}
		return reqhead.Place(name, *into)
	}
}

func refuse(reason edda.Reason, detail string) error {
	return &edda.Error{Reason: reason, Err: errors.New(detail)}
}
