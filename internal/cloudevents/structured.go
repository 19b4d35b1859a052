package cloudevents

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/edda-io/edda"
)

// Media types of events in JSON.
const (
	MediaType      = "application/cloudevents+json"
	BatchMediaType = "application/cloudevents-batch+json"
)

// Mode is how a body holds events.
type Mode int

// The modes.
const (
	// NoEvent: the content type is none of CloudEvents. In binary mode the headers are.
	NoEvent Mode = iota
	Structured
	Batch
)

// ModeOf returns what a content type says. Formats other than JSON are BadMediaType.
func ModeOf(contentType string) (Mode, error) {
	const prefix = "application/cloudevents"
	if len(contentType) < len(prefix) || !strings.EqualFold(contentType[:len(prefix)], prefix) {
		return NoEvent, nil
	}
	t, _, _ := strings.Cut(contentType, ";")
	switch t = strings.TrimSpace(t); {
	case strings.EqualFold(t, MediaType):
		return Structured, nil
	case strings.EqualFold(t, BatchMediaType):
		return Batch, nil
	}
	return NoEvent, &edda.Error{
		Reason: edda.BadMediaType, Err: errors.New("CloudEvents must be " + MediaType + " or " + BatchMediaType),
	}
}

// Event reads one event in the JSON format.
func Event(b []byte) (edda.StreamMessage, error) {
	if !utf8.Valid(b) || !json.Valid(b) {
		return edda.StreamMessage{}, badJSON("the body must be a CloudEvent, a JSON object in UTF-8")
	}
	return read(b)
}

// Events reads a batch, which may be empty.
func Events(b []byte) ([]edda.StreamMessage, error) {
	if !utf8.Valid(b) || !json.Valid(b) || bytes.TrimLeft(b, " \t\r\n")[0] != '[' {
		return nil, badJSON("the body must be a batch of CloudEvents, a JSON array in UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	messages := []edda.StreamMessage{}
	for i := 0; d.More(); i++ {
		if i == edda.MaxAppendMessages {
			return nil, &edda.Error{Reason: edda.TooLarge, Err: errors.New("there are more than " + strconv.Itoa(i) + " events")}
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, err
		}
		m, err := read(raw)
		if e, ok := errors.AsType[*edda.Error](err); ok {
			return nil, &edda.Error{Reason: e.Reason, Err: errors.New("[" + strconv.Itoa(i) + "]: " + e.Err.Error())}
		}
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
	return messages, nil
}

func badJSON(text string) error { return &edda.Error{Reason: edda.BadJSON, Err: errors.New(text)} }

// read reads an event that is known to be JSON.
func read(b []byte) (edda.StreamMessage, error) {
	if bytes.TrimLeft(b, " \t\r\n")[0] != '{' {
		return edda.StreamMessage{}, badJSON("a CloudEvent must be a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return edda.StreamMessage{}, err
	}
	var e event
	var data, binary json.RawMessage
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return e.m, err
		}
		name, _ := token.(string) // as names are
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return e.m, err
		}
		if seen[name] {
			return e.m, bad(name, "is given more than once")
		}
		seen[name] = true
		switch name {
		case "data":
			data = raw
		case "data_base64":
			binary = raw
		default:
			err = e.setJSON(name, raw)
		}
		if err != nil {
			return e.m, err
		}
	}
	if err := e.setData(data, binary); err != nil {
		return e.m, err
	}
	return e.message()
}

// setJSON sets an attribute from a member. Null is as if it were not there.
func (e *event) setJSON(name string, raw json.RawMessage) error {
	switch raw[0] {
	case 'n':
		return nil
	case '"':
		s, err := text(raw)
		if err != nil {
			return bad(name, "has half of a surrogate pair")
		}
		return e.set(name, s)
	}
	switch name {
	case "specversion", "id", "type", "source", "datacontenttype", "time", "partitionkey", "subject", "dataschema":
		return bad(name, "must be a string")
	}
	switch n, err := strconv.ParseInt(string(raw), 10, 32); {
	case raw[0] == 't' || raw[0] == 'f':
		return e.set(name, string(raw))
	case err == nil:
		return e.set(name, strconv.FormatInt(n, 10))
	}
	return bad(name, "must be a string, true, false or an integer of 32 bits")
}

// errSurrogate: a string has an escaped surrogate that is alone.
var errSurrogate = errors.New("half of a surrogate pair")

// text returns the text of a JSON string. What cannot be decoded becomes U+FFFD; when
// that was not sent, it was half of a pair.
func text(raw json.RawMessage) (string, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", err
	}
	const replacement = "\ufffd"
	if strings.Contains(s, replacement) && !bytes.Contains(raw, []byte(replacement)) &&
		!bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`)) {
		return "", errSurrogate
	}
	return s, nil
}

// setData sets the payload, as the content type says what the members are.
func (e *event) setData(data, binary json.RawMessage) error {
	switch {
	case data != nil && binary != nil:
		return bad("data_base64", "is given beside data, only one of them may be")
	case binary != nil:
		return e.setBase64(binary)
	case data == nil:
		return nil
	}
	if e.m.ContentType == "" {
		e.m.ContentType = "application/json"
	}
	if isJSON(e.m.ContentType) {
		e.m.Payload = data
		return nil
	}
	var s string
	if data[0] != '"' || json.Unmarshal(data, &s) != nil {
		return bad("data", "must be a string, because datacontenttype is %q", e.m.ContentType)
	}
	e.m.Payload = []byte(s)
	return nil
}

func (e *event) setBase64(raw json.RawMessage) error {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil {
		return bad("data_base64", "must be a string")
	}
	if s == nil {
		return nil
	}
	var err error
	if e.m.Payload, err = base64.StdEncoding.DecodeString(*s); err != nil {
		return bad("data_base64", "must be base64")
	}
	return nil
}

// isJSON reports whether a content type declares JSON, as the format says.
func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	_, sub, _ := strings.Cut(t, "/")
	return err == nil && (sub == "json" || strings.HasSuffix(sub, "+json"))
}
