package specjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/edda-io/edda"
)

// reader walks over a document that is known to be JSON, so that it need not look
// for mistakes of form. Its functions read the value that begins at the next byte
// that is not white space, and end behind it.
type reader struct {
	b []byte
	i int
	// what the document is called, to people.
	what string
	path []place
	// seen are the members of the objects that are being read with once.
	seen []string
	// steps counts those that were read.
	steps int
}

// place is a member of an object, or an element of an array when it has no name.
type place struct {
	name  string
	index int
}

// open returns a reader of a body.
func open(b []byte, want string) (*reader, error) { return openAs("body", b, want) }

// openAs returns a reader of a document, and says what to call it.
func openAs(what string, b []byte, want string) (*reader, error) {
	if !utf8.Valid(b) || !json.Valid(b) {
		return nil, refuse(edda.BadJSON, "the "+what+" must be "+want+" in UTF-8")
	}
	return &reader{b: b, what: what}, nil
}

func refuse(reason edda.Reason, detail string) error {
	return &edda.Error{Reason: reason, Err: errors.New(detail)}
}

// here returns the path of the value that is being read.
func (r *reader) here() string {
	var s strings.Builder
	for i, p := range r.path {
		switch {
		case p.name == "":
			s.WriteString("[" + strconv.Itoa(p.index) + "]")
		case i == 0:
			s.WriteString(p.name)
		default:
			s.WriteString("." + p.name)
		}
	}
	return s.String()
}

// bad refuses the value that is being read.
func (r *reader) bad(want string) error {
	at := r.here()
	if at == "" {
		return refuse(edda.BadJSON, "the "+r.what+" must be "+want)
	}
	return refuse(edda.BadValue, at+" must be "+want)
}

// unknown refuses the member whose value is being read, and says which there are, if that
// is given.
func (r *reader) unknown(there string) error {
	detail := "unknown member " + strconv.Quote(r.here())
	if there != "" {
		detail += "; there are " + there
	}
	return refuse(edda.UnknownField, detail)
}

// peek returns the first byte of the next value, or the next mark between values.
func (r *reader) peek() byte {
	for strings.IndexByte(" \t\r\n", r.b[r.i]) >= 0 {
		r.i++
	}
	return r.b[r.i]
}

// object reads an object; member is called before each value, and reads it.
func (r *reader) object(member func(name string) error) error {
	if r.peek() != '{' {
		return r.bad("an object")
	}
	r.i++
	at := len(r.path)
	for r.peek() != '}' {
		if r.b[r.i] == ',' {
			r.i++
		}
		r.peek()
		name, err := r.rawString()
		if err != nil {
			return err
		}
		r.peek()
		r.i++ // the colon
		if name == "" {
			name = `""` // so that a path shows it
		}
		r.path = append(r.path, place{name: name})
		if err := member(name); err != nil {
			return err
		}
		r.path = r.path[:at]
	}
	r.i++
	return nil
}

// once reads an object as object does, none of whose members may be given twice. It is for
// objects with few members: what there may not be the function must refuse.
func (r *reader) once(member func(name string) error) error {
	from := len(r.seen)
	err := r.object(func(name string) error {
		if slices.Contains(r.seen[from:], name) {
			return r.bad("given once")
		}
		r.seen = append(r.seen, name)
		return member(name)
	})
	r.seen = r.seen[:from]
	return err
}

// array reads an array; element is called before each value, and reads it. What
// says to people what it has to be.
func (r *reader) array(what string, element func() error) error {
	if r.peek() != '[' {
		return r.bad(what)
	}
	r.i++
	at := len(r.path)
	for n := 0; r.peek() != ']'; n++ {
		if r.b[r.i] == ',' {
			r.i++
		}
		r.path = append(r.path, place{index: n})
		if err := element(); err != nil {
			return err
		}
		r.path = r.path[:at]
	}
	r.i++
	return nil
}

