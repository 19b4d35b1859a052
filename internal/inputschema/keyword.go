package inputschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// typeNames are the types that JSON Schema knows.
var typeNames = []string{"array", "boolean", "integer", "null", "number", "object", "string"}

// checkKeywords refuses a schema whose keywords have values that they cannot have, by
// the first one's place, or that never ends. Package jsonschema takes types that there are not, which no
// payload has, and says of other values in what Go type they did not fit.
func checkKeywords(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return err
	}
	if err := schemaForm("", v); err != nil {
		return err
	}
	return checkLoops(v)
}

// form refuses a value that is not what stands at a place.
type form func(place string, v any) error

// formOf returns what a keyword has; nil is anything, as for keywords that are unknown.
func formOf(keyword string) form {
	switch keyword {
	case "type":
		return typeForm
	case "additionalItems", "contains", "additionalProperties", "propertyNames", "unevaluatedItems", "unevaluatedProperties",
		"not", "if", "then", "else", "contentSchema":
		return schemaForm
	case "prefixItems", "allOf", "anyOf", "oneOf":
		return listOf(schemaForm)
	case "$defs", "definitions", "properties", "patternProperties", "dependentSchemas":
		return mapOf(schemaForm)
	case "items":
		return listOr(schemaForm, schemaForm)
	case "dependencies":
		return mapOf(listOr(is[string]("text"), schemaForm))
	case "dependentRequired":
		return mapOf(listOf(is[string]("text")))
	case "required":
		return listOf(is[string]("text"))
	case "enum", "examples":
		return is[[]any]("a list")
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		return is[json.Number]("a number")
	case "multipleOf":
		return atLeast(math.SmallestNonzeroFloat64, "a number above zero")
	case "minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties", "maxProperties":
		return atLeast(0, "a whole number, zero or above")
	case "uniqueItems", "deprecated", "readOnly", "writeOnly":
		return is[bool]("true or false")
	case "$id", "$schema", "$ref", "$comment", "$anchor", "$dynamicAnchor", "$dynamicRef", "title", "description", "pattern", "format",
		"contentEncoding", "contentMediaType":
		return is[string]("text")
	default:
		return nil
	}
}

func schemaForm(place string, v any) error {
	switch v := v.(type) {
	case bool:
		return nil
	case map[string]any:
		for _, keyword := range slices.Sorted(maps.Keys(v)) {
			if f := formOf(keyword); f != nil {
				if err := f(below(place, keyword), v[keyword]); err != nil {
					return err
				}
			}
		}
		return nil
	default:
		return mustBe(place, v, "a schema, which is an object, true or false")
	}
}

func typeForm(place string, v any) error {
	names, isList := v.([]any)
	if !isList {
		names = []any{v}
	}
	for i, e := range names {
		if name, _ := e.(string); slices.Contains(typeNames, name) {
			continue
		}
		at := place
		if isList {
			at = fmt.Sprintf("%s[%d]", place, i)
		}
		want := strings.Join(typeNames[:len(typeNames)-1], ", ") + " or " + typeNames[len(typeNames)-1]
		if e == nil {
			want += `: in YAML, "null" needs quotes`
		}
		return mustBe(at, e, want)
	}
	if len(names) == 0 {
		return fmt.Errorf("%s is an empty list, which nothing fits", place)
	}
	return nil
}

func listOf(f form) form {
	return func(place string, v any) error {
		list, ok := v.([]any)
		if !ok {
			return mustBe(place, v, "a list")
		}
		for i, e := range list {
			if err := f(fmt.Sprintf("%s[%d]", place, i), e); err != nil {
				return err
			}
		}
		return nil
	}
}

// listOr is a list of what the first says, or what the second says.
func listOr(elem, other form) form {
	return func(place string, v any) error {
		if _, ok := v.([]any); ok {
			return listOf(elem)(place, v)
		}
		return other(place, v)
	}
}

func mapOf(f form) form {
	return func(place string, v any) error {
		m, ok := v.(map[string]any)
		if !ok {
			return mustBe(place, v, "an object")
		}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if err := f(below(place, name), m[name]); err != nil {
				return err
			}
		}
		return nil
	}
}

func is[T any](want string) form {
	return func(place string, v any) error {
		if _, ok := v.(T); !ok {
			return mustBe(place, v, want)
		}
		return nil
	}
}

// atLeast is a number, which is a whole one where least is.
func atLeast(least float64, want string) form {
	return func(place string, v any) error {
		n, _ := v.(json.Number)
		f, err := n.Float64()
		whole := least != math.Trunc(least) || f == math.Trunc(f)
		if err != nil || f < least || !whole {
			return mustBe(place, v, want)
		}
		return nil
	}
}

func mustBe(place string, v any, want string) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if place == "" {
		return errors.New("it must be " + want)
	}
	return fmt.Errorf("%s is %s, must be %s", place, text, want)
}

// plain matches what stands in a place as it is.
var plain = regexp.MustCompile(`^[\w$-]+$`)

func below(place, name string) string {
	switch {
	case !plain.MatchString(name):
		return fmt.Sprintf("%s[%q]", place, name)
	case place == "":
		return name
	default:
		return place + "." + name
	}
}
