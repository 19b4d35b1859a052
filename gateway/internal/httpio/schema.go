package httpio

import (
	"encoding/json"
	"net/url"
	"strings"
)

// EmbeddedSchema returns a schema of its own as it must stand in an OpenAPI document, for the JSON body of
// an operation: what it refers to within itself is then elsewhere.
func EmbeddedSchema(schema any, path, method string) any {
	b, err := json.Marshal(schema)
	if err != nil {
		return true // anything
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return true
	}
	if top, ok := v.(map[string]any); ok {
		delete(top, "$schema")
		if top["$id"] != nil {
			return v // its references begin at itself wherever it stands
		}
	}
	pointer := strings.NewReplacer("~", "~0", "/", "~1").Replace(path)
	base := (&url.URL{Fragment: "/paths/" + pointer + "/" + method + "/requestBody/content/application~1json/schema"}).String()
	rebase(v, base)
	return v
}

// rebase puts base before each reference that begins at the schema itself.
func rebase(v any, base string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			rebase(e, base)
		}
	case map[string]any:
		for name, e := range v {
			switch name {
			case "const", "enum", "default", "examples": // values, not schemas
			case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas":
				if named, ok := e.(map[string]any); ok { // names, then schemas
					for _, schema := range named {
						rebase(schema, base)
					}
				}
			case "$ref":
				if s, ok := e.(string); ok && strings.HasPrefix(s, "#") {
					v[name] = base + s[1:]
				}
			default:
				rebase(e, base)
			}
		}
	}
}
