package inputschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/edda-io/edda"
	"github.com/edda-io/edda/internal/jsondata"
)

// Checker checks payloads against a JSON Schema. It is immutable.
type Checker struct {
	schema *jsonschema.Resolved
	// object says that an object is wanted.
	object bool
}

// Compile reads a schema that is given as JSON text. The error says where in it something
// is that JSON Schema does not know the meaning of; keywords that it does not know may be there.
func Compile(text []byte) (*Checker, error) {
	if err := checkKeywords(text); err != nil {
		return nil, fmt.Errorf("it is no JSON Schema: %w", err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("it is no JSON Schema: %w", err)
	}
	return NewChecker(&s)
}

// NewChecker returns the checker of a schema, which must not change afterwards.
func NewChecker(s *jsonschema.Schema) (*Checker, error) {
	resolved, err := s.Resolve(nil)
	if err != nil {
		return nil, err
	}
	return &Checker{schema: resolved, object: s.Type == "object"}, nil
}

// Check returns an *edda.Error, BadMediaType or BadSchema, for a payload that does not
// fit. An empty one counts as an empty object where an object is wanted.
func (c *Checker) Check(contentType string, payload []byte) error {
	if !jsonLike(contentType) {
		return &edda.Error{Reason: edda.BadMediaType, Err: fmt.Errorf("content type %q is not JSON; use application/json", contentType)}
	}
	if len(payload) == 0 && c.object {
		payload = []byte("{}")
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(payload))
	if err := d.Decode(&v); err != nil {
		return &edda.Error{Reason: edda.BadSchema, Err: fmt.Errorf("payload is not JSON: %w", err)}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &edda.Error{Reason: edda.BadSchema, Err: errors.New("payload is more than one JSON value")}
	}
	if err := c.schema.Validate(v); err != nil {
		return &edda.Error{Reason: edda.BadSchema, Err: fmt.Errorf("payload does not fit: %w", err)}
	}
	return nil
}

// jsonLike reports whether a payload of the content type may be read as JSON.
// That of HTML forms is what curl and others send when nobody has set one.
func jsonLike(contentType string) bool {
	if contentType == "" || jsondata.IsJSON(contentType) {
		return true
	}
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && t == "application/x-www-form-urlencoded"
}
