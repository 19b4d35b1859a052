package cloudevents

import (
	"cmp"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/edda-io/edda"
)

// HeaderPrefix begins the names of headers that are attributes.
const HeaderPrefix = "ce-"

// specVersion is the version of the specification that all of this is about.
const specVersion = "1.0"

// event is an event that is being read.
type event struct {
	m            edda.StreamMessage
	version      bool
	subject      string
	partitionKey string
}

// bad refuses an attribute.
func bad(name, format string, args ...any) error {
	return &edda.Error{Reason: edda.BadValue, Err: errors.New(name + " " + fmt.Sprintf(format, args...))}
}

// set sets an attribute to a value in its canonical form.
func (e *event) set(name, value string) error {
	if err := checkValue(name, value); err != nil {
		return err
	}
	switch name {
	case "specversion":
		e.version = true
		if value != specVersion {
			return bad(name, "is %q, must be %q", value, specVersion)
		}
		return nil
	case "id":
		e.m.ID = value
		return checkLength(name, value, edda.MaxMessageIDBytes)
	case "type":
		e.m.Type = value
		return checkLength(name, value, edda.MaxMessageTypeBytes)
	case "source":
		e.m.Source = value
		return checkReference(name, value)
	case "datacontenttype":
		e.m.ContentType = value
		if _, _, err := mime.ParseMediaType(value); err != nil {
			return bad(name, "is %q, must be a media type", value)
		}
		return nil
	case "time":
		var err error
		if e.m.Time, err = time.Parse(time.RFC3339, value); err != nil {
			return bad(name, "is %q, must be a time, such as 2018-04-05T17:31:00Z", value)
		}
		e.m.Time = e.m.Time.UTC()
		return nil
	case "partitionkey":
		e.partitionKey = value
		return checkKey(name, value)
	default:
		return e.keep(name, value)
	}
}

// keep keeps an attribute as a header.
func (e *event) keep(name, value string) error {
	e.m.Headers.Add(HeaderPrefix+name, value)
	switch {
	case name == "subject":
		e.subject = value
		if value == "" {
			return bad(name, "is empty")
		}
	case name == "dataschema":
		if u, err := url.Parse(value); err != nil || !u.IsAbs() || strings.Contains(value, " ") {
			return bad(name, "is %q, must be an absolute URI", value)
		}
	case name == "data" || name == "data_base64" || !isAttribute(name):
		return bad(name, "is no attribute: their names are of lower-case letters and digits, and data is not among them")
	}
	return nil
}

// message returns the message when all attributes have been set.
func (e *event) message() (edda.StreamMessage, error) {
	for _, required := range [...]struct {
		name string
		set  bool
	}{{"specversion", e.version}, {"id", e.m.ID != ""}, {"source", e.m.Source != ""}, {"type", e.m.Type != ""}} {
		if !required.set {
			return e.m, bad(required.name, "is missing")
		}
	}
	e.m.Key = cmp.Or(e.partitionKey, e.subject)
	if e.partitionKey == "" && e.subject != "" {
		if err := checkKey("subject", e.subject); err != nil {
			return e.m, err
		}
	}
	return e.m, nil
}

// checkValue refuses characters that no attribute may have.
func checkValue(name, value string) error {
	if !utf8.ValidString(value) {
		return bad(name, "is not UTF-8")
	}
	for _, r := range value {
		if unicode.IsControl(r) || r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef {
			return bad(name, "has the character %U, which attributes may not have", r)
		}
	}
	return nil
}

func checkLength(name, value string, most int) error {
	switch {
	case value == "":
		return bad(name, "is empty")
	case len(value) > most:
		return bad(name, "has %d bytes, at most %d are allowed", len(value), most)
	}
	return nil
}

// checkReference checks a URI-reference that is not empty.
func checkReference(name, value string) error {
	if value == "" {
		return bad(name, "is empty")
	}
	if !isReference(value) {
		return bad(name, "is %q, must be a URI or a reference to one", value)
	}
	return nil
}

func isReference(s string) bool {
	if strings.ContainsAny(s, ` "<>\^`+"`{|}") {
		return false
	}
	_, err := url.Parse(s)
	return err == nil
}

// checkKey checks an attribute that becomes the message's key.
func checkKey(name, value string) error {
	err := edda.CheckKey(value)
	if e, ok := errors.AsType[*edda.Error](err); ok {
		return bad(name, "is to be the key: %v", e.Err)
	}
	return err
}

// isAttribute reports whether the name can be that of an attribute.
func isAttribute(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
