package inputschema_test

import (
	"strings"
	"testing"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/inputschema"
)

func TestCompileRefuses(t *testing.T) {
	const types = `must be array, boolean, integer, null, number, object or string`
	for schema, want := range map[string]string{
		`{"type":"objekt"}`:                                          `it is no JSON Schema: type is "objekt", ` + types,
		`{"type":["string","nul"]}`:                                  `type[1] is "nul", ` + types,
		`{"type":["string",null]}`:                                   `type[1] is null, ` + types + `: in YAML, "null" needs quotes`,
		`{"type":[]}`:                                                `type is an empty list`,
		`{"type":{}}`:                                                `type is {}, ` + types,
		`{"properties":{"a.b":{"type":"int"}}}`:                      `properties["a.b"].type is "int", ` + types,
		`{"properties":{"type":{"type":"int"}}}`:                     `properties.type.type is "int"`,
		`{"items":{"type":"int"}}`:                                   `items.type is "int"`,
		`{"items":[{"type":"int"}]}`:                                 `items[0].type is "int"`,
		`{"prefixItems":[{},{"type":"int"}]}`:                        `prefixItems[1].type is "int"`,
		`{"allOf":[{"anyOf":[{"oneOf":[{"not":{"type":"int"}}]}]}]}`: `allOf[0].anyOf[0].oneOf[0].not.type is "int"`,
		`{"$defs":{"n":{"type":"int"}},"$ref":"#/$defs/n"}`:          `$defs.n.type is "int"`,
		`{"definitions":{"n":{"additionalProperties":{"type":""}}}}`: `definitions.n.additionalProperties.type is ""`,
		`{"patternProperties":{"^x":{"type":"int"}}}`:                `patternProperties["^x"].type is "int"`,
		`{"dependencies":{"a":["b"],"c":{"type":"int"}}}`:            `dependencies.c.type is "int"`,
		`{"if":{"type":"int"}}`:                                      `if.type is "int"`,
		`{"contains":{"propertyNames":{"type":"int"}}}`:              `contains.propertyNames.type is "int"`,
		`{"properties":{"n":{"minimum":"3"}}}`:                       `properties.n.minimum is "3", must be a number`,
		`{"properties":{"n":null}}`:                                  `properties.n is null, must be a schema, which is an object, true or false`,
		`{"properties":{"n":{"required":true}}}`:                     `properties.n.required is true, must be a list`,
		`{"properties":["n"]}`:                                       `properties is ["n"], must be an object`,
		`{"required":[1]}`:                                           `required[0] is 1, must be text`,
		`{"maxLength":-1}`:                                           `maxLength is -1, must be a whole number, zero or above`,
		`{"maxLength":1.5}`:                                          `maxLength is 1.5, must be a whole number`,
		`{"multipleOf":0}`:                                           `multipleOf is 0, must be a number above zero`,
		`{"enum":"a"}`:                                               `enum is "a", must be a list`,
		`{"uniqueItems":"yes"}`:                                      `uniqueItems is "yes", must be true or false`,
		`[]`:                                                         `it must be a schema, which is an object, true or false`,
		`{`:                                                          `it is no JSON Schema: `,
		`{"pattern":"("}`:                                            `pattern: `,
	} {
		if _, err := inputschema.Compile([]byte(schema)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", schema, err, want)
		}
	}
}

// What JSON Schema lets pass does: keywords that it does not know, and types in what are
// no schemas.
func TestCompileTakes(t *testing.T) {
	for _, schema := range []string{
		`true`, `{}`, `{"type":["integer","null"]}`, `{"tipe":"objekt","x-type":{"type":"objekt"}}`, `{"properties":{"type":true}}`,
		`{"const":{"type":"objekt"}}`, `{"const":null}`, `{"enum":[{"type":"objekt"},null],"default":{"type":"objekt"},"examples":[{"type":1}]}`,
		`{"minLength":3.0,"multipleOf":0.01,"minimum":-1.5}`, `{"dependencies":{"a":["b"]},"dependentRequired":{"a":["b"]}}`,
	} {
		if _, err := inputschema.Compile([]byte(schema)); err != nil {
			t.Errorf("%s: got %v, want it taken", schema, err)
		}
	}
}

// A schema that refers to itself for the same value would fill the stack with the first
// payload; one that does for what is in the value is a tree.
func TestCompileRefusesLoops(t *testing.T) {
	for _, schema := range []string{
		`{"$ref":"#"}`, `{"allOf":[{"$ref":"#"}]}`, `{"$dynamicRef":"#"}`, `{"not":{"if":{"$ref":"#/not"}}}`,
		`{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"anyOf":[{"type":"null"},{"$ref":"#/$defs/a"}]}},"$ref":"#/$defs/a"}`,
		`{"properties":{"n":{"$ref":"#/properties/n"}}}`, `{"$defs":{"a/b":{"$ref":"#/$defs/a~1b"}}}`, `{"$defs":{"a":{"$ref":"#%2F$defs%2Fa"}}}`,
		`{"$defs":{"a":{"$anchor":"x","oneOf":[{"$ref":"#x"}]}}}`, `{"$dynamicAnchor":"x","dependentSchemas":{"p":{"$dynamicRef":"#x"}}}`,
		`{"$id":"https://a.example/s","$ref":"https://a.example/s"}`, `{"$defs":{"a":{"$id":"https://a.example/s","allOf":[{"$ref":"s"}]}}}`,
		`{"$id":"https://a.example/s","$defs":{"a":{"$id":"t","$ref":"s#/$defs/a"}}}`,
	} {
		if _, err := inputschema.Compile([]byte(schema)); err == nil || !strings.Contains(err.Error(), "refers to itself for the same value") {
			t.Errorf("%s: got %v, want it refused", schema, err)
		}
	}
	for _, schema := range []string{
		`{"properties":{"next":{"$ref":"#"}}}`, `{"items":{"$ref":"#"},"additionalProperties":{"$ref":"#"}}`,
		`{"$defs":{"tree":{"type":"object","properties":{"left":{"$ref":"#/$defs/tree"},"right":{"$ref":"#/$defs/tree"}}}},"$ref":"#/$defs/tree"}`,
		`{"$defs":{"a":{"type":"string"}},"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}]}`,
		`{"$id":"https://a.example/s","allOf":[{"$ref":"t"}],"$defs":{"t":{"$id":"t","type":"object"}}}`,
		`{"$id":"https://a.example/s","$defs":{"t":{"$id":"t","properties":{"x":{"$ref":"#"}}}},"$ref":"t"}`,
	} {
		c, err := inputschema.Compile([]byte(schema))
		if err != nil {
			t.Errorf("%s: got %v, want it taken", schema, err)
			continue
		}
		_ = c.Check("", []byte(`{"next":{"next":{}},"left":{"left":{}}}`))
	}
}

// A body without a content type, or with that of curl -d, is read as JSON.
func TestCheckByContentType(t *testing.T) {
	c, err := inputschema.Compile([]byte(`{"type":"object"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		contentType, body string
		want              edda.Reason
	}{
		{"", `{}`, ""},
		{"", `x`, edda.BadSchema},
		{"application/x-www-form-urlencoded", `{}`, ""},
		{"application/x-www-form-urlencoded", `a=b`, edda.BadSchema},
		{"application/json", `x`, edda.BadSchema},
		{"text/plain", `{}`, edda.BadMediaType},
	} {
		if err := c.Check(tt.contentType, []byte(tt.body)); edda.ReasonOf(err) != tt.want {
			t.Errorf("%q %s: got %v, want reason %q", tt.contentType, tt.body, err, tt.want)
		}
	}
}
