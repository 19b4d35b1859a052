// Package jsondata says how payloads and headers stand in JSON documents: dead
// letters, envelopes, items of streams, live frames.
//
// A payload is the member "data" where JSON can hold it: the value itself for
// JSON content types, a string for other valid UTF-8. Anything else, and JSON that
// is nested deeper than MaxDepth, is "dataBase64". Decode gives back what Encode was given, but for insignificant
// white space in JSON.
//
// The functions keep no state and are safe for concurrent use.
package jsondata

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/edda-io/edda"
)

// Data is a payload in a JSON document. Embed it in the struct that is the
// document. At most one field is set; neither for an empty payload.
type Data struct {
	// Value is JSON: the payload itself, or a string.
	Value json.RawMessage `json:"data,omitempty"`
	// Base64 is a payload that is neither text nor JSON, or JSON nested too deep.
	Base64 []byte `json:"dataBase64,omitempty"`
}

// Encode returns how a payload of the content type stands in JSON. The payload
// is kept, not copied, and must not change while Data is in use.
func Encode(contentType string, payload []byte) Data {
	switch {
	case len(payload) == 0:
		return Data{}
	case !utf8.Valid(payload):
		return Data{Base64: payload}
	case !IsJSON(contentType):
		return Data{Value: AppendString(make([]byte, 0, len(payload)+2), string(payload))}
	case CanStand(payload):
		return Data{Value: payload}
	default:
		// As a string it would be taken for a JSON string by whoever decodes it.
		return Data{Base64: payload}
	}
}

// AppendMember appends how a payload of the content type stands in JSON to an object that
// has members already, and is not closed: nothing for an empty payload.
func AppendMember(b []byte, contentType string, payload []byte) []byte {
	switch d := Encode(contentType, payload); {
	case d.Base64 != nil:
		b = append(b, `,"dataBase64":"`...)
		return append(base64.StdEncoding.AppendEncode(b, d.Base64), '"')
	case d.Value != nil:
		return append(append(b, `,"data":`...), d.Value...)
	default:
		return b
	}
}

// Decode returns the payload of the content type. The error's reason is
// BadValue, and its text names the member.
func (d Data) Decode(contentType string) ([]byte, error) {
	switch {
	case d.Value != nil && d.Base64 != nil:
		return nil, bad("data and dataBase64 are both given")
	case d.Value == nil:
		return d.Base64, nil
	case IsJSON(contentType):
		return d.Value, nil
	}
	var s *string
	if err := json.Unmarshal(d.Value, &s); err != nil || s == nil {
		return nil, bad("data is not a string, and the content type is not JSON")
	}
	return []byte(*s), nil
}

func bad(text string) error { return &edda.Error{Reason: edda.BadValue, Err: errors.New(text)} }

// IsJSON reports whether a content type is JSON: application/json, text/json, or
// any type that ends in +json. Parameters do not matter.
func IsJSON(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	t = strings.TrimSpace(t)
	if strings.EqualFold(t, "application/json") || strings.EqualFold(t, "text/json") {
		return true
	}
	const suffix = "+json"
	at := len(t) - len(suffix)
	return at > 0 && strings.IndexByte(t, '/') > 0 && strings.EqualFold(t[at:], suffix)
}
