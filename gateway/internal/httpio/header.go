package httpio

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/edda-io/edda"
)

// CheckText refuses what is not UTF-8: it will be in JSON and in other encodings
// that can hold nothing else.
func CheckText(name, v string) error {
	if utf8.ValidString(v) {
		return nil
	}
	return refuse(edda.BadValue, name+" is not UTF-8")
}

// IdempotencyKey reads an Idempotency-Key: a string as RFC 8941 writes it, whose
// parameters are ignored, or the bare key.
func IdempotencyKey(v string) (string, error) {
	key, ok := v, strings.IndexByte(v, '"') < 0
	if strings.HasPrefix(v, `"`) {
		key, ok = Unquote(v)
	}
	for i := range len(key) {
		ok = ok && key[i] >= ' ' && key[i] < 0x7f
	}
	if !ok || key == "" || len(key) > edda.MaxIdempotencyKeyBytes {
		return "", refuse(edda.BadValue, "Idempotency-Key must be 1 to 255 characters of ASCII, bare or in quotes")
	}
	return key, nil
}

// Unquote returns the content of a quoted string. After it only parameters may
// stand.
func Unquote(v string) (string, bool) {
	for i := 1; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '"':
			rest := strings.TrimSpace(v[i+1:])
			if rest != "" && rest[0] != ';' {
				return "", false
			}
			return unescape(v[1:i])
		}
	}
	return "", false
}

// unescape removes the backslashes of a quoted string, which may stand only
// before a quote or a backslash.
func unescape(s string) (string, bool) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			i++
			if i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), true
}

// refuse returns an error whose text is all there is to say.
func refuse(reason edda.Reason, detail string) error {
	return &edda.Error{Reason: reason, Err: errors.New(detail)}
}
