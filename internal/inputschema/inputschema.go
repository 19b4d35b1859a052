// Package inputschema derives the JSON Schema of a method's payload from its Go
// type, for the node that guards the method: it may be in another process.
package inputschema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/edda-io/edda"
)

// Of returns the schema of a type. []byte is base64, a type that reads itself from
// text a string, one that reads JSON itself anything, and objects may have members
// that the type does not name.
func Of(t reflect.Type) (*jsonschema.Schema, error) {
	known := map[reflect.Type]*jsonschema.Schema{reflect.TypeFor[[]byte](): {Type: "string", ContentEncoding: "base64"}}
	readers(t, known, map[reflect.Type]bool{})
	s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: known})
	if err != nil {
		return nil, err
	}
	open(s)
	return s, nil
}

var (
	jsonReader = reflect.TypeFor[json.Unmarshaler]()
	textReader = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// readers finds the types within t that read themselves: their fields say nothing of
// their form. Those of the standard library that package jsonschema knows stay as they are.
func readers(t reflect.Type, known map[reflect.Type]*jsonschema.Schema, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	own := t.Name() != "" && !slices.Contains([]string{"time", "log/slog", "math/big"}, t.PkgPath())
	switch p := reflect.PointerTo(t); {
	case own && p.Implements(jsonReader):
		known[t] = &jsonschema.Schema{}
		return
	case own && p.Implements(textReader):
		known[t] = &jsonschema.Schema{Type: "string"}
		return
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		readers(t.Elem(), known, seen)
	case reflect.Struct:
		for f := range t.Fields() {
			readers(f.Type, known, seen)
		}
	}
}

// open lets objects have members that the Go type does not name, so that callers
// of a later release still fit.
func open(s *jsonschema.Schema) {
	if s == nil {
		return
	}
	for _, p := range s.Properties {
		open(p)
	}
	open(s.Items)
	if s.Properties != nil {
		s.AdditionalProperties = nil
	}
	open(s.AdditionalProperties)
}

// Texts returns the schemas of a service's methods as JSON text. A method with a
// Check of its own, which cannot travel, has none.
func Texts(svc *edda.Service) (map[string]string, error) {
	all := map[string]string{}
	for _, name := range svc.Methods() {
		m := svc.Method(name)
		if m.Input == nil || m.Check != nil {
			continue
		}
		s, err := Of(m.Input)
		if err != nil {
			return nil, fmt.Errorf("the payload of method %s has no JSON Schema: %w", name, err)
		}
		text, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("the schema of method %s: %w", name, err)
		}
		all[name] = string(text)
	}
	return all, nil
}
