package jsondata

import (
	"bytes"
	"encoding/json"
)

// MaxDepth is how deep a JSON payload may be nested to stand in another document as
// itself. Parsers have a limit: 512 levels in PHP, about 1,000 in Python and Java,
// 10,000 in Go. A document with a deeper payload in it could not be read by anybody who has
// one, and nor could the messages beside it.
const MaxDepth = 500

// CanStand reports whether the payload, which is UTF-8, is JSON that may stand in a document as a
// value.
func CanStand(payload []byte) bool {
	return json.Valid(payload) && !deep(payload)
}

// deep reports whether JSON is nested deeper than MaxDepth.
func deep(b []byte) bool {
	if bytes.Count(b, []byte{'['})+bytes.Count(b, []byte{'{'}) <= MaxDepth {
		return false // which is quick, and so for most
	}
	depth, text := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			text = !text
		case text && c == '\\':
			i++
		case text:
		case c == '[' || c == '{':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}