// raw reads any value and returns it as it was sent, in a part of the document.
func (r *reader) raw() json.RawMessage {
	r.peek()
	start, depth := r.i, 0
	for {
		switch r.b[r.i] {
		case '{', '[':
			depth++
			r.i++
		case '}', ']':
			depth--
			r.i++
		case '"':
			r.skipString()
		case ',', ':', ' ', '\t', '\r', '\n':
			r.i++
			continue
		default:
			r.skipWord()
		}
		if depth == 0 {
			return json.RawMessage(r.b[start:r.i:r.i])
		}
	}
}

func (r *reader) skipString() {
	for r.i++; r.b[r.i] != '"'; r.i++ {
		if r.b[r.i] == '\\' {
			r.i++
		}
	}
	r.i++
}

// skipWord skips a number, true, false or null, which may be all of the document.
func (r *reader) skipWord() {
	for r.i < len(r.b) && strings.IndexByte(",:]} \t\r\n", r.b[r.i]) < 0 {
		r.i++
	}
}

// rawString reads the string that begins at the next byte.
func (r *reader) rawString() (string, error) {
	start, plain := r.i, true
	for r.i++; r.b[r.i] != '"'; r.i++ {
		if r.b[r.i] == '\\' {
			plain = false
			r.i++
		}
	}
	r.i++
	if plain {
		return string(r.b[start+1 : r.i-1]), nil
	}
	var s string
	if err := json.Unmarshal(r.b[start:r.i], &s); err != nil {
		return "", fmt.Errorf("read a string that is JSON: %w", err)
	}
	return s, nil
}

// str reads a string; what says to people what it has to be.
func (r *reader) str(what string) (string, error) {
	if r.peek() != '"' {
		return "", r.bad(what)
	}
	return r.rawString()
}

// chosen reads a string that is not empty: to leave a choice to the node is to
// leave the member out. What has been read is not read again.
func chosen[T ~string](r *reader, into *T) error {
	if *into != "" {
		return r.bad("given once")
	}
	err := text(r, into)
	if err == nil && *into == "" {
		err = r.bad("left out or not empty")
	}
	return err
}

// needed reads a string that is not empty, and that there must be.
func needed[T ~string](r *reader, into *T) error {
	err := text(r, into)
	if err == nil && *into == "" {
		err = refuse(edda.BadValue, r.here()+" must not be empty")
	}
	return err
}

// text reads a string.
func text[T ~string](r *reader, into *T) error {
	r.peek()
	start := r.i
	s, err := r.str("a string")
	if err == nil && strings.ContainsRune(s, utf8.RuneError) && halfSurrogate(r.b[start:r.i]) {
		err = refuse(edda.BadValue, r.here()+" has half of a surrogate pair")
	}
	*into = T(s)
	return err
}

// halfSurrogate reports whether a JSON string escapes a surrogate that is alone. All of
// them are read as the same character, which would make one name of several.
func halfSurrogate(raw []byte) bool {
	unit := func(at int) rune { // of the escape sequence there
		if at+6 > len(raw) || raw[at] != '\\' || raw[at+1] != 'u' {
			return 0
		}
		n, _ := strconv.ParseUint(string(raw[at+2:at+6]), 16, 16)
		return rune(n)
	}
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		switch r := unit(i); {
		case !utf16.IsSurrogate(r):
			i++
		case utf16.DecodeRune(r, unit(i+6)) == utf8.RuneError:
			return true
		default:
			i += 11
		}
	}
	return false
}

func (r *reader) flag(into *bool) error {
	switch string(r.raw()) {
	case "true":
		*into = true
	case "false":
		*into = false
	default:
		return r.bad("true or false")
	}
	return nil
}

// number reads a number that passes a check.
func number[T int | float64](r *reader, into *T, ok func(T) bool, want string) error {
	v := r.raw()
	if v[0] == 'n' || json.Unmarshal(v, into) != nil || !ok(*into) {
		return r.bad(want)
	}
	return nil
}

// positive reads a duration above zero.
func (r *reader) positive(into *time.Duration) error {
	s, err := r.str(`a duration, such as "1.5s"`)
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return r.bad(`a duration above zero, such as "1.5s"`)
	}
	*into = d
	return nil
}
