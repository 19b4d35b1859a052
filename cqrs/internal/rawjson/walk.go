// Package rawjson walks over JSON that is known to be valid, as encoding/json writes and checks it,
// and puts it together anew, without decoding it: values stay as they are written. Of what is
// malformed it makes something, and never panics. Its functions are safe for concurrent use; what
// they return refers to what they were handed.
package rawjson

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"
)

// Members are those of an object, in their order, names and values as they are written; none of
// what is no object.
func Members(raw []byte) iter.Seq2[Text, json.RawMessage] {
	return func(yield func(Text, json.RawMessage) bool) {
		i := spaceEnd(raw, 0)
		if i >= len(raw) || raw[i] != '{' {
			return
		}
		for i = spaceEnd(raw, i+1); i < len(raw) && raw[i] == '"'; i = spaceEnd(raw, i+1) {
			end := valueEnd(raw, i)
			from := spaceEnd(raw, spaceEnd(raw, end)+1) // past the colon
			until := valueEnd(raw, from)
			if !yield(Text(raw[i:end]), json.RawMessage(raw[from:until])) {
				return
			}
			if i = spaceEnd(raw, until); i >= len(raw) || raw[i] != ',' {
				return
			}
		}
	}
}

// Items are those of an array, in their order; none of what is no array.
func Items(raw []byte) iter.Seq2[int, json.RawMessage] {
	return func(yield func(int, json.RawMessage) bool) {
		i := spaceEnd(raw, 0)
		if i >= len(raw) || raw[i] != '[' {
			return
		}
		i = spaceEnd(raw, i+1)
		for n := 0; i < len(raw) && raw[i] != ']'; n++ {
			until := valueEnd(raw, i)
			if !yield(n, json.RawMessage(raw[i:until])) {
				return
			}
			if i = spaceEnd(raw, until); i >= len(raw) || raw[i] != ',' {
				return
			}
			i = spaceEnd(raw, i+1)
		}
	}
}

// Member returns the value of a member, and whether there is one.
func Member(raw []byte, name string) (value json.RawMessage, ok bool) {
	for n, v := range Members(raw) {
		if n.is(name) {
			value, ok = v, true // the last one counts, as for encoding/json
		}
	}
	return value, ok
}

// IsObject reports whether the JSON is an object.
func IsObject(raw []byte) bool {
	i := spaceEnd(raw, 0)
	return i < len(raw) && raw[i] == '{'
}

// Text is a JSON string as it is written.
type Text []byte

// String returns what it says.
func (q Text) String() string {
	if q.plain() {
		return string(q[1 : len(q)-1])
	}
	var s string
	if json.Unmarshal(q, &s) != nil {
		return ""
	}
	return s
}

func (q Text) is(s string) bool {
	if q.plain() {
		return string(q[1:len(q)-1]) == s
	}
	return q.String() == s
}

func (q Text) plain() bool { return len(q) >= 2 && bytes.IndexByte(q, '\\') < 0 }

// spaceEnd returns where the white space at i ends.
func spaceEnd(raw []byte, i int) int {
	for i < len(raw) && strings.IndexByte(" \t\r\n", raw[i]) >= 0 {
		i++
	}
	return i
}

// valueEnd returns where the value that begins at i ends.
func valueEnd(raw []byte, i int) int {
	if i >= len(raw) {
		return i
	}
	switch raw[i] {
	case '"':
		return quotedEnd(raw, i)
	case '{', '[':
		depth := 0
		for i < len(raw) {
			switch raw[i] {
			case '"':
				i = quotedEnd(raw, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return i
	}
	for i < len(raw) && strings.IndexByte(",]} \t\r\n", raw[i]) < 0 {
		i++
	}
	return i
}

// quotedEnd returns where the string that begins at i ends.
func quotedEnd(raw []byte, i int) int {
	for i++; i < len(raw) && raw[i] != '"'; i++ {
		if raw[i] == '\\' {
			i++
		}
	}
	return min(i+1, len(raw))
}
