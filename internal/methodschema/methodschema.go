// Package methodschema knows what payloads the methods of a service take, for the edge
// that checks them: from the methods' Go types where this process hosts the service, from
// JSON Schemas as workers send them and as the log has them elsewhere.
//
// A Set never changes, so it is safe for concurrent use. What it lets through a handler
// whose type it was made from can read; what it refuses was not stored.
package methodschema

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/guard"
	"github.com/edda-io/edda/internal/inputschema"
	"github.com/edda-io/edda/internal/record"
)

// Set is the schemas of a service's methods. The zero value lets everything through.
type Set struct {
	methods map[string]*schema
}

type schema struct {
	json  []byte // nil where a function checks, which cannot be written down
	check func(contentType string, payload []byte) error
}

// Of derives the schemas of a service from its methods' Go types. The error is an
// *edda.Error, BadValue, for a type that has no JSON Schema. A consumer of a group has
// none: what is on a stream is its own business.
func Of(s *edda.Service) (*Set, error) {
	all := &Set{methods: map[string]*schema{}}
	if s.Group != nil {
		return all, nil
	}
	for _, name := range s.Methods() {
		sc, err := of(s.Method(name))
		if err != nil {
			return nil, &edda.Error{Op: "register service " + s.Name, Reason: edda.BadValue,
				Err: fmt.Errorf("the payload of method %s has no JSON Schema: %w", name, err)}
		}
		if sc != nil {
			all.methods[name] = sc
		}
	}
	return all, nil
}

func of(m *edda.Method) (*schema, error) {
	if m.Check != nil {
		return &schema{check: func(contentType string, payload []byte) error {
			return guard.Call("the method's check", func() error { return m.Check(contentType, payload) })
		}}, nil
	}
	if m.Input == nil {
		return nil, nil
	}
	s, err := inputschema.Of(m.Input)
	if err != nil {
		return nil, err
	}
	checker, err := inputschema.NewChecker(s)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return &schema{json: text, check: func(contentType string, payload []byte) error {
		if err := checker.Check(contentType, payload); err != nil {
			return err
		}
		return guard.Call("decoding the payload", func() error { return checkType(m.Input, payload) })
	}}, nil
}

// checkType checks what no schema says: that a number is in the range of its Go
// type and written as it wants it, that base64 is base64. A handler could not
// read the payload either.
func checkType(t reflect.Type, payload []byte) error {
	if len(payload) == 0 {
		return nil
	}
	err := json.Unmarshal(payload, reflect.New(t).Interface())
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		err = fmt.Errorf("%q is a %s, which is no %s", e.Field, e.Value, e.Type)
	}
	return &edda.Error{Reason: edda.BadSchema, Err: fmt.Errorf("payload does not fit: %w", err)}
}

// Compile reads schemas that are given as JSON text, by method. The error names the
// method of one that is no JSON Schema.
func Compile(texts map[string]string) (*Set, error) {
	all := &Set{methods: map[string]*schema{}}
	for method, text := range texts {
		checker, err := inputschema.Compile([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("the schema of method %s: %w", method, err)
		}
		all.methods[method] = &schema{json: []byte(text), check: checker.Check}
	}
	return all, nil
}

// FromLog reads the schemas that the log has of a service. They were compiled
// before they were written; one that this release cannot read guards nothing.
func FromLog(recs []record.Schema) *Set {
	texts := map[string]string{}
	for _, r := range recs {
		if _, err := Compile(map[string]string{r.Method: string(r.JSON)}); err == nil {
			texts[r.Method] = string(r.JSON)
		}
	}
	all, _ := Compile(texts)
	return all
}

// ForLog returns the schemas as they stand in the log, in order of the methods, without
// those that cannot be written down.
func (s *Set) ForLog() []record.Schema {
	var all []record.Schema
	for method, sc := range s.methods {
		if sc.json != nil {
			all = append(all, record.Schema{Method: method, JSON: sc.json})
		}
	}
	slices.SortFunc(all, func(a, b record.Schema) int { return cmp.Compare(a.Method, b.Method) })
	return all
}

// Same reports whether the log has the same schemas twice.
func Same(a, b []record.Schema) bool {
	return slices.EqualFunc(a, b, func(x, y record.Schema) bool {
		return x.Method == y.Method && string(x.JSON) == string(y.JSON)
	})
}

// Check decides whether a payload is what the method takes, which is anything where
// nothing is known. The error is an *edda.Error, BadSchema, BadMediaType or Panicked, or
// what the method's own check says.
func (s *Set) Check(method, contentType string, payload []byte) error {
	sc := s.methods[method]
	if sc == nil {
		return nil
	}
	return sc.check(contentType, payload)
}
