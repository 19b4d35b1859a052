package jsondata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/edda-io/edda"
)

// Headers are headers as a JSON object of strings, in the order they were given.
// The values of a name that stands more than once are joined by ", ", which
// RFC 9110 says is the same.
type Headers edda.Headers

// MarshalJSON encodes the object.
func (h Headers) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, e := range h {
		if named(h[:i], e.Name) {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(AppendString(b, e.Name), ':')
		b = AppendString(b, strings.Join(h[i:].values(e.Name), ", "))
	}
	return append(b, '}'), nil
}

func named(h Headers, name string) bool {
	for _, e := range h {
		if strings.EqualFold(e.Name, name) {
			return true
		}
	}
	return false
}

// values returns all values of the name.
func (h Headers) values(name string) []string {
	var vs []string
	for _, e := range h {
		if strings.EqualFold(e.Name, name) {
			vs = append(vs, e.Value)
		}
	}
	return vs
}

// UnmarshalJSON decodes an object of strings, keeping its order.
func (h *Headers) UnmarshalJSON(b []byte) error {
	*h = nil
	d := json.NewDecoder(bytes.NewReader(b))
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return fmt.Errorf("headers are not an object")
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var v *string
		if err := d.Decode(&v); err != nil || v == nil {
			return fmt.Errorf("header %q is not a string", name)
		}
		*h = append(*h, edda.Header{Name: name.(string), Value: *v})
	}
	_, err = d.Token()
	return err
}
