// Package inputschema derives the JSON Schema of a method's payload from its Go
// type, for the node that guards the method: it may be in another process.
package inputschema

import (
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/edda-io/edda"
)

// Of returns the schema of a type. []byte is base64, a json.RawMessage anything,
// and objects may have members that the type does not name.
func Of(t reflect.Type) (*jsonschema.Schema, error) {
	s, err := jsonschema.ForType(t, &jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[[]byte]():          {Type: "string", ContentEncoding: "base64"},
		reflect.TypeFor[json.RawMessage](): {},
	}})
	if err != nil {
		return nil, err
	}
	open(s)
	return s, nil
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
