package cloudevents

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/edda-io/edda"
)

// canonicalPrefix begins attributes in an http.Header.
const canonicalPrefix = "Ce-"

// IsBinary reports whether headers are those of an event in binary mode: one of the
// attributes that each event has is there.
func IsBinary(h http.Header) bool {
	for _, name := range [...]string{"Ce-Specversion", "Ce-Id", "Ce-Source", "Ce-Type"} {
		if _, given := h[name]; given {
			return true
		}
	}
	return false
}

// Binary reads an event in binary mode. The payload is the body as it came.
func Binary(h http.Header, payload []byte) (edda.StreamMessage, error) {
	var e event
	for _, header := range slices.Sorted(maps.Keys(h)) {
		name, ok := strings.CutPrefix(header, canonicalPrefix)
		if !ok {
			continue
		}
		name = strings.ToLower(name)
		if name == "datacontenttype" {
			return e.m, bad(HeaderPrefix+name, "must not be there: Content-Type says it")
		}
		if len(h[header]) > 1 {
			return e.m, bad(HeaderPrefix+name, "is given more than once")
		}
		value, err := decodeHeader(HeaderPrefix+name, h[header][0])
		if err == nil {
			err = e.set(name, value)
		}
		if err != nil {
			return e.m, err
		}
	}
	if t := h.Get("Content-Type"); t != "" {
		if err := e.set("datacontenttype", t); err != nil {
			return e.m, err
		}
	}
	e.m.Payload = payload
	return e.message()
}

// decodeHeader undoes quotes, then one round of percent-encoding.
func decodeHeader(name, v string) (string, error) {
	plain, ok := unquote(v)
	if !ok {
		return "", bad(name, "has a quotation mark without its end")
	}
	s, err := url.PathUnescape(plain)
	if err != nil {
		return "", bad(name, "has a bad percent-encoding")
	}
	return s, nil
}

// unquote removes the quotation marks of quoted strings, and the backslashes in them.
func unquote(v string) (string, bool) {
	if strings.IndexByte(v, '"') < 0 {
		return v, true
	}
	var b strings.Builder
	within := false
	for i := 0; i < len(v); i++ {
		switch {
		case v[i] == '"':
			within = !within
		case v[i] == '\\' && within && i+1 < len(v):
			i++
			b.WriteByte(v[i])
		default:
			b.WriteByte(v[i])
		}
	}
	return b.String(), !within
}
